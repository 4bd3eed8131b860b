"""Real clients that write as fast as they can, under the rates that a control plane has unless it is told others."""

import json
import random
import threading
from collections import Counter

import pytest

from harness.app_mesh import MESH
from harness.http1 import request
from harness.legation import Legation

WRITERS = 50
ROUNDS = 12


def documents(count):
    yield {"meshName": "large", "spec": {}}
    for number in range(count - 1):
        listener = {"portMapping": {"port": 1 + number, "protocol": "http"}}
        yield {"meshName": "large", "virtualNodeName": f"n{number}", "spec": {"listeners": [listener]}}


def apply(control_plane, directory, count):
    file = directory / "large.yaml"
    file.write_text("\n---\n".join(map(json.dumps, documents(count))))
    return control_plane.apply(file, timeout_seconds=300)


def codes(control_plane):
    """How often each operation was answered with each code."""
    answered = Counter()
    for (name, labels), count in control_plane.metrics().items():
        if name == "legation_api_requests_total":
            answered[dict(labels)["operation"], dict(labels)["code"]] += int(count)
    return answered


@pytest.mark.timeout(600)
def test_apply_of_1000_documents(legation, tmp_path):
    applied = apply(legation, tmp_path, 1000)
    assert applied.code == 0, applied.stderr
    assert applied.counts == (1000, 0, 0, 0)
    assert legation.transaction() == 1000
    nodes = legation.client().get_paginator("list_virtual_nodes").paginate(meshName="large")
    assert len([node for page in nodes for node in page["virtualNodes"]]) == 999
    assert "TooManyRequestsException" not in {code for _, code in codes(legation)}, "the rates are meant for more"
    again = apply(legation, tmp_path, 1000)
    assert (again.code, again.counts, legation.transaction()) == (0, (0, 0, 1000, 0), 1000)


def test_apply_goes_on_when_it_is_throttled(tmp_path):
    control_plane = Legation(tmp_path, options=["--api-writes-per-second", 1]).start()
    try:
        applied = apply(control_plane, tmp_path, 8)
        assert applied.code == 0, applied.stdout + applied.stderr
        assert applied.counts == (8, 0, 0, 0)
        assert control_plane.transaction() == 8
        assert "TooManyRequestsException" in {code for _, code in codes(control_plane)}, "it was not throttled"
    finally:
        control_plane.stop()


class Writer(threading.Thread):
    """Changes what all writers change, and things of its own in between."""

    def __init__(self, number, client, start):
        super().__init__()
        self.number, self.client, self.begin = number, client, start
        self.random = random.Random(number)
        # what was answered: (resource, version) and the specification of that version
        self.acknowledged = {}
        self.deleted = []
        self.error = None

    def run(self):
        try:
            self.begin.wait()
            for round in range(ROUNDS):
                self.write(round)
        except Exception as error:
            self.error = error

    def write(self, round):
        # a specification that nobody else sends
        spec = {"listeners": [{"portMapping": {"port": 1 + self.number * ROUNDS + round, "protocol": "http"}}]}
        own = f"own-{self.number}"
        match round % 4:
            case 0:
                self.note(self.client.create_virtual_node(meshName=MESH, virtualNodeName=own, spec=spec))
            case 3:
                self.client.delete_virtual_node(meshName=MESH, virtualNodeName=own)
                self.deleted.append(own)
            case _:
                shared = self.random.choice(["shared-0", "shared-1"])
                self.note(self.client.update_virtual_node(meshName=MESH, virtualNodeName=shared, spec=spec))

    def note(self, answer):
        node = answer["virtualNode"]
        metadata = node["metadata"]
        assert (metadata["uid"], metadata["version"]) not in self.acknowledged
        self.acknowledged[metadata["uid"], metadata["version"]] = node["spec"]


@pytest.mark.timeout(600)
def test_50_writers_at_once_lose_nothing(legation):
    client = legation.client()
    client.create_mesh(meshName=MESH)
    for name in ("shared-0", "shared-1"):
        client.create_virtual_node(meshName=MESH, virtualNodeName=name, spec={})
    before = legation.transaction()
    start = threading.Barrier(WRITERS)
    # as boto3 is by default, which tries again where it is throttled
    writers = [Writer(number, legation.client(retries={}), start) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.error for writer in writers if writer.error] == []

    history = transactions(legation, before)
    numbers = [transaction["transaction"] for transaction in history]
    assert numbers == list(range(before + 1, before + WRITERS * ROUNDS + 1)), "a number is missing, or there twice"
    assert legation.transaction() == numbers[-1]

    # each version was acknowledged to one writer, and is in the history with what that writer sent
    acknowledged = [entry for writer in writers for entry in writer.acknowledged.items()]
    changes = [transaction["changes"][0] for transaction in history]
    assert all(len(transaction["changes"]) == 1 for transaction in history)
    told = [((change["after"]["metadata"]["uid"], change["after"]["metadata"]["version"]), change["after"]["spec"])
            for change in changes if change["change"] != "deleted"]
    by_version = lambda entry: entry[0]
    assert sorted(acknowledged, key=by_version) == sorted(told, key=by_version)
    deletions = [change["resource"].rsplit("/", 1)[1] for change in changes if change["change"] == "deleted"]
    assert sorted(deletions) == sorted(name for writer in writers for name in writer.deleted)

    # versions follow each other without a gap, in the order of the transactions, and the last is what is there
    for name in ("shared-0", "shared-1"):
        own = [change["after"] for change in changes if change["resource"].endswith(f"/{name}")]
        assert [after["metadata"]["version"] for after in own] == list(range(2, len(own) + 2))
        described = client.describe_virtual_node(meshName=MESH, virtualNodeName=name)["virtualNode"]
        assert (described["spec"], described["metadata"]["version"]) == (own[-1]["spec"], len(own) + 1)
    shared = sum(len(writer.acknowledged) for writer in writers) - WRITERS * ROUNDS // 4
    assert shared == WRITERS * ROUNDS // 2


def transactions(legation, after):
    """The history after a transaction, oldest first."""
    host, port = legation.api.rsplit(":", 1)
    found, before = [], None
    while True:
        query = f"after={after}" + (f"&before={before}" if before else "")
        page = request((host, int(port)), "GET", f"/legation/v1/history?{query}").json()
        found += page["transactions"]
        before = page.get("nextBefore")
        if before is None:
            return found[::-1]
