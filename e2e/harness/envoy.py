"""A real Envoy, started with the bootstrap that `legation bootstrap` prints, and what it says of itself."""

import json
import socket
from pathlib import Path

import yaml

from harness import http1, locate
from harness.process import Process
from harness.waiting import wait_until

ADMIN_PORT = 9901

# Envoys run under this group so that interception lets their own traffic through; App Mesh called it IgnoredGID.
ENVOY_GROUP = 1337


class Envoy:
    def __init__(self, legation, node_id, directory, protocol="delta", namespace=None, dns=None, edit=None):
        """`dns`, a DnsServer, is asked instead of the system's resolver, where there is no namespace to set that in.

        `edit` may change the bootstrap, as a dictionary.
        """
        self.node_id = node_id
        self.name = node_id.replace("/", "_")
        self.namespace = namespace
        self.admin_port = ADMIN_PORT if namespace else _free_port()
        bootstrap = legation.bootstrap(node_id, protocol, self.admin_port)
        if dns:
            bootstrap = _with_dns_server(bootstrap, dns)
        if edit:
            document = yaml.safe_load(bootstrap)
            edit(document)
            bootstrap = json.dumps(document)
        path = Path(directory) / f"{self.name}.{protocol}.yaml"
        path.write_text(bootstrap)
        command = [locate.envoy_binary(), "-c", path, "--concurrency", "1", "--disable-hot-restart"]
        if namespace:
            self._process = Process(self.name, namespace.command(command), directory,
                                    group=ENVOY_GROUP, extra_groups=[])
        else:
            self._process = Process(f"{self.name}.{protocol}", command, directory)

    def stop(self):
        return self._process.stop()

    @property
    def log(self):
        return self._process.stderr

    @property
    def output(self):
        """What it writes to its standard output: access logs, where a node says so."""
        return self._process.stdout

    def admin(self, path):
        """The body of an admin page."""
        self._process.expect_running()
        response = http1.request(("127.0.0.1", self.admin_port), "GET", path, namespace=self.namespace)
        assert response.status == 200, f"{path}: {response.status} {response.body}"
        return response.body.decode()

    def wait_until_live(self, timeout_seconds=30):
        """Live means that it has its first clusters, listeners and routes, and serves."""
        wait_until(lambda: self.admin("/ready").strip() == "LIVE", f"{self.node_id} live", timeout_seconds)
        return self

    @property
    def connected(self):
        return self.stats().get("control_plane.connected_state") == 1

    def stats(self):
        """{name: number}; text and histograms are left out."""
        stats = {}
        for line in self.admin("/stats").splitlines():
            name, _, value = line.rpartition(": ")
            if value.isdigit():
                stats[name] = int(value)
        return stats

    def updates(self):
        """How many updates of each type Envoy has accepted: {"cds": n, "lds": n, "rds": n}."""
        return self._counts("update_success")

    def rejected(self):
        return self._counts("update_rejected")

    def _counts(self, counter):
        stats = self.stats()
        return {
            "cds": stats.get(f"cluster_manager.cds.{counter}", 0),
            "lds": stats.get(f"listener_manager.lds.{counter}", 0),
            # one a route configuration: http.<stat prefix>.rds.<route configuration>.update_success
            "rds": sum(
                value for name, value in stats.items()
                if name.startswith("http.") and ".rds." in name and name.endswith(f".{counter}")
            ),
        }

    def messages(self):
        """What the control plane gave it, as it shows it: {"cds": {name: message}, ...}; Envoy shows endpoints otherwise."""
        messages = {"cds": {}, "lds": {}, "rds": {}}
        for dump in json.loads(self.admin("/config_dump"))["configs"]:
            for cluster in dump.get("dynamic_active_clusters", []):
                messages["cds"][cluster["cluster"]["name"]] = cluster["cluster"]
            for listener in dump.get("dynamic_listeners", []):
                messages["lds"][listener["name"]] = listener["active_state"]["listener"]
            for route in dump.get("dynamic_route_configs", []):
                messages["rds"][route["route_config"]["name"]] = route["route_config"]
        return messages

    def config(self):
        """The names of what the control plane gave it: {"clusters": [...], "listeners": [...], "routes": [...]}."""
        names = {"clusters": [], "listeners": [], "routes": []}
        for dump in json.loads(self.admin("/config_dump"))["configs"]:
            for cluster in dump.get("dynamic_active_clusters", []):
                names["clusters"].append(cluster["cluster"]["name"])
            for listener in dump.get("dynamic_listeners", []):
                if "active_state" in listener:
                    names["listeners"].append(listener["name"])
            for route in dump.get("dynamic_route_configs", []):
                names["routes"].append(route["route_config"]["name"])
        return {kind: sorted(found) for kind, found in names.items()}


def _with_dns_server(bootstrap, dns):
    document = yaml.safe_load(bootstrap)
    document["typed_dns_resolver_config"] = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{"socket_address": {"address": dns.address, "port_value": dns.port}}],
            "dns_resolver_options": {"no_default_search_domain": True},
        },
    }
    return json.dumps(document)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
