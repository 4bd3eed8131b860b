"""More Envoys than a host may have, all at once: exactly as many get in, the others cost next to nothing."""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import simulated, xds
from harness.legation import Legation
from harness.simulated import SimulatedEnvoys
from harness.waiting import wait_until

CHECKOUT = "mesh/bookshop/virtualNode/checkout"
ROUTES = ["rds_egress_http_9080", "rds_ingress_http_9080"]

PLACES = 1000
STORM = 3000

# those that are refused try again so many times, with Envoy's back-off: for some seconds
ATTEMPTS = 4

# Of what an Envoy costs that gets in. To accept a connection and close it is a tenth of that, most of it the kernel's; to
# read what it asks for and refuse that would be half.
COST_OF_REFUSAL = 0.25

# Most memory while many are refused, of what it is with all places taken. To read what they ask for would take 1.4 times as
# much, to keep them four times.
GROWTH = 1.1

# how many connections may be opening at once, and for how long each
TURNS = 64
SECONDS_TO_OPEN = 5

CHANGES = 3
TIMEOUT_SECONDS = 60


@pytest.fixture
def start(tmp_path):
    """Starts a host with the bookshop in its store."""
    if reason := simulated.why_not(PLACES + STORM):
        pytest.skip(reason)
    started = []

    def start():
        directory = tmp_path / f"host-{len(started)}"
        directory.mkdir()
        host = Legation(directory, options=["--max-envoys", str(PLACES)])
        started.append(host)
        host.start()
        host.apply_example("bookshop")
        return host

    yield start
    for host in started:
        host.stop()


@dataclass
class Usage:
    """What a process has used until now."""

    cpu_seconds: float
    memory_mib: float
    memory_mib_max: float

    @classmethod
    def of(cls, host):
        proc = Path("/proc") / str(host.pid)
        # user and system time are fields 14 and 15; the second is a name in parentheses
        ticks = (proc / "stat").read_text().rpartition(")")[2].split()[11:13]
        lines = (line.split() for line in (proc / "status").read_text().splitlines())
        kib = {words[0]: int(words[1]) for words in lines if words[0] in ("VmRSS:", "VmHWM:")}
        return cls(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), kib["VmRSS:"] / 1024, kib["VmHWM:"] / 1024)


def add(swarm, count):
    swarm.add(count, CHECKOUT, "delta", ROUTES, ATTEMPTS)


def wait_for_the_storm_to_pass(swarm, count):
    """Until each of `count` Envoys has got in or given up."""
    def passed():
        report = swarm.report()
        return report["connected"] + report["given_up"] == count and report

    return wait_until(passed, f"{count} Envoys that got in or gave up", TIMEOUT_SECONDS)


def wait_until_served(swarm, count):
    wait_until(lambda: swarm.report()["receivers"]["delta"] == dict.fromkeys(("cds", "lds", "rds"), count),
               f"{count} Envoys that have their configuration", TIMEOUT_SECONDS)


def fill(host, swarm):
    """Takes all places. What that uses."""
    before = Usage.of(host)
    add(swarm, PLACES)
    wait_until_served(swarm, PLACES)
    after = Usage.of(host)
    assert host.connected() == PLACES and host.refused() == 0
    return Usage(after.cpu_seconds - before.cpu_seconds, after.memory_mib, after.memory_mib_max)


@pytest.mark.timeout(120)
def test_one_more_than_the_cap(start):
    host = start()
    with SimulatedEnvoys(host.xds) as swarm:
        add(swarm, PLACES + 1)
        report = wait_for_the_storm_to_pass(swarm, PLACES + 1)
        assert (report["connected"], report["given_up"]) == (PLACES, 1)
        assert host.connected() == PLACES
        assert host.refused() == report["refused"] == ATTEMPTS, "one of them, each time that it came"
        assert report["ends"] == []
        wait_until_served(swarm, PLACES)


