"""Raw ADS streams: the few protobuf messages that a test sends which no Envoy would."""

from harness.http2 import Http2Connection, grpc_status

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHODS = {"sotw": "StreamAggregatedResources", "delta": "DeltaAggregatedResources"}
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

# where a request holds its node and its type URL
FIELDS = {"sotw": (2, 4), "delta": (1, 2)}

LENGTH_DELIMITED = 2


def first_request(protocol, node_id=None, type_url=CLUSTER):
    """The first message of a stream; without a node if there is no id."""
    node_field, type_field = FIELDS[protocol]
    node = b"" if node_id is None else field(node_field, field(1, node_id.encode()))
    return node + field(type_field, type_url.encode())


def field(number, content):
    return bytes([number << 3 | LENGTH_DELIMITED]) + _varint(len(content)) + content


def stream_end(legation, protocol, message, service=SERVICE, method=None):
    """Opens a stream, sends one message, leaves the stream open, and waits for the server to end it: (code, text)."""
    with _connect(legation) as connection:
        stream = connection.call(service, method or METHODS[protocol], message, end_stream=False)
        return grpc_status(stream)


def first_response(legation, protocol, message):
    """The bytes of the first response on a stream."""
    with _connect(legation) as connection:
        stream = connection.call(SERVICE, METHODS[protocol], message, end_stream=False,
                                 until=lambda stream: stream.ended or len(stream.body) > 5)
        return stream.body


def _connect(legation):
    host, port = legation.xds.rsplit(":", 1)
    return Http2Connection((host, int(port)))


def _varint(number):
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
