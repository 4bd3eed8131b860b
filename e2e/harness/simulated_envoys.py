"""Simulated Envoys: thousands of ADS streams from one process, cheap enough to share a core.

    python -m harness.simulated_envoys HOST PORT

They do what an Envoy does with its management server and no more: ask for everything, ACK it, remember the versions, and
reconnect with Envoy's back-off, telling what they have. Takes one JSON command a line and answers each with a line;
harness/simulated.py is the other end.
"""

import errno
import heapq
import json
import os
import random
import select
import socket
import sys
import time
from collections import Counter

from harness import wire, xds
from harness.wire import Kind

TYPES = {
    "type.googleapis.com/envoy.config.cluster.v3.Cluster": "cds",
    "type.googleapis.com/envoy.config.listener.v3.Listener": "lds",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration": "rds",
}
URLS = {kind: url for url, kind in TYPES.items()}

# Envoy's: each pause is random below a limit, which doubles with each end of a stream, and is this again with each response
BACK_OFF_SECONDS = 0.5
BACK_OFF_MAX_SECONDS = 30.0

READ_SIZE = 1 << 16

# what gRPC puts before each message
GRPC_PREFIX_SIZE = 5


class Delta:
    """What one Envoy has, and its messages, in the delta form."""

    NODE, TYPE_URL, SUBSCRIBE, INITIAL_VERSIONS, NONCE = 1, 2, 3, 5, 6

    def __init__(self):
        self.have = {url: {} for url in TYPES}

    def first_request(self, url, names):
        versions = (xds.field(1, name) + xds.field(2, version) for name, version in self.have[url].items())
        return (xds.field(self.TYPE_URL, url.encode()) + _texts(self.SUBSCRIBE, names)
                + b"".join(xds.field(self.INITIAL_VERSIONS, version) for version in versions))

    def receive(self, message):
        """Takes in a response: (type URL, whether it carries anything, how much of it was there as it is, the ACK)."""
        url, nonce, resources, removed = "", b"", [], []
        for number, content in xds.fields(message):
            match number:
                case 2:
                    resource = dict(xds.fields(content))
                    resources.append((resource[3], resource[1]))
                case 4:
                    url = content.decode()
                case 5:
                    nonce = content
                case 6:
                    removed.append(content)
        have = self.have[url]
        again = sum(have.get(name) == version for name, version in resources)
        have.update(resources)
        for name in removed:
            have.pop(name, None)
        ack = xds.field(self.TYPE_URL, url.encode()) + xds.field(self.NONCE, nonce)
        return url, bool(resources or removed), again, ack


class Sotw:
    """The same in the state of the world form, where a response has one version."""

    VERSION, NODE, NAMES, TYPE_URL, NONCE = 1, 2, 3, 4, 5

    def __init__(self):
        self.have = dict.fromkeys(TYPES, b"")
        self.names = {}

    def first_request(self, url, names):
        self.names[url] = _texts(self.NAMES, names)
        return self._request(url)

    def receive(self, message):
        response = dict(xds.fields(message))  # with the last of its resources, which nobody looks at
        url, version = response[4].decode(), response[1]
        again = int(self.have[url] == version)
        self.have[url] = version
        return url, True, again, self._request(url) + xds.field(self.NONCE, response[5])

    def _request(self, url):
        return xds.field(self.VERSION, self.have[url]) + self.names[url] + xds.field(self.TYPE_URL, url.encode())


FORMS = {"delta": Delta, "sotw": Sotw}
REQUEST_HEADERS = {protocol: wire.request_headers(protocol) for protocol in FORMS}


