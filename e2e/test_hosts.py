"""Several hosts over etcd: roles apart, what they tell of each other, and what it costs."""

import http.client
import itertools
import json
import os
import signal
import statistics
import threading
import time
import urllib.error
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import xds
from harness.ads import AdsStream
from harness.balancer import Balancer
from harness.hosts import LEASE_SECONDS, RoleHost
from harness.legation import Legation
from harness.several_hosts import etcd, start  # noqa: F401 (fixtures)
from harness.shop import CHECKOUT, PROTOCOLS, ROUTES
from harness.simulated import SimulatedEnvoys
from harness.waiting import wait_until

ROLES = ["frontend", "transformer", "management"]

_, _, ROUTE_CONFIGURATION = xds.SEPARATE["rds"]

# passes over a mesh come in this time
PASS_SECONDS = 30


def revision(etcd):
    return json.loads(etcd.command("get", "none", "-w", "json"))["header"]["revision"]


def hosts(host):
    done = host.command("hosts", "-o", "json", "--admin", f"http://{host.admin}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["hosts"]


def add_consumers(swarm, count):
    """Half of them in each protocol."""
    for protocol in PROTOCOLS:
        swarm.add(count // 2, CHECKOUT, protocol, ROUTES)


def route(milliseconds):
    """The route of the example, with a timeout."""
    targets = [{"virtualNode": "books-v1", "weight": 80}, {"virtualNode": "books-v2", "weight": 20}]
    return {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets},
                          "timeout": {"perRequest": {"unit": "ms", "value": milliseconds}}}}


def update_route(client, milliseconds):
    client.update_route(meshName="bookshop", virtualRouterName="books", routeName="split", spec=route(milliseconds))


def wait_for_all(host):
    waited = host.command("wait", "--admin", f"http://{host.admin}", "--timeout", "40s")
    assert waited.returncode == 0, waited.stderr


@pytest.mark.timeout(180)
def test_every_combination_of_roles_does_what_it_says(start):
    combinations = [roles for count in (1, 2, 3) for roles in itertools.combinations(ROLES, count)]
    for number, roles in enumerate(combinations):
        host = start(f"host-{number}", roles)
        assert (host.api is not None, host.xds is not None) == ("frontend" in roles, "management" in roles)
        wait_until(host.is_ready, f"{roles} ready")
        if host.api:
            host.client().create_mesh(meshName=f"of-{number}", spec={})
    # by now there are all roles, and each host knows of all
    for host in (start("last", ["frontend"]), start("other", ["transformer"])):
        told = wait_until(lambda: len(found := hosts(host)) == len(combinations) + 2 and found, "all hosts known")
        assert not [one for one in told if "error" in one]
        assert sorted(tuple(one["roles"]) for one in told) == sorted([*combinations, ("frontend",), ("transformer",)])
        wait_for_all(host)


def test_with_the_embedded_store_roles_are_not_apart(tmp_path):
    host = Legation(tmp_path)
    for roles in ("frontend", "transformer,management"):
        done = host.command("serve", "--data-dir", tmp_path, "--roles", roles)
        assert done.returncode == 2 and "--roles: with the embedded store" in done.stderr


