"""How connections of Envoys begin and end: the cap, forced reconnects, Envoys that stall, a host that shuts down."""

import socket
import time
from contextlib import ExitStack

import pytest
from h2.exceptions import ProtocolError

from harness import xds
from harness.envoy import Envoy
from harness.http2 import Http2Connection, grpc_status
from harness.legation import Legation
from harness.waiting import wait_until

CHECKOUT = "mesh/bookshop/virtualNode/checkout"
RESOURCE_EXHAUSTED = 8


@pytest.fixture
def start(tmp_path):
    """Starts a control plane with options, and the bookshop in its store."""
    started = []

    def start(*options):
        control_plane = Legation(tmp_path, options=options).start()
        started.append(control_plane)
        control_plane.apply_example("bookshop")
        return control_plane

    yield start
    for control_plane in started:
        control_plane.stop()


def connect(legation):
    host, port = legation.xds.rsplit(":", 1)
    return Http2Connection((host, int(port)))


def open_stream(connection, node_id, until=lambda stream: stream.ended or len(stream.body) > 5):
    return connection.call(xds.SERVICE, xds.METHODS["delta"], xds.first_request("delta", node_id), end_stream=False,
                           until=until)


def refused(legation, reason):
    return legation.metrics()["legation_connections_refused_total", (("reason", reason),)]


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_a_forced_reconnect_is_a_new_connection_and_resends_nothing(start, tmp_path, protocol):
    legation = start("--reconnect-interval", "3s")
    envoy = Envoy(legation, CHECKOUT, tmp_path, protocol)
    try:
        envoy.wait_until_live()
        legation.wait_for_envoys(1)
        peer = legation.status()["envoys"][0]["peer"]
        connections = envoy.stats()["cluster.legation.upstream_cx_total"]
        updates, pushes = envoy.updates(), legation.pushes()

        def reconnected():
            envoys = legation.status()["envoys"]
            return len(envoys) == 1 and envoys[0]["peer"] != peer and envoys[0]["synced"]

        wait_until(reconnected, "a stream on a new connection", 15)
        legation.wait_until_quiet()
        assert envoy.stats()["cluster.legation.upstream_cx_total"] > connections
        assert legation.metrics()["legation_reconnects_forced_total", ()] >= 1
        assert (envoy.updates()["cds"], envoy.updates()["lds"]) == (updates["cds"], updates["lds"])
        pushed = legation.pushes()
        assert (pushed["cds"], pushed["lds"]) == (pushes["cds"], pushes["lds"])
        if protocol == "delta":
            assert pushed == pushes
        assert not any(envoy.rejected().values())
    finally:
        envoy.stop()


def test_an_envoy_that_is_up_to_date_does_not_wait_longer_after_each_reconnect(start, tmp_path):
    """Its back-off starts again with each response and doubles without: it would soon be away for half a minute each time."""
    reconnects = 10
    legation = start("--reconnect-interval", "2s")
    envoy = Envoy(legation, CHECKOUT, tmp_path)
    try:
        envoy.wait_until_live()
        legation.wait_for_envoys(1)
        before = envoy.updates(), legation.pushes()
        # 2 s each, and a quarter of one; all of its longer and longer pauses would add up to more than a minute
        wait_until(lambda: legation.metrics()["legation_reconnects_forced_total", ()] >= reconnects,
                   f"{reconnects} reconnects", 45)
        assert (envoy.updates(), legation.pushes()) == before, "what it is sent counts as nothing"
    finally:
        envoy.stop()


def test_one_more_than_the_cap_is_closed_unread(start):
    legation = start("--max-envoys", "3")
    connections = [connect(legation) for _ in range(3)]
    try:
        for connection in connections:
            assert open_stream(connection, CHECKOUT).body
        with pytest.raises((ConnectionError, OSError)), connect(legation) as one_more:
            open_stream(one_more, CHECKOUT)
        assert refused(legation, "host_full") == 1
        assert legation.metrics()["legation_envoys_connected", ()] == 3
        with pytest.raises(Exception, match="503"):
            legation.get("/readyz")
    finally:
        for connection in connections:
            connection.__exit__()
    wait_until(lambda: legation.metrics()["legation_envoys_connected", ()] == 0, "places to be given back")
    with connect(legation) as connection:
        assert open_stream(connection, CHECKOUT).body
    assert "ready" in legation.get("/readyz")


