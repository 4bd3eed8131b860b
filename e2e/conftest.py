"""Fixtures. Where it can, the whole test run moves into a network of its own before anything is started, and writes into memory."""

import tempfile

import pytest

from harness import memory_disk, netns
from harness.legation import Legation

_network = None


def pytest_configure(config):
    global _network
    memory_disk.use()
    if not netns.missing():
        _network = netns.Network()


def pytest_report_header(config):
    missing = netns.missing()
    network = f"skipping what runs in network namespaces: {missing}" if missing else "in a network of its own"
    return f"{network}, temporary files in {tempfile.gettempdir()}"


@pytest.fixture(scope="session")
def network():
    """The private network, for tests that let real traffic be intercepted."""
    if _network is None:
        pytest.skip(netns.missing())
    return _network


@pytest.fixture
def legation(tmp_path):
    """A control plane with an empty store."""
    control_plane = Legation(tmp_path).start()
    yield control_plane
    control_plane.stop()


@pytest.fixture
def client(legation):
    return legation.client()
