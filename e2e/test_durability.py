"""What a crash may cost: nothing that was acknowledged, and no Envoy a thing."""

import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness.envoy import Envoy

WRITERS = 4
SECONDS_OF_WRITING = 1.5

NODES = [
    "mesh/bookshop/virtualGateway/storefront",
    "mesh/bookshop/virtualNode/checkout",
    "mesh/bookshop/virtualNode/helpdesk",
    "mesh/bookshop/virtualNode/books-v1",
]


class Writer(threading.Thread):
    """One client that creates, updates and deletes its own virtual nodes, one call after the other.

    It keeps two states: what the acknowledged calls add up to, and what it would be with the call that was in flight
    when the control plane died. That one may have been committed, its answer lost, so either state is right, and
    no third.
    """

    def __init__(self, legation, number):
        super().__init__(name=f"writer-{number}")
        self.number = number
        self.client = legation.client()
        self.acknowledged = {}
        self.with_call_in_flight = {}
        self.calls = 0
        self.unexpected = None

    def run(self):
        try:
            for step in range(1_000_000):
                self.step(step)
        except BotoCoreError:
            return  # the control plane is dead: the call in flight stays undecided
        except Exception as error:
            self.unexpected = error

    def step(self, step):
        name = f"w{self.number}-{step // 3:05}"
        match step % 3:
            case 0:
                self.call(self.client.create_virtual_node, name, self.spec(step))
            case 1:
                self.call(self.client.update_virtual_node, name, self.spec(step))
            case 2 if step % 2:
                self.call(self.client.delete_virtual_node, name, None)

    def spec(self, step):
        return {"listeners": [{"portMapping": {"port": 1000 + step % 60000, "protocol": "http"}}]}

    def call(self, operation, name, spec):
        after = {key: value for key, value in self.acknowledged.items() if key != name}
        if spec is not None:
            after[name] = spec
        self.with_call_in_flight = after
        operation(meshName="crash", virtualNodeName=name, **({} if spec is None else {"spec": spec}))
        self.acknowledged = after
        self.calls += 1


def nodes_of(client, mesh):
    pages = client.get_paginator("list_virtual_nodes").paginate(meshName=mesh, PaginationConfig={"PageSize": 100})
    names = [item["virtualNodeName"] for page in pages for item in page["virtualNodes"]]
    return {
        name: client.describe_virtual_node(meshName=mesh, virtualNodeName=name)["virtualNode"]["spec"]
        for name in names
    }


def test_kill_in_the_middle_of_api_calls(legation):
    legation.client().create_mesh(meshName="crash", spec={})
    writers = [Writer(legation, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    time.sleep(SECONDS_OF_WRITING)
    transaction = legation.transaction()
    legation.kill()
    for writer in writers:
        writer.join(timeout=30)
        assert not writer.is_alive()
        assert writer.unexpected is None, repr(writer.unexpected)
        assert writer.calls > 10, "too few calls to say anything"

    legation.restart()
    found = nodes_of(legation.client(), "crash")
    undecided = 0
    for writer in writers:
        mine = {name: spec for name, spec in found.items() if name.startswith(f"w{writer.number}-")}
        assert mine in (writer.acknowledged, writer.with_call_in_flight), f"{writer.name} after {writer.calls} calls"
        undecided += mine != writer.acknowledged
        for name in mine:
            del found[name]
    assert found == {}, "and no other"
    print(f"{sum(writer.calls for writer in writers)} acknowledged, {undecided} committed without an answer")

    # numbers of transactions never go back, and the store takes writes as before
    assert legation.transaction() >= transaction
    last = legation.transaction()
    legation.client().create_virtual_node(meshName="crash", virtualNodeName="after", spec={})
    assert legation.transaction() > last


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_restart_resends_nothing(legation, tmp_path, protocol):
    legation.apply_example("bookshop")
    envoys = [Envoy(legation, node_id, tmp_path, protocol) for node_id in NODES]
    try:
        for envoy in envoys:
            envoy.wait_until_live()
        legation.wait_for_envoys(len(envoys))
        before = [envoy.updates() for envoy in envoys]

        legation.kill()
        legation.restart()
        # by themselves, in their own time: Envoy waits longer after each attempt that failed
        legation.wait_for_envoys(len(envoys), timeout_seconds=40)

        pushes, after = legation.pushes(), [envoy.updates() for envoy in envoys]
        assert pushes["cds"] == 0 and pushes["lds"] == 0
        if protocol == "delta":
            # in state of the world a type that is asked for by name must be answered again
            assert pushes["rds"] == 0
            assert after == before
        for envoy, was, now in zip(envoys, before, after):
            assert (now["cds"], now["lds"]) == (was["cds"], was["lds"])
            assert envoy.connected
            assert envoy.rejected() == {"cds": 0, "lds": 0, "rds": 0}

        # they are not only connected, they follow
        legation.client().update_route(meshName="bookshop", virtualRouterName="books", routeName="split", spec={
            "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
                {"virtualNode": "books-v2", "weight": 1}]}}})
        legation.wait_until_quiet()
        assert legation.pushes()["rds"] - pushes["rds"] == 2
    finally:
        for envoy in envoys:
            envoy.stop()


def test_changes_that_an_envoy_missed(legation, tmp_path):
    """What changed while the control plane was out of an Envoy's reach arrives at its reconnect, and only that."""
    legation.apply_example("bookshop")
    envoy = Envoy(legation, "mesh/bookshop/virtualNode/checkout", tmp_path)
    try:
        envoy.wait_until_live()
        legation.wait_for_envoys(1)
        before = envoy.updates()
        port = legation.xds
        legation.stop()

        # the same store, reachable for the API and not for the Envoy
        legation.xds = "127.0.0.1:0"
        legation.restart()
        legation.client().update_route(meshName="bookshop", virtualRouterName="books", routeName="split", spec={
            "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
                {"virtualNode": "books-v1", "weight": 1}, {"virtualNode": "books-v2", "weight": 1}]}}})
        legation.stop()
        legation.xds = port
        legation.restart()

        legation.wait_for_envoys(1, timeout_seconds=40)
        assert {kind: count for kind, count in legation.pushes().items() if count} == {"rds": 1}
        assert envoy.updates()["rds"] == before["rds"] + 1
        assert envoy.updates()["cds"] == before["cds"]
    finally:
        envoy.stop()


def test_a_clean_stop(legation):
    legation.client().create_mesh(meshName="kept", spec={})
    assert legation.stop() == 0, "SIGTERM is not an error"
    legation.restart()
    assert [mesh["meshName"] for mesh in legation.client().list_meshes()["meshes"]] == ["kept"]
    with pytest.raises(ClientError):
        legation.client().create_mesh(meshName="kept", spec={})
