"""The simulation of reconnect waves: its statements hold for a small fleet, and the same seed gives the same."""

import json
import subprocess

from harness import locate

SMALL = ["--hosts", "20", "--envoys", "85", "--max-envoys", "100"]


def rebalance(*arguments):
    program = locate.legation_binary().with_name("legation-loadtest")
    command = [program, "rebalance", "--quiet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_every_scenario_holds_and_is_reported(tmp_path):
    page = tmp_path / "scaling.md"
    page.write_text("before\n\n<!-- begin rebalance -->\n<!-- end rebalance -->\n\nafter\n")
    finished = rebalance(*SMALL, "--markdown", page, "--html", tmp_path / "page.html", "--json", "-")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    outcomes = json.loads(finished.stdout)
    scenarios = {outcome["scenario"] for outcome in outcomes}
    assert {"steady", "new-host", "lose-tenth", "lose-half", "balancer-restart", "rolling-restart"} <= scenarios
    assert all(outcome["statements"] and outcome["failures"] == [] for outcome in outcomes)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert all(f"### {scenario}\n" in text for scenario in scenarios)
    assert len(list((tmp_path / "scaling").glob("*.svg"))) >= 3 * len(scenarios)


def test_the_same_seed_gives_the_same():
    def run(seed):
        return rebalance(*SMALL, "--scenarios", "lose-half", "--seed", seed, "--json", "-").stdout

    assert run("7") == run("7") != run("8")


def test_what_does_not_hold_is_a_failure():
    # a host can end one connection a second, and has 100 that have lived their time each minute
    finished = rebalance(
        "--hosts", "10", "--envoys", "100", "--max-envoys", "100", "--reconnect-interval", "1m",
        "--reconnects-per-second", "1", "--scenarios", "lose-tenth", "--balancing", "random",
    )
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "does not hold: random: seconds until all are back" in finished.stdout


def test_what_makes_no_sense_is_refused():
    for arguments in (["--hosts", "1"], ["--envoys", "2000"], ["--reconnect-interval", "1s"]):
        finished = rebalance(*arguments)
        assert finished.returncode == 2 and arguments[0] in finished.stderr
