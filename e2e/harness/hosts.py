"""Hosts of Legation that share a store, each with its roles, in a network namespace of its own."""

import os
import re
import signal
import subprocess

from harness import locate
from harness.legation import ANSI, Legation, _environment
from harness.process import Process
from harness.waiting import wait_until

ADDRESS = re.compile(r'\b(api|xds|admin)="?([^\s",]+)"?')

PORTS = {"api": 8080, "xds": 18000, "admin": 8081}

# how long after it was heard of last a host is taken for dead
LEASE_SECONDS = 3


class RoleHost(Legation):
    """A host with some of the roles. Which addresses it has depends on them."""

    def __init__(self, name, roles, etcd, network, directory, options=()):
        super().__init__(directory, options=options)
        self.name, self.roles, self.etcd = name, roles, etcd
        self.place = network.host()
        self.api = self.xds = None
        self.admin = f"{self.place.address}:{PORTS['admin']}"

    def start(self):
        self._starts += 1
        addresses = [word for flag, port in PORTS.items()
                     for word in (f"--{flag}-addr", f"{self.place.address}:{port}")]
        self._process = Process(f"{self.name}-{self._starts}", self.place.command([
            locate.legation_binary(), "serve", "--store", self.etcd.store, "--roles", ",".join(self.roles),
            "--lease-time", f"{LEASE_SECONDS}s", "--insecure", *addresses, *self._options,
        ]), self.directory, env=_environment())
        line = wait_until(self._ready, f"{self.name}: the line `legation is ready`", 30)
        found = dict(ADDRESS.findall(line))
        self.api, self.xds, self.admin = found.get("api"), found.get("xds"), found["admin"]
        return self

    def _ready(self):
        self._process.expect_running()
        return next((line for line in ANSI.sub("", self._process.stderr).splitlines()
                     if line.startswith("legation is ready")), None)

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.pid, signal.SIGCONT)

    def cut_off(self):
        """Nothing goes between this host and etcd any more, in either direction; all else does."""
        ports = ", ".join(map(str, self.etcd.client_ports))
        self._nft(f"""
            table ip cut {{
              chain out {{ type filter hook output priority 0; tcp dport {{ {ports} }} drop; }}
              chain in {{ type filter hook input priority 0; tcp sport {{ {ports} }} drop; }}
            }}""")

    def mend(self):
        self._nft("delete table ip cut")

    def _nft(self, rules):
        subprocess.run(self.place.command(["nft", "-f", "-"]), input=rules, text=True, check=True)

    def is_ready(self):
        try:
            return self.get("/readyz") == "ready\n"
        except OSError:
            return False

    def stop(self, timeout_seconds=10):
        code = super().stop(timeout_seconds)
        if self.place:
            self.place.remove()
            self.place = None
        return code