def test_connections_are_opened_in_turns(start):
    """Those that are being opened hold up others until they are, or until their time is over."""
    host = start()
    address = host.xds.rsplit(":", 1)
    silent = [socket.create_connection((address[0], int(address[1]))) for _ in range(TURNS)]
    try:
        started = time.monotonic()
        assert xds.first_response(host, "delta", xds.first_request("delta", CHECKOUT))
        assert time.monotonic() - started > 0.5 * SECONDS_TO_OPEN
    finally:
        for connection in silent:
            connection.close()


@pytest.mark.timeout(180)
def test_refused_envoys_cost_next_to_nothing(start):
    host = start()
    with SimulatedEnvoys(host.xds) as swarm, SimulatedEnvoys(host.xds) as storm:
        full = fill(host, swarm)
        before = Usage.of(host)
        add(storm, STORM)
        report = wait_for_the_storm_to_pass(storm, STORM)
        after = Usage.of(host)
        assert (report["connected"], report["given_up"]) == (0, STORM)
        assert host.refused() == report["refused"] == STORM * ATTEMPTS
        assert host.connected() == swarm.report()["connected"] == PLACES
        assert swarm.report()["ends"] == []

        refusal = (after.cpu_seconds - before.cpu_seconds) / report["refused"]
        admission = full.cpu_seconds / PLACES
        print(f"\n{1e6 * refusal:.0f} us of CPU for each of {report['refused']} refused connections, "
              f"{1e6 * admission:.0f} us for each of {PLACES} Envoys that got in; memory {full.memory_mib:.1f} MiB with "
              f"{PLACES} Envoys, {after.memory_mib_max:.1f} MiB at most since {STORM} more came")
        assert refusal < COST_OF_REFUSAL * admission
        assert after.memory_mib_max < GROWTH * full.memory_mib


@pytest.mark.timeout(180)
def test_envoys_that_are_in_are_served_while_others_are_refused(start):
    host = start()
    client = host.client()
    with SimulatedEnvoys(host.xds) as swarm, SimulatedEnvoys(host.xds) as storm:
        fill(host, swarm)
        add(storm, STORM)
        for weight in range(1, CHANGES + 1):
            swarm.mark()
            storm.mark()
            started = time.monotonic()
            client.update_route(meshName="bookshop", virtualRouterName="books", routeName="split", spec={
                "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
                    {"virtualNode": "books-v1", "weight": weight}, {"virtualNode": "books-v2", "weight": 1}]}}})
            wait_until(lambda: swarm.report()["receivers"]["delta"]["rds"] == PLACES, f"change {weight} everywhere",
                       TIMEOUT_SECONDS)
            report = swarm.report()
            refused = storm.report()["refused"]
            print(f"\nchange {weight} reached {PLACES} Envoys {report['last_received'] - started:.2f} s after it was asked "
                  f"for; {refused} connections were refused meanwhile")
            assert refused > 0, "no storm"
            assert report["received"]["delta"] == {"cds": 0, "lds": 0, "rds": PLACES}
        wait_for_the_storm_to_pass(storm, STORM)
        assert host.connected() == PLACES and swarm.report()["ends"] == []


@pytest.mark.timeout(180)
def test_three_times_as_many_as_there_are_places(start):
    """All at an empty host."""
    usual, host = start(), start()
    with SimulatedEnvoys(usual.xds) as swarm:
        full = fill(usual, swarm)
    usual.stop()
    with SimulatedEnvoys(host.xds) as swarm:
        started = time.monotonic()
        add(swarm, STORM)
        wait_until_served(swarm, PLACES)
        seconds = time.monotonic() - started
        report = wait_for_the_storm_to_pass(swarm, STORM)
        assert (report["connected"], report["given_up"]) == (PLACES, STORM - PLACES)
        assert host.connected() == PLACES
        assert host.refused() == report["refused"] == (STORM - PLACES) * ATTEMPTS
        assert report["ends"] == []
        memory = Usage.of(host).memory_mib_max
        print(f"\n{PLACES} of {STORM} had their configuration after {seconds:.1f} s; memory {memory:.1f} MiB at most, "
              f"where {PLACES} alone take {full.memory_mib_max:.1f} MiB")
        assert memory < GROWTH * full.memory_mib_max
