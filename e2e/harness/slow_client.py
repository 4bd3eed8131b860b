"""An ADS stream of a client that behaves as no Envoy would: it answers late, or stops to, or never reads at all."""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events
import h2.settings

from harness import xds
from harness.http1 import connect
from harness.http2 import READ_SIZE, frame
from harness.waiting import wait_until

PREFIX_BYTES = 5


@dataclass
class Resource:
    version: str
    content: bytes


class SlowClient:
    """A delta stream that subscribes to resources of one type."""

    def __init__(self, legation, node_id, type_url, names, reads=True, answers=None, answer_after_seconds=0,
                 window=65535):
        """`answers`: how many responses it ACKs before it stops to; all if None. `answer_after_seconds`: how long each
        takes. One that does not read leaves its socket alone; `window` is how many bytes its stream lets in unread."""
        self.type_url = type_url
        self.resources = {}
        self.responses = 0
        self.response_bytes = 0
        self.ended = False
        self._answers = answers
        self._answer_after_seconds = answer_after_seconds
        host, port = legation.xds.rsplit(":", 1)
        self._socket = connect((host, int(port)))
        self._socket.settimeout(None)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.local_settings.initial_window_size = window
        self._h2.initiate_connection()
        self._stream_id = self._h2.get_next_available_stream_id()
        self._h2.send_headers(self._stream_id, [
            (":method", "POST"), (":scheme", "http"), (":authority", legation.xds),
            (":path", f"/{xds.SERVICE}/{xds.METHODS['delta']}"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ])
        self._send(xds.first_request("delta", node_id, type_url, names))
        self._reader = threading.Thread(target=self._read, daemon=True)
        if reads:
            self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._reader.is_alive():
            with contextlib.suppress(OSError):  # the server may have closed it
                self._socket.shutdown(socket.SHUT_RDWR)
            self._reader.join()
        self._socket.close()

    def ack(self, nonce):
        """Accepts a response, whether it was read or not."""
        self._send(xds.field(2, self.type_url.encode()) + xds.field(6, nonce.encode()))

    def wait_for(self, name, timeout_seconds=15):
        return wait_until(lambda: self.resources.get(name), f"{name} on a raw stream", timeout_seconds)

    def _send(self, message):
        self._h2.send_data(self._stream_id, frame(message))
        self._socket.sendall(self._h2.data_to_send())

    def _read(self):
        body = b""
        try:
            while data := self._socket.recv(READ_SIZE):
                for event in self._h2.receive_data(data):
                    match event:
                        case h2.events.DataReceived():
                            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                            body += event.data
                        case h2.events.StreamEnded() | h2.events.StreamReset() | h2.events.ConnectionTerminated():
                            return
                self._socket.sendall(self._h2.data_to_send())
                while len(body) >= PREFIX_BYTES and len(body) >= PREFIX_BYTES + int.from_bytes(body[1:PREFIX_BYTES]):
                    end = PREFIX_BYTES + int.from_bytes(body[1:PREFIX_BYTES])
                    message, body = body[PREFIX_BYTES:end], body[end:]
                    self._take(message)
        except OSError:
            pass
        finally:
            self.ended = True

    def _take(self, response):
        self.response_bytes = len(response)
        nonce = ""
        for number, content in xds.fields(response):
            if number == 2:
                resource = dict(xds.fields(content))
                self.resources[resource[3].decode()] = Resource(resource[1].decode(), resource[2])
            elif number == 5:
                nonce = content.decode()
            elif number == 6:
                self.resources.pop(content.decode(), None)
        self.responses += 1
        if self._answers is None or self.responses <= self._answers:
            time.sleep(self._answer_after_seconds)
            self.ack(nonce)
