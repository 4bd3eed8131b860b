"""What `legation plan` says would happen is what happens: which Envoys are sent something, how often, and how many bytes."""

import copy
import json

import pytest
import yaml

from harness.definitions import documents
from harness.envoy import Envoy
from harness.simulated import SimulatedEnvoys

CHECKOUT = "mesh/bookshop/virtualNode/checkout"
HELPDESK = "mesh/bookshop/virtualNode/helpdesk"
STOREFRONT = "mesh/bookshop/virtualGateway/storefront"
SIMULATED = 20


def plan(legation, *words, stdin=None):
    return legation.command("plan", "--endpoint", legation.endpoint, *words, stdin=stdin)


def planned(legation, path, *words):
    done = plan(legation, "-f", path, "-o", "json", "--exit-code", *words)
    assert done.returncode in (0, 2), done.stderr
    answer = json.loads(done.stdout)
    assert (done.returncode == 2) is bool(answer["changes"])
    return answer


def write(path, *changed):
    path.write_text(yaml.safe_dump_all(changed))
    return path


def document(member, name):
    found = next(found for found in documents("bookshop") if found.get(member) == name)
    return copy.deepcopy(found)


def reweighed(first):
    route = document("routeName", "split")
    targets = route["spec"]["httpRoute"]["action"]["weightedTargets"]
    targets[0]["weight"], targets[1]["weight"] = first, 100 - first
    return route


def moved_to_one_version():
    route = document("routeName", "split")
    action = route["spec"]["httpRoute"]["action"]
    action["weightedTargets"] = action["weightedTargets"][:1]
    return route


def without_backends():
    node = document("virtualNodeName", "checkout")
    node["spec"]["backends"] = node["spec"]["backends"][:1]
    return node


def of_types(node, member):
    """{type: number} of a node of a plan, as the harness counts."""
    return {kind: of_type[member] for kind, of_type in node["types"].items() if of_type[member]}


def updates(node):
    """What an Envoy counts: an update for each response, but of routes one for each route configuration."""
    counts = of_types(node, "responses")
    if "rds" in counts:
        routes = node["types"]["rds"]
        counts["rds"] = routes["added"]["count"] + routes["updated"]["count"]
    return {kind: count for kind, count in counts.items() if count and kind in ("cds", "lds", "rds")}


def difference(after, before):
    return {kind: after[kind] - before[kind] for kind in after if after[kind] != before[kind]}


