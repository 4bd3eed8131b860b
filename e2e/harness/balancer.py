"""An Envoy as layer-4 balancer before several control planes, as docs/operating.md recommends it: its file is the one there."""

import re
import socket
from pathlib import Path

import yaml

from harness import http1, locate
from harness.process import Process
from harness.waiting import wait_until

DOCUMENTATION = locate.ROOT / "docs" / "operating.md"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Balancer:
    def __init__(self, hosts, directory, address="127.0.0.1"):
        """Listens at `address` for the Envoys of `hosts`, each a Legation."""
        self.hosts = hosts
        self._port, self._admin_port = _free_port(address), _free_port("127.0.0.1")
        self.xds = f"{address}:{self._port}"
        path = Path(directory) / "balancer.yaml"
        path.write_text(yaml.safe_dump(self._config(address)))
        self._command = [locate.envoy_binary(), "-c", path, "--concurrency", "2", "--disable-hot-restart"]
        self._directory, self._starts = directory, 0
        self.start()

    def start(self):
        """Starts, or starts again with the same address."""
        self._starts += 1
        self._process = Process(f"balancer-{self._starts}", self._command, self._directory)
        wait_until(self._sees_all_hosts, "a balancer that sees all hosts", 30)

    def kill(self):
        """As a crash would: every connection through it is reset."""
        self._process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stop()

    def bootstrap(self, node_id, protocol, admin_port):
        """As Legation.bootstrap, for an Envoy that comes through the balancer."""
        return self.hosts[0].bootstrap(node_id, protocol, admin_port, self.xds)

    def _config(self, address):
        config = documented()
        config["admin"] = {"address": _socket_address("127.0.0.1", self._admin_port)}
        listener, cluster = config["static_resources"]["listeners"][0], config["static_resources"]["clusters"][0]
        listener["address"] = _socket_address(address, self._port)
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [{
            "endpoint": {
                "address": _socket_address(*host.xds.rsplit(":", 1)),
                "health_check_config": {"port_value": int(host.admin.rsplit(":", 1)[1])},
            },
        } for host in self.hosts]
        return config

    def _sees_all_hosts(self):
        self._process.expect_running()
        response = http1.request(("127.0.0.1", self._admin_port), "GET", "/stats?filter=membership_healthy")
        return response.body.decode().split() == ["cluster.legation.membership_healthy:", str(len(self.hosts))]


def documented():
    """The only file for an Envoy on that page."""
    blocks = BLOCK.findall(DOCUMENTATION.read_text())
    return yaml.safe_load(next(block for block in blocks if block.startswith("static_resources:")))


def _socket_address(address, port):
    return {"socket_address": {"address": address, "port_value": int(port)}}


def _free_port(address):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]
