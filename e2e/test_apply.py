"""`legation apply`: says what it did, does nothing twice, and is honest about a file that is half good."""

import json

import pytest

from harness import locate
from harness.definitions import documents
from harness.waiting import wait_until

SETS = ["bookshop", "everything", "walkthroughs/timeout-policy.yaml", "walkthroughs/circuit-breakers.yaml"]

MESH = "meshName: m\nspec: {}\n"
NODE = "meshName: m\nvirtualNodeName: {name}\nspec:\n  listeners:\n  - portMapping: {{port: {port}, protocol: http}}\n"


def settled_transaction(legation):
    """The transaction once nothing moves any more: fragments may be committed after the definitions."""
    seen = []

    def stable():
        seen.append(legation.transaction())
        return len(seen) > 15 and len(set(seen[-15:])) == 1

    wait_until(stable, "a transaction that stays")
    return seen[-1]


@pytest.mark.parametrize("path", SETS)
def test_a_second_apply_changes_nothing(legation, path):
    count = len(documents(path))
    first = legation.apply_example(path)
    assert first.counts == (count, 0, 0, 0)
    assert len(first.lines) == count + 1
    assert all(line.startswith("created ") for line in first.lines[:-1])

    transaction = settled_transaction(legation)
    second = legation.apply_example(path)
    assert second.counts == (0, 0, count, 0)
    assert all(line.startswith("unchanged ") for line in second.lines[:-1])
    assert settled_transaction(legation) == transaction


def test_a_line_for_each_resource(legation, tmp_path):
    legation.apply_example("bookshop")
    document = next(d for d in documents("bookshop") if "routeName" in d)
    document["spec"]["httpRoute"]["action"]["weightedTargets"][0]["weight"] = 50
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document))
    applied = legation.apply(locate.EXAMPLES / "bookshop" / "mesh.yaml", changed)
    assert applied.code == 0, applied.stderr
    assert applied.counts == (0, 1, 1, 0)
    lines = [" ".join(line.split()) for line in applied.lines]
    assert 'unchanged mesh "bookshop"' in lines
    (updated,) = [line for line in lines if line.startswith("updated ")]
    assert updated.startswith('updated route "split"') and 'in mesh "bookshop"' in updated

    client = legation.client()
    found = client.describe_route(meshName="bookshop", virtualRouterName="books", routeName="split")["route"]
    assert found["spec"] == document["spec"]
    assert found["metadata"]["version"] == 2


def test_from_standard_input_and_in_any_order(legation):
    backwards = "\n---\n".join(json.dumps(document) for document in reversed(documents("bookshop")))
    applied = legation.apply("-", stdin=backwards)
    assert applied.code == 0, applied.stdout + applied.stderr
    assert applied.counts == (len(documents("bookshop")), 0, 0, 0)


def test_half_good(legation, tmp_path):
    file = tmp_path / "half.yaml"
    file.write_text("---\n".join([
        MESH,
        NODE.format(name="good", port=80),
        NODE.format(name="bad", port=70000),
        "meshName: other\nvirtualNodeName: orphan\nspec: {}\n",
        NODE.format(name="also-good", port=81),
    ]))
    applied = legation.apply(file)
    assert applied.code != 0
    assert applied.counts == (3, 0, 0, 2)
    failed = {line.split('"')[1]: line for line in applied.lines if line.startswith("failed ")}
    assert set(failed) == {"bad", "orphan"}
    assert "spec.listeners[0].portMapping.port" in failed["bad"]
    assert "other" in failed["orphan"]

    nodes = legation.client().list_virtual_nodes(meshName="m")["virtualNodes"]
    assert sorted(item["virtualNodeName"] for item in nodes) == ["also-good", "good"]
    assert [item["meshName"] for item in legation.client().list_meshes()["meshes"]] == ["m"]


@pytest.mark.parametrize("name, text", [
    ("malformed.yaml", MESH + "---\nmeshName: [open\n"),
    ("malformed.json", '{"meshName": "m", "spec": {}'),
    ("scalar.yaml", MESH + "---\njust words\n"),
    ("nameless.yaml", MESH + "---\nspec: {}\n"),
    ("unknown-key.yaml", MESH + "---\nmeshName: m\nvirtualNodName: typo\nspec: {}\n"),
    ("twice.yaml", MESH + "---\nmeshName: m\nmeshName: n\nspec: {}\n"),
])
def test_a_file_that_cannot_be_read_applies_nothing(legation, tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text)
    applied = legation.apply(file)
    assert applied.code != 0
    assert name in applied.stdout + applied.stderr, "it says which file"
    assert legation.client().list_meshes()["meshes"] == []


def test_no_control_plane(legation):
    legation.stop()
    applied = legation.apply(locate.EXAMPLES / "bookshop")
    assert applied.code != 0
    assert legation.api in applied.stdout + applied.stderr
