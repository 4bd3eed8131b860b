"""gRPC clients without an Envoy, which resolve virtual services themselves: `xds:///` and the name."""

import json
import os
import sys
import time
from collections import Counter

import pytest

from harness import grpc_client, grpc_server
from harness.process import Process
from harness.waiting import wait_until

MESH = "calls"
CLIENT = f"mesh/{MESH}/virtualNode/client"
SERVICE = "echo.local"
SERVERS = ("one", "two")


@pytest.fixture
def start(tmp_path):
    """Starts a program of the harness."""
    started = []

    def start(module, *words, env=None):
        process = Process(f"{module.__name__}-{len(started)}", [sys.executable, module.__file__, *words], tmp_path,
                          env={**os.environ, **(env or {})})
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def mesh(client, start):
    """A virtual service whose router leads to two servers by weight; only `one` has any."""
    client.create_mesh(meshName=MESH, spec={})
    for name in SERVERS:
        server = start(grpc_server, name)
        _, port = wait_until(lambda: server.stdout_path.read_text().split(), f"server {name}")
        create_node(client, name, int(port), "grpc")
    client.create_virtual_router(meshName=MESH, virtualRouterName="echo", spec={
        "listeners": [{"portMapping": {"port": 80, "protocol": "grpc"}}]})
    client.create_route(meshName=MESH, virtualRouterName="echo", routeName="split", spec=weights(one=1))
    create_service(client, SERVICE, {"virtualRouter": {"virtualRouterName": "echo"}})
    client.create_virtual_node(meshName=MESH, virtualNodeName="client", spec={"backends": [backend(SERVICE)]})


def create_node(client, name, port, protocol):
    client.create_virtual_node(meshName=MESH, virtualNodeName=name, spec={
        "listeners": [{"portMapping": {"port": port, "protocol": protocol}}],
        "serviceDiscovery": {"dns": {"hostname": "localhost", "responseType": "ENDPOINTS"}}})


def create_service(client, name, provider):
    client.create_virtual_service(meshName=MESH, virtualServiceName=name, spec={"provider": provider})


def backend(name):
    return {"virtualService": {"virtualServiceName": name}}


def weights(**targets):
    return {"grpcRoute": {"match": {"serviceName": "test.Echo"}, "action": {"weightedTargets": [
        {"virtualNode": name, "weight": weight} for name, weight in targets.items()]}}}


class Calls:
    """The calls of a client, as they come."""

    def __init__(self, start, legation, target):
        bootstrap = json.dumps({
            "xds_servers": [{"server_uri": legation.xds, "channel_creds": [{"type": "insecure"}],
                             "server_features": ["xds_v3"]}],
            "node": {"id": CLIENT},
        })
        self._process = start(grpc_client, f"xds:///{target}", env={"GRPC_XDS_BOOTSTRAP_CONFIG": bootstrap})

    def all(self):
        self._process.expect_running()
        return self._process.stdout_path.read_text().splitlines()

    def next(self, count):
        """The next calls, a tuple of outcomes to how often it came."""
        before = len(self.all())
        wait_until(lambda: len(self.all()) >= before + count, f"{count} calls", 30)
        return Counter(self.all()[before:before + count])


def test_calls_follow_a_weight_change(mesh, start, legation, client):
    calls = Calls(start, legation, SERVICE)
    assert calls.next(20) == {"ok one": 20}
    [status] = legation.status()["envoys"]
    assert (status["client"], status["protocol"], status["problems"]) == ("grpc", "sotw", [])

    before = len(calls.all())
    client.update_route(meshName=MESH, virtualRouterName="echo", routeName="split", spec=weights(one=1, two=1))
    wait_until(lambda: "ok two" in calls.all(), "a call to the second server")
    assert calls.next(200)["ok two"] > 50
    client.update_route(meshName=MESH, virtualRouterName="echo", routeName="split", spec=weights(two=1))
    wait_until(lambda: calls.next(20) == {"ok two": 20}, "all calls to go to the second server")
    assert set(calls.all()[before:]) == {"ok one", "ok two"}, "no call failed"

    legation.wait_for_envoys(1)
    pushes = legation.pushes()
    client.update_route(meshName=MESH, virtualRouterName="echo", routeName="split", spec=weights(one=2, two=2))
    wait_until(lambda: "ok one" in calls.next(20), "both servers to be called")
    legation.wait_until_quiet()
    assert legation.pushes()["rds"] - pushes["rds"] == 1


def test_a_virtual_service_may_be_called_with_its_port(mesh, start, legation):
    assert Calls(start, legation, f"{SERVICE}:80").next(5) == {"ok one": 5}


def test_the_control_plane_may_be_dead(mesh, start, legation):
    calls = Calls(start, legation, SERVICE)
    assert calls.next(5) == {"ok one": 5}
    legation.kill()
    time.sleep(1)
    assert calls.next(20) == {"ok one": 20}


def failure(calls):
    """The first call that failed, and how long that took after the client was started."""
    started = time.monotonic()
    [line] = wait_until(lambda: calls.all()[:1], "a call", 30)
    return line, time.monotonic() - started


@pytest.mark.parametrize("protocol, reason", [
    ("http", "does not speak HTTP/2"),
    ("tcp", "routes connections"),
    (None, "has no provider"),
])
def test_what_cannot_be_served_fails_at_once(mesh, start, legation, client, protocol, reason):
    name = "other.local"
    if protocol:
        create_node(client, "other", 8080, protocol)
        create_service(client, name, {"virtualNode": {"virtualNodeName": "other"}})
    else:
        client.create_virtual_service(meshName=MESH, virtualServiceName=name, spec={})
    client.update_virtual_node(meshName=MESH, virtualNodeName="client",
                               spec={"backends": [backend(SERVICE), backend(name)]})
    line, seconds = failure(Calls(start, legation, name))
    assert line.startswith("UNAVAILABLE") and "route" in line, line
    # a client that is told nothing waits for 15 seconds before it gives a resource up
    assert seconds < 10
    [status] = legation.status()["envoys"]
    assert any(reason in problem and name in problem for problem in status["problems"]), status
    assert Calls(start, legation, SERVICE).next(5) == {"ok one": 5}, "the other backend is not affected"


def test_what_is_no_backend_is_not_told(mesh, start, legation, client):
    """State of the world has no word for what does not exist: the client gives up after 15 seconds."""
    create_service(client, "secret.local", {"virtualNode": {"virtualNodeName": "two"}})
    line, _ = failure(Calls(start, legation, "secret.local"))
    assert line.startswith("UNAVAILABLE") and "secret.local" in line, line


def test_a_target_without_endpoints_is_unavailable(mesh, start, legation, client):
    client.create_virtual_node(meshName=MESH, virtualNodeName="nowhere", spec={
        "listeners": [{"portMapping": {"port": 80, "protocol": "grpc"}}]})
    create_service(client, "nowhere.local", {"virtualNode": {"virtualNodeName": "nowhere"}})
    client.update_virtual_node(meshName=MESH, virtualNodeName="client",
                               spec={"backends": [backend(SERVICE), backend("nowhere.local")]})
    line, seconds = failure(Calls(start, legation, "nowhere.local"))
    assert line.startswith("UNAVAILABLE"), line
    assert seconds < 10
