"""Raw ADS streams: the few protobuf messages that a test sends which no Envoy would."""

from harness.http2 import Http2Connection, grpc_status

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHODS = {"sotw": "StreamAggregatedResources", "delta": "DeltaAggregatedResources"}
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

# the services for one type: what stands in the service's name, in its methods' names, and the type URL
SEPARATE = {
    "cds": ("cluster.v3.Cluster", "Clusters", CLUSTER),
    "eds": ("endpoint.v3.Endpoint", "Endpoints", "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"),
    "sds": ("secret.v3.Secret", "Secrets", "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"),
    "lds": ("listener.v3.Listener", "Listeners", "type.googleapis.com/envoy.config.listener.v3.Listener"),
    "rds": ("route.v3.Route", "Routes", "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"),
}

# where a request holds its node and its type URL
FIELDS = {"sotw": (2, 4), "delta": (1, 2)}

LENGTH_DELIMITED = 2


def first_request(protocol, node_id=None, type_url=CLUSTER, names=()):
    """The first message of a stream; without a node if there is no id."""
    node_field, type_field = FIELDS[protocol]
    node = b"" if node_id is None else field(node_field, field(1, node_id.encode()))
    # resource_names and resource_names_subscribe have the same number
    return node + field(type_field, type_url.encode()) + b"".join(field(3, name.encode()) for name in names)


def separate_service(label, protocol):
    """(service, method) of the service for one type."""
    service, suffix, _ = SEPARATE[label]
    return f"envoy.service.{service}DiscoveryService", {"sotw": "Stream", "delta": "Delta"}[protocol] + suffix


def field(number, content):
    return bytes([number << 3 | LENGTH_DELIMITED]) + varint(len(content)) + content


def fields(message):
    """(number, content) of every field of a message; those of other kinds than bytes, strings and messages are left out."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        match key & 7:
            case 0:
                _, at = _read_varint(message, at)
            case 1:
                at += 8
            case 2:
                length, at = _read_varint(message, at)
                yield key >> 3, message[at:at + length]
                at += length
            case 5:
                at += 4
            case kind:
                raise ValueError(f"field {key >> 3} is of unknown kind {kind}")


def stream_end(legation, protocol, message, service=SERVICE, method=None):
    """Opens a stream, sends one message, leaves the stream open, and waits for the server to end it: (code, text)."""
    with connect(legation) as connection:
        stream = connection.call(service, method or METHODS[protocol], message, end_stream=False)
        return grpc_status(stream)


def first_response(legation, protocol, message, service=SERVICE, method=None):
    """The bytes of the first response on a stream."""
    with connect(legation) as connection:
        stream = connection.call(service, method or METHODS[protocol], message, end_stream=False,
                                 until=lambda stream: stream.ended or len(stream.body) > 5)
        return stream.body


def connect(legation, namespace=None):
    host, port = legation.xds.rsplit(":", 1)
    return Http2Connection((host, int(port)), namespace)


def varint(number):
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(message, at):
    """(number, where it ends)"""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
