"""More than one host: etcd underneath, roles apart, and everything in it dies once, one after the other."""

import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.balancer import Balancer
from harness.etcd import Etcd
from harness.hosts import LEASE_SECONDS, RoleHost
from harness.shop import CHECKOUT, PROTOCOLS, ROUTES, Shop
from harness.simulated import SimulatedEnvoys
from harness.waiting import wait_until

SIMULATED = 300
REAL = 6

WRITES_PER_SECOND = 5
WITHOUT_QUORUM_SECONDS = 20

# the order of what happens
SEED = int(os.environ.get("LEGATION_TEST_SEED", 6))

# as long as an election, a lease and a pass may take together, many times over
PATIENCE_SECONDS = 60


class Writer(threading.Thread):
    """Writes through one frontend after the other, without a pause that matters. What was acknowledged is kept."""

    def __init__(self, frontends):
        super().__init__(daemon=True)
        self._clients = [frontend.client(read_timeout=15, connect_timeout=2) for frontend in frontends]
        self._done = threading.Event()
        self.number, self.acknowledged, self.failed = 0, 0, 0
        self.nodes = set()

    def run(self):
        while not self._done.wait(1 / WRITES_PER_SECOND):
            self.write()

    def stop(self):
        self._done.set()
        self.join(60)
        assert not self.is_alive()

    def write(self):
        """The route gets a timeout that no write before gave it; now and then there is a new virtual node. Whether both were
        acknowledged."""
        self.number += 1
        client = self._clients[self.number % len(self._clients)]
        try:
            client.update_route(meshName="bookshop", virtualRouterName="books", routeName="split", spec=route(self.number))
            self.acknowledged += 1
            if self.number % 5 == 0:
                name = f"extra-{self.number}"
                client.create_virtual_node(meshName="bookshop", virtualNodeName=name, spec={})
                self.nodes.add(name)
        except Exception:  # whatever it was: nothing is promised of this write
            self.failed += 1
            return False
        return True


def route(number):
    """As the example has it, with a timeout that tells the number."""
    targets = [{"virtualNode": "books-v1", "weight": 80}, {"virtualNode": "books-v2", "weight": 20}]
    return {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets},
                          "timeout": {"perRequest": {"unit": "ms", "value": 20_000 + number}}}}


def timeout_of(number):
    """How Envoy shows it."""
    return f"{(20_000 + number) / 1000:.3f}s"


class Scene:
    def __init__(self, network, directory):
        self.network, self.directory = network, directory
        self.etcd = Etcd(directory, address=network.address)
        self.frontends = [self._host(f"frontend-{n}", ["frontend"]) for n in range(2)]
        self.transformers = [self._host(f"transformer-{n}", ["transformer"]) for n in range(2)]
        self.managements = [self._host(f"management-{n}", ["management"]) for n in range(3)]
        for host in self.hosts:
            host.start()

    def _host(self, name, roles):
        directory = self.directory / name
        directory.mkdir()
        return RoleHost(name, roles, self.etcd, self.network, directory)

    @property
    def hosts(self):
        return [*self.frontends, *self.transformers, *self.managements]

    def stop(self):
        for host in self.hosts:
            host.go_on()
            host.stop()
        self.etcd.stop()


# what happens, each with how long it takes until all are expected to be there again


def a_host_dies(of):
    def happens(scene, chance):
        host = chance.choice(getattr(scene, of))
        host.kill()
        time.sleep(LEASE_SECONDS + 2)
        host.restart()
    happens.__name__ = f"kill -9 of one of the {of}"
    return happens


def a_member_of_etcd_dies(scene, chance):
    member = chance.choice([member for member in scene.etcd.members if member is not scene.etcd.leader()])
    member.kill()
    time.sleep(5)
    member.start()


def the_leader_of_etcd_dies(scene, _):
    leader = scene.etcd.leader()
    leader.kill()
    wait_until(lambda: scene.etcd.leader() not in (None, leader), "another leader", 20)
    time.sleep(3)
    leader.start()


def etcd_has_no_quorum(scene, chance):
    paused = chance.sample(scene.etcd.members, 2)
    for member in paused:
        member.pause()
    time.sleep(WITHOUT_QUORUM_SECONDS / 2)
    for host in scene.managements:
        assert not host.is_ready(), f"{host.name} says that it is ready"
        told = host.command("hosts", "--admin", f"http://{host.admin}").stdout
        assert told.startswith("the store does not answer; 7 hosts were known last"), told
        assert told.count("cut off from the store since") == 7, told
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(wait_for_all, scene.frontends[0])  # who waits does so for the store as well
        time.sleep(WITHOUT_QUORUM_SECONDS / 2)
        assert not waiting.done(), waiting.result()
        for member in paused:
            member.go_on()
        waited = waiting.result()
        assert waited.returncode == 0, waited.stderr