def test_a_storm_of_connections_waits_in_the_backlog(start):
    """64 are opened at a time and these say nothing: the others are accepted by the system, and wait (conformance 104)."""
    legation = start("--max-envoys", "2000")
    host, port = legation.xds.rsplit(":", 1)
    with ExitStack() as connections:
        for _ in range(1200):
            # where the backlog is full the first packet is dropped, and sent again after a second
            connections.enter_context(socket.create_connection((host, int(port)), timeout=0.8))


def test_one_node_has_a_cap_of_its_own(start):
    legation = start("--max-envoys-per-node", "1")
    with connect(legation) as first, connect(legation) as second, connect(legation) as other:
        assert open_stream(first, CHECKOUT).body
        stream = open_stream(second, CHECKOUT, until=lambda stream: stream.ended)
        code, message = grpc_status(stream)
        assert code == RESOURCE_EXHAUSTED and CHECKOUT in message
        # its connection ends too, or the Envoy would come back to this host for ever
        with pytest.raises((OSError, ProtocolError)):
            time.sleep(0.5)  # before this no Envoy tries again
            open_stream(second, CHECKOUT)
        assert open_stream(other, "mesh/bookshop/virtualNode/helpdesk").body
    assert refused(legation, "node_full") == 1


def test_an_envoy_that_answers_nothing_is_sent_away(start):
    legation = start("--stall-timeout", "1s")
    with connect(legation) as connection:
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            open_stream(connection, CHECKOUT, until=lambda stream: False)
        assert 0.9 < time.monotonic() - started < 20
    assert legation.metrics()["legation_envoys_stalled_total", ()] == 1


def test_a_connection_without_a_call_does_not_keep_its_place(start):
    legation = start("--max-envoys", "1")
    with connect(legation):
        wait_until(lambda: _serves(legation), "the silent connection to be closed", 40)


def _serves(legation):
    try:
        with connect(legation) as connection:
            return bool(open_stream(connection, CHECKOUT).body)
    except OSError:
        return False


def test_shutting_down_sends_envoys_away_and_ends(start, tmp_path):
    legation = start()
    envoy = Envoy(legation, CHECKOUT, tmp_path)
    try:
        envoy.wait_until_live()
        legation.wait_for_envoys(1)
        started = time.monotonic()
        assert legation.stop() == 0
        assert time.monotonic() - started < 15
        wait_until(lambda: not envoy.connected, "the Envoy to notice")
        legation.restart()
        legation.wait_for_envoys(1, timeout_seconds=40)
    finally:
        envoy.stop()


def test_waiting_for_a_change(start, tmp_path):
    legation = start("--stall-timeout", "20s")
    envoy = Envoy(legation, CHECKOUT, tmp_path)
    try:
        envoy.wait_until_live()
        legation.wait_for_envoys(1)
        before = legation.metrics().get(("legation_propagation_seconds_count", ()), 0)
        for weight in range(1, 21):
            legation.client().update_route(meshName="bookshop", virtualRouterName="books", routeName="split", spec={
                "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
                    {"virtualNode": "books-v1", "weight": weight}, {"virtualNode": "books-v2", "weight": 1}]}}})
            done = legation.command("wait", "--admin", f"http://{legation.admin}", "--timeout", "10s")
            assert done.returncode == 0, done.stderr
            assert f'"weight": {weight}' in envoy.admin("/config_dump?resource=dynamic_route_configs")
        metrics = legation.metrics()
        assert metrics["legation_propagation_seconds_count", ()] - before == 20
        assert metrics["legation_propagation_seconds_sum", ()] < 20

        # an Envoy that takes nothing in is named, and one that the change does not concern is not
        with connect(legation) as stalled:
            open_stream(stalled, "mesh/bookshop/virtualNode/helpdesk")
            done = legation.command("wait", "--admin", f"http://{legation.admin}", "--timeout", "300ms")
            assert done.returncode == 0, "the newest change does not concern it"
            legation.client().update_virtual_node(meshName="bookshop", virtualNodeName="helpdesk", spec={})
            done = legation.command("wait", "--admin", f"http://{legation.admin}", "--timeout", "300ms")
            assert done.returncode == 1
            assert "mesh/bookshop/virtualNode/helpdesk" in done.stderr and CHECKOUT not in done.stderr
        assert legation.command("wait", "--admin", f"http://{legation.admin}", "--transaction", "100000").returncode == 1
    finally:
        envoy.stop()


def test_shutting_down_does_not_wait_for_half_a_request(start):
    legation = start()
    half_open = []
    for address in (legation.api, legation.admin):
        host, port = address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=5)
        connection.sendall(b"GET /v2019")
        half_open.append(connection)
    started = time.monotonic()
    assert legation.stop() == 0
    assert time.monotonic() - started < 6
    for connection in half_open:
        connection.close()
