"""What would black-hole traffic is told at once, wherever one looks; and a real Envoy does what was told."""

import json

import pytest

from harness import http1
from harness.envoy import Envoy
from harness.fleet import start_application
from harness.waiting import wait_until

GATEWAY_PORT = 18088
APPLICATION_PORT = 19080
NOBODYS_PORT = 19081
WARNING = "x-legation-warning"
ROUTE = {"meshName": "lint", "virtualRouterName": "shop", "routeName": "all"}


def route_to(port):
    target = {"virtualNode": "server", "port": port, "weight": 1}
    return {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [target]}}}


def warnings(response):
    """What an answer warns of."""
    return response["ResponseMetadata"]["HTTPHeaders"].get(WARNING, "")


def listener(port):
    return {"portMapping": {"port": port, "protocol": "http"}}


@pytest.fixture
def mesh(client):
    """A gateway before a virtual service, which has a router but no route yet."""
    client.create_mesh(meshName="lint")
    client.create_virtual_node(meshName="lint", virtualNodeName="server", spec={
        "listeners": [listener(APPLICATION_PORT)], "serviceDiscovery": {"dns": {"hostname": "127.0.0.1"}}})
    client.create_virtual_router(meshName="lint", virtualRouterName="shop", spec={"listeners": [listener(80)]})
    created = client.create_virtual_service(meshName="lint", virtualServiceName="shop.local", spec={
        "provider": {"virtualRouter": {"virtualRouterName": "shop"}}})
    assert warnings(created).startswith("provider-without-routes: ")
    client.create_virtual_gateway(meshName="lint", virtualGatewayName="front", spec={
        "listeners": [listener(GATEWAY_PORT)]})
    client.create_gateway_route(meshName="lint", virtualGatewayName="front", gatewayRouteName="all", spec={
        "httpRoute": {"match": {"prefix": "/"},
                      "action": {"target": {"virtualService": {"virtualServiceName": "shop.local"}}}}})
    return client


def found(legation):
    """The codes in the status."""
    return [finding["code"] for finding in legation.status()["warnings"]["findings"]]


def gauge(legation, code):
    return legation.metrics()["legation_warnings", (("code", code),)]


def status_of(path="/"):
    with http1.Connection(("127.0.0.1", GATEWAY_PORT)) as gateway:
        return gateway.request("GET", path, {"host": "any"}).status


def test_a_route_to_a_port_that_nothing_listens_on(legation, mesh, tmp_path):
    code = "target-port-not-listened"
    document = tmp_path / "route.json"
    document.write_text(json.dumps({**ROUTE, "spec": route_to(NOBODYS_PORT)}))

    # before it is made
    linted = legation.command("lint", "-f", document, "--endpoint", legation.endpoint, "-o", "json")
    assert linted.returncode == 1, linted.stderr
    (finding,) = json.loads(linted.stdout)["findings"]
    assert (finding["code"], finding["resource"]) == (code, "mesh/lint/virtualRouter/shop/route/all")

    # when it is made: the API takes it, as App Mesh did, and says what will come of it
    created = mesh.create_route(**ROUTE, spec=route_to(NOBODYS_PORT))
    assert created["route"]["status"]["status"] == "ACTIVE"
    assert warnings(created).startswith(f'{code}: route "all" of virtual router "shop" in mesh "lint": '
                                        "spec.httpRoute.action.weightedTargets[0].port: ")

    # afterwards
    wait_until(lambda: found(legation) == [code], "the finding in the status")
    assert legation.status()["warnings"]["count"] == 1
    assert gauge(legation, code) == 1
    assert gauge(legation, "backend-missing") == 0
    shown = legation.command("status", "--admin", f"http://{legation.admin}").stdout
    assert f"{code}: mesh/lint/virtualRouter/shop/route/all: " in shown

    application = start_application("server", tmp_path, [("http", "127.0.0.1", APPLICATION_PORT)])
    envoy = Envoy(legation, "mesh/lint/virtualGateway/front", tmp_path)
    try:
        envoy.wait_until_live()
        # and so it is
        assert status_of() == 404

        corrected = mesh.update_route(**ROUTE, spec=route_to(APPLICATION_PORT))
        assert warnings(corrected) == ""
        wait_until(lambda: status_of() == 200, "the first request that arrives")
        wait_until(lambda: found(legation) == [], "nothing in the status")
        assert gauge(legation, code) == 0
    finally:
        envoy.stop()
        application.stop()


def test_apply_ends_with_what_leads_nowhere(legation, tmp_path):
    everything = legation.apply_example("everything")
    assert everything.code == 0
    lines = [line.split()[1] for line in everything.stderr.splitlines() if line.startswith("warning ")]
    assert lines == ["backend-missing:", "service-without-provider:"]
    # what was wrong only on the way is not told
    bookshop = legation.apply_example("bookshop")
    assert (bookshop.code, bookshop.stderr) == (0, "")
    assert "x-legation-warning" not in bookshop.stdout
