"""Transformers divide the meshes among themselves: who joins takes its share, and who goes, however it goes, is made up for."""

import json
import threading
import time
from base64 import b64decode

import pytest

from harness.hosts import LEASE_SECONDS
from harness.several_hosts import etcd, start  # noqa: F401 (fixtures)
from harness.waiting import wait_until

MESHES = [f"mesh-{number:02}" for number in range(40)]

# what a host is taken for dead after, one pass over its meshes, and room for a machine that is busy with other things
REPLACED_WITHIN_SECONDS = LEASE_SECONDS + 10

OWNER = "legation/data/derived/owner/"


def owners(etcd):
    """The host that has claimed each mesh, by mesh."""
    found = json.loads(etcd.command("get", OWNER, "--prefix", "-w", "json")).get("kvs", [])
    # a derived record begins with eight bytes of the transaction that it was written at
    claims = {b64decode(record["key"]).decode().removeprefix(OWNER): b64decode(record["value"])[8:].decode() for record in found}
    return {mesh: claim.rsplit("/", 1)[0] for mesh, claim in claims.items()}


def host_id(host):
    return json.loads(host.get("/host"))["host"]


def is_divided(etcd, hosts):
    """Whether each mesh is claimed by one of these hosts, and each host has claimed some."""
    claimed = owners(etcd)
    return set(claimed) == set(MESHES) and set(claimed.values()) == {host_id(host) for host in hosts}


def settled_owners(etcd, hosts):
    """Who has claimed each mesh, once these hosts have divided them and nothing moves any more."""
    latest = None

    def is_settled():
        nonlocal latest
        before, latest = latest, owners(etcd)
        time.sleep(1)
        return is_divided(etcd, hosts) and before == latest == owners(etcd)

    wait_until(is_settled, "a division of the meshes", 40)
    return latest


class Changes(threading.Thread):
    """Changes one mesh after the other, until it is told to stop."""

    def __init__(self, frontend):
        super().__init__(daemon=True)
        self._client, self._done = frontend.client(), threading.Event()
        self.count = 0

    def run(self):
        while not self._done.is_set():
            define(self._client, MESHES[self.count % len(MESHES)], 1000 + self.count)
            self.count += 1

    def stop(self):
        self._done.set()
        self.join(30)
        assert not self.is_alive()


def define(client, mesh, port):
    listener = {"portMapping": {"port": port, "protocol": "http"}}
    client.update_virtual_node(meshName=mesh, virtualNodeName="node", spec={"listeners": [listener]})


def wait_for_all(host, timeout):
    done = host.command("wait", "--admin", f"http://{host.admin}", "--timeout", f"{timeout}s", timeout_seconds=timeout + 20)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def frontend(start):
    frontend = start("frontend", ["frontend"])
    client = frontend.client()
    for mesh in MESHES:
        client.create_mesh(meshName=mesh)
        client.create_virtual_node(meshName=mesh, virtualNodeName="node", spec={})
    return frontend


def test_who_joins_takes_its_share_and_nothing_else_moves(start, etcd, frontend):
    transformers = [start(f"transformer-{number}", ["transformer"]) for number in range(2)]
    before = settled_owners(etcd, transformers)
    changes = Changes(frontend)
    changes.start()
    try:
        third = start("transformer-2", ["transformer"])
        after = settled_owners(etcd, [*transformers, third])
    finally:
        changes.stop()
    moved = {mesh for mesh in MESHES if after[mesh] != before[mesh]}
    assert {after[mesh] for mesh in moved} == {host_id(third)}, "only to the one that joined"
    assert len(MESHES) / 10 <= len(moved) <= len(MESHES) * 6 / 10, "about a third"
    assert changes.count > 0
    wait_for_all(frontend, 20)
    print(f"{len(moved)} of {len(MESHES)} meshes moved to a third transformer, during {changes.count} changes")

    # and one that says farewell leaves its share to the others at once
    third.stop()
    assert settled_owners(etcd, transformers) == before, "each goes back to where it was"


def kill(host):
    host.kill()


def pause(host):
    host.pause()


def cut_off(host):
    host.cut_off()


@pytest.mark.parametrize("goes", [kill, pause, cut_off])
def test_who_goes_is_replaced_in_time(start, etcd, frontend, goes):
    transformers = [start(f"transformer-{number}", ["transformer"]) for number in range(3)]
    before = settled_owners(etcd, transformers)
    wait_for_all(frontend, 20)
    gone, *others = transformers
    gone_id = host_id(gone)
    its_own = {mesh for mesh, owner in before.items() if owner == gone_id}
    changes = Changes(frontend)
    changes.start()
    try:
        time.sleep(1)
        goes(gone)
        started = time.monotonic()
        wait_until(lambda: is_divided(etcd, others), "its meshes taken over", REPLACED_WITHIN_SECONDS)
        replaced = time.monotonic() - started
    finally:
        changes.stop()
    wait_for_all(frontend, REPLACED_WITHIN_SECONDS)
    after = settled_owners(etcd, others)
    assert {mesh for mesh in MESHES if after[mesh] != before[mesh]} == its_own, "no other moved"
    print(f"{goes.__name__}: {len(its_own)} meshes taken over after {replaced:.1f} s, with leases of {LEASE_SECONDS} s, "
          f"during {changes.count} changes")

    # one that comes back believes for a moment that all is as it was, and harms nobody
    made = fragments(etcd)
    if goes is pause:
        gone.go_on()
    elif goes is cut_off:
        gone.mend()
    else:
        gone.restart()
    settled_owners(etcd, transformers)
    assert fragments(etcd) == made
    define(frontend.client(), min(its_own), 999)
    wait_for_all(frontend, 20)
    assert fragments(etcd) != made


def fragments(etcd):
    prefix = "legation/data/derived/fragment/"
    found = json.loads(etcd.command("get", prefix, "--prefix", "-w", "json"))["kvs"]
    return {record["key"]: record["value"] for record in found}
