"""The load test: every scenario runs, against a host that it starts, and reports what happened."""

import json
import subprocess
import tempfile

import pytest

from harness import locate

SMALL = ["--envoys", "30", "--services", "40", "--backends", "4"]

# by scenario: its flags, and how many changes reach how many consumers in each of its phases
SCENARIOS = {
    "connect-storm": ([], [(0, 0)]),
    "hot-change": (["--changes", "5"], [(5, 30)]),
    "spread-change": (["--changes", "20", "--changing", "10"], [(20, 3)]),
    "irrelevant-envoys": (["--changes", "5", "--few", "10", "--consumers", "9"], [(5, 9), (5, 9)]),
    "irrelevant-services": (["--changes", "5", "--consumers", "9", "--many", "2040"], [(5, 9), (5, 9)]),
    "backends": (["--changes", "5", "--many", "12"], [(5, 30), (5, 30)]),
    "stalled-readers": (["--changes", "5", "--percent", "20"], [(5, 24), (5, 24)]),
    "mass-reconnect": ([], [(0, 0)]),
    "nackers": (["--changes", "5", "--percent", "10"], [(5, 27), (5, 27)]),
}


def finish(*arguments, store_in=None):
    """The process that has ended, and the runs that it tells of. Stores are where other temporary files are."""
    program = locate.legation_binary().with_name("legation-loadtest")
    command = [program, *arguments, "--store-in", store_in or tempfile.gettempdir(), "--quiet", "--json", "-"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert finished.stdout, finished.stderr
    return finished, json.loads(finished.stdout)


def run(*arguments, **options):
    finished, runs = finish(*arguments, **options)
    assert finished.returncode == 0, f"{runs} {finished.stderr}"
    return runs


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_runs_and_reports(scenario):
    flags, expected = SCENARIOS[scenario]
    [measured] = run(scenario, *SMALL, *flags)
    assert measured["failures"] == []
    phases = measured["phases"]
    assert [phase["changes"] for phase in phases] == [changes for changes, _ in expected]
    for phase, (changes, consumers) in zip(phases, expected):
        receipts = phase["latencies"].get("receipt", {"count": 0})["count"]
        if scenario == "spread-change":
            # so many on average: 30 nodes with 4 backends each, of 40 services
            assert receipts == phase["received"]["pushes"] and abs(receipts - changes * consumers) <= changes
        else:
            assert receipts == changes * consumers
        assert phase["server"]["cpu_seconds"] > 0
        assert [phase["received"][what] for what in ("lost", "misdirected", "disconnects")] == [0, 0, 0]
    if scenario == "mass-reconnect":
        received = phases[0]["received"]
        assert received["resources"] == received["endpoints"] > 0, "nothing had changed; endpoints are always answered"
        assert phases[0]["latencies"]["sync"]["count"] == 30
    if scenario == "nackers":
        # those who reject are not waited for: what they rejected of the last change before may be counted, too
        assert 5 * 3 <= phases[1]["received"]["rejected"] <= 6 * 3


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_churn_reaches_everybody(protocol):
    [measured] = run("churn", *SMALL, "--rate", "50", "--seconds", "3", "--protocol", protocol)
    [phase] = measured["phases"]
    assert phase["changes"] > 20
    assert phase["latencies"]["last_receipt"]["count"] == phase["changes"]
    assert phase["samples"][-1]["outstanding"] == 0


def test_a_soak_looks_at_memory_while_envoys_connect_again():
    finished, [measured] = finish("soak", *SMALL, "--rate", "50", "--seconds", "10", "--reconnects", "2")
    # in so short a time the memory of so small a fleet may be anything
    assert all("memory was" in failure for failure in measured["failures"])
    assert finished.returncode == (1 if measured["failures"] else 0)
    assert measured["parameters"]["seconds"] == "10" and measured["parameters"]["reconnects"] == "2"
    [phase] = measured["phases"]
    assert phase["changes"] == 500 and phase["latencies"]["last_receipt"]["count"] == 500
    assert 15 <= phase["latencies"]["sync"]["count"] <= 20, "two a second connect again, and have to be in sync again"
    assert all(sample["resident"] > 0 for sample in phase["samples"]) and len(phase["samples"]) > 50


def test_changes_over_etcd_stand_beside_its_own_puts(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- begin etcd-change -->\n<!-- end etcd-change -->\n\nafter\n")
    html = tmp_path / "page.html"
    [measured] = run("etcd-change", *SMALL, "--changes", "5", "--markdown", page, "--html", html, store_in="/dev/shm")
    assert measured["failures"] == [] and measured["parameters"]["store"] == "in memory"
    embedded, one, three = measured["phases"]
    assert [phase["name"] for phase in (embedded, one, three)] == ["embedded store", "etcd, 1 member", "etcd, 3 members"]
    parts = {"request", "commit", "pass", "push_to_ack", "propagation"}
    for phase in (embedded, one, three):
        assert phase["changes"] == 5 and phase["latencies"]["receipt"]["count"] == 5 * 30
        assert phase["received"]["lost"] == phase["received"]["redundant"] == 0
        assert set(phase["parts"]) == parts and all(mean > 0 for mean in phase["parts"].values())
        assert phase["parts"]["request"] > phase["parts"]["commit"]
    assert "etcd_put" not in embedded["latencies"]
    for phase in (one, three):
        latencies = phase["latencies"]
        assert latencies["etcd_put"]["count"] == latencies["last_ack"]["count"] == 5
        # a change is a commit, a pass and another commit, of which each is no less than a put
        assert latencies["last_ack"]["p50"] > latencies["etcd_put"]["p50"]
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    ratio = three["latencies"]["last_ack"]["p50"] / three["latencies"]["etcd_put"]["p50"]
    [row] = [line for line in text.splitlines() if line.startswith("| last ACK p50, divided by etcd put p50 |")]
    assert float(row.split("|")[-2]) == pytest.approx(ratio, rel=0.01)
    assert "etcd put" in html.read_text()


def test_passes_over_everything_are_timed():
    [measured] = run("full-pass", "--services", "40", "--backends", "4", "--passes", "1")
    [phase] = measured["phases"]
    assert phase["changes"] == 0 and phase["latencies"]["full_pass"]["count"] == 1
    assert 0 < phase["latencies"]["full_pass"]["p50"] < phase["seconds"] * 1000


def test_what_is_recorded_is_served_by_a_server_of_its_own(tmp_path):
    content = tmp_path / "content.json"
    run("hot-change", *SMALL, "--changes", "1", "--server", "floor-h2", "--keep-content", content)
    program = locate.legation_binary().with_name("legation-loadtest")
    addresses = ["--xds-addr", "127.0.0.1:0", "--hook-addr", "127.0.0.1:0"]
    command = [program, "floor", "--kind", "tonic", "--content", content, *addresses]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as floor:
        try:
            ready = dict(word.split("=") for word in floor.stderr.readline().split() if "=" in word)
            served = ["--xds", ready["xds"], "--hook", f"http://{ready['hook']}", "--content", content]
            [measured] = run("hot-change", *SMALL, "--changes", "5", *served)
        finally:
            floor.terminate()
    assert measured["failures"] == [] and measured["server"] == "running"
    assert measured["phases"][0]["latencies"]["receipt"]["count"] == 5 * 30


def test_who_has_no_etcd_is_told_what_to_install():
    program = locate.legation_binary().with_name("legation-loadtest")
    command = [program, "etcd-change", *SMALL, "--changes", "1", "--quiet", "--etcd", "/nowhere/etcd"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 2 and "apt-get install etcd-server" in finished.stderr


def test_servers_are_compared(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- begin compare -->\n<!-- end compare -->\n\nafter\n")
    budgets = tmp_path / "budgets.toml"
    budgets.write_text("""
[[budget]]
name = "nothing is sent again"
value = { scenario = "mass-reconnect", server = "legation", number = "resources_but_endpoints" }
of = { scenario = "mass-reconnect", server = "floor-h2", number = "resources_but_endpoints" }
at_most = 0.001
""")
    runs = run(
        "compare", "--servers", "legation,floor-tonic,floor-h2", "--scenarios", "mass-reconnect", "--repetitions", "1",
        "--markdown", page, "--html", tmp_path / "page.html", "--check", budgets,
    )
    assert [measured["server"] for measured in runs] == ["legation", "floor-tonic", "floor-h2"]
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "mass-reconnect" in text and "floor-tonic" in text
    assert "mass-reconnect" in (tmp_path / "page.html").read_text()
