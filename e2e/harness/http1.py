"""An HTTP/1.1 client that can speak from within a network namespace."""

import http.client
import json
import socket
from dataclasses import dataclass

TIMEOUT_SECONDS = 30


@dataclass
class Response:
    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)


class Connection:
    """One connection that is kept for many requests."""

    def __init__(self, address, namespace=None):
        self._connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_SECONDS)
        self._connection.sock = connect(address, namespace)
        # as http.client does where it connects by itself: a body goes out without waiting for the ACK of its headers
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()

    def request(self, method, path, headers=None, body=None):
        self._connection.request(method, path, body=body, headers=headers or {})
        answer = self._connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, fields, answer.read())


def connect(address, namespace=None):
    """A TCP connection made from `namespace`: a socket belongs for ever to the namespace that it was made in."""
    if namespace is None:
        return socket.create_connection(address, TIMEOUT_SECONDS)
    with namespace.entered():
        return socket.create_connection(address, TIMEOUT_SECONDS)


def request(address, method, path, headers=None, body=None, namespace=None):
    with Connection(address, namespace) as connection:
        return connection.request(method, path, headers, body)
