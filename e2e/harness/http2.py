"""HTTP/2 in clear text: a client for HTTP/2 services, gRPC, and raw xDS streams."""

import socket
import struct
import time
from dataclasses import dataclass, field
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events

from harness.http1 import Response, connect

READ_SIZE = 65536


@dataclass
class Stream:
    """What came back on one stream so far."""

    headers: dict = field(default_factory=dict)
    trailers: dict = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None


class Http2Connection:
    def __init__(self, address, namespace=None):
        self._authority = f"{address[0]}:{address[1]}"
        self._socket = connect(address, namespace)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._streams = {}
        self.pings_answered = 0
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def request(self, method, path, headers=None, body=b"", end_stream=True, until=lambda stream: stream.ended):
        """Sends a request and reads until `until` holds for its stream; a `host` header becomes the authority."""
        stream_id = self.open(method, path, headers)
        self.send(stream_id, body, end_stream)
        return self.read_until(stream_id, until)

    # a stream step by step

    def open(self, method, path, headers=None):
        """Begins a request: the number of its stream."""
        fields = {name.lower(): value for name, value in (headers or {}).items()}
        stream_id = self._h2.get_next_available_stream_id()
        self._streams[stream_id] = Stream()
        self._h2.send_headers(stream_id, [
            (":method", method),
            (":scheme", "http"),
            (":authority", fields.pop("host", self._authority)),
            (":path", path),
            *fields.items(),
        ])
        self._flush()
        return stream_id

    def send(self, stream_id, data, end_stream=False):
        """Sends all of `data`, as fast as the peer lets it; stops if the peer ends the stream meanwhile."""
        data = memoryview(data)
        while len(data) and not self._streams[stream_id].ended:
            size = min(len(data), self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if size == 0:
                self._read()
                continue
            self._h2.send_data(stream_id, bytes(data[:size]))
            data = data[size:]
            self._flush()
        if end_stream and not self._streams[stream_id].ended:
            self._h2.end_stream(stream_id)
            self._flush()

    def read_until(self, stream_id, condition):
        """Reads until `condition` holds for a stream, which is returned."""
        stream = self._streams[stream_id]
        while not condition(stream):
            self._read()
        return stream

    def read_for(self, seconds):
        """Reads whatever comes in this time."""
        deadline = time.monotonic() + seconds
        patience = self._socket.gettimeout()
        try:
            while (left := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left)
                self._read()
        except TimeoutError:
            pass
        finally:
            self._socket.settimeout(patience)

    def forget_the_limit_of_streams(self):
        """Streams are opened from now on as if the peer had not said how many it takes."""
        self._h2.remote_settings.max_concurrent_streams = 1 << 31
        self._h2.remote_settings.acknowledge()

    def reset(self, stream_id):
        self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def ping(self):
        self._h2.ping(b"01234567")
        self._flush()

    def fetch(self, method, path, headers=None, body=b""):
        stream = self.request(method, path, headers, body)
        return Response(int(stream.headers[":status"]), stream.headers, stream.body)

    def call(self, service, method, message=b"", headers=None, **options):
        """A gRPC call; the status is in `grpc_status(stream)`."""
        fields = {"content-type": "application/grpc", "te": "trailers", **(headers or {})}
        return self.request("POST", f"/{service}/{method}", fields, frame(message), **options)

    def _read(self):
        data = self._socket.recv(READ_SIZE)
        if not data:
            raise ConnectionError("the peer closed the connection")
        for event in self._h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived(stream_id=id):
                    self._streams[id].headers = dict(event.headers)
                case h2.events.TrailersReceived(stream_id=id):
                    self._streams[id].trailers = dict(event.headers)
                case h2.events.DataReceived(stream_id=id):
                    self._h2.acknowledge_received_data(event.flow_controlled_length, id)
                    self._streams[id].body += event.data
                case h2.events.StreamEnded(stream_id=id):
                    self._streams[id].ended = True
                case h2.events.StreamReset(stream_id=id):
                    self._streams[id].ended = True
                    self._streams[id].reset = event.error_code
                case h2.events.PingAckReceived():
                    self.pings_answered += 1
                case h2.events.ConnectionTerminated():
                    raise ConnectionError(f"GOAWAY {event.error_code} {event.additional_data}")
        self._flush()

    def _flush(self):
        self._socket.sendall(self._h2.data_to_send())


def frame(message):
    """A gRPC message with its prefix: not compressed, and its length."""
    return struct.pack("!BI", 0, len(message)) + message


def grpc_status(stream):
    """(code, message); a call that fails at once has both in its headers."""
    fields = stream.trailers if "grpc-status" in stream.trailers else stream.headers
    return int(fields["grpc-status"]), unquote(fields.get("grpc-message", ""))
