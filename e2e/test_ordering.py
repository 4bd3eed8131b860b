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
# where only some virtual services are: the part of the listener for it comes and goes with them
OTHER_PORT = 9081

APPLICATIONS = [f"app-{number}" for number in range(4)]
CHANGES = 200
# so that a run in which hardly anything is asked cannot pass
REQUESTS_PER_CHANGE_MIN = 5

# a connection is kept for so many requests, then a new one is made
REQUESTS_PER_CONNECTION = 40

# what the consumer's Envoy says of each request: Envoy tries again by default, which would hide a failure from its client
ACCESS_LOG = "%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %REQ(:AUTHORITY)% %UPSTREAM_CLUSTER%\n"
LOGGING = {"accessLog": {"file": {"path": "/dev/stdout", "format": {"text": ACCESS_LOG}}}}
AT_ONCE = "200 - 1 "


class Answerers:
    """Which applications may answer for a virtual service. While a change is on its way, those before it and those after."""

    def __init__(self, applications):
        self._states = [applications]
        self._settled = 0

    def change(self, applications):
        """To be called before the change is made."""
        self._states.append(applications)

    def settle(self):
        """Every change so far has arrived."""
        self._settled = len(self._states) - 1

    def mark(self):
        """When a request begins."""
        return self._settled

    def since(self, mark):
        """Who may have answered a request that began at `mark`."""
        return set().union(*self._states[mark:])


