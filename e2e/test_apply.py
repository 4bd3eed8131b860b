"""`legation apply`: says what it did, does nothing twice, and is honest about a file that is half good."""

import json
import subprocess

import pytest

from harness import locate
from harness.definitions import documents
from harness.legation import Applied
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


def prune(legation, *words):
    done = legation.command("apply", "--endpoint", legation.endpoint, "--prune", *words)
    return Applied(done.returncode, done.stdout, done.stderr)


def names(legation, mesh="bookshop"):
    """Everything in a mesh, by its list operations."""
    client = legation.client()
    found = {item["virtualNodeName"] for item in client.list_virtual_nodes(meshName=mesh)["virtualNodes"]}
    found |= {item["virtualServiceName"] for item in client.list_virtual_services(meshName=mesh)["virtualServices"]}
    for router in client.list_virtual_routers(meshName=mesh)["virtualRouters"]:
        routes = client.list_routes(meshName=mesh, virtualRouterName=router["virtualRouterName"])["routes"]
        found |= {router["virtualRouterName"]} | {route["routeName"] for route in routes}
    gateways = client.list_virtual_gateways(meshName=mesh)["virtualGateways"]
    return found | {gateway["virtualGatewayName"] for gateway in gateways}


@pytest.mark.parametrize("atomic", [[], ["--atomic"]], ids=["one-by-one", "atomic"])
def test_what_the_files_no_longer_have_is_deleted(legation, tmp_path, atomic):
    legation.apply_example("bookshop")
    legation.apply_example("walkthroughs/timeout-policy.yaml")
    others = legation.client().list_meshes()["meshes"]
    # the books go to one version and lose their router; who only they need goes too
    less = [d for d in documents("bookshop") if not {"virtualRouterName", "virtualGatewayName"} & set(d)]
    less = [d for d in less if d.get("virtualNodeName") != "books-v2"]
    for document in less:
        if document.get("virtualServiceName") == "books.shop.local":
            document["spec"] = {"provider": {"virtualNode": {"virtualNodeName": "books-v1"}}}
    file = tmp_path / "less.yaml"
    file.write_text("\n---\n".join(json.dumps(document) for document in less))
    before, transaction = names(legation), legation.transaction()

    asked = prune(legation, "-f", file, *atomic)
    assert asked.code == 2 and "--yes" in asked.stderr and "books-v2" in asked.stderr
    assert (names(legation), legation.transaction()) == (before, transaction), "nothing happens without an answer"

    pruned = prune(legation, "-f", file, "--yes", *atomic)
    assert pruned.code == 0, pruned.stdout + pruned.stderr
    gone = before - names(legation)
    assert {"books-v2", "books", "split", "storefront"} <= gone
    assert pruned.counts == (0, 1, len(less) - 1, 0)
    assert pruned.deleted == len(documents("bookshop")) - len(less)
    if atomic:
        assert legation.transaction() == transaction + 1
    assert legation.client().list_meshes()["meshes"] == others, "what no file names stays"

    again = prune(legation, "-f", file, *atomic)
    assert (again.code, again.deleted, again.counts) == (0, 0, (0, 0, len(less), 0))


def test_all_or_nothing(legation, tmp_path):
    file = tmp_path / "half.yaml"
    file.write_text("---\n".join([MESH, NODE.format(name="good", port=80), NODE.format(name="bad", port=70000)]))
    words = ["apply", "--endpoint", legation.endpoint, "--atomic", "-f", file]
    refused = legation.command(*words)
    assert refused.returncode == 1
    assert 'virtual node "bad"' in refused.stdout and "70000" in refused.stdout
    assert legation.client().list_meshes()["meshes"] == []
    file.write_text("---\n".join([MESH, NODE.format(name="good", port=80), NODE.format(name="bad", port=7000)]))
    applied = legation.command(*words)
    assert applied.returncode == 0, applied.stdout
    assert legation.transaction() == 1


@pytest.mark.parametrize("killed", ["command", "control plane"])
def test_an_apply_that_was_killed_goes_on_where_it_was(legation, tmp_path, killed):
    count = 1000
    file = tmp_path / "many.yaml"
    file.write_text("---\n".join([MESH, *(NODE.format(name=f"n{index}", port=80) for index in range(count))]))
    words = [str(locate.legation_binary()), "apply", "--endpoint", legation.endpoint, "-f", str(file)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: legation.transaction() > 20, "some of it being applied")
    if killed == "command":
        process.kill()
        process.communicate(timeout=60)
    else:
        legation.kill()
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "apply again" in errors and "was not reached" in out
        legation.restart()
    done = legation.transaction()
    assert 20 < done < count, "it was killed in the middle"

    resumed = legation.apply(file)
    assert resumed.code == 0, resumed.stdout + resumed.stderr
    created, updated, unchanged, failed = resumed.counts
    assert (created + unchanged, updated, failed) == (count + 1, 0, 0)
    assert unchanged in (done, done + 1), "a request may have been on its way"
    assert legation.transaction() == count + 1, "nothing was made twice"
