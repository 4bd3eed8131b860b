"""Several hosts behind the layer-4 balancer of docs/operating.md: Envoys change hosts, and nothing else changes."""

import time

import pytest

from harness import simulated
from harness.balancer import Balancer
from harness.legation import Legation
from harness.shop import CHECKOUT, PROTOCOLS, ROUTES, Shop
from harness.simulated import SimulatedEnvoys
from harness.waiting import wait_until

RECONNECT_SECONDS = 15
DRAIN_SECONDS = 10

SIMULATED = 120

# how far from the mean of all hosts a host's Envoys may be
TOLERANCE = 0.1


@pytest.fixture
def start(tmp_path):
    """Starts a host for each list of options, all with the same definitions and each with a store of its own."""
    started = []

    def start(*hosts):
        for number, options in enumerate(hosts):
            directory = tmp_path / f"host-{number}"
            directory.mkdir()
            host = Legation(directory, options=options)
            started.append(host)
            host.start()
            # numbers of transactions differ: what makes two versions equal is what they are of
            for unused in range(number):
                host.client().create_mesh(meshName=f"unused-{unused}", spec={})
            host.apply_example("bookshop")
        assert len({host.transaction() for host in started}) == len(started)
        return list(started)

    yield start
    for host in started:
        host.stop()


