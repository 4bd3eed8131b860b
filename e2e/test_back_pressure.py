"""Changes come faster than Envoys take them in, and some take in nothing at all: what is pushed, and what it costs.

`pytest -s` shows the figures that docs/performance.md quotes.
"""

import datetime
import json
import statistics
import threading
import time
from contextlib import ExitStack

import pytest

from harness import http1, xds
from harness.envoy import Envoy
from harness.legation import Legation
from harness.slow_client import SlowClient
from harness.waiting import wait_until

CHECKOUT = "mesh/bookshop/virtualNode/checkout"
HELPDESK = "mesh/bookshop/virtualNode/helpdesk"
STOREFRONT = "mesh/bookshop/virtualGateway/storefront"
ROUTES_TYPE = xds.SEPARATE["rds"][2]
ROUTES = "rds_egress_http_9080"

# so many that commits share syncs of the disk, and come about a millisecond apart
WRITERS = 16
STORM_SECONDS = 10
SLOW_ANSWER_SECONDS = 0.5
# while it storms, weights stay below it
LAST_WEIGHT = 100

STALLED_CLIENTS = 20
CHANGES = 2000
SAMPLES = 25
MEMORY_PER_CLIENT_KIB_MAX = 512
ROUNDS = 5
MEMORY_KEPT_KIB_MAX = 40
# a window of the size of a few frames of HTTP/2, which one response overflows
SMALL_WINDOW = 1024


@pytest.fixture
def start(tmp_path):
    """Starts a control plane with options; the bookshop is in its store, with a route for every writer."""
    started = []

    def start(*options):
        control_plane = Legation(tmp_path, options=options).start()
        started.append(control_plane)
        control_plane.apply_example("bookshop")
        for writer in range(WRITERS):
            control_plane.client().create_route(meshName="bookshop", virtualRouterName="books",
                                                routeName=f"burst-{writer}", spec=route_of(writer, 1))
        return control_plane

    yield start
    for control_plane in started:
        control_plane.stop()


def route_of(writer, weight):
    return {"httpRoute": {"match": {"prefix": f"/burst-{writer}"}, "action": {"weightedTargets": [
        {"virtualNode": "books-v1", "weight": weight}, {"virtualNode": "books-v2", "weight": 1}]}}}