@pytest.mark.timeout(120)
def test_two_frontends_that_write_the_same_give_one_winner_and_one_conflict(start):
    frontends = [start(name, ["frontend"]) for name in ("one", "two")]
    clients = [frontend.client() for frontend in frontends]
    clients[0].create_mesh(meshName="m", spec={})
    won = [0, 0]
    for number in range(30):
        outcomes, barrier = [None, None], threading.Barrier(2)

        def create(index):
            barrier.wait()
            spec = {"listeners": [{"portMapping": {"port": 80 + index, "protocol": "http"}}]}
            try:
                clients[index].create_virtual_node(meshName="m", virtualNodeName=f"n-{number}", spec=spec)
                outcomes[index] = "created"
            except clients[index].exceptions.ConflictException as conflict:
                outcomes[index] = conflict.response["message"]

        threads = [threading.Thread(target=create, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winner = outcomes.index("created")
        won[winner] += 1
        assert f"n-{number}" in outcomes[1 - winner] and "exists" in outcomes[1 - winner], outcomes
        for client in clients:
            node = client.describe_virtual_node(meshName="m", virtualNodeName=f"n-{number}")["virtualNode"]
            assert node["spec"]["listeners"][0]["portMapping"]["port"] == 80 + winner
    print(f"\nof 30 races the frontends won {won}")


@pytest.mark.timeout(120)
def test_all_hosts_are_seen_from_each(start, tmp_path):
    frontend, _ = start("frontend", ["frontend"]), start("transformer", ["transformer"])
    managements = [start(f"management-{n}", ["management"]) for n in range(2)]
    frontend.apply_example("bookshop")
    with SimulatedEnvoys(managements[0].xds) as first, SimulatedEnvoys(managements[1].xds) as second:
        add_consumers(first, 20)
        add_consumers(second, 10)
        for host in managements:
            wait_until(lambda: sum(one.get("envoys", 0) for one in hosts(host)) == 30, "30 Envoys on two hosts")
        update_route(frontend.client(), 1234)
        wait_for_all(managements[0])
        done = frontend.command("status", "-o", "json", "--admin", f"http://{frontend.admin}")
        status = json.loads(done.stdout)
        assert len(status["envoys"]) == 30 and all(envoy["synced"] for envoy in status["envoys"])
        of_host = {one["host"]: one for one in hosts(frontend)}
        counts = {name: sum(envoy["host"] == name for envoy in status["envoys"]) for name in of_host}
        assert sorted(counts.values()) == [0, 0, 10, 20]
        assert all(of_host[name].get("envoys", 0) == count for name, count in counts.items())
        # what a host says of itself alone may be a few seconds old
        wait_until(lambda: status["transaction"] == frontend.transaction(), "the same of one as of all")
        (tmp_path / "route.json").write_text(json.dumps({
            "meshName": "bookshop", "virtualRouterName": "books", "routeName": "split", "spec": route(4321)}))
        planned = frontend.command("plan", "-f", tmp_path / "route.json", "-o", "json", "--endpoint", frontend.endpoint)
        plan = json.loads(planned.stdout)
        counts = {node["node"]: node["envoys"] for node in plan["nodes"]}
        assert counts == {CHECKOUT: 30, "mesh/bookshop/virtualGateway/storefront": 0}
        targets = json.loads(frontend.get("/fleet/targets"))
        assert sorted(target["labels"]["roles"] for target in targets) == ["frontend", "management", "management", "transformer"]
        assert {target["targets"][0] for target in targets} == {one["admin"] for one in of_host.values()}

        # one that does not answer, for as long as nobody takes it for dead
        managements[1].pause()
        told = frontend.command("status", "--admin", f"http://{frontend.admin}").stdout
        managements[1].go_on()
        assert "20 envoys connected" in told and "does not tell of its envoys" in told, told
        wait_until(lambda: len(now := hosts(frontend)) == 4 and not [one for one in now if "lostSince" in one], "four hosts again")
        managements[1].pause()
        waited = frontend.command("wait", "--admin", f"http://{frontend.admin}", "--timeout", "1s")
        managements[1].go_on()
        assert waited.returncode == 1 and "those of host" in waited.stderr, waited.stderr


def host_of(asked, host):
    """What is told of `host` by one that is asked for all."""
    return next((one for one in hosts(asked) if one["admin"] == host.admin), None)


def is_lost(asked, host):
    return "lostSince" in (host_of(asked, host) or {})


@pytest.mark.timeout(240)
def test_a_host_that_is_cut_off_is_asked_still_and_one_that_died_holds_up_nobody(start, etcd, tmp_path):
    frontend, _ = start("frontend", ["frontend"]), start("transformer", ["transformer"])
    managements = [start(f"management-{n}", ["management"]) for n in range(2)]
    lost, other = managements
    without_envoys = start("without-envoys", ["management"])
    frontend.apply_example("bookshop")
    admin = f"http://{frontend.admin}"
    with SimulatedEnvoys(lost.xds) as first, SimulatedEnvoys(other.xds) as second:
        add_consumers(first, 10)
        add_consumers(second, 10)
        wait_until(lambda: lost.connected() == other.connected() == 10, "20 Envoys")
        wait_for_all(frontend)
        name = host_of(frontend, lost)["host"]

        for host in (lost, without_envoys):
            host.cut_off()
        for host in (lost, without_envoys):
            wait_until(lambda: is_lost(frontend, host), "taken for lost", 30)
            wait_until(lambda: "store has not answered" in not_ready(host), "it knows", 30)
        told = host_of(frontend, lost)
        assert told["envoys"] == 10 and told["store"]["reachable"] is False and "error" not in told
        assert f"lost since {told['lostSince']}, cut off from the store since" in frontend.command("hosts", "--admin", admin).stdout
        update_route(frontend.client(), 1234)
        wait_until(lambda: second.report()["received"]["delta"]["rds"] >= 5, "the change at the others")
        waited = frontend.command("wait", "--admin", admin, "--timeout", "3s")
        assert waited.returncode == 1 and f"host {name}: it is cut off from the store since" in waited.stderr, waited.stderr
        assert waited.stderr.count(CHECKOUT) == 10, waited.stderr
        assert waited.stderr.count("cut off") == 1, "nobody is behind at the other: " + waited.stderr
        shown = frontend.command("status", "--admin", admin).stdout
        assert "20 envoys connected" in shown and f"{name} is cut off from the store since" in shown, shown
        (tmp_path / "route.json").write_text(json.dumps({
            "meshName": "bookshop", "virtualRouterName": "books", "routeName": "split", "spec": route(4321)}))
        planned = frontend.command("plan", "-f", tmp_path / "route.json", "-o", "json", "--endpoint", frontend.endpoint)
        assert {node["node"]: node["envoys"] for node in json.loads(planned.stdout)["nodes"]}[CHECKOUT] == 20
        assert lost.admin in [target["targets"][0] for target in json.loads(frontend.get("/fleet/targets"))]
        for host in (lost, without_envoys):
            host.mend()
        for host in (lost, without_envoys):
            wait_until(lambda: not is_lost(frontend, host), "back", 30)
        wait_for_all(frontend)
        assert first.report()["received"]["delta"]["rds"] >= 5, "it has caught up"

        lost.kill()
        wait_until(lambda: is_lost(frontend, lost), "lost again", 30)
        update_route(frontend.client(), 1235)
        waited = frontend.command("wait", "--admin", admin, "--timeout", "40s")
        assert waited.returncode == 0 and f"{name} has been lost for " in waited.stderr, waited.stderr
        shown = frontend.command("status", "--admin", admin).stdout
        assert "10 envoys connected" in shown and f"{name} has been lost for " in shown, shown
        planned = frontend.command("plan", "-f", tmp_path / "route.json", "-o", "json", "--endpoint", frontend.endpoint)
        assert {node["node"]: node["envoys"] for node in json.loads(planned.stdout)["nodes"]}[CHECKOUT] == 10
        noted = revision(etcd)
        time.sleep(LEASE_SECONDS + 2)
        assert revision(etcd) == noted, "that a host is lost is noted once"

        lost.restart()
        wait_until(lambda: lost.connected() == 10, "its Envoys again", 40)
        now = hosts(frontend)
        assert len(now) == 5 and not [one for one in now if "lostSince" in one], "it replaces the one that died there"
        Legation.stop(lost)
        assert len(now := hosts(frontend)) == 4 and not [one for one in now if "lostSince" in one], "it ended in order"
        waited = frontend.command("wait", "--admin", admin, "--timeout", "40s")
        assert waited.returncode == 0 and not waited.stderr, waited.stderr


def not_ready(host):
    """Why a host says that it should be sent nothing, if it says so."""
    try:
        host.get("/readyz")
    except urllib.error.HTTPError as refusal:
        return refusal.read().decode()
    return ""


@pytest.mark.timeout(120)
def test_a_wait_over_several_hosts_names_an_envoy_that_rejects_the_change(start):
    frontend, _ = start("frontend", ["frontend"]), start("transformer", ["transformer"])
    managements = [start(f"management-{n}", ["management"]) for n in range(2)]
    frontend.apply_example("bookshop")
    wait_for_all(frontend)
    admin = f"http://{frontend.admin}"
    with SimulatedEnvoys(managements[0].xds) as swarm, xds.connect(managements[1]) as connection:
        add_consumers(swarm, 4)
        wait_until(lambda: managements[0].connected() == 4, "4 Envoys")
        envoy = AdsStream(connection).ask(CHECKOUT, type_url=ROUTE_CONFIGURATION, names=ROUTES)
        envoy.ack(envoy.receive())
        wait_for_all(frontend)
        update_route(frontend.client(), 1234)
        envoy.nack(envoy.receive(), "not mine")
        waited = frontend.command("wait", "--admin", admin, "--timeout", "2s")
        assert waited.returncode == 1, waited.stdout
        assert waited.stderr.count(CHECKOUT) == 1 and "which rejected RDS: not mine" in waited.stderr, waited.stderr
        update_route(frontend.client(), 1235)
        envoy.ack(envoy.receive())
        wait_for_all(frontend)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_wait_ends_when_a_host_does(start, how):
    frontend, _ = start("frontend", ["frontend"]), start("transformer", ["transformer"])
    asked = start("asked", ["frontend"])
    managements = [start(f"management-{n}", ["management"]) for n in range(2)]
    ending, other = managements
    frontend.apply_example("bookshop")
    wait_for_all(frontend)
    with xds.connect(ending) as connection, xds.connect(other) as other_connection:
        def behind(connection):
            """An Envoy that does not answer a change."""
            envoy = AdsStream(connection).ask(CHECKOUT, type_url=ROUTE_CONFIGURATION, names=ROUTES)
            envoy.ack(envoy.receive())
            return envoy

        def wait(host):
            return pool.submit(host.command, "wait", "--admin", f"http://{host.admin}", "--timeout", "60s", timeout_seconds=90)

        with ThreadPoolExecutor() as pool:
            behind(connection)
            wait_for_all(frontend)
            update_route(frontend.client(), 1234)
            waiting = wait(frontend)
            time.sleep(2)
            assert not waiting.done(), waiting.result().stderr
            # as one that came from the host that ends: the other had said that all of its Envoys are done
            came = AdsStream(other_connection).ask(CHECKOUT, type_url=ROUTE_CONFIGURATION, names=ROUTES)
            response = came.receive()
            end(ending, how)
            time.sleep(LEASE_SECONDS + 5)
            assert not waiting.done(), "one is behind still: " + waiting.result().stdout
            started = time.monotonic()
            came.ack(response)
            done = waiting.result()
            print(f"\n{how}: the wait ended {time.monotonic() - started:.1f} s after the last Envoy had the change")
            assert done.returncode == 0, done.stderr
            assert ("has been lost for" in done.stderr) == (how == "kill"), done.stderr

            # and when the one ends that was asked for all
            envoy = behind(other_connection)
            wait_for_all(frontend)
            update_route(frontend.client(), 1235)
            waiting = wait(asked)
            time.sleep(2)
            assert not waiting.done(), waiting.result().stderr
            started = time.monotonic()
            end(asked, how)
            done = waiting.result()
            assert time.monotonic() - started < 30
            assert done.returncode == 1 and "cannot reach" in done.stderr, done.stderr
            envoy.ack(envoy.receive())


def end(host, how):
    os.kill(host.pid, {"kill": signal.SIGKILL, "terminate": signal.SIGTERM}[how])


@pytest.mark.timeout(180)
def test_a_host_is_emptied_at_a_bounded_rate(start, tmp_path, network):
    frontend, _ = start("frontend", ["frontend"]), start("transformer", ["transformer"])
    managements = [start(f"management-{n}", ["management"]) for n in range(2)]
    frontend.apply_example("bookshop")
    admin = f"http://{frontend.admin}"
    with Balancer(managements, tmp_path, network.address) as balancer, SimulatedEnvoys(balancer.xds) as swarm:
        add_consumers(swarm, 100)
        wait_until(lambda: sum(host.connected() for host in managements) == 100, "100 Envoys")
        swarm.wait_until_served()  # to be connected is not to have everything yet
        leaving, other = sorted(managements, key=RoleHost.connected, reverse=True)
        name = next(one["host"] for one in hosts(frontend) if one["admin"] == leaving.admin)
        moving = leaving.connected()
        swarm.mark()
        started = time.monotonic()
        done = frontend.command("drain", name, "--rate", "20", "--admin", admin)
        took = time.monotonic() - started
        assert done.returncode == 0 and f"{name} is empty" in done.stdout, done.stderr
        print(f"\n{moving} Envoys were sent away in {took:.1f} s, at most 20 a second")
        assert took >= (moving - 1) / 20
        wait_until(lambda: other.connected() == 100, "all on the other host", 40)
        other.wait_until_synced(100)  # only then is all there that might have been resent
        assert not leaving.is_ready() and leaving.connected() == 0
        assert next(one for one in hosts(frontend) if one["host"] == name)["draining"] is True
        received = swarm.report()["received"]
        assert received["delta"] == {"cds": 0, "lds": 0, "rds": 0}, "nothing is resent"

        stopped = frontend.command("drain", name, "--stop", "--admin", admin)
        assert stopped.returncode == 0 and "takes envoys again" in stopped.stdout, stopped.stderr
        wait_until(leaving.is_ready, "ready again")
        for wrong, reason in (("nobody", "there is no host nobody"), (frontend_name(frontend), "serves no envoys")):
            refused = frontend.command("drain", wrong, "--admin", admin)
            assert refused.returncode == 1 and reason in refused.stderr, refused.stderr


def frontend_name(frontend):
    return next(one["host"] for one in hosts(frontend) if one["admin"] == frontend.admin)


@pytest.mark.timeout(180)
def test_one_change_costs_etcd_two_small_revisions_and_none_costs_nothing(start, etcd):
    frontend, _ = start("frontend", ["frontend"]), start("transformer", ["transformer"])
    management, _ = start("management", ["management"]), start("without-consumers", ["management"])
    frontend.apply_example("bookshop")
    client = frontend.client()
    with SimulatedEnvoys(management.xds) as swarm:
        add_consumers(swarm, 10)
        wait_until(lambda: management.connected() == 10, "10 Envoys")
        update_route(client, 1000)
        wait_for_all(frontend)
        before, events = revision(etcd), etcd.events()
        update_route(client, 1001)
        wait_for_all(frontend)
        after, events = revision(etcd), etcd.events() - events
        changed = {}
        for number in range(before + 1, after + 1):
            listed = json.loads(etcd.command("get", "legation/", "--prefix", "-w", "json", "--rev", number))
            changed[number] = {
                decode(kv["key"]): len(kv["key"]) * 3 // 4 + len(kv.get("value", "")) * 3 // 4
                for kv in listed["kvs"] if kv["mod_revision"] == number
            }
        print()
        for number, keys in changed.items():
            print(f"revision {number}: {len(keys)} keys, {sum(keys.values())} bytes")
            for key, size in keys.items():
                print(f"  {size:6} {key}")
        assert len(changed) == 2, "one of definitions, and one of what came of it"
        definitions, derived = changed.values()
        assert sorted(key.split("/")[1] for key in definitions) == ["changed", "data", "data", "head", "journal"]
        assert sorted(derived) == [
            "legation/data/derived/fragment/bookshop/virtualService/books.shop.local",
            "legation/data/derived/transformed/bookshop",
        ]
        assert sum(definitions.values()) < 4096 and sum(derived.values()) < 4096
        print(f"{events:.0f} events of watches")
        assert events == 2, "one to the transformer and one to the host with consumers; the other host is told nothing"
        time.sleep(PASS_SECONDS + 2)
        assert revision(etcd) == after, "passes that change nothing write nothing, nor does anybody's being alive"


def decode(key):
    return b64decode(key).decode(errors="replace")


def fragments(etcd):
    """What the transformers made, without the transaction that the store had reached then."""
    listed = json.loads(etcd.command("get", "legation/data/derived/fragment/", "--prefix", "-w", "json"))
    return {decode(kv["key"]): b64decode(kv["value"])[8:] for kv in listed["kvs"]}


@pytest.mark.timeout(180)
def test_the_same_definitions_give_the_same_bytes_and_versions_everywhere(start, etcd):
    frontend, transformer = start("frontend", ["frontend"]), start("transformer", ["transformer"])
    managements = [start(f"management-{n}", ["management"]) for n in range(2)]
    frontend.apply_example("bookshop")
    wait_for_all(frontend)
    made = fragments(etcd)
    assert len(made) > 5

    def versions(host):
        config = json.loads(host.get(f"/config?node={CHECKOUT}"))
        return {kind: (of["version"], [resource["version"] for resource in of["resources"]]) for kind, of in config["types"].items()}

    first = versions(managements[0])
    assert versions(managements[1]) == first and any(resources for _, resources in first.values())

    # all of it again, by another process, out of the definitions alone
    transformer.stop()
    etcd.command("del", "legation/data/derived/", "--prefix")
    start("another-transformer", ["transformer"])
    wait_until(lambda: fragments_or_nothing(etcd) == made, "the same fragments to the byte", 40)
    managements[0].kill()
    managements[0].restart()
    assert versions(managements[0]) == first == versions(managements[1])


def fragments_or_nothing(etcd):
    try:
        return fragments(etcd)
    except KeyError:
        return {}


@pytest.mark.timeout(180)
def test_moving_from_one_host_to_several_resends_nothing(start, etcd, network, tmp_path):
    (tmp_path / "single").mkdir()
    single = Legation(tmp_path / "single").start()
    try:
        for number in range(3):  # so that the numbers of transactions differ
            single.client().create_mesh(meshName=f"unused-{number}", spec={})
        single.apply_example("bookshop")
        with SimulatedEnvoys(single.xds) as swarm:
            add_consumers(swarm, 20)
            single.wait_for_envoys(20)
            history = single.command("history", "--endpoint", single.endpoint, "-o", "json").stdout
            single.stop()
            swarm.mark()
            source, target = f"embedded:{single.data_dir}", etcd.store
            copied = single.command("store", "copy", "--from", source, "--to", target)
            assert copied.returncode == 0, copied.stderr
            again = single.command("store", "copy", "--from", source, "--to", target)
            assert again.stdout.startswith("0 transactions were made"), again.stdout
            print("\n" + copied.stdout + again.stdout)

            frontend, _ = start("frontend", ["frontend"]), start("transformer", ["transformer"])
            wait_for_all(frontend)
            # where the Envoys look for the one they had
            moved = Legation(tmp_path / "single", options=["--store", target, "--roles", "management"])
            moved_host = MovedHost(moved, single)
            moved_host.start()
            try:
                moved_host.wait_until_synced(20)
                received = swarm.report()["received"]
                assert received["delta"] == {"cds": 0, "lds": 0, "rds": 0}
                assert {kind: n for kind, n in received["sotw"].items() if kind != "rds"} == {"cds": 0, "lds": 0}
                # and what changes afterwards arrives
                update_route(frontend.client(), 2345)
                wait_until(lambda: swarm.report()["received"]["delta"]["rds"] == 10, "the change at all of them")
            finally:
                moved_host.stop()
            after = json.loads(frontend.command("history", "--endpoint", frontend.endpoint, "-o", "json").stdout)
            assert told(after)[1:] == told(json.loads(history)), "who did what and when, and the update since"
    finally:
        single.stop()


def told(history):
    """What a history tells, without the numbers of transactions."""
    return [(entry["author"], entry["operation"], entry["committedAt"]) for entry in history["transactions"]]


class MovedHost(Legation):
    """A management host at the address of another."""

    def __init__(self, options_of, address_of):
        super().__init__(options_of.directory, options=options_of._options)
        self.xds = address_of.xds

    def start(self):
        from harness import locate
        from harness.legation import _environment
        from harness.process import Process

        self._process = Process("moved", [
            locate.legation_binary(), "serve", "--xds-addr", self.xds, "--admin-addr", "127.0.0.1:0", *self._options,
        ], self.directory, env=_environment())
        line = wait_until(lambda: next((line for line in self._process.stderr.splitlines() if "legation is ready" in line), None),
                          "the line `legation is ready`")
        self.admin = line.split("admin=")[1].split()[0]
        return self


@pytest.mark.timeout(180)
def test_a_change_over_etcd_beside_a_put(start, etcd):
    """Measures, and asserts only that everything arrives."""
    frontend, _ = start("frontend", ["frontend"]), start("transformer", ["transformer"])
    management = start("management", ["management"])
    frontend.apply_example("bookshop")
    client = frontend.client()
    with SimulatedEnvoys(management.xds) as swarm:
        add_consumers(swarm, 20)
        wait_until(lambda: management.connected() == 20, "20 Envoys")
        swarm.wait_until_served()
        wait_for_all(frontend)
        puts, calls, arrivals = [], [], []
        member = http.client.HTTPConnection(etcd.address, etcd.members[0].client_port)
        for number in range(40):
            started = time.monotonic()
            member.request("POST", "/v3/kv/put", json.dumps({
                "key": b64encode(b"beside").decode(), "value": b64encode(b"x" * 1000).decode()}))
            assert member.getresponse().read()
            puts.append(time.monotonic() - started)
            swarm.mark()
            started = time.monotonic()
            update_route(client, 3000 + number)
            calls.append(time.monotonic() - started)
            report = wait_until(lambda: (told := swarm.report())["received"]["delta"]["rds"] == 10 and told, "all have it")
            arrivals.append(report["last_received"] - started)
        def median(times):
            return f"{1000 * statistics.median(times):.2f} ms"

        print(f"\nmedians of 40: a put of etcd's {median(puts)}, an API call {median(calls)}, "
              f"from the call to the last of 20 Envoys {median(arrivals)}")
