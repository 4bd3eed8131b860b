"""What the control plane tells of Envoys: what they should have, how far that has come, and what they rejected."""

import json
from collections import Counter
from contextlib import ExitStack, contextmanager

import grpc
import pytest
import yaml
from google.protobuf import json_format

from harness import csds, xds
from harness.definitions import Mesh, documents
from harness.envoy import Envoy
from harness.http2 import Http2Connection
from harness.waiting import wait_until

# messages that protobuf's JSON mapping has to know by their names
from envoy.config.cluster.v3 import cluster_pb2  # noqa: F401
from envoy.config.endpoint.v3 import endpoint_pb2  # noqa: F401
from envoy.config.listener.v3 import listener_pb2  # noqa: F401
from envoy.config.route.v3 import route_pb2  # noqa: F401
from envoy.extensions.access_loggers.file.v3 import file_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2  # noqa: F401
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2  # noqa: F401
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from envoy.service.status.v3 import csds_pb2
from envoy.type.matcher.v3 import node_pb2, struct_pb2 as struct_matcher_pb2

CHECKOUT = "mesh/bookshop/virtualNode/checkout"
STOREFRONT = "mesh/bookshop/virtualGateway/storefront"
TYPES = {"cds": "Cluster", "eds": "ClusterLoadAssignment", "lds": "Listener", "rds": "RouteConfiguration"}
PROTOCOLS = pytest.mark.parametrize("protocol", ["delta", "sotw"])


