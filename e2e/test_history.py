"""Who changed what, and taking it back: `legation history`, `legation rollback`, and how long the past is kept."""

import json
import os
import pty
import subprocess

import pytest

from harness import locate
from harness.definitions import documents
from harness.envoy import Envoy
from harness.legation import Legation
from harness.waiting import wait_until

ROUTE = "mesh/bookshop/virtualRouter/books/route/split"
ARN = f"arn:aws:appmesh:us-east-1:000000000000:{ROUTE}"


def command(legation, name, *words):
    return legation.command(name, "--endpoint", legation.endpoint, *words)


def history(legation, *words):
    done = command(legation, "history", "-o", "json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reweigh(legation, first):
    """Gives the first version of the books this weight, and the second one the rest."""
    spec = next(d["spec"] for d in documents("bookshop") if d.get("routeName") == "split")
    targets = spec["httpRoute"]["action"]["weightedTargets"]
    targets[0]["weight"], targets[1]["weight"] = first, 100 - first
    legation.client().update_route(
        meshName="bookshop", virtualRouterName="books", routeName="split", spec=spec)


def weights(legation):
    route = legation.client().describe_route(
        meshName="bookshop", virtualRouterName="books", routeName="split")["route"]
    return [target["weight"] for target in route["spec"]["httpRoute"]["action"]["weightedTargets"]]


def test_history_tells_who_changed_what(legation):
    legation.apply_example("bookshop")
    reweigh(legation, 30)
    shown = command(legation, "history", ROUTE)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("transaction ") and "UpdateRoute" in lines[0] and lines[0].endswith("by anonymous")
    assert lines[1].strip() == f"updated {ROUTE}, version 1 -> 2"
    differences = [line.strip() for line in lines if line.startswith(("    -", "    +"))][:4]
    assert [line.split() for line in differences] == [
        ["-", "weight:", "80"], ["+", "weight:", "30"], ["-", "weight:", "20"], ["+", "weight:", "70"]]
    assert command(legation, "history", ARN).stdout == shown.stdout

    everything = history(legation, "--mesh", "bookshop", "--limit", "1000")
    assert len(everything["transactions"]) == len(documents("bookshop")) + 1
    newest = everything["transactions"][0]
    assert newest["transaction"] == everything["newest"] == legation.transaction()
    (change,) = newest["changes"]
    assert (change["resource"], change["arn"], change["change"]) == (ROUTE, ARN, "updated")
    assert change["after"]["spec"]["httpRoute"]["action"]["weightedTargets"][0]["weight"] == 30
    assert len(history(legation, "--limit", "3")["transactions"]) == 3
    assert history(legation, "mesh/other")["transactions"] == []

    wrong = command(legation, "history", "bookshop")
    assert wrong.returncode == 1 and "resource" in wrong.stderr


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_a_rollback_reaches_envoys(legation, tmp_path, protocol):
    legation.apply_example("bookshop")
    to = legation.transaction()
    envoy = Envoy(legation, "mesh/bookshop/virtualNode/checkout", tmp_path, protocol)
    try:
        envoy.wait_until_live()

        def has(*expected):
            text = json.dumps(envoy.messages()["rds"])
            return all(f'"weight": {weight}' in text for weight in expected)

        wait_until(lambda: has(80, 20), "the weights of the example")
        reweigh(legation, 30)
        legation.client().delete_virtual_service(meshName="bookshop", virtualServiceName="reviews.shop.local")
        wait_until(lambda: has(30, 70), "the new weights")

        done = command(legation, "rollback", "--to", to, "--mesh", "bookshop", "--yes")
        assert done.returncode == 0, done.stderr
        assert f"updated {ROUTE}, version 2 -> 3" in done.stdout
        assert "created mesh/bookshop/virtualService/reviews.shop.local" in done.stdout
        transaction = to + 3
        assert done.stdout.splitlines()[-1] == f"rolled back to transaction {to}, as transaction {transaction}"
        wait_until(lambda: has(80, 20), "the weights of the example again")
        assert envoy.rejected() == {"cds": 0, "lds": 0, "rds": 0}
        waited = legation.command(
            "wait", "--admin", f"http://{legation.admin}", "--transaction", transaction, "--timeout", "20s")
        assert waited.returncode == 0, waited.stderr
    finally:
        envoy.stop()

    assert weights(legation) == [80, 20]
    newest = history(legation, "--limit", "1")["transactions"][0]
    assert (newest["operation"], newest["transaction"]) == ("Rollback", transaction)
    assert len(newest["changes"]) == 2
    again = command(legation, "rollback", "--to", to, "--yes")
    assert again.returncode == 0 and "as it was after" in again.stdout
    assert legation.transaction() == transaction


def test_a_rollback_asks_first(legation):
    legation.apply_example("bookshop")
    to = legation.transaction()
    reweigh(legation, 30)
    refused = command(legation, "rollback", "--to", to)
    assert refused.returncode == 2 and "--yes" in refused.stderr
    assert f"updated {ROUTE}" in refused.stdout, "what it would do is shown"
    assert weights(legation) == [30, 70]

    for answer, code, expected in (("\n", 1, [30, 70]), ("n\n", 1, [30, 70]), ("y\n", 0, [80, 20])):
        terminal, inside = pty.openpty()
        process = subprocess.Popen(
            [str(locate.legation_binary()), "rollback", "--endpoint", legation.endpoint, "--to", str(to)],
            stdin=inside, stdout=subprocess.PIPE, stderr=inside, text=True)
        os.close(inside)
        os.write(terminal, answer.encode())
        process.communicate(timeout=60)
        os.close(terminal)
        assert (process.returncode, weights(legation)) == (code, expected), answer


def test_what_cannot_be_rolled_back_to_is_refused(legation):
    legation.apply_example("bookshop")
    newest = legation.transaction()
    for to, expected in ((newest + 1, "is in the future"), (newest, "as it was after")):
        done = command(legation, "rollback", "--to", to, "--yes")
        assert expected in done.stdout + done.stderr
        assert done.returncode == (0 if to == newest else 1)
    done = command(legation, "rollback", "--to", newest, "--mesh", "other", "--yes")
    assert done.returncode == 1 and 'mesh "other"' in done.stderr
    assert legation.transaction() == newest


def test_the_past_is_kept_as_long_as_the_operator_says(tmp_path):
    legation = Legation(tmp_path, options=["--journal-entries-max", "5"]).start()
    try:
        legation.apply_example("bookshop")
        for weight in range(1, 30):
            reweigh(legation, weight)
        newest = legation.transaction()
        wait_until(lambda: history(legation)["oldest"] == newest - 5, "the journal being pruned", 60)
        kept = history(legation, "--limit", "1000")
        assert [entry["transaction"] for entry in kept["transactions"]] == list(range(newest, newest - 5, -1))
        assert legation.metrics()["legation_store_oldest_transaction", ()] == newest - 5

        too_old = command(legation, "rollback", "--to", newest - 6, "--yes")
        assert too_old.returncode == 1
        assert f"transaction {newest - 6} is too old, the oldest known is {newest - 5}" in too_old.stderr
        legation.kill()
        legation.restart()
        wait_until(lambda: history(legation)["oldest"] == newest - 5, "the journal being pruned again", 60)
        done = command(legation, "rollback", "--to", newest - 5, "--mesh", "bookshop", "--yes")
        assert done.returncode == 0, done.stderr
        assert weights(legation) == [24, 76]
        assert len(legation.client().list_virtual_nodes(meshName="bookshop")["virtualNodes"]) > 2, "old definitions stay"
    finally:
        legation.stop()
