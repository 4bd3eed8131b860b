"""Changes under traffic: whatever changes, and in whatever order, no request fails."""

import random
import threading
import time
from collections import Counter

import pytest

from harness import http1, netns
from harness.fleet import Fleet, start_application
from harness.legation import Legation

MESH = "ordering"
CONSUMER = f"mesh/{MESH}/virtualNode/consumer"
PORT = 9080

APPLICATIONS = [f"app-{number}" for number in range(4)]
CHANGES = 200
# so that a run in which hardly anything is asked cannot pass
REQUESTS_PER_CHANGE_MIN = 5

# a connection is kept for so many requests, then a new one is made
REQUESTS_PER_CONNECTION = 40


class Traffic(threading.Thread):
    """Requests to one virtual service, one after the other, as an application sends them that honours `connection: close`."""

    def __init__(self, host, service):
        super().__init__(daemon=True)
        self.service = service
        self.answers = Counter()
        self.failures = []
        self._host = host
        self._ended = threading.Event()
        self.start()

    def run(self):
        connection, used = None, 0
        while not self._ended.is_set():
            if connection is None:
                connection, used = http1.Connection((netns.ANYWHERE, PORT), self._host), 0
            try:
                response = connection.request("GET", "/", {"host": self.service})
            except OSError as error:
                self.failures.append(f"{self.service}: {error!r} after {used} requests on the connection")
                connection = None
                continue
            used += 1
            if response.status == 200:
                self.answers[response.json()["name"]] += 1
            else:
                self.failures.append(f"{self.service}: {response.status} {response.body!r} {response.headers}")
            if response.headers.get("connection") == "close" or used == REQUESTS_PER_CONNECTION:
                connection.__exit__()
                connection = None

    def end(self):
        self._ended.set()
        self.join()