class Writers:
    """Change the weights of the routes of `books.shop.local`, each its own route, as fast as the API takes that."""

    def __init__(self, legation):
        host, port = legation.api.rsplit(":", 1)
        self._address = host, int(port)

    def storm(self, more):
        """Changes while `more(changes so far of this writer)`, then sets the last weight. How many changes there were."""
        counts = [0] * WRITERS
        failures = []

        def write(writer):
            try:
                with http1.Connection(self._address) as connection:
                    while more(counts[writer]):
                        counts[writer] += 1
                        self._put(connection, writer, counts[writer] % (LAST_WEIGHT - 1) + 1)
                    self._put(connection, writer, LAST_WEIGHT)
            except Exception as failure:
                failures.append(failure)

        threads = [threading.Thread(target=write, args=[writer]) for writer in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        return sum(counts) + WRITERS

    def change(self, weight):
        with http1.Connection(self._address) as connection:
            self._put(connection, 0, weight)

    @staticmethod
    def _put(connection, writer, weight):
        path = f"/v20190125/meshes/bookshop/virtualRouter/books/routes/burst-{writer}"
        body = json.dumps({"spec": route_of(writer, weight)}).encode()
        response = connection.request("PUT", path, {"content-type": "application/json"}, body)
        assert response.status == 200, response.body


def passes(legation):
    return int(legation.metrics()["legation_transform_pass_seconds_count", ()])


def stalled(legation):
    return legation.metrics()["legation_envoys_stalled_total", ()]


def connected(legation):
    return legation.metrics()["legation_envoys_connected", ()]


def weights(envoy):
    """{prefix: weight of the first target} of the writers' routes, as the Envoy has them; {} if it has none."""
    found = {}
    for dump in json.loads(envoy.admin("/config_dump?resource=dynamic_route_configs"))["configs"]:
        for host in dump["route_config"].get("virtual_hosts", []):
            for route in host["routes"]:
                prefix = route["match"].get("prefix", "")
                if prefix.startswith("/burst-"):
                    found[prefix] = route["route"]["weighted_clusters"]["clusters"][0]["weight"]
    return found


def subscribed(legation, **behaviour):
    """A raw stream of another replica of `checkout` that follows its route configuration."""
    return SlowClient(legation, CHECKOUT, ROUTES_TYPE, [ROUTES], **behaviour)


def test_a_storm_of_changes_coalesces_into_the_last_state(start, tmp_path):
    legation = start()
    with ExitStack() as running:
        envoys = {}
        for name, node_id, protocol in [("checkout", CHECKOUT, "delta"), ("checkout-replica", CHECKOUT, "sotw"),
                                        ("storefront", STOREFRONT, "delta"), ("helpdesk", HELPDESK, "delta")]:
            (tmp_path / name).mkdir()
            envoys[name] = Envoy(legation, node_id, tmp_path / name, protocol)
            running.callback(envoys[name].stop)
        for envoy in envoys.values():
            envoy.wait_until_live()
        quick = running.enter_context(subscribed(legation))
        slow = running.enter_context(subscribed(legation, answer_after_seconds=SLOW_ANSWER_SECONDS))
        slow.wait_for(ROUTES)
        quick.wait_for(ROUTES)
        legation.wait_for_envoys(len(envoys) + 2)
        pushes, passed = legation.pushes(), passes(legation)
        updates = {name: envoy.updates() for name, envoy in envoys.items()}
        responses = {"quick stream": quick.responses, "slow stream": slow.responses}

        started = time.monotonic()
        commits = Writers(legation).storm(lambda _: time.monotonic() - started < STORM_SECONDS)
        stormed = time.monotonic() - started
        legation.wait_for_envoys(len(envoys) + 2)
        lasted = time.monotonic() - started

        # everybody has the last state
        for name, envoy in envoys.items():
            last = weights(envoy)
            assert len(last) == (0 if name == "helpdesk" else WRITERS), name
            assert set(last.values()) <= {LAST_WEIGHT}, name
            assert not any(envoy.rejected().values())
        with subscribed(legation) as fresh:
            last = fresh.wait_for(ROUTES)
            assert quick.resources[ROUTES] == slow.resources[ROUTES] == last

        # in far fewer pushes than there were changes, and none of anything else
        passed = passes(legation) - passed
        pushed = {kind: count - pushes[kind] for kind, count in legation.pushes().items() if count != pushes[kind]}
        received = {name: {kind: count - updates[name][kind] for kind, count in envoy.updates().items()
                           if count != updates[name][kind]} for name, envoy in envoys.items()}
        assert received.pop("helpdesk") == {}, "it does not consume the service"
        counts = {name: by_type.pop("rds") for name, by_type in received.items()}
        assert not any(received.values()), received
        counts["quick stream"] = quick.responses - responses["quick stream"]
        counts["slow stream"] = slow.responses - responses["slow stream"]
        print(f"\n{commits} changes in {stormed:.1f} s ({1000 * stormed / commits:.2f} ms apart), {passed} passes, "
              f"pushes: {counts}, in sync after {lasted - stormed:.2f} s")
        # what each counts for itself is what was counted for all, but for the first response of the fresh stream
        assert pushed == {"rds": sum(counts.values()) + 1}
        # a push has a pass of the transformer behind it, and a pass takes in whatever was committed before
        assert passed < commits
        assert 2 * max(counts.values()) < commits
        assert all(1 <= count <= passed for count in counts.values())
        # one response at a time: who takes half a second for each is sent two a second, however many changes there are
        assert counts["slow stream"] <= lasted / SLOW_ANSWER_SECONDS + 1


def make_responses_large(legation):
    """Routes that never change, but travel with each change: more than fits into any window of a stream at its start."""
    client = legation.client()
    headers = [{"name": f"x-{number}", "match": {"exact": "x" * 250}} for number in range(10)]
    for number in range(20):
        client.create_route(meshName="bookshop", virtualRouterName="books", routeName=f"large-{number}", spec={
            "httpRoute": {"match": {"prefix": f"/large-{number}", "headers": headers},
                          "action": {"weightedTargets": [{"virtualNode": "books-v1", "weight": 1}]}}})


def streams_but(legation, healthy):
    return {envoy["stream"] for envoy in legation.status()["envoys"]} - {healthy}


def types_of(legation, streams):
    """{stream: (in sync, what was sent and accepted of route configurations)} of these streams, as /status says."""
    envoys = [envoy for envoy in legation.status()["envoys"] if envoy["stream"] in streams]
    return {envoy["stream"]: (envoy["synced"], envoy["types"]["rds"]) for envoy in envoys}


def ack_seconds(legation, envoy_stream):
    """From the call that changes a weight to the ACK of an Envoy, a few times."""
    samples = []
    for weight in range(1, SAMPLES + 1):
        started = time.time()
        Writers(legation).change(weight)

        def accepted():
            [(synced, routes)] = types_of(legation, {envoy_stream}).values()
            at = datetime.datetime.fromisoformat(routes["ackedAt"]).timestamp()
            return synced and routes["sent"] == routes["acked"] and at >= started - 0.001 and at

        samples.append(wait_until(accepted, "an ACK of a change", 20) - started)
    return samples


def test_envoys_that_read_or_answer_nothing_cost_constant_memory_and_delay_nobody(start, tmp_path):
    legation = start("--stall-timeout", "10m")
    make_responses_large(legation)
    storm = Writers(legation).storm
    with ExitStack() as running:
        envoy = Envoy(legation, CHECKOUT, tmp_path)
        running.callback(envoy.stop)
        envoy.wait_until_live()
        legation.wait_for_envoys(1)
        [healthy] = [envoy["stream"] for envoy in legation.status()["envoys"]]
        with subscribed(legation) as measuring:
            measuring.wait_for(ROUTES)
            response_kib = measuring.response_bytes / 1024
        assert response_kib > 40
        storm(lambda changes: changes < CHANGES / WRITERS)  # so that what the process keeps of its past is there

        legation.wait_for_envoys(1)
        before = legation.resident_kib
        storm(lambda changes: changes < CHANGES / WRITERS)
        legation.wait_for_envoys(1)
        growth_alone = legation.resident_kib - before
        alone = ack_seconds(legation, healthy)

        legation.wait_for_envoys(1)
        before = legation.resident_kib
        for number in range(STALLED_CLIENTS):
            if number % 2:
                client = subscribed(legation, reads=False, window=SMALL_WINDOW)
            else:
                client = subscribed(legation, answers=1)
            running.enter_context(client)
        def all_have_stopped():
            routes = [routes for _, routes in types_of(legation, streams_but(legation, healthy)).values()]
            return (all(of["sentAt"] for of in routes)
                    and sorted(bool(of["ackedAt"]) for of in routes) == sorted([False, True] * (STALLED_CLIENTS // 2)))

        wait_until(all_have_stopped, "half of them to have accepted the first response, and half nothing")
        Writers(legation).change(1)
        legation.wait_until_quiet()
        status = types_of(legation, streams_but(legation, healthy))
        for synced, routes in status.values():
            assert not synced
            assert routes["sent"] and routes["sent"] != routes["acked"]

        pushes, updates = legation.pushes(), envoy.updates()
        commits = storm(lambda changes: changes < CHANGES / WRITERS)
        legation.wait_until_quiet()
        wait_until(lambda: types_of(legation, {healthy})[healthy][0], "the healthy Envoy in sync")
        growth = legation.resident_kib - before
        beside = ack_seconds(legation, healthy)

        # they wait where they were, and nothing else was sent to anybody
        assert types_of(legation, streams_but(legation, healthy)) == status
        assert legation.pushes()["rds"] - pushes["rds"] == envoy.updates()["rds"] - updates["rds"]
        assert connected(legation) == STALLED_CLIENTS + 1 and stalled(legation) == 0
        # nobody waits for them
        assert statistics.median(beside) < 3 * statistics.median(alone) + 0.1
        # and they cost what a client costs, not what the changes do
        taken = envoy.updates()["rds"] - updates["rds"]
        per_client = (growth - growth_alone) / STALLED_CLIENTS
        print(f"\n{commits} changes, {taken} responses of {response_kib:.0f} KiB to the healthy Envoy; memory grew by "
              f"{growth_alone} KiB without and {growth} KiB with {STALLED_CLIENTS} stalled clients, {per_client:.0f} KiB "
              f"each; API to ACK of the healthy one, median of {SAMPLES}: {1000 * statistics.median(alone):.1f} ms without, "
              f"{1000 * statistics.median(beside):.1f} ms with them")
        assert per_client < MEMORY_PER_CLIENT_KIB_MAX
        assert taken * response_kib > 4 * MEMORY_PER_CLIENT_KIB_MAX, "too few to tell a queue from none"


@pytest.mark.parametrize("behaviour", [
    pytest.param({"reads": False, "window": SMALL_WINDOW}, id="reads nothing"),
    pytest.param({"answers": 0}, id="answers nothing"),
])
def test_envoys_that_stall_are_sent_away_and_leave_nothing_behind(start, tmp_path, behaviour):
    legation = start("--stall-timeout", "2s")
    make_responses_large(legation)
    envoy = Envoy(legation, CHECKOUT, tmp_path)
    try:
        envoy.wait_until_live()
        legation.wait_for_envoys(1)
        [healthy] = [envoy["stream"] for envoy in legation.status()["envoys"]]
        memory = []
        for sent_away in range(1, ROUNDS + 1):
            with ExitStack() as running:
                started = time.monotonic()
                for _ in range(STALLED_CLIENTS):
                    running.enter_context(subscribed(legation, **behaviour))
                wait_until(lambda: stalled(legation) == sent_away * STALLED_CLIENTS, "all of them sent away", 30)
                assert time.monotonic() - started > 1.9
                wait_until(lambda: connected(legation) == 1, "their places given back")
            memory.append(legation.resident_kib)
        print(f"\n{ROUNDS} rounds of {STALLED_CLIENTS} clients; resident after each: {memory} KiB")
        kept = (memory[-1] - memory[0]) / (ROUNDS - 1) / STALLED_CLIENTS
        assert kept < MEMORY_KEPT_KIB_MAX
        # the healthy Envoy has not noticed
        assert [envoy["stream"] for envoy in legation.status()["envoys"]] == [healthy]
        Writers(legation).change(LAST_WEIGHT)
        legation.wait_for_envoys(1)
        assert weights(envoy)["/burst-0"] == LAST_WEIGHT
    finally:
        envoy.stop()


def test_an_envoy_that_accepts_what_it_does_not_read_is_sent_away(start):
    """It has guessed the nonces. Only a few responses wait for it to read them."""
    legation = start("--stall-timeout", "10m")
    make_responses_large(legation)
    with subscribed(legation, reads=False, window=SMALL_WINDOW) as client:
        wait_until(lambda: legation.pushes()["rds"] == 1, "the first response")
        responses = 1
        while not stalled(legation):
            assert responses < 50, "responses wait, and more and more of them"
            Writers(legation).change(responses + 1)
            client.ack(str(responses))
            responses += 1
            wait_until(lambda: stalled(legation) or legation.pushes()["rds"] == responses, "the next response")
        wait_until(lambda: connected(legation) == 0, "its place given back")
        assert stalled(legation) == 1
