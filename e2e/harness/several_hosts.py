"""Fixtures of tests that need several hosts over one etcd. A test file takes those that it names."""

import pytest

from harness.etcd import Etcd
from harness.hosts import RoleHost


@pytest.fixture
def etcd(network, tmp_path):
    cluster = Etcd(tmp_path, members=1, address=network.address)
    yield cluster
    cluster.stop()


@pytest.fixture
def start(etcd, network, tmp_path):
    """Starts a host with these roles."""
    started = []

    def start(name, roles, *options):
        directory = tmp_path / name
        directory.mkdir()
        host = RoleHost(name, roles, etcd, network, directory, options)
        started.append(host)
        return host.start()

    yield start
    for host in started:
        host.stop()