def config(legation, node_id, *words):
    """What `legation config` says of a node."""
    done = legation.command("config", "--node", node_id, "--admin", f"http://{legation.admin}", "-o", "json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def messages(shown):
    """{"cds": {name: message}, ...}"""
    return {
        kind: {resource["name"]: resource["config"] for resource in of_type["resources"]}
        for kind, of_type in shown["types"].items()
    }


@contextmanager
def running(legation, directory, protocol, *node_ids):
    """An Envoy for each of the nodes, in sync."""
    envoys = [Envoy(legation, node_id, directory, protocol) for node_id in node_ids]
    try:
        for envoy in envoys:
            envoy.wait_until_live()
        legation.wait_for_envoys(len(envoys))
        yield envoys
    finally:
        for envoy in envoys:
            envoy.stop()


@contextmanager
def raw_stream(legation, node_id, type_url=xds.CLUSTER):
    """A delta stream that asks for one type and answers nothing."""
    host, port = legation.xds.rsplit(":", 1)
    with Http2Connection((host, int(port))) as connection:
        connection.call(xds.SERVICE, xds.METHODS["delta"], xds.first_request("delta", node_id, type_url),
                        end_stream=False, until=lambda stream: len(stream.body) > 5)
        yield


# legation config

@PROTOCOLS
@pytest.mark.parametrize("path", ["bookshop", "everything"])
def test_config_is_what_envoys_have(legation, tmp_path, path, protocol):
    legation.apply_example(path)
    with running(legation, tmp_path, protocol, *Mesh(path).node_ids()) as envoys:
        for envoy in envoys:
            shown = messages(config(legation, envoy.node_id))
            for kind, found in envoy.messages().items():
                assert found.keys() == shown[kind].keys(), envoy.node_id
                for name, message in found.items():
                    assert message == shown[kind][name], f"{name} of {envoy.node_id}"


def test_config_needs_no_envoy(legation):
    legation.apply_example("everything")
    legation.command("wait", "--admin", f"http://{legation.admin}")
    transaction = legation.transaction()
    for node_id in Mesh("everything").node_ids():
        shown = config(legation, node_id)
        assert shown["node"] == node_id and shown["transaction"] <= transaction
        assert "lds_egress_0.0.0.0_15001" in messages(shown)["lds"] or "Gateway" in node_id
        as_yaml = legation.command("config", "--node", node_id, "--admin", f"http://{legation.admin}")
        assert yaml.safe_load(as_yaml.stdout) == shown


def test_config_of_a_part(legation):
    legation.apply_example("bookshop")
    legation.command("wait", "--admin", f"http://{legation.admin}")
    everything = config(legation, CHECKOUT)
    clusters = config(legation, CHECKOUT, "--type", "cds")
    assert clusters["types"] == {"cds": everything["types"]["cds"]}
    name = clusters["types"]["cds"]["resources"][0]["name"]
    one = config(legation, CHECKOUT, "--type", "cds", "--name", name)
    assert [resource["name"] for resource in one["types"]["cds"]["resources"]] == [name]


@pytest.mark.parametrize("node_id, status, words", [
    ("mesh/bookshop/virtualNode/none", "404", "does not exist"),
    ("mesh/none/virtualNode/checkout", "404", "does not exist"),
    ("sidecar-17", "400", "mesh/<mesh>/virtualNode/<name>"),
    ("", "400", "mesh/<mesh>/virtualNode/<name>"),
])
def test_config_of_what_is_no_node(legation, node_id, status, words):
    legation.apply_example("bookshop")
    done = legation.command("config", "--node", node_id, "--admin", f"http://{legation.admin}")
    assert done.returncode == 1 and done.stdout == ""
    assert status in done.stderr and words in done.stderr


# the client status discovery service (conformance 97)

@PROTOCOLS
def test_an_envoy_in_sync(legation, tmp_path, protocol):
    legation.apply_example("bookshop")
    with running(legation, tmp_path, protocol, CHECKOUT, STOREFRONT):
        clients = csds.fetch(legation)
        assert sorted(client.node.id for client in clients) == [STOREFRONT, CHECKOUT]
        for client in clients:
            shown = config(legation, client.node.id)
            expected = {(TYPES[kind], name): "SYNCED" for kind, found in messages(shown).items() for name in found}
            assert csds.statuses(client) == expected
            check_contents(client, shown)


def check_contents(client, shown):
    """Each resource is what `legation config` shows, of the same version; protobuf's own JSON mapping says so."""
    versions = {
        (resource["config"]["@type"], resource["name"]): (resource["version"], resource["config"])
        for of_type in shown["types"].values() for resource in of_type["resources"]
    }
    for resource in client.generic_xds_configs:
        version, message = versions.pop((resource.type_url, resource.name))
        assert resource.version_info == version
        assert json_format.MessageToDict(resource.xds_config, preserving_proto_field_name=True) == message
        assert resource.HasField("last_updated") and not resource.HasField("error_state")
    assert not versions


def test_contents_can_be_left_out(legation, tmp_path):
    legation.apply_example("bookshop")
    with raw_stream(legation, CHECKOUT):
        full, bare = (csds.fetch(legation, exclude_resource_contents=exclude)[0] for exclude in (False, True))
        assert csds.statuses(full) == csds.statuses(bare)
        assert all(resource.HasField("xds_config") for resource in full.generic_xds_configs)
        assert not any(resource.HasField("xds_config") for resource in bare.generic_xds_configs)


def test_what_is_not_answered_is_stale_and_what_is_not_asked_for_not_sent(legation):
    legation.apply_example("bookshop")
    with raw_stream(legation, CHECKOUT):
        [client] = csds.fetch(legation)
        statuses = csds.statuses(client)
        assert {kind for kind, _ in statuses} >= {"Cluster", "Listener", "RouteConfiguration"}
        for (kind, name), status in statuses.items():
            assert status == ("STALE" if kind == "Cluster" else "NOT_SENT"), name
    wait_until(lambda: csds.fetch(legation) == [], "the stream is gone")


def test_nodes_are_matched(legation):
    legation.apply_example("bookshop")
    with raw_stream(legation, CHECKOUT), raw_stream(legation, CHECKOUT), raw_stream(legation, STOREFRONT):
        for matchers, expected in [
            ([], [STOREFRONT, CHECKOUT, CHECKOUT]),
            ([{"exact": CHECKOUT}], [CHECKOUT, CHECKOUT]),
            ([{"suffix": "/STOREFRONT", "ignore_case": True}], [STOREFRONT]),
            ([{"suffix": "/STOREFRONT"}], []),
            ([{"contains": "/none/"}, {"prefix": "mesh/bookshop/virtualG"}], [STOREFRONT]),
            ([{"safe_regex": {"regex": ".*/virtual(Node|Gateway)/.*"}}], [STOREFRONT, CHECKOUT, CHECKOUT]),
            ([{"safe_regex": {"regex": "virtualNode"}}], []),
        ]:
            assert sorted(client.node.id for client in csds.fetch(legation, *matchers)) == expected, matchers
        scopes = {client.client_scope for client in csds.fetch(legation)}
        assert len(scopes) == 3, "replicas have the same node id, and a scope each"


def test_metadata_cannot_be_matched(legation):
    by_metadata = csds_pb2.ClientStatusRequest(
        node_matchers=[node_pb2.NodeMatcher(node_metadatas=[struct_matcher_pb2.StructMatcher()])])
    with csds.client(legation.admin) as service:
        with pytest.raises(grpc.RpcError) as refused:
            service.FetchClientStatus(by_metadata, timeout=csds.TIMEOUT_SECONDS)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "metadata" in refused.value.details()
        with pytest.raises(grpc.RpcError) as refused:
            list(service.StreamClientStatus(iter([by_metadata]), timeout=csds.TIMEOUT_SECONDS))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_answers_every_request_until_it_is_closed(legation):
    legation.apply_example("bookshop")
    with raw_stream(legation, CHECKOUT), csds.client(legation.admin) as service:
        requests = [csds.request(), csds.request({"suffix": "none"}), csds.request({"exact": CHECKOUT})]
        answers = list(service.StreamClientStatus(iter(requests), timeout=csds.TIMEOUT_SECONDS))
        assert [[client.node.id for client in answer.config] for answer in answers] == [[CHECKOUT], [], [CHECKOUT]]


def test_a_large_answer_comes_in_parts(legation):
    """No response is larger than what gRPC's clients take by default, 4 MiB, to which the one here keeps."""
    gateway, streams = "mesh/everything/virtualGateway/gateway", 100
    legation.apply_example("everything")
    with ExitStack() as stack:
        for _ in range(streams):
            stack.enter_context(raw_stream(legation, gateway))
        with csds.client(legation.admin) as service:
            answers = list(service.StreamClientStatus(iter([csds.request()]), timeout=csds.TIMEOUT_SECONDS))
            assert sum(answer.ByteSize() for answer in answers) > 4 << 20 and len(answers) > 1
            resources = Counter()
            for client in (client for answer in answers for client in answer.config):
                resources[client.client_scope] += len(client.generic_xds_configs)
            expected = sum(len(found) for found in messages(config(legation, gateway)).values())
            assert list(resources.values()) == [expected] * streams
            with pytest.raises(grpc.RpcError) as refused:
                service.FetchClientStatus(csds.request(), timeout=csds.TIMEOUT_SECONDS)
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "StreamClientStatus" in refused.value.details()
        bare = csds.fetch(legation, exclude_resource_contents=True)
        assert len(bare) == streams


def test_an_envoy_cannot_ask_about_others(legation):
    with csds.client(legation.xds) as service, pytest.raises(grpc.RpcError) as refused:
        service.FetchClientStatus(csds.request(), timeout=csds.TIMEOUT_SECONDS)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


# what an Envoy rejects (conformance 39)

@PROTOCOLS
def test_a_rejection_is_told_everywhere_and_not_sent_again(legation, client, tmp_path, protocol):
    """No Envoy can write an access log to a folder that does not exist: it rejects its listeners."""
    path = f"/does/not/exist/{'x' * 200}/log"
    legation.apply_example("bookshop")
    spec = next(document["spec"] for document in documents("bookshop") if document.get("virtualNodeName") == "checkout")

    def log_to(path):
        client.update_virtual_node(meshName="bookshop", virtualNodeName="checkout",
                                   spec={**spec, "logging": {"accessLog": {"file": {"path": path}}}})

    def checkout():
        [envoy] = legation.status()["envoys"]
        return envoy

    with running(legation, tmp_path, protocol, CHECKOUT) as [envoy]:
        before = checkout()["types"]["lds"]
        log_to(path)
        nack = wait_until(lambda: checkout()["types"]["lds"]["nacked"], "a NACK", 30)
        assert nack["code"] == 13 and path in nack["message"] and len(nack["message"]) <= 1000
        assert nack["version"] == checkout()["types"]["lds"]["sent"] != before["sent"]
        assert checkout()["types"]["lds"]["acked"] == before["acked"]
        assert not checkout()["synced"]
        assert legation.by_type("legation_nacks_total") == {"cds": 0, "eds": 0, "sds": 0, "lds": 1, "rds": 0}
        assert "envoy rejected a response" in legation.stderr and path in legation.stderr
        shown = legation.command("status", "--admin", f"http://{legation.admin}").stdout
        assert f"{CHECKOUT} at {checkout()['peer']} rejected LDS {nack['version']} " in shown and path in shown

        [status] = csds.fetch(legation)
        for resource in status.generic_xds_configs:
            of_listeners = resource.type_url.endswith(".Listener")
            assert resource.config_status == (csds_pb2.ERROR if of_listeners else csds_pb2.SYNCED), resource.name
            assert resource.error_state.details == (nack["message"] if of_listeners else "")
            assert resource.error_state.version_info == (resource.version_info if of_listeners else "")

        # other types go on, and the listeners are not sent again as they are
        pushes, updates = legation.pushes(), envoy.updates()
        for retries in (1, 2, 3):
            change_a_route(client, retries)
            legation.wait_until_quiet()
        wait_until(lambda: envoy.updates()["rds"] == updates["rds"] + 3, "three updates of routes")
        assert legation.pushes() == {**pushes, "rds": pushes["rds"] + 3}
        assert checkout()["types"]["lds"]["nacked"] == nack

        log_to("/dev/stdout")
        legation.wait_for_envoys(1)
        assert checkout()["types"]["lds"]["nacked"] is None
        [status] = csds.fetch(legation)
        assert set(csds.statuses(status).values()) == {"SYNCED"}
        assert legation.by_type("legation_nacks_total")["lds"] == 1


def change_a_route(client, retries):
    """Changes a route that checkout uses, and nothing but routes."""
    route = next(document for document in documents("bookshop") if document.get("routeName") == "split")
    route["spec"]["httpRoute"]["retryPolicy"] = {"maxRetries": retries, "httpRetryEvents": ["server-error"],
                                                 "perRetryTimeout": {"unit": "s", "value": 1}}
    client.update_route(meshName="bookshop", virtualRouterName="books", routeName="split", spec=route["spec"])