CHANGES = {
    "routes": lambda: [reweighed(30)],
    "clusters": lambda: [moved_to_one_version()],
    "several": lambda: [reweighed(10), without_backends()],
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_planned_happens(legation, tmp_path, change):
    legation.apply_example("bookshop")
    envoys = {}
    try:
        for node in (CHECKOUT, HELPDESK, STOREFRONT):
            envoys[node] = Envoy(legation, node, tmp_path)
            envoys[node].wait_until_live()
        with SimulatedEnvoys(legation.xds) as simulated:
            routes = envoys[CHECKOUT].config()["routes"]
            simulated.add(SIMULATED, CHECKOUT, routes=routes)
            simulated.add(SIMULATED, HELPDESK, routes=envoys[HELPDESK].config()["routes"])
            legation.wait_for_envoys(2 * SIMULATED + len(envoys))
            simulated.mark()
            pushes, transaction = legation.pushes(), legation.transaction()
            counted = {node: envoy.updates() for node, envoy in envoys.items()}
            messages = envoys[CHECKOUT].messages()

            path = write(tmp_path / "change.yaml", *CHANGES[change]())
            answer = planned(legation, path)
            assert legation.pushes() == pushes and legation.transaction() == transaction
            assert answer["transaction"] == transaction + 1
            nodes = {node["node"]: node for node in answer["nodes"]}
            assert CHECKOUT in nodes and HELPDESK not in nodes
            assert nodes[CHECKOUT]["envoys"] == SIMULATED + 1
            if STOREFRONT in nodes:
                assert nodes[STOREFRONT]["envoys"] == 1

            applied = legation.command("apply", "--endpoint", legation.endpoint, "-f", path, "--atomic")
            assert applied.returncode == 0, applied.stdout + applied.stderr
            assert legation.transaction() == answer["transaction"]
            legation.wait_for_envoys(2 * SIMULATED + len(envoys))

            expected = dict.fromkeys(pushes, 0)
            for node in nodes.values():
                for kind, responses in of_types(node, "responses").items():
                    expected[kind] += responses * node["envoys"]
            assert difference(legation.pushes(), pushes) == {kind: count for kind, count in expected.items() if count}
            for node, envoy in envoys.items():
                assert difference(envoy.updates(), counted[node]) == (updates(nodes[node]) if node in nodes else {})
                assert not any(envoy.rejected().values())

            report = simulated.report()
            sent = of_types(nodes[CHECKOUT], "bytes")
            received = {kind: count for kind, count in report["bytes"]["delta"].items() if count}
            assert received == {kind: count * SIMULATED for kind, count in sent.items()}
            assert set(report["receivers"]["delta"].values()) <= {0, SIMULATED}, "those of the other node had nothing"

            had = {(kind, name): message for kind, of_type in messages.items() for name, message in of_type.items()}
            has = {(kind, name): message
                   for kind, of_type in envoys[CHECKOUT].messages().items() for name, message in of_type.items()}
            changed = {key for key in had | has if had.get(key) != has.get(key)}
            shown = {(it["type"], it["name"]): it for it in nodes[CHECKOUT]["configuration"]}
            assert set(shown) == changed
            for key, resource in shown.items():
                assert (resource["before"] is None) is (key not in had)
                assert (resource["after"] is None) is (key not in has)
                if resource["after"] is not None:
                    assert resource["after"]["name"] == has[key]["name"]

            again = planned(legation, path)
            assert not again["changes"] and not again["nodes"] and again["transaction"] == answer["transaction"]
    finally:
        for envoy in envoys.values():
            envoy.stop()


def test_a_plan_for_people(legation, tmp_path):
    legation.apply_example("bookshop")
    path = write(tmp_path / "change.yaml", reweighed(30))
    shown = plan(legation, "-f", path)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == "  updated mesh/bookshop/virtualRouter/books/route/split, version 1 -> 2"
    assert any(line.split()[:3] == [CHECKOUT, "updated", "0"] for line in lines)
    assert f"configuration of Envoys of {CHECKOUT}" in lines
    assert lines[-1].startswith("1 resource changes; ")

    brief = plan(legation, "-f", path, "--summary")
    assert brief.stdout == lines[-1] + "\n"
    assert "configuration of" not in plan(legation, "-f", path, "--no-diff").stdout
    one = plan(legation, "-f", path, "--node", CHECKOUT).stdout.splitlines()
    assert [line for line in one if line.startswith("configuration of")] == [f"configuration of Envoys of {CHECKOUT}"]
    assert legation.command("history", "--endpoint", legation.endpoint, "--limit", "1").stdout.count("version 2") == 0


def test_prune_is_planned_as_it_is_applied(legation, tmp_path):
    legation.apply_example("bookshop")
    mesh = next(found for found in documents("bookshop") if set(found) <= {"meshName", "spec", "tags"})
    path = write(tmp_path / "only-the-mesh.yaml", mesh)
    assert not planned(legation, path)["changes"]
    answer = planned(legation, path, "--prune")
    applied = legation.command(
        "apply", "--endpoint", legation.endpoint, "-f", path, "--prune", "--atomic", "--yes")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    deleted = {line.split(None, 1)[1] for line in applied.stdout.splitlines() if line.startswith("deleted ")}
    assert len(answer["changes"]) == len(deleted) == len(documents("bookshop")) - 1
    assert {change["change"] for change in answer["changes"]} == {"deleted"}
    assert {node["change"] for node in answer["nodes"]} == {"deleted"}


def test_exit_codes(legation, tmp_path):
    legation.apply_example("bookshop")
    same = write(tmp_path / "same.yaml", document("routeName", "split"))
    changed = write(tmp_path / "changed.yaml", reweighed(30))
    refused = document("routeName", "split")
    refused["spec"]["httpRoute"]["action"]["weightedTargets"][0]["virtualNode"] = "none"
    refused = write(tmp_path / "refused.yaml", refused)
    unusable = tmp_path / "unusable.yaml"
    unusable.write_text("meshName: bookshop\n")
    for path, code, with_flag in [(same, 0, 0), (changed, 0, 2), (refused, 1, 1), (unusable, 2, 1)]:
        assert plan(legation, "-f", path).returncode == code, path
        assert plan(legation, "-f", path, "--exit-code").returncode == with_flag, path
    assert plan(legation, "-f", same, "--wrong").returncode == 2
    assert plan(legation, "-f", same, "--wrong", "--exit-code").returncode == 1
    legation.stop()
    assert plan(legation, "-f", changed, "--exit-code").returncode == 1