class Shop:
    """The mesh as it should be, changed at random through the API, and the traffic of its consumer."""

    def __init__(self, fleet, seed):
        self._fleet = fleet
        self._legation = fleet.legation
        self._client = fleet.legation.client()
        self._host = None
        self._random = random.Random(seed)
        self._numbers = 0
        self.targets = {}
        self.services = {}
        self.traffic = {}
        self.finished = []

    def start(self):
        """The consumer, with three services that it calls."""
        self._client.create_mesh(meshName=MESH, spec={})
        self._client.create_virtual_node(meshName=MESH, virtualNodeName="consumer", spec={"backends": []})
        consumer = self._fleet.sidecar(CONSUMER)
        self._host = consumer.host
        self._fleet.wait_until_live()
        for _ in range(3):
            self.add_service()
        return consumer

    # what may change; each returns without waiting for the Envoy, unless traffic has to wait for it

    def add_service(self):
        name = self._new("service")
        targets = [self._new_node()]
        router = self._new("router")
        self._client.create_virtual_router(meshName=MESH, virtualRouterName=router, spec={
            "listeners": [{"portMapping": {"port": PORT, "protocol": "http"}}]})
        self._client.create_route(meshName=MESH, virtualRouterName=router, routeName="all",
                                  spec=self._route("/", targets))
        service = f"{name}.local"
        self._client.create_virtual_service(meshName=MESH, virtualServiceName=service,
                                            spec=routed(router))
        self.services[service] = {"router": router, "targets": targets, "routed": True, "extra": False}
        self._set_backends()
        self.wait()
        self.traffic[service] = Traffic(self._host, service)

    def remove_service(self):
        if len(self.services) < 3:
            return self.add_service()
        service = self._random.choice(list(self.services))
        traffic = self.traffic.pop(service)
        traffic.end()
        self.finished.append(traffic)
        state = self.services.pop(service)
        self._set_backends()
        self._client.delete_virtual_service(meshName=MESH, virtualServiceName=service)
        for route in ["all", *(["extra"] if state["extra"] else [])]:
            self._client.delete_route(meshName=MESH, virtualRouterName=state["router"], routeName=route)
        self._client.delete_virtual_router(meshName=MESH, virtualRouterName=state["router"])
        self._delete_nodes(state["targets"])

    def change_weights(self):
        service, state = self._any()
        self._client.update_route(meshName=MESH, virtualRouterName=state["router"], routeName="all",
                                  spec=self._route("/", state["targets"]))

    def replace_targets(self):
        """All targets make way for new ones: the clusters of some come as those of others go."""
        service, state = self._any()
        if not state["routed"] or state["extra"]:
            return self.change_weights()
        old, state["targets"] = state["targets"], [self._new_node() for _ in range(self._random.randint(1, 3))]
        self._client.update_route(meshName=MESH, virtualRouterName=state["router"], routeName="all",
                                  spec=self._route("/", state["targets"]))
        self._delete_nodes(old)

    def switch_provider(self):
        service, state = self._any()
        state["routed"] = not state["routed"]
        spec = routed(state["router"]) if state["routed"] else {
            "provider": {"virtualNode": {"virtualNodeName": state["targets"][0]}}}
        self._client.update_virtual_service(meshName=MESH, virtualServiceName=service, spec=spec)

    def toggle_route(self):
        service, state = self._any()
        names = {"meshName": MESH, "virtualRouterName": state["router"], "routeName": "extra"}
        if state["extra"]:
            self._client.delete_route(**names)
        else:
            self._client.create_route(**names, spec=self._route("/", state["targets"], priority=1))
        state["extra"] = not state["extra"]

    def toggle_backend_without_endpoints(self):
        """A cluster that warms only once the control plane says that it has no endpoints."""
        service = "nowhere.local"
        if service in self.targets:
            del self.targets[service]
            self._set_backends()
            self._client.delete_virtual_service(meshName=MESH, virtualServiceName=service)
            self._client.delete_virtual_node(meshName=MESH, virtualNodeName="nowhere")
            return
        self._client.create_virtual_node(meshName=MESH, virtualNodeName="nowhere", spec={
            "listeners": [{"portMapping": {"port": PORT, "protocol": "http"}}]})
        self._client.create_virtual_service(meshName=MESH, virtualServiceName=service, spec={
            "provider": {"virtualNode": {"virtualNodeName": "nowhere"}}})
        self.targets[service] = "nowhere"
        self._set_backends()

    def change(self):
        changes = {
            self.change_weights: 6, self.replace_targets: 6, self.switch_provider: 4, self.toggle_route: 4,
            self.add_service: 2, self.remove_service: 2, self.toggle_backend_without_endpoints: 1,
        }
        [change] = self._random.choices(list(changes), changes.values())
        change()
        return change.__name__

    # the rest

    def pause(self):
        """Some changes come back to back, some while those before are on their way, some after these have arrived."""
        match self._random.randrange(3):
            case 1:
                time.sleep(self._random.uniform(0, 0.05))
            case 2:
                self.wait()

    def wait(self):
        done = self._legation.command("wait", "--admin", f"http://{self._legation.admin}", "--timeout", "20s")
        assert done.returncode == 0, done.stderr

    def end(self):
        for traffic in self.traffic.values():
            traffic.end()
        self.finished += self.traffic.values()
        self.traffic = {}

    def failures(self):
        return [failure for traffic in [*self.finished, *self.traffic.values()] for failure in traffic.failures]

    def requests(self):
        return sum(traffic.answers.total() for traffic in [*self.finished, *self.traffic.values()])

    def clusters(self):
        """The clusters that the consumer should have of its backends."""
        nodes = {node for state in self.services.values() for node in
                 (state["targets"] if state["routed"] else state["targets"][:1])} | set(self.targets.values())
        return {f"cds_egress_{MESH}_{node}_http_{PORT}" for node in nodes}

    def _any(self):
        service = self._random.choice(list(self.services))
        return service, self.services[service]

    def _new(self, kind):
        self._numbers += 1
        return f"{kind}-{self._numbers}"

    def _new_node(self):
        name = self._new("node")
        hostname = f"{self._random.choice(APPLICATIONS)}.ordering.local"
        response_type = self._random.choice(["LOADBALANCER", "ENDPOINTS"])
        self._client.create_virtual_node(meshName=MESH, virtualNodeName=name, spec={
            "listeners": [{"portMapping": {"port": PORT, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": hostname, "responseType": response_type}}})
        return name

    def _delete_nodes(self, names):
        for name in names:
            self._client.delete_virtual_node(meshName=MESH, virtualNodeName=name)

    def _route(self, prefix, nodes, priority=None):
        targets = [{"virtualNode": node, "weight": self._random.randint(1, 10)} for node in nodes]
        route = {"httpRoute": {"match": {"prefix": prefix}, "action": {"weightedTargets": targets}}}
        return {**route, "priority": priority} if priority is not None else route

    def _set_backends(self):
        names = [*self.services, *self.targets]
        self._client.update_virtual_node(meshName=MESH, virtualNodeName="consumer", spec={
            "backends": [{"virtualService": {"virtualServiceName": name}} for name in names]})


def routed(router):
    return {"provider": {"virtualRouter": {"virtualRouterName": router}}}


@pytest.fixture(params=["delta", "sotw"])
def fleet(request, network, tmp_path):
    legation = Legation(tmp_path, xds_host=network.address).start()
    fleet = Fleet(legation, network, tmp_path, request.param)
    hosts, applications = [], []
    for name in APPLICATIONS:
        host = network.host()
        hosts.append(host)
        applications.append(start_application(name, tmp_path, [("http", "0.0.0.0", PORT)], host))
        network.dns.set(f"{name}.ordering.local", host.address)
    yield fleet
    fleet.stop()
    for application in applications:
        application.stop()
    for name in APPLICATIONS:
        network.dns.set(f"{name}.ordering.local")
    for host in hosts:
        host.remove()
    legation.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1])
def test_no_request_fails_while_everything_changes(fleet, seed):
    shop = Shop(fleet, seed)
    consumer = shop.start()
    try:
        changes = Counter()
        for _ in range(CHANGES):
            changes[shop.change()] += 1
            shop.pause()
        shop.wait()
        time.sleep(0.5)  # the last state is used, too
    finally:
        shop.end()
    print(f"{fleet.protocol}: {shop.requests()} requests during {dict(changes)}, {len(shop.failures())} failed")
    assert shop.failures() == []
    assert shop.requests() > CHANGES * REQUESTS_PER_CHANGE_MIN
    envoy = consumer.envoy
    assert not any(envoy.rejected().values())
    clusters = {name for name in envoy.config()["clusters"] if name.endswith(f"_http_{PORT}")}
    assert clusters == shop.clusters(), "what nothing names any more is gone"
