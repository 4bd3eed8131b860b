"""A real cluster of etcd, whose members can be killed, paused and started again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request

from harness.process import Process
from harness.waiting import wait_until

# in memory, so that no disk has to be waited for
MEMORY = "/dev/shm"

# a leader is missed after so long
ELECTION_MILLISECONDS = 500


class Etcd:
    def __init__(self, directory, members=3, address="127.0.0.1"):
        """Its members listen at `address`, each at ports of its own."""
        self.address = address
        self.members = [Member(self, number, directory) for number in range(members)]
        for member in self.members:
            member.start()
        wait_until(self.leader, "a leader of etcd", 30)

    @property
    def store(self):
        """As `--store` takes it."""
        return "etcd://" + ",".join(member.client for member in self.members)

    @property
    def client_ports(self):
        return [member.client_port for member in self.members]

    def leader(self):
        """The member that leads."""
        for member in self.members:
            status = member.status()
            if status and status["leader"] == status["header"]["member_id"]:
                return member
        return None

    def is_whole(self):
        """Whether all members are there and agree who leads."""
        all_status = [member.status() for member in self.members]
        return all(all_status) and len({status["leader"] for status in all_status}) == 1

    def command(self, *words):
        done = subprocess.run(
            ["etcdctl", "--endpoints", ",".join(member.client for member in self.members), *map(str, words)],
            capture_output=True, text=True, timeout=30, env=os.environ | {"ETCDCTL_API": "3"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def events(self):
        """How many events its members have sent to all watches."""
        return sum(member.metric("etcd_debugging_mvcc_events_total") for member in self.members)

    def stop(self):
        for member in self.members:
            member.stop()


class Member:
    def __init__(self, cluster, number, directory):
        self.cluster, self.number = cluster, number
        self.name = f"etcd-{number}"
        self.client_port, self.peer_port = _free_port(cluster.address), _free_port(cluster.address)
        self.directory = directory
        self.data = os.path.join(MEMORY if os.path.isdir(MEMORY) else directory, f"legation-{os.getpid()}-{id(cluster)}-{number}")
        self._process = None

    @property
    def client(self):
        return f"{self.cluster.address}:{self.client_port}"

    @property
    def peer_url(self):
        return f"http://{self.cluster.address}:{self.peer_port}"

    def start(self):
        """For the first time, or again on what it had."""
        url = f"http://{self.client}"
        self._process = Process(self.name, [
            "etcd", "--name", self.name, "--data-dir", self.data,
            "--listen-client-urls", url, "--advertise-client-urls", url,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", ",".join(f"{other.name}={other.peer_url}" for other in self.cluster.members),
            "--heartbeat-interval", "50", "--election-timeout", ELECTION_MILLISECONDS, "--logger", "zap",
        ], self.directory)

    def kill(self):
        self._process.kill()

    def pause(self):
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self._process.pid, signal.SIGCONT)

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.client}/metrics", timeout=10) as page:
            return sum(float(line.split()[1]) for line in page.read().decode().splitlines() if line.startswith(f"{name} "))

    def status(self):
        """What it says of itself, if it does."""
        done = subprocess.run(
            ["etcdctl", "--endpoints", self.client, "--command-timeout=1s", "--dial-timeout=1s",
             "endpoint", "status", "-w", "json"],
            capture_output=True, text=True, timeout=10, env=os.environ | {"ETCDCTL_API": "3"})
        if done.returncode != 0:
            return None
        return json.loads(done.stdout)[0]["Status"]

    def stop(self):
        if self._process:
            self._process.kill()  # also one that is paused
        shutil.rmtree(self.data, ignore_errors=True)


def _free_port(address):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]
