"""Envoys with the applications behind them, as a mesh would run them: a host each, with transparent interception."""

import sys
from pathlib import Path

from harness import http1, netns, upstream
from harness.envoy import Envoy
from harness.http2 import Http2Connection
from harness.process import Process
from harness.waiting import wait_until


class Fleet:
    """Everything that runs on one network for one control plane; `stop` ends all of it."""

    def __init__(self, legation, network, directory, protocol="delta"):
        self.legation = legation
        self.network = network
        self.directory = Path(directory)
        self.protocol = protocol
        self.members = {}
        self._dns_names = {}

    def sidecar(self, node_id, *listeners, dns=(), address="127.0.0.1"):
        """A host with an application that has these (protocol, port) listeners, and an Envoy for the virtual node.

        `dns` are the names that lead to it; more than one host may have the same name. The application listens at
        `address`, where only its own Envoy reaches it.
        """
        member = Sidecar(self, node_id, listeners, address)
        for name in dns:
            self._dns_names.setdefault(name, []).append(member.host.address)
            self.network.dns.set(name, *self._dns_names[name])
        return self._add(node_id, member)

    def gateway(self, node_id):
        return self._add(node_id, Member(self, node_id))

    def _add(self, node_id, member):
        self.members[node_id] = member
        return member

    @property
    def envoys(self):
        return [member.envoy for member in self.members.values()]

    def wait_until_live(self, timeout_seconds=40):
        for envoy in self.envoys:
            envoy.wait_until_live(timeout_seconds)
        self.legation.wait_for_envoys(len(self.members), timeout_seconds)

    def stop(self):
        for member in self.members.values():
            member.stop()
        for name in self._dns_names:
            self.network.dns.set(name)
        self.members.clear()
        self._dns_names.clear()


class Member:
    """A host with an Envoy: all that a gateway is."""

    def __init__(self, fleet, node_id):
        self.host = fleet.network.host()
        self.envoy = self._envoy(fleet, node_id)

    def _envoy(self, fleet, node_id):
        return Envoy(fleet.legation, node_id, fleet.directory, fleet.protocol, namespace=self.host)

    def stop(self):
        self.envoy.stop()
        self.host.remove()

    def connect(self, port):
        """A connection from outside to this host."""
        return http1.Connection((self.host.address, port))

    def connect_http2(self, port):
        return Http2Connection((self.host.address, port))


class Sidecar(Member):
    def __init__(self, fleet, node_id, listeners, address):
        self.listeners = listeners
        super().__init__(fleet, node_id)
        name = node_id.rsplit("/", 1)[1]
        self.application = start_application(name, fleet.directory, [
            (protocol, address, port) for protocol, port in listeners
        ], self.host) if listeners else None

    def _envoy(self, fleet, node_id):
        self.host.intercept([port for _, port in self.listeners])
        return super()._envoy(fleet, node_id)

    def stop(self):
        if self.application:
            self.application.stop()
        super().stop()

    # what the application of this host does: it calls an address that need not exist, and names the service

    def calls(self, port):
        """A connection that this host's application makes to a virtual service on `port`."""
        return http1.Connection((netns.ANYWHERE, port), self.host)

    def calls_http2(self, port):
        return Http2Connection((netns.ANYWHERE, port), self.host)

    def calls_tcp(self, port):
        return http1.connect((netns.ANYWHERE, port), self.host)


def start_application(name, directory, listeners, host=None):
    """An application that listens at these (protocol, address, port)."""
    words = [sys.executable, upstream.__file__, name]
    for protocol, address, port in listeners:
        words += [protocol, address, str(port)]
    process = Process(f"app-{name}", host.command(words) if host else words, directory)

    def ready():
        process.expect_running()
        return "ready" in process.stdout_path.read_text()

    wait_until(ready, f"application {name} ready")
    return process