class Envoy:
    def __init__(self, swarm, node_id, protocol, routes, attempts):
        self.swarm = swarm
        self.protocol = protocol
        self.form = FORMS[protocol]()
        self.node = xds.field(self.form.NODE, xds.field(1, node_id.encode()))
        self.wanted = {"cds": (), "lds": (), **({"rds": routes} if routes else {})}
        self.attempts = attempts
        self.failures = 0
        self.given_up = False
        self.back_off = BACK_OFF_SECONDS
        self.socket = None
        self.connecting = False
        self.leaving = False  # the connection takes no further stream
        self.stream = None
        self.connected = False  # the stream was taken
        self.away_since = None
        self.received, self.again, self.bytes = Counter(), Counter(), Counter()

    def is_waiting(self):
        """Something it asks for has never come."""
        return not all(self.form.have[URLS[kind]] for kind in self.wanted)

    def attempt(self):
        """A new stream, on the connection if there still is one, as Envoys do."""
        if self.socket is not None:
            return self.open_stream()
        self.input, self.next_stream, self.leaving, self.connecting = bytearray(), 1, False, True
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = self.socket.connect_ex(self.swarm.address)
        self.swarm.watch(self)
        if error not in (0, errno.EINPROGRESS):
            self.lost(error)

    def on_event(self):
        if self.connecting:
            if error := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self.lost(error)
            self.connecting = False
            self.swarm.watch_input(self)
            self.send(wire.PREFACE)
            return self.open_stream()
        try:
            data = self.socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            return self.lost(error.errno)
        if not data:
            return self.lost(None)
        self.input += data
        for frame in wire.take_frames(self.input):
            self.on_frame(*frame)
        if self.leaving and self.stream is None:
            self.close()

    def on_frame(self, kind, flags, payload):
        match kind:
            case Kind.DATA:
                self.body += payload
                for message in wire.take_messages(self.body):
                    self.on_response(message)
            case Kind.HEADERS if not flags & wire.END_STREAM:
                self.connected = True
                self.failures = 0
                if self.away_since is not None:
                    self.swarm.returns.append((self.away_since, time.monotonic() - self.away_since))
            case Kind.HEADERS | Kind.RST_STREAM:
                if self.stream is not None:
                    self.stream_ended("refused")
            case Kind.SETTINGS if not flags & wire.ACK:
                self.send(wire.SETTINGS_ACK)
            case Kind.PING if not flags & wire.ACK:
                self.send(wire.http2_frame(Kind.PING, wire.ACK, 0, payload))
            case Kind.GOAWAY:
                self.leaving = True

    def open_stream(self):
        self.stream, self.next_stream, self.body = self.next_stream, self.next_stream + 2, bytearray()
        requests = [self.form.first_request(URLS[kind], names) for kind, names in self.wanted.items()]
        requests[0] += self.node
        headers = wire.http2_frame(Kind.HEADERS, wire.END_HEADERS, self.stream, REQUEST_HEADERS[self.protocol])
        self.send(headers + b"".join(map(self.data, requests)))

    def on_response(self, message):
        url, carries_anything, again, ack = self.form.receive(message)
        self.send(self.data(ack))
        self.back_off = BACK_OFF_SECONDS
        if not carries_anything:
            return
        self.received[TYPES[url]] += 1
        self.again[TYPES[url]] += again
        self.bytes[TYPES[url]] += GRPC_PREFIX_SIZE + len(message)
        self.swarm.last_received = time.monotonic()

    def stream_ended(self, failure):
        """`failure`: what it counts as if the stream was never taken."""
        self.stream = None
        if self.connected:
            self.connected = False
            self.away_since = time.monotonic()
            self.swarm.ends.append(self.away_since)
        else:
            self.failures += 1
            self.swarm.failed[failure] += 1
            if self.failures == self.attempts:
                self.given_up = True
                return
        self.swarm.later(random.uniform(0, self.back_off), self)
        self.back_off = min(2 * self.back_off, BACK_OFF_MAX_SECONDS)

    def lost(self, error):
        """The connection has ended, or did not come to be."""
        # one that was reset before it was looked at had been accepted all the same
        unreachable = self.connecting and error != errno.ECONNRESET
        in_use = self.connecting or self.stream is not None
        self.close()
        if in_use:
            self.stream_ended("unreachable" if unreachable else "refused")

    def close(self):
        self.swarm.forget(self)
        self.socket.close()
        self.socket = None

    def data(self, message):
        return wire.http2_frame(Kind.DATA, 0, self.stream, b"\0" + len(message).to_bytes(4, "big") + message)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except BlockingIOError:
            raise  # never: requests are small and are answered one by one
        except OSError:
            pass  # the next event tells


class Swarm:
    def __init__(self, address):
        self.address = address
        self.envoys = []
        self.by_file = {}
        self.poll = select.epoll()
        self.timers = []
        self.mark()

    def run(self):
        standard_input = sys.stdin.fileno()
        self.poll.register(standard_input, select.EPOLLIN)
        commands = b""
        while True:
            wait = max(0, self.timers[0][0] - time.monotonic()) if self.timers else None
            for file, _ in self.poll.poll(wait):
                if file != standard_input:
                    if file in self.by_file:
                        self.by_file[file].on_event()
                    continue
                data = os.read(file, READ_SIZE)
                if not data:
                    return
                commands += data
            # here and not above: what is opened now may have the number of what was closed there
            while self.timers and self.timers[0][0] <= time.monotonic():
                heapq.heappop(self.timers)[2].attempt()
            *lines, commands = commands.split(b"\n")
            for line in lines:
                self.obey(**json.loads(line))

    def obey(self, command, count=0, **details):
        match command:
            case "add":
                added = [Envoy(self, **details) for _ in range(count)]
                self.envoys += added
                for envoy in added:
                    envoy.attempt()
            case "mark":
                self.mark()
        print(json.dumps(self.report()), flush=True)

    def mark(self):
        self.failed = Counter()
        self.ends, self.returns = [], []
        self.last_received = None
        for envoy in self.envoys:
            envoy.received.clear()
            envoy.again.clear()
            envoy.bytes.clear()

    def report(self):
        received, again, receivers, size = ({protocol: Counter() for protocol in FORMS} for _ in range(4))
        for envoy in self.envoys:
            received[envoy.protocol].update(envoy.received)
            again[envoy.protocol].update(envoy.again)
            receivers[envoy.protocol].update(envoy.received.keys())
            size[envoy.protocol].update(envoy.bytes)
        return {
            "connected": sum(envoy.connected for envoy in self.envoys),
            "given_up": sum(envoy.given_up for envoy in self.envoys),
            "waiting": sum(envoy.is_waiting() for envoy in self.envoys),
            "refused": self.failed["refused"],
            "unreachable": self.failed["unreachable"],
            "ends": self.ends,
            "returns": self.returns,
            "received": _tables(received),
            "again": _tables(again),
            "receivers": _tables(receivers),
            "bytes": _tables(size),
            "last_received": self.last_received,
        }

    # what Envoys wait for

    def watch(self, envoy):
        self.by_file[envoy.socket.fileno()] = envoy
        self.poll.register(envoy.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def watch_input(self, envoy):
        self.poll.modify(envoy.socket.fileno(), select.EPOLLIN)

    def forget(self, envoy):
        del self.by_file[envoy.socket.fileno()]  # to close it ends its registration

    def later(self, seconds, envoy):
        heapq.heappush(self.timers, (time.monotonic() + seconds, id(envoy), envoy))


def _texts(number, values):
    return b"".join(xds.field(number, value.encode()) for value in values)


def _tables(counters):
    return {protocol: {kind: counts[kind] for kind in URLS} for protocol, counts in counters.items()}


if __name__ == "__main__":
    Swarm((sys.argv[1], int(sys.argv[2]))).run()