class Traffic(threading.Thread):
    """Requests to one virtual service, one after the other, as an application sends them that honours `connection: close`."""

    def __init__(self, host, service, port, answerers):
        super().__init__(daemon=True)
        self.service = service
        self.port = port
        self.sent = 0
        self.answers = Counter()
        self.failures = []
        self._host = host
        self._answerers = answerers
        self._ended = threading.Event()
        self.start()

    def run(self):
        connection, used = None, 0
        while not self._ended.is_set():
            if connection is None:
                connection, used = http1.Connection((netns.ANYWHERE, self.port), self._host), 0
            began = self._answerers.mark()
            self.sent += 1
            try:
                response = connection.request("GET", "/", {"host": self.service})
            except OSError as error:
                self.failures.append(f"{self.service}: {error!r} after {used} requests on the connection")
                connection = None
                continue
            used += 1
            if response.status == 200:
                name = response.json()["name"]
                self.answers[name] += 1
                if name not in self._answerers.since(began):
                    self.failures.append(f"{self.service}: {name} answered, not {self._answerers.since(began)}")
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
        self._applications = {}
        self.traffic = {}
        self.finished = []

    def start(self):
        """The consumer, with three services that it calls."""
        self._client.create_mesh(meshName=MESH, spec={})
        self._client.create_virtual_node(meshName=MESH, virtualNodeName="consumer",
                                         spec={"backends": [], "logging": LOGGING})
        consumer = self._fleet.sidecar(CONSUMER)
        self._host = consumer.host
        self._fleet.wait_until_live()
        for _ in range(3):
            self.add_service()
        return consumer

    # what may change; each returns without waiting for the Envoy, unless traffic has to wait for it

    def add_service(self):
        name = self._new("service")
        port = self._random.choice([PORT, OTHER_PORT])
        targets = [self._new_node()]
        router = self._new("router")
        self._client.create_virtual_router(meshName=MESH, virtualRouterName=router, spec={
            "listeners": [{"portMapping": {"port": port, "protocol": "http"}}]})
        weights = self._weights(targets)
        self._client.create_route(meshName=MESH, virtualRouterName=router, routeName="all", spec=route(weights))
        service = f"{name}.local"
        self._client.create_virtual_service(meshName=MESH, virtualServiceName=service,
                                            spec=routed(router))
        self.services[service] = {"router": router, "port": port, "targets": targets, "routed": True,
                                  "weights": weights, "extra": None}
        answerers = self.services[service]["answerers"] = Answerers(self._applications_of(service))
        self._set_backends()
        self.wait()
        self.traffic[service] = Traffic(self._host, service, port, answerers)

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
        self._set_weights(state)

    def replace_targets(self):
        """All targets make way for new ones: the clusters of some come as those of others go."""
        service, state = self._any()
        if not state["routed"] or state["extra"]:
            return self.change_weights()
        old, state["targets"] = state["targets"], [self._new_node() for _ in range(self._random.randint(1, 3))]
        state["answerers"].change(self._applications_of(service))
        self._set_weights(state)
        self._delete_nodes(old)

    def switch_provider(self):
        service, state = self._any()
        if state["port"] != PORT:
            return self.change_weights()  # a node is at its own port only
        state["routed"] = not state["routed"]
        spec = routed(state["router"]) if state["routed"] else {
            "provider": {"virtualNode": {"virtualNodeName": state["targets"][0]}}}
        state["answerers"].change(self._applications_of(service))
        self._client.update_virtual_service(meshName=MESH, virtualServiceName=service, spec=spec)

    def toggle_route(self):
        service, state = self._any()
        names = {"meshName": MESH, "virtualRouterName": state["router"], "routeName": "extra"}
        if state["extra"]:
            self._client.delete_route(**names)
            state["extra"] = None
        else:
            state["extra"] = self._weights(state["targets"])
            self._client.create_route(**names, spec={**route(state["extra"]), "priority": 1})

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
        # that was for the newest change only, which may concern nobody: the consumer is to have those before it, too
        self._legation.wait_until_synced(1)
        for state in self.services.values():
            state["answerers"].settle()

    def end(self):
        for traffic in self.traffic.values():
            traffic.end()
        self.finished += self.traffic.values()
        self.traffic = {}

    def failures(self):
        return [failure for traffic in [*self.finished, *self.traffic.values()] for failure in traffic.failures]

    def requests(self):
        return sum(traffic.answers.total() for traffic in [*self.finished, *self.traffic.values()])

    def sent(self):
        return sum(traffic.sent for traffic in [*self.finished, *self.traffic.values()])

    def clusters(self):
        """The clusters that the consumer should have of its backends."""
        return {cluster for routes in self.routes().values() for weights in routes for cluster in weights}

    def routes(self):
        """The routes that the consumer should have: for each port and virtual service the weights of their clusters, in
        their order."""
        routes = {(PORT, service): [{cluster(node): None}] for service, node in self.targets.items()}
        for service, state in self.services.items():
            if state["routed"]:
                shown = [weights for weights in (state["extra"], state["weights"]) if weights]
            else:
                shown = [{state["targets"][0]: None}]
            # the weight of an only target means nothing
            routes[state["port"], service] = [
                {cluster(node): weight if len(weights) > 1 else None for node, weight in weights.items()}
                for weights in shown]
        return routes

    def _applications_of(self, service):
        state = self.services[service]
        nodes = state["targets"] if state["routed"] else state["targets"][:1]
        return {self._applications[node] for node in nodes}

    def _set_weights(self, state):
        state["weights"] = self._weights(state["targets"])
        self._client.update_route(meshName=MESH, virtualRouterName=state["router"], routeName="all",
                                  spec=route(state["weights"]))

    def _any(self):
        service = self._random.choice(list(self.services))
        return service, self.services[service]

    def _new(self, kind):
        self._numbers += 1
        return f"{kind}-{self._numbers}"

    def _new_node(self):
        name = self._new("node")
        application = self._applications[name] = self._random.choice(APPLICATIONS)
        hostname = f"{application}.ordering.local"
        response_type = self._random.choice(["LOADBALANCER", "ENDPOINTS"])
        self._client.create_virtual_node(meshName=MESH, virtualNodeName=name, spec={
            "listeners": [{"portMapping": {"port": PORT, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": hostname, "responseType": response_type}}})
        return name

    def _delete_nodes(self, names):
        for name in names:
            self._client.delete_virtual_node(meshName=MESH, virtualNodeName=name)

    def _weights(self, nodes):
        return {node: self._random.randint(1, 10) for node in nodes}

    def _set_backends(self):
        names = [*self.services, *self.targets]
        self._client.update_virtual_node(meshName=MESH, virtualNodeName="consumer", spec={
            "logging": LOGGING, "backends": [{"virtualService": {"virtualServiceName": name}} for name in names]})


def cluster(node):
    return f"cds_egress_{MESH}_{node}_http_{PORT}"


def route(weights):
    targets = [{"virtualNode": node, "weight": weight} for node, weight in weights.items()]
    return {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}}


def routes_of(envoy, ports):
    """The routes that an Envoy has at these ports, as `Shop.routes` says them."""
    def weights(action):
        if "cluster" in action:
            return {action["cluster"]: None}
        clusters = {target["name"]: target["weight"] for target in action["weighted_clusters"]["clusters"]}
        return clusters if len(clusters) > 1 else dict.fromkeys(clusters)

    configurations = envoy.messages()["rds"]
    return {(port, host["name"]): [weights(route["route"]) for route in host.get("routes", [])]
            for port in ports for host in configurations[f"rds_egress_http_{port}"]["virtual_hosts"]}


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
    ports = {port for port, _ in shop.routes()}
    assert routes_of(envoy, ports) == shop.routes()
    chains = envoy.messages()["lds"]["lds_egress_0.0.0.0_15001"]["filter_chains"]
    assert {chain["name"] for chain in chains if "_http_" in chain["name"]} == {f"egress_http_{port}" for port in ports}
    assert sum(fleet.legation.by_type("legation_nacks_total").values()) == 0
    # no failure was hidden by a second try: that Envoy ends writes all of its log
    envoy.stop()
    log = [line for line in envoy.output.splitlines() if ".local" in line]
    print(f"{len(log)} requests in the access log")
    assert [line for line in log if not line.startswith(AT_ONCE)] == []
    assert len(log) == shop.sent()
