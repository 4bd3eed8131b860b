"""What no Envoy does, and what its network may: the server answers within its limits, and others are served meanwhile."""

import itertools
import select
import socket
import struct
import time

import pytest
from h2.exceptions import ProtocolError

from harness import xds
from harness.ads import AdsStream, open_stream
from harness.http2 import frame
from harness.legation import Legation
from harness.waiting import wait_until

WITNESS, VICTIM, OTHER = (f"mesh/m/virtualNode/{name}" for name in ("witness", "victim", "other"))
ENDPOINTS = xds.SEPARATE["eds"][2]
PROTOCOLS = pytest.mark.parametrize("protocol", ["delta", "sotw"])

OK = 0
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4

NAMES_MAX = 100_000
REQUEST_BYTES_MAX = 8 << 20
STREAMS_MAX = 16
MIB_KIB = 1024

PORTS = itertools.count(2000)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A control plane that all of these tests try to wear down."""
    control_plane = start(tmp_path_factory.mktemp("faults"))
    yield control_plane
    assert "panicked" not in control_plane.stderr
    assert control_plane.stop() == 0


def start(directory, *options, **where):
    control_plane = Legation(directory, options=options, **where).start()
    control_plane.client().create_mesh(meshName="m", spec={})
    for node_id in (WITNESS, VICTIM, OTHER):
        control_plane.client().create_virtual_node(
            meshName="m", virtualNodeName=node_id.rsplit("/", 1)[1], spec=listening_on(next(PORTS)))
    return control_plane


def listening_on(port):
    return {"listeners": [{"portMapping": {"port": port, "protocol": "http"}}]}


def change(legation, node_id):
    """Changes a cluster of a node: a part of its name."""
    port = next(PORTS)
    legation.client().update_virtual_node(
        meshName="m", virtualNodeName=node_id.rsplit("/", 1)[1], spec=listening_on(port))
    return f"_http_{port}"


def receive_change(stream, cluster):
    """Accepts what comes until this cluster has come."""
    while True:
        answer = stream.receive()
        stream.ack(answer)
        if cluster.encode() in answer.body:
            return


@pytest.fixture
def witness(shop):
    """A stream that stays open meanwhile; it and new ones are served before and after."""
    with xds.connect(shop) as connection:
        stream = open_stream(connection, WITNESS)
        stream.ack(stream.receive())
        is_served(shop, stream)
        yield stream
        is_served(shop, stream)
    shop.wait_until_left_alone()


def is_served(legation, stream):
    receive_change(stream, change(legation, WITNESS))
    with xds.connect(legation) as connection:
        assert open_stream(connection, OTHER).receive().type_url == xds.CLUSTER


# requests

@PROTOCOLS
def test_an_answer_that_answers_nothing_changes_nothing(shop, witness, protocol):
    with xds.connect(shop) as connection:
        stream = open_stream(connection, VICTIM, protocol)
        answer = stream.receive()
        for nonce in (answer.nonce, answer.nonce, "never given", "18446744073709551616", "x" * 100_000):
            stream.ask(nonce=nonce)
        assert stream.receives_nothing()
        receive_change(stream, change(shop, VICTIM))


@PROTOCOLS
def test_a_flood_of_nacks_is_sent_nothing_again(shop, witness, protocol):
    with xds.connect(shop) as connection:
        stream = open_stream(connection, VICTIM, protocol)
        before, memory = shop.pushes()["cds"], shop.resident_kib
        answer = stream.receive()
        for number in range(3000):
            stream.nack(answer, f"no {number} " + "n" * 1000)
        is_served(shop, witness)
        assert stream.receives_nothing()
        # those of the witness, and of the one that came after it
        assert shop.pushes()["cds"] - before <= 5
        for _ in range(10):
            cluster = change(shop, VICTIM)
            answer = stream.receive()
            assert cluster.encode() in answer.body, "one response for each change"
            stream.nack(answer)
            assert stream.receives_nothing(0.05)
        cluster = change(shop, VICTIM)
        receive_change(stream, cluster)
        assert shop.resident_kib - memory < 32 * MIB_KIB


def test_a_flood_of_subscriptions_is_bounded(shop, witness):
    """Names come and go without an answer being read: each is to be answered, because of the wildcard, until it is too much."""
    with xds.connect(shop) as connection:
        stream = open_stream(connection, VICTIM)
        stream.ask(names=["*"]).receive()
        memory, names, at_once = shop.resident_kib, itertools.count(), 1000
        for _ in range(NAMES_MAX // at_once + 1):
            batch = [f"name-{next(names)}" for _ in range(at_once)]
            stream.ask(names=batch)
            stream.ask(unsubscribe=batch)
        code, text = stream.end()
        assert code == INVALID_ARGUMENT and "100000" in text
        assert shop.resident_kib - memory < 128 * MIB_KIB


def test_a_flood_of_subscriptions_that_are_answered_leaves_nothing_behind(shop, witness):
    with xds.connect(shop) as connection:
        stream = open_stream(connection, VICTIM)
        stream.ask(names=["*"])
        stream.ack(stream.receive())
        names, memory = itertools.count(), None
        for number in range(100):
            batch = [f"name-{next(names)}" + "x" * 400 for _ in range(100)]
            for ask in ({"names": batch}, {"unsubscribe": batch}):
                stream.ask(**ask)
                answer = stream.receive()
                while not answer.removed:  # the answer to the wildcard may come first
                    stream.ack(answer)
                    answer = stream.receive()
                assert sorted(answer.removed) == sorted(batch)
                stream.ack(answer)
            if number == 20:
                memory = shop.resident_kib
        assert shop.resident_kib - memory < 4 * MIB_KIB
        receive_change(stream, change(shop, VICTIM))


@PROTOCOLS
def test_many_names_are_taken_and_too_many_are_refused(shop, witness, protocol):
    names = [f"n{number}" for number in range(NAMES_MAX)]
    with xds.connect(shop) as connection:
        stream = open_stream(connection, VICTIM, protocol)
        stream.ack(stream.receive())
        stream.ask(type_url=ENDPOINTS, names=names)
        missing = set()
        while protocol == "delta" and len(missing) < len(names):
            answer = stream.receive()
            missing.update(answer.removed)
            stream.ack(answer)
        receive_change(stream, change(shop, VICTIM))
        stream.ask(type_url=ENDPOINTS, names=[*names, "one more"])
        code, text = stream.end()
        assert code == INVALID_ARGUMENT and str(NAMES_MAX) in text


UNREADABLE = {
    "no protobuf": frame(b"\xff" * 50),
    "a message that ends too early": frame(xds.field(4, b"x" * 50)[:-1]),
    "no compression was agreed on": b"\x01" + frame(b"abc")[1:],
    "too long": b"\0" + struct.pack("!I", REQUEST_BYTES_MAX + 1),
}


@PROTOCOLS
@pytest.mark.parametrize("when", ["at first", "later"])
@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_ends_the_stream_with_an_error(shop, witness, protocol, when, what):
    with xds.connect(shop) as connection:
        if when == "at first":
            stream = AdsStream(connection, protocol)
        else:
            stream = open_stream(connection, VICTIM, protocol)
            stream.ack(stream.receive())
        stream.send(UNREADABLE[what])
        code, text = stream.end()
        assert code == INVALID_ARGUMENT and "cannot be read" in text
        assert "too long" not in what or str(REQUEST_BYTES_MAX) in text
        # the connection is as good as before
        assert open_stream(connection, VICTIM, protocol).receive()


@PROTOCOLS
def test_a_giant_message_is_refused_before_it_has_come(shop, witness, protocol):
    with xds.connect(shop) as connection:
        memory = shop.resident_kib
        stream = open_stream(connection, VICTIM, protocol)
        stream.ack(stream.receive())
        stream.send(frame(b"x" * (32 << 20)))
        assert stream.end()[0] == INVALID_ARGUMENT
        assert shop.resident_kib - memory < 16 * MIB_KIB


def test_the_metadata_of_a_node_may_be_large_and_is_not_kept(shop, witness):
    # a google.protobuf.Struct with one string
    value = xds.field(3, b"x" * (6 << 20))
    metadata = xds.field(3, xds.field(1, xds.field(1, b"key") + xds.field(2, value)))
    connections, sizes = [], []
    try:
        for _ in range(50):
            connection = xds.connect(shop)
            connections.append(connection)
            stream = AdsStream(connection).ask(VICTIM, node=metadata)
            stream.ack(stream.receive())
            sizes.append(shop.resident_kib)
        # a sixth of what keeping it would take: the allocator holds on to the space of a few requests
        assert sizes[-1] - sizes[4] < 45 * MIB_KIB, f"KiB after each stream: {sizes}"
    finally:
        for connection in connections:
            connection.__exit__()


@PROTOCOLS
def test_another_node_in_a_later_request_changes_nothing(shop, witness, protocol):
    with xds.connect(shop) as connection:
        stream = open_stream(connection, VICTIM, protocol)
        stream.ack(stream.receive())
        stream.ask(OTHER).ask("mesh/m/virtualNode/none").ask("")
        stream.ask(OTHER, names=["*"])
        nodes = sorted(envoy["node"] for envoy in shop.status()["envoys"])
        assert nodes == [VICTIM, WITNESS]
        others = change(shop, OTHER)
        own = change(shop, VICTIM)
        answers = []
        while not answers or own.encode() not in answers[-1].body:
            answers.append(stream.receive())
            stream.ack(answers[-1])
        assert not any(others.encode() in answer.body for answer in answers)


@PROTOCOLS
def test_an_unknown_type_is_not_answered_and_the_stream_goes_on(shop, witness, protocol):
    def ignored():
        return shop.metrics()["legation_requests_ignored_total", ()]

    before = ignored()
    with xds.connect(shop) as connection:
        stream = AdsStream(connection, protocol)
        stream.ask(VICTIM, type_url="type.googleapis.com/envoy.config.of.tomorrow.v9.Thing")
        assert stream.receives_nothing()
        stream.ask()
        stream.ack(stream.receive())
        stream.ask(type_url="no type at all")
        receive_change(stream, change(shop, VICTIM))
        assert ignored() - before == 2


# streams and connections

def test_what_never_comes_is_not_waited_for(shop, witness):
    """Many at once of: half a preface; headers that never end; a stream without a request; a request, a byte at a time."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2_frame(SETTINGS, 0, 0, b"")
    request = frame(xds.first_request("delta", VICTIM, names=["x" * 1000]))
    plans = {
        "half a preface": (b"PRI * HTTP/2.0\r\n", b""),
        "endless headers": (preface + http2_frame(HEADERS, 0, 1, b"\x82"), http2_frame(CONTINUATION, 0, 1, b"\x82")),
    }
    sockets = {socket.create_connection(address(shop)): (plan, time.monotonic()) for plan in plans for _ in range(40)}
    slow_streams = []
    try:
        for raw, (plan, _) in sockets.items():
            raw.sendall(plans[plan][0])
        is_served(shop, witness)
        for _ in range(10):
            slow_streams += [(AdsStream(xds.connect(shop)), b""), (AdsStream(xds.connect(shop)), request)]
        position, ended_after = 0, []
        while sockets:
            for stream, slow in slow_streams:
                stream.send(slow[position:position + 1])
            position += 1
            for raw, (plan, began) in list(sockets.items()):
                assert time.monotonic() - began < 60, f"the server waits for the end of {plan}"
                if has_ended(raw, plans[plan][1]):
                    ended_after.append(time.monotonic() - began)
                    del sockets[raw]
            time.sleep(0.25)
        assert len(ended_after) == 80
        for stream, _ in slow_streams:
            code, text = stream.end()
            assert code == DEADLINE_EXCEEDED and "no request" in text
    finally:
        for closing in (*sockets, *(stream.connection for stream, _ in slow_streams)):
            closing.__exit__()


