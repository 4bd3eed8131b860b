"""A tiny DNS server: A and AAAA records over UDP from a table that a test may change at any time.

Legation writes the host names of virtual nodes with a trailing dot, as App Mesh did, and Envoy's resolver finds
such names only through DNS, never in a hosts file.
"""

import ipaddress
import socket
import struct
import threading

TYPE_A = 1
TYPE_AAAA = 28
CLASS_IN = 1
RCODE_NAME_ERROR = 3
TTL_SECONDS = 1


class DnsServer:
    def __init__(self, address="127.0.0.1", port=0):
        self.records = {}
        self._closing = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self.address, self.port = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)
        self._thread.start()

    def set(self, name, *addresses):
        """Every later query for `name` is answered with these addresses; none means that the name is gone."""
        key = name.rstrip(".").lower()
        if addresses:
            self.records[key] = [ipaddress.ip_address(address) for address in addresses]
        else:
            self.records.pop(key, None)

    def close(self):
        # an empty datagram to itself wakes the thread, which then sees that the socket is to be closed
        self._closing = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (self.address, self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while not self._closing:
            query, peer = self._socket.recvfrom(4096)
            if len(query) > 12:
                self._socket.sendto(self._answer(query), peer)

    def _answer(self, query):
        name, end = _read_name(query, 12)
        question_type, _ = struct.unpack_from("!HH", query, end)
        question = query[12 : end + 4]
        known = self.records.get(name)
        wanted = {TYPE_A: 4, TYPE_AAAA: 6}.get(question_type)
        addresses = [address for address in known or [] if address.version == wanted]
        rcode = RCODE_NAME_ERROR if known is None else 0
        # a response (0x8000) with authority (0x0400) that repeats "recursion desired" and offers recursion
        flags = 0x8480 | (query[2] & 1) << 8 | rcode
        header = query[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0)
        answers = b"".join(
            struct.pack("!HHHIH", 0xC00C, question_type, CLASS_IN, TTL_SECONDS, len(address.packed)) + address.packed
            for address in addresses
        )
        return header + question + answers


def _read_name(packet, offset):
    labels = []
    while packet[offset]:
        length = packet[offset]
        labels.append(packet[offset + 1 : offset + 1 + length].decode("ascii", "replace"))
        offset += 1 + length
    return ".".join(labels).lower(), offset + 1