def add(swarm, count):
    """`count` simulated Envoys, half of them in each protocol."""
    for protocol in PROTOCOLS:
        swarm.add(count // 2, CHECKOUT, protocol, ROUTES)


def wait_until_connected(hosts, count, timeout_seconds=40):
    wait_until(lambda: sum(host.connected() for host in hosts) == count, f"{count} Envoys on {len(hosts)} hosts",
               timeout_seconds)


def is_balanced(hosts):
    counts = [host.connected() for host in hosts]
    mean = sum(counts) / len(counts)
    return all(abs(count - mean) <= TOLERANCE * mean for count in counts)


def without_routes(counts):
    return {kind: count for kind, count in counts.items() if kind != "rds"}


def forced(hosts):
    return sum(host.metrics()["legation_reconnects_forced_total", ()] for host in hosts)


def lose_a_host_and_get_it_back(shop, hosts, swarm, envoys):
    lost, *others = hosts
    wait_until(lambda: is_balanced(hosts), "three hosts that are balanced", 3 * RECONNECT_SECONDS)
    wait_until_connected(hosts, envoys)
    pushes, updates, first = [host.pushes() for host in others], shop.updates(), swarm.report()["receivers"]
    assert first["delta"] == first["sotw"] == dict.fromkeys(("cds", "lds", "rds"), SIMULATED // 2)

    moving = lost.connected()
    assert moving > envoys // 4
    swarm.mark()
    lost.kill()
    killed = time.monotonic()

    def returned():
        report = swarm.report()
        ends = [end for end in report["ends"] if end < killed + 1]
        pauses = [pause for end, pause in report["returns"] if end < killed + 1]
        return len(pauses) == len(ends) >= moving - len(shop.envoys) and sorted(pauses)

    pauses = wait_until(returned, "a new stream for each of its Envoys", 40)
    wait_until_connected(others, envoys)
    print(f"\n{moving} Envoys were on the host that was killed; without a stream they were "
          f"{pauses[len(pauses) // 2]:.2f} s (median), {pauses[-1]:.2f} s at most")

    lost.restart()
    started, reconnects = time.monotonic(), forced(others)
    wait_until(lambda: is_balanced(hosts), "three hosts that are balanced again", 3 * RECONNECT_SECONDS)
    seconds, reconnects = time.monotonic() - started, forced(hosts) - reconnects
    print(f"started again: {[host.connected() for host in hosts]} after {seconds:.1f} s and {reconnects:.0f} reconnects, "
          f"at an interval of {RECONNECT_SECONDS} s")
    # an interval is the time in which each reconnects once, however fast this machine is
    assert reconnects <= envoys

    # and so it stays
    settled, most = forced(hosts), 0
    while forced(hosts) - settled < envoys:
        most = max(most, *(host.connected() for host in hosts))
        assert time.monotonic() - started < 6 * RECONNECT_SECONDS, "they do not reconnect"
        time.sleep(0.1)
    mean = envoys / len(hosts)
    print(f"for as many reconnects as there are Envoys no host had more than {most}, where the mean is {mean:.0f}")
    assert most <= (1 + TOLERANCE) * mean
    wait_until_connected(hosts, envoys)
    assert is_balanced(hosts)

    assert [without_routes(host.pushes()) for host in others] == [without_routes(counts) for counts in pushes]
    assert not any(without_routes(lost.pushes()).values())
    report, now = swarm.report(), shop.updates()
    assert report["received"]["delta"] == {"cds": 0, "lds": 0, "rds": 0}
    assert without_routes(report["received"]["sotw"]) == {"cds": 0, "lds": 0}
    assert report["received"]["sotw"]["rds"] > 0, "what is asked for by name is answered"
    assert now["delta"] == updates["delta"]
    assert list(map(without_routes, now["sotw"])) == list(map(without_routes, updates["sotw"]))
    assert len(report["ends"]) > SIMULATED, "or hardly one has changed its host"


@pytest.mark.timeout(300)
def test_a_host_is_killed_and_comes_back(network, start, tmp_path):
    """No request of the data plane fails meanwhile, and nothing is resent."""
    hosts = start(*3 * [["--reconnect-interval", f"{RECONNECT_SECONDS}s"]])
    with Balancer(hosts, tmp_path, network.address) as balancer, SimulatedEnvoys(balancer.xds) as swarm:
        add(swarm, SIMULATED)
        shop = Shop(balancer, network, tmp_path)
        try:
            for load in shop.loads:
                load.start()
            lose_a_host_and_get_it_back(shop, hosts, swarm, SIMULATED + len(shop.envoys))
            for load in shop.loads:
                load.stop()
                print(f"{load.name}: {load.requests} requests, {len(load.failed)} failed")
                assert not load.failed
                assert load.requests > 100 and load.answered_by == {"books-v1", "books-v2"}
            for envoy in shop.envoys:
                assert not any(envoy.rejected().values())
        finally:
            shop.stop()


@pytest.mark.timeout(180)
def test_a_host_that_is_told_to_end_sends_its_envoys_away_one_after_the_other(start, tmp_path):
    hosts = start(*3 * [["--drain-timeout", f"{DRAIN_SECONDS}s"]])
    with Balancer(hosts, tmp_path) as balancer, SimulatedEnvoys(balancer.xds) as swarm:
        add(swarm, 300)
        wait_until_connected(hosts, 300)
        # those that come at once come to hosts that have none yet, and are balanced only by and by
        *others, leaving = sorted(hosts, key=Legation.connected)
        moving = leaving.connected()
        swarm.mark()
        started = time.monotonic()
        assert leaving.stop(2 * DRAIN_SECONDS) == 0
        took = time.monotonic() - started
        wait_until_connected(others, 300)
        arrived = time.monotonic() - started
        ends = sorted(swarm.report()["ends"])
        print(f"\n{moving} Envoys were sent away from {ends[0] - started:.2f} s to {ends[-1] - started:.2f} s; "
              f"the host ended after {took:.2f} s; all were elsewhere after {arrived:.2f} s")
        assert took < DRAIN_SECONDS
        assert len(ends) == moving
        # 50 a second at most: in no tenth of the time that this takes does much more than a tenth of them go
        tenth = moving / 50 / 10
        assert ends[-1] - ends[0] > 8 * tenth
        assert max(sum(begin <= end < begin + tenth for end in ends) for begin in ends) < moving / 3


@pytest.mark.timeout(180)
def test_envoys_that_a_full_host_refuses_end_up_on_others(start, tmp_path):
    """Also: more than 1024 connections, where an Envoy with its own limits would close the next."""
    places, envoys = 100, 1200
    if reason := simulated.why_not(2 * envoys):
        pytest.skip(reason)
    hosts = start(["--max-envoys", str(places)], [], ["--max-envoys", "2000"])
    full, *others = hosts
    with Balancer(hosts, tmp_path) as balancer, SimulatedEnvoys(balancer.xds) as swarm:
        for host in others:
            host.kill()
        add(swarm, envoys)
        wait_until(lambda: full.refused() > 0 and full.connected() == places, "a host that is full")
        for host in others:
            host.restart()
        started = time.monotonic()
        wait_until_connected(hosts, envoys, 90)
        print(f"\n{[host.connected() for host in hosts]} connected {time.monotonic() - started:.1f} s after the others were "
              f"there; the full host refused {full.refused()} connections")
        assert full.connected() <= places
