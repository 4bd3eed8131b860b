"""The discovery services for one type each, beside the aggregated one."""

import pytest

from harness import xds
from harness.envoy import Envoy
from harness.http2 import Http2Connection
from harness.waiting import wait_until

CHECKOUT = "mesh/bookshop/virtualNode/checkout"
INVALID_ARGUMENT = 3

PROTOCOLS = pytest.mark.parametrize("protocol", ["delta", "sotw"])


@pytest.fixture
def bookshop(legation):
    legation.apply_example("bookshop")
    return legation


@PROTOCOLS
@pytest.mark.parametrize("label, names, expected", [
    ("cds", [], b"cds_egress"),
    ("lds", [], b"lds_egress"),
    ("rds", ["rds_egress_http_9080"], b"books.shop.local"),
])
def test_each_type_has_a_service(bookshop, protocol, label, names, expected):
    service, method = xds.separate_service(label, protocol)
    type_url = xds.SEPARATE[label][2]
    # conformance 2: the type goes without saying
    for named in (type_url, ""):
        message = xds.first_request(protocol, CHECKOUT, named, names)
        response = xds.first_response(bookshop, protocol, message, service, method)
        assert expected in response and type_url.encode() in response


@pytest.mark.parametrize("label", ["eds", "sds"])
def test_what_is_not_there_is_said_to_be_missing(bookshop, label):
    service, method = xds.separate_service(label, "delta")
    message = xds.first_request("delta", CHECKOUT, "", ["unknown"])
    assert xds.field(6, b"unknown") in xds.first_response(bookshop, "delta", message, service, method)


@PROTOCOLS
def test_another_type_ends_the_stream(bookshop, protocol):
    service, method = xds.separate_service("cds", protocol)
    for type_url in (xds.SEPARATE["lds"][2], "type.googleapis.com/envoy.service.runtime.v3.Runtime"):
        message = xds.first_request(protocol, CHECKOUT, type_url)
        code, text = xds.stream_end(bookshop, protocol, message, service, method)
        assert code == INVALID_ARGUMENT and type_url in text and xds.CLUSTER in text


def test_streams_of_one_envoy_hold_one_place(bookshop):
    host, port = bookshop.xds.rsplit(":", 1)
    with Http2Connection((host, int(port))) as connection:
        for label in ("cds", "lds", "rds"):
            service, method = xds.separate_service(label, "delta")
            connection.call(service, method, xds.first_request("delta", CHECKOUT, "", ["x"]), end_stream=False,
                            until=lambda stream: len(stream.body) > 5)
        services = [envoy["service"] for envoy in bookshop.status()["envoys"]]
        assert sorted(services) == ["cds", "lds", "rds"]
        assert bookshop.metrics()["legation_envoys_connected", ()] == 1
    wait_until(lambda: bookshop.metrics()["legation_envoys_connected", ()] == 0, "the place to be given back")


@PROTOCOLS
def test_an_envoy_with_separate_streams_for_clusters_and_listeners(bookshop, tmp_path, protocol):
    def separate(bootstrap):
        resources = bootstrap["dynamic_resources"]
        source = {"api_config_source": resources["ads_config"], "resource_api_version": "V3"}
        resources["cds_config"] = resources["lds_config"] = source

    envoy = Envoy(bookshop, CHECKOUT, tmp_path, protocol, edit=separate)
    try:
        envoy.wait_until_live()
        wait_until(lambda: [envoy["synced"] for envoy in bookshop.status()["envoys"]] == [True] * 3, "three streams in sync")
        assert sorted(envoy["service"] for envoy in bookshop.status()["envoys"]) == ["ads", "cds", "lds"]
        config = envoy.config()
        assert any(name.startswith("lds_egress") for name in config["listeners"]) and config["routes"]
        assert any("books-v1" in cluster for cluster in config["clusters"])

        before = envoy.updates()
        bookshop.client().update_virtual_node(meshName="bookshop", virtualNodeName="checkout", spec={})
        wait_until(lambda: envoy.updates()["lds"] > before["lds"], "the listener to change")
        assert bookshop.command("wait", "--admin", f"http://{bookshop.admin}", "--timeout", "10s").returncode == 0
        assert not any("books-v1" in cluster for cluster in envoy.config()["clusters"])
        assert not any(envoy.rejected().values())
    finally:
        envoy.stop()
