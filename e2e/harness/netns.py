"""Hosts on a network of their own: one network namespace each, on a bridge that nothing outside can see.

`isolate` moves the whole program into fresh network and mount namespaces first. Names and addresses can therefore
be constants, the firewall and the resolver of the machine play no part, and everything vanishes with the program,
however it ends. It takes root, iproute2 and nftables.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from harness.dns import DnsServer
from harness.envoy import ENVOY_GROUP

SUBNET = "10.213.0"
HUB = f"{SUBNET}.1"

# no host has this address: what is sent to it arrives only because a sidecar catches it on the way
ANYWHERE = "10.214.0.1"

INGRESS_PORT = 15000
EGRESS_PORT = 15001

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


def missing():
    """Why namespaces cannot be used here, or None."""
    if os.geteuid() != 0:
        return "network namespaces take root"
    for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
        if not shutil.which(tool):
            return f"network namespaces take `{tool}` (package {package})"
    return None


class Network:
    """The private network: a bridge, whose address is this program's own, and a DNS server on it."""

    def __init__(self):
        _isolate()
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "hub", "type", "bridge")
        _run("ip", "address", "add", f"{HUB}/24", "dev", "hub")
        _run("ip", "link", "set", "hub", "up")
        self.address = HUB
        self.dns = DnsServer(HUB, 53)
        # the hub has the first address
        self._free_numbers = list(range(2, 255))

    def host(self):
        """A new host; `self.dns` is where to give it names."""
        return Host(self._free_numbers)


class Host:
    def __init__(self, free_numbers):
        self._free_numbers = free_numbers
        number = self.number = free_numbers.pop(0)
        name = self.name = f"host{number}"
        self.address = f"{SUBNET}.{number}"
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", f"v{number}", "master", "hub", "up")
        _run("ip", "-n", name, "address", "add", f"{self.address}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "-n", name, "link", "set", "lo", "up")
        # any address is worth a try: without a route a packet would fail before it could be redirected
        _run("ip", "-n", name, "route", "add", "default", "via", HUB)

    def intercept(self, app_ports):
        """What App Mesh's proxyConfiguration did: the application's traffic goes through its Envoy, unasked.

        Only TCP to the application's ports is caught on the way in; on the way out all TCP is, but for what
        Envoy itself sends. A redirected connection keeps its original destination, for Envoy to ask.
        """
        inbound = ""
        if app_ports:
            ports = ", ".join(map(str, app_ports))
            inbound = f"tcp dport {{ {ports} }} redirect to :{INGRESS_PORT}"
        _run("ip", "netns", "exec", self.name, "nft", "-f", "-", stdin=f"""
            table ip legation {{
              chain inbound {{
                type nat hook prerouting priority -100;
                {inbound}
              }}
              chain outbound {{
                type nat hook output priority -100;
                meta skgid {ENVOY_GROUP} return
                ip daddr 127.0.0.0/8 return
                meta l4proto tcp redirect to :{EGRESS_PORT}
              }}
            }}""")

    def command(self, words):
        """`words`, to be run on this host."""
        return ["ip", "netns", "exec", self.name, *words]

    @contextmanager
    def entered(self):
        """Sockets that this thread makes meanwhile are this host's."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _check(_libc.setns(there, CLONE_NEWNET), "setns")
            yield
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "setns")
            os.close(there)
            os.close(home)

    def vanish(self):
        """From now on nothing comes from it, and nothing reaches it: its cable is cut."""
        _run("ip", "link", "set", f"v{self.number}", "down")

    def remove(self):
        _run("ip", "link", "delete", f"v{self.number}")
        _run("ip", "netns", "delete", self.name)
        self._free_numbers.append(self.number)


def _isolate():
    # only the calling thread moves, and those that it starts afterwards
    _check(_libc.unshare(CLONE_NEWNET | CLONE_NEWNS), "unshare")
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    os.makedirs("/run/netns", exist_ok=True)
    _mount("tmpfs", "/run/netns", "tmpfs", 0)
    # an Envoy takes its DNS servers from this file; the network's own is the only one in reach
    with tempfile.NamedTemporaryFile("w", prefix="resolv", suffix=".conf") as resolv_conf:
        resolv_conf.write(f"nameserver {HUB}\n")
        resolv_conf.flush()
        os.chmod(resolv_conf.name, 0o644)
        system = Path("/etc/resolv.conf").resolve()
        if system.exists():
            _mount(resolv_conf.name, str(system), None, MS_BIND)


def _mount(source, target, kind, flags):
    encoded = [text.encode() if text else None for text in (source, target, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), None), f"mount {target}")


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _run(*words, stdin=None):
    done = subprocess.run(words, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