def has_ended(raw, more):
    """Whether the server has closed a connection, on which `more` is sent otherwise."""
    try:
        while select.select([raw], [], [], 0)[0]:
            if not raw.recv(65536):
                return True
        raw.sendall(more)
    except OSError:
        return True
    return False


HEADERS, SETTINGS, CONTINUATION = 1, 4, 9


def http2_frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def address(legation):
    host, port = legation.xds.rsplit(":", 1)
    return host, int(port)


@PROTOCOLS
@pytest.mark.parametrize("when", ["after the request", "after the response", "after the answer"])
@pytest.mark.parametrize("how", ["half close", "reset"])
def test_a_stream_that_its_envoy_ends_leaves_nothing_behind(shop, witness, protocol, when, how):
    with xds.connect(shop) as connection:
        stream = open_stream(connection, VICTIM, protocol)
        if when != "after the request":
            answer = stream.receive()
            if when == "after the answer":
                stream.ack(answer)
        if how == "half close":
            stream.half_close()
            assert stream.end()[0] == OK
        else:
            stream.reset()
        wait_until(lambda: shop.connected() == 1, "the actor to be gone")
        # the connection is as good as before
        assert open_stream(connection, VICTIM, protocol).receive()


def test_pings_of_a_client_are_borne(shop, witness):
    with xds.connect(shop) as connection:
        stream = open_stream(connection, VICTIM)
        stream.ack(stream.receive())
        for _ in range(50):
            connection.ping()
            connection.read_for(0.1)
        wait_until(lambda: connection.read_for(0.1) or connection.pings_answered == 50, "all pings answered")
        receive_change(stream, change(shop, VICTIM))


