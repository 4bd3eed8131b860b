"""HTTP/2 in clear text: a client of one request at a time, enough for HTTP/2 services, gRPC and a raw xDS stream."""

import struct
from dataclasses import dataclass, field

import h2.config
import h2.connection
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


class Http2Connection:
    def __init__(self, address, namespace=None):
        self._authority = f"{address[0]}:{address[1]}"
        self._socket = connect(address, namespace)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def request(self, method, path, headers=None, body=b"", end_stream=True, until=lambda stream: stream.ended):
        """Sends a request and reads until `until` holds for its stream; a `host` header becomes the authority."""
        fields = {name.lower(): value for name, value in (headers or {}).items()}
        stream_id = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream_id, [
            (":method", method),
            (":scheme", "http"),
            (":authority", fields.pop("host", self._authority)),
            (":path", path),
            *fields.items(),
        ])
        self._h2.send_data(stream_id, body, end_stream=end_stream)
        self._flush()
        stream = Stream()
        while not until(stream):
            self._read(stream_id, stream)
        return stream

    def fetch(self, method, path, headers=None, body=b""):
        stream = self.request(method, path, headers, body)
        return Response(int(stream.headers[":status"]), stream.headers, stream.body)

    def call(self, service, method, message=b"", headers=None, **options):
        """A gRPC call; the status is in `grpc_status(stream)`."""
        fields = {"content-type": "application/grpc", "te": "trailers", **(headers or {})}
        return self.request("POST", f"/{service}/{method}", fields, frame(message), **options)

    def _read(self, stream_id, stream):
        data = self._socket.recv(READ_SIZE)
        if not data:
            raise ConnectionError("the peer closed the connection")
        for event in self._h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived(stream_id=id) if id == stream_id:
                    stream.headers = dict(event.headers)
                case h2.events.TrailersReceived(stream_id=id) if id == stream_id:
                    stream.trailers = dict(event.headers)
                case h2.events.DataReceived(stream_id=id):
                    self._h2.acknowledge_received_data(event.flow_controlled_length, id)
                    if id == stream_id:
                        stream.body += event.data
                case h2.events.StreamEnded(stream_id=id) | h2.events.StreamReset(stream_id=id) if id == stream_id:
                    stream.ended = True
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
    return int(fields["grpc-status"]), fields.get("grpc-message", "")
