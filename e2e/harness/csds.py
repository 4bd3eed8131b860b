"""The client status discovery service, through a standard gRPC client."""

from contextlib import contextmanager

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from envoy.type.matcher.v3 import node_pb2, string_pb2

TIMEOUT_SECONDS = 30


@contextmanager
def client(address):
    """The generated client of the service at `address`."""
    with grpc.insecure_channel(address) as channel:
        yield csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)


def request(*matchers, **fields):
    """A request with a NodeMatcher for each of `matchers`, which are the fields of a StringMatcher."""
    return csds_pb2.ClientStatusRequest(
        node=base_pb2.Node(id="test"),
        node_matchers=[node_pb2.NodeMatcher(node_id=string_pb2.StringMatcher(**matcher)) for matcher in matchers],
        **fields,
    )


def fetch(legation, *matchers, **fields):
    """The ClientConfig of every Envoy that is asked for."""
    with client(legation.admin) as service:
        return list(service.FetchClientStatus(request(*matchers, **fields), timeout=TIMEOUT_SECONDS).config)


def statuses(config):
    """{(type, name): status} of a ClientConfig; the type is the last word of its URL."""
    return {
        (resource.type_url.rsplit(".", 1)[1], resource.name): csds_pb2.ConfigStatus.Name(resource.config_status)
        for resource in config.generic_xds_configs
    }