def test_a_thousand_streams_on_one_connection_are_not_all_served(shop, witness):
    """A client that ignores how many streams it may open: those beyond are refused, or its connection ends."""
    memory, refused = shop.resident_kib, 0
    with xds.connect(shop) as connection:
        open_stream(connection, VICTIM).receive()
        connection.forget_the_limit_of_streams()
        streams = []
        try:
            streams = [open_stream(connection, VICTIM) for _ in range(1000)]
            connection.read_for(2)
        except (ConnectionError, OSError, ProtocolError):
            pass  # ended for good
        else:
            refused = sum(stream.was_refused for stream in streams)
            assert refused == 1000 - (STREAMS_MAX - 1)
        assert shop.connected() <= STREAMS_MAX + 1
        is_served(shop, witness)
    wait_until(lambda: shop.connected() == 1, "all of them to be gone")
    assert shop.resident_kib - memory < 64 * MIB_KIB


def test_an_envoy_that_vanishes_leaves_nothing_behind(network, tmp_path):
    """Its machine is gone without a word: no FIN, no RST."""
    legation = start(tmp_path, "--keepalive-interval", "1s", "--keepalive-timeout", "8s", xds_host=network.address)
    host = network.host()
    try:
        with xds.connect(legation, host) as connection, xds.connect(legation) as alive:
            gone, stays = open_stream(connection, VICTIM), open_stream(alive, WITNESS)
            for stream in (gone, stays):
                stream.ack(stream.receive())
            assert legation.connected() == 2
            host.vanish()
            gone_at = time.monotonic()
            while legation.connected() > 1:
                assert time.monotonic() - gone_at < 60, "its stream is kept"
                alive.read_for(0.1)  # answers pings
            assert [envoy["node"] for envoy in legation.status()["envoys"]] == [WITNESS]
            assert legation.metrics()["legation_fragments_in_use", ()] == 1
            receive_change(stays, change(legation, WITNESS))
        legation.wait_until_left_alone()
        assert "panicked" not in legation.stderr
    finally:
        host.remove()
        legation.stop()