def a_transformer_is_paused(scene, chance):
    host = chance.choice(scene.transformers)
    host.pause()
    time.sleep(3 * LEASE_SECONDS)
    host.go_on()


def a_host_is_cut_off(scene, chance):
    host = chance.choice(scene.managements)
    connected = host.connected()
    host.cut_off()
    wait_until(lambda: not host.is_ready(), f"{host.name} says that it is cut off", 20)
    assert host.status()["host"]["store"]["reachable"] is False
    assert host.metrics()["legation_store_reachable", ()] == 0
    time.sleep(LEASE_SECONDS)
    assert host.connected() == connected, "it keeps its Envoys"
    host.mend()
    wait_until(host.is_ready, f"{host.name} says that it is ready", PATIENCE_SECONDS)


def the_balancer_dies(scene, _):
    scene.balancer.kill()
    time.sleep(3)
    assert sum(host.connected() for host in scene.managements) == 0
    scene.balancer.start()


HAPPENINGS = [
    a_host_dies("frontends"), a_host_dies("transformers"), a_host_dies("managements"), a_member_of_etcd_dies,
    the_leader_of_etcd_dies, etcd_has_no_quorum, a_transformer_is_paused, a_host_is_cut_off, the_balancer_dies,
]


def check(scene, shop, writer):
    """Every write that was acknowledged is there, and every Envoy has the last."""
    wait_until(scene.etcd.is_whole, "a whole cluster of etcd", PATIENCE_SECONDS)
    wait_until(writer.write, "a write that is acknowledged", PATIENCE_SECONDS)
    number = writer.number
    for frontend in scene.frontends:
        client = frontend.client(read_timeout=15)
        described = client.describe_route(meshName="bookshop", virtualRouterName="books", routeName="split")
        assert described["route"]["spec"] == route(number), f"{frontend.name} tells of something else"
        pages = client.get_paginator("list_virtual_nodes").paginate(meshName="bookshop")
        names = {node["virtualNodeName"] for page in pages for node in page["virtualNodes"]}
        assert writer.nodes <= names, f"{writer.nodes - names} were acknowledged, and are gone"
    frontend = scene.frontends[0]
    waited = wait_for_all(frontend)
    assert waited.returncode == 0, waited.stderr

    def all_have_it():
        envoys = fleet_status(frontend)["envoys"]
        return len(envoys) == SIMULATED + REAL and all(envoy["synced"] for envoy in envoys)

    wait_until(all_have_it, f"{SIMULATED + REAL} Envoys in sync", PATIENCE_SECONDS)
    for fleet in shop.fleets.values():
        envoy = fleet.members[CHECKOUT].envoy
        wait_until(lambda: timeout_of(number) in str(envoy.messages()["rds"]), f"{envoy.name} has write {number}", 20)
    for load in shop.loads:
        assert not load.failed, f"{load.name}: {load.failed}"


def wait_for_all(host):
    return host.command("wait", "--admin", f"http://{host.admin}", "--timeout", f"{PATIENCE_SECONDS}s",
                        timeout_seconds=2 * PATIENCE_SECONDS)


def fleet_status(host):
    return json.loads(host.get("/fleet/status"))


@pytest.mark.timeout(900)
def test_everything_dies_once(network, tmp_path):
    """No request of the data plane fails, no acknowledged write is lost, and every Envoy ends with the latest state."""
    chance = random.Random(SEED)
    happenings = chance.sample(HAPPENINGS, len(HAPPENINGS))
    scene = Scene(network, tmp_path)
    shop = writer = None
    try:
        scene.frontends[0].apply_example("bookshop")
        with Balancer(scene.managements, tmp_path, network.address) as balancer, SimulatedEnvoys(balancer.xds) as swarm:
            scene.balancer = balancer
            for protocol in PROTOCOLS:
                swarm.add(SIMULATED // 2, CHECKOUT, protocol, ROUTES)
            shop = Shop(balancer, network, tmp_path)
            for load in shop.loads:
                load.start()
            writer = Writer(scene.frontends)
            check(scene, shop, writer)
            for happens in happenings:
                requests, started = sum(load.requests for load in shop.loads), time.monotonic()
                writing = Writer(scene.frontends)
                writing.number, writing.nodes = writer.number, writer.nodes
                writer = writing
                writer.start()
                happens(scene, chance)
                writer.stop()
                check(scene, shop, writer)
                requests = sum(load.requests for load in shop.loads) - requests
                print(f"{happens.__name__}: {writer.acknowledged} writes were acknowledged, {writer.failed} failed; all was well "
                      f"again after {time.monotonic() - started:.1f} s; {requests} requests to the applications, 0 failed")
                assert writer.acknowledged > 0 and requests > 0
            for envoy in shop.envoys:
                assert not any(envoy.rejected().values())
    finally:
        if writer and writer.is_alive():
            writer.stop()
        if shop:
            shop.stop()
        scene.stop()
