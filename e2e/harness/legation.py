"""The program under test: one `legation serve` on a data directory of its own, and the commands around it."""

import json
import os
import re
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from harness import locate
from harness.process import STOP_TIMEOUT_SECONDS, Process
from harness.waiting import wait_until

READY = re.compile(r'legation is ready\b.*?\bapi="?([^\s",]+)"?.*?\bxds="?([^\s",]+)"?.*?\badmin="?([^\s",]+)"?')
ANSI = re.compile(r"\x1b\[[0-9;]*m")
SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
SUMMARY = re.compile(r"^(\d+) created, (\d+) updated, (?:(\d+) deleted, )?(\d+) unchanged, (\d+) failed$")

# pushes must not have moved for this long before a count of them is believed
QUIET_SECONDS = 0.4


@dataclass
class Applied:
    """What one run of `legation apply` said."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self):
        return [line for line in self.stdout.splitlines() if line.strip()]

    @property
    def counts(self):
        """(created, updated, unchanged, failed) from the last line."""
        created, updated, _, unchanged, failed = self._summary()
        return tuple(map(int, (created, updated, unchanged, failed)))

    @property
    def deleted(self):
        """How many were deleted, by the last line; none where nothing could be."""
        return int(self._summary()[2] or 0)

    def _summary(self):
        match = SUMMARY.match(self.lines[-1]) if self.lines else None
        assert match, f"no summary line\nstdout: {self.stdout}\nstderr: {self.stderr}"
        return match.groups()


class Legation:
    def __init__(self, directory, xds_host="127.0.0.1", options=()):
        self.directory = Path(directory)
        self.data_dir = self.directory / "data"
        # port 0 at first; a restart asks for what the first start was given
        self.api, self.xds, self.admin = "127.0.0.1:0", f"{xds_host}:0", "127.0.0.1:0"
        self._options = list(options)
        if not xds_host.startswith("127."):
            self._options.append("--insecure")
        self._process = None
        self._starts = 0

    def start(self):
        self._starts += 1
        self._process = Process(f"legation-{self._starts}", [
            locate.legation_binary(), "serve",
            "--data-dir", self.data_dir,
            "--api-addr", self.api,
            "--xds-addr", self.xds,
            "--admin-addr", self.admin,
            *self._options,
        ], self.directory, env=_environment())
        self.api, self.xds, self.admin = wait_until(self._ready_line, "the line `legation is ready`").groups()
        return self

    def _ready_line(self):
        self._process.expect_running()
        return READY.search(ANSI.sub("", self._process.stderr))

    def stop(self, timeout_seconds=STOP_TIMEOUT_SECONDS):
        return self._process.stop(timeout_seconds) if self._process else None

    def kill(self):
        """As a crash would: no farewell to Envoys, nothing flushed that was not already durable."""
        self._process.kill()

    def restart(self):
        """Starts again on the same data and the same ports."""
        return self.start()

    @property
    def stderr(self):
        return self._process.stderr

    @property
    def pid(self):
        return self._process.pid

    @property
    def resident_kib(self):
        """Resident memory, in KiB."""
        return self._process.resident_kib

    # the API

    @property
    def endpoint(self):
        return f"{'https' if '--api-tls-certificate' in self._options else 'http'}://{self.api}"

    def client(self, key=("test", "test"), region="us-east-1", verify=None, **config):
        """boto3 as anyone would use it, except that it does not retry unless asked to. `key` is the identifier and the secret of
        an access key, `verify` the file with the authority of the server."""
        config = {"retries": {"total_max_attempts": 1}, "read_timeout": 10, "connect_timeout": 5, **config}
        return boto3.client(
            "appmesh",
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            verify=verify,
            config=Config(**config),
        )

    # commands

    def command(self, *words, stdin=None, env=None, timeout_seconds=60):
        return subprocess.run(
            [str(locate.legation_binary()), *map(str, words)],
            input=stdin, capture_output=True, text=True, timeout=timeout_seconds, env=_environment() | (env or {}),
        )

    def apply(self, *files, **options):
        words = [word for file in files for word in ("-f", file)]
        done = self.command("apply", "--endpoint", self.endpoint, *words, **options)
        return Applied(done.returncode, done.stdout, done.stderr)

    def apply_example(self, path):
        """Applies a file or folder of examples/, all of which must be taken."""
        applied = self.apply(locate.EXAMPLES / path)
        assert applied.code == 0, applied.stdout + applied.stderr
        return applied

    def bootstrap(self, node_id, protocol="delta", admin_port=9901, xds=None):
        """The bootstrap for a node id of the form mesh/M/virtualNode/N or mesh/M/virtualGateway/N.

        `xds` is the address of a balancer, where Envoys are not to come to this host by itself.
        """
        _, mesh, kind, name = node_id.split("/", 3)
        flag = {"virtualNode": "--virtual-node", "virtualGateway": "--virtual-gateway"}[kind]
        done = self.command(
            "bootstrap", "--mesh", mesh, flag, name,
            "--xds-addr", xds or self.xds, "--protocol", protocol, "--envoy-admin-port", admin_port,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    # administration

    def get(self, path):
        """The body of an admin page."""
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=10) as response:
            return response.read().decode()

    def status(self):
        return json.loads(self.get("/status"))

    def metrics(self):
        """{(name, ((label, value), ...)): number}, labels sorted."""
        samples = {}
        for line in self.get("/metrics").splitlines():
            match = SAMPLE.match(line)
            if match:
                name, labels, value = match.groups()
                samples[name, tuple(sorted(LABEL.findall(labels or "")))] = float(value)
        return samples

    def by_type(self, metric):
        """A counter by its label `type`; what was never counted is 0."""
        counts = dict.fromkeys(("cds", "eds", "sds", "lds", "rds"), 0)
        for (name, labels), value in self.metrics().items():
            if name == metric:
                counts[dict(labels)["type"]] = int(value)
        return counts

    def pushes(self):
        return self.by_type("legation_pushes_total")

    def connected(self):
        """How many Envoys have a stream here."""
        return int(self.metrics()["legation_envoys_connected", ()])

    def refused(self, reason="host_full"):
        """How many connections were refused for this reason."""
        return int(self.metrics()["legation_connections_refused_total", (("reason", reason),)])

    def wait_until_left_alone(self, timeout_seconds=15):
        """Until no Envoy is connected, and nothing is left of those that were."""
        def left_alone():
            metrics = self.metrics()
            return (metrics["legation_envoys_connected", ()], metrics["legation_fragments_in_use", ()]) == (0, 0)

        wait_until(left_alone, "nothing left of the Envoys that were connected", timeout_seconds)
        assert self.status()["envoys"] == []

    def transaction(self):
        return self.status()["transaction"]

    def wait_for_envoys(self, count, timeout_seconds=30):
        """Until `count` Envoys are connected, all in sync, and nothing more is sent."""
        self.wait_until_synced(count, timeout_seconds)
        self.wait_until_quiet(timeout_seconds)
        self.wait_until_synced(count, timeout_seconds)

    def wait_until_synced(self, count, timeout_seconds=30):
        def synced():
            envoys = self.status()["envoys"]
            return len(envoys) == count and all(envoy["synced"] for envoy in envoys)

        wait_until(synced, f"{count} Envoys connected and in sync", timeout_seconds)

    def wait_until_quiet(self, timeout_seconds=15):
        deadline = time.monotonic() + timeout_seconds
        seen, since = self.pushes(), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            assert time.monotonic() < deadline, "pushes go on and on"
            time.sleep(0.05)
            now = self.pushes()
            if now != seen:
                seen, since = now, time.monotonic()


def _environment():
    """The environment without settings and credentials that would change what the tests ask for."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LEGATION_", "AWS_"))}