# endurance

@pytest.mark.timeout(180)
def test_connecting_and_leaving_returns_all_memory(tmp_path):
    """Rounds of Envoys that come, are told of a change, and leave in every way there is."""
    legation = start(tmp_path)
    try:
        sizes = [round_of_envoys(legation, count=250) for _ in range(12)]
        assert sizes[-1] - sizes[3] < 2 * MIB_KIB, f"KiB after each round: {sizes}"
        assert "panicked" not in legation.stderr
    finally:
        legation.stop()


def round_of_envoys(legation, count):
    """Resident memory after these have left, in KiB."""
    at_once = 50
    for start_at in range(0, count, at_once):
        connections = [xds.connect(legation) for _ in range(at_once)]
        node_ids = itertools.cycle((WITNESS, VICTIM, OTHER))
        streams = [open_stream(connection, node_id, protocol) for connection, node_id, protocol in
                   zip(connections, node_ids, itertools.cycle(("delta", "sotw")))]
        for stream in streams:
            stream.ack(stream.receive())
        cluster = change(legation, VICTIM)
        for number, stream in enumerate(streams):
            if number % 3 == 1:
                receive_change(stream, cluster)
        for number, stream in enumerate(streams):
            match number % 4:
                case 0:
                    stream.half_close()
                case 1:
                    stream.reset()
        for connection in connections:
            connection.__exit__()
    legation.wait_until_left_alone()
    return legation.resident_kib
