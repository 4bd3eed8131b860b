"""An ADS stream that a test drives message by message, as no Envoy would."""

from dataclasses import dataclass

import h2.errors

from harness import xds
from harness.http2 import frame, grpc_status

GRPC_PREFIX_SIZE = 5

# where requests hold what they ask, and responses what they answer; `names` are those to subscribe to
REQUEST_FIELDS = {
    "sotw": {"version": 1, "node": 2, "names": 3, "type_url": 4, "nonce": 5, "error": 6},
    "delta": {"node": 1, "type_url": 2, "names": 3, "unsubscribe": 4, "nonce": 6, "error": 7},
}
RESPONSE_RESOURCES, RESPONSE_TYPE_URL, RESPONSE_NONCE, RESPONSE_REMOVED = 2, 4, 5, 6
DELTA_RESOURCE_NAME = 3
ERROR_MESSAGE = 2
NODE_ID = 1

REFUSED_STREAM = h2.errors.ErrorCodes.REFUSED_STREAM


@dataclass
class Answer:
    """A response; names are told in delta only."""

    type_url: str
    nonce: str
    names: list
    removed: list
    body: bytes


class AdsStream:
    def __init__(self, connection, protocol="delta"):
        """A stream on which nothing was sent yet."""
        self.connection = connection
        self.protocol = protocol
        path = f"/{xds.SERVICE}/{xds.METHODS[protocol]}"
        self._id = connection.open("POST", path, {"content-type": "application/grpc", "te": "trailers"})
        self._taken = 0

    def ask(self, node_id=None, type_url=xds.CLUSTER, names=(), unsubscribe=(), nonce="", error=None, node=b""):
        """One request; `node` is more of it than the id, encoded."""
        fields = REQUEST_FIELDS[self.protocol]
        message = xds.field(fields["type_url"], type_url.encode())
        if node_id is not None:
            message += xds.field(fields["node"], xds.field(NODE_ID, node_id.encode()) + node)
        message += b"".join(xds.field(fields["names"], name.encode()) for name in names)
        message += b"".join(xds.field(fields["unsubscribe"], name.encode()) for name in unsubscribe)
        if nonce:
            message += xds.field(fields["nonce"], nonce.encode())
        if error is not None:
            message += xds.field(fields["error"], xds.field(ERROR_MESSAGE, error.encode()))
        self.send(frame(message))
        return self

    def send(self, data):
        """Bytes as they are."""
        self.connection.send(self._id, data)

    def ack(self, answer):
        return self.ask(type_url=answer.type_url, nonce=answer.nonce)

    def nack(self, answer, error="no"):
        return self.ask(type_url=answer.type_url, nonce=answer.nonce, error=error)

    def receive(self):
        """The next response. One that ends the stream is an error."""
        def has_one_more(stream):
            assert not stream.ended, f"the stream ended: {stream}"
            return self._message_end(stream.body) is not None

        body = self.connection.read_until(self._id, has_one_more).body
        start, self._taken = self._taken + GRPC_PREFIX_SIZE, self._message_end(body)
        return _answer(body[start:self._taken], self.protocol)

    def receives_nothing(self, seconds=0.3):
        self.connection.read_for(seconds)
        stream = self.connection.read_until(self._id, lambda _: True)
        return not stream.ended and self._message_end(stream.body) is None

    def end(self):
        """Reads to the end: the status (code, text)."""
        return grpc_status(self.connection.read_until(self._id, lambda stream: stream.ended))

    @property
    def was_refused(self):
        """Whether the server has refused the stream without a look at it, as far as was read."""
        return self.connection.read_until(self._id, lambda _: True).reset == REFUSED_STREAM

    def half_close(self):
        self.connection.send(self._id, b"", end_stream=True)

    def reset(self):
        self.connection.reset(self._id)

    def _message_end(self, body):
        """Where the next message ends, if all of it is there."""
        start = self._taken + GRPC_PREFIX_SIZE
        if len(body) < start:
            return None
        end = start + int.from_bytes(body[self._taken + 1:start], "big")
        return end if len(body) >= end else None


def open_stream(connection, node_id, protocol="delta"):
    """A stream of an Envoy that has asked for its clusters."""
    return AdsStream(connection, protocol).ask(node_id)


def _answer(message, protocol):
    content = _fields(message)
    is_delta = protocol == "delta"
    resources = [_fields(resource) for resource in content.get(RESPONSE_RESOURCES, []) if is_delta]
    return Answer(
        type_url=content[RESPONSE_TYPE_URL][0].decode(),
        nonce=content[RESPONSE_NONCE][0].decode(),
        names=[resource[DELTA_RESOURCE_NAME][0].decode() for resource in resources],
        removed=[name.decode() for name in content.get(RESPONSE_REMOVED, []) if is_delta],
        body=message,
    )


def _fields(message):
    """{number: [content, ...]}"""
    fields = {}
    for number, content in xds.fields(message):
        fields.setdefault(number, []).append(content)
    return fields
