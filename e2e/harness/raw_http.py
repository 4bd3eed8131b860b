"""HTTP/1.1 that need not be right: what is to be sent is sent, byte by byte."""

import http.client
import socket

from harness.http1 import Response, TIMEOUT_SECONDS


class Connection:
    """A connection that is made anew when it was closed."""

    def __init__(self, address):
        self._address = address
        self._socket = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._socket:
            self._socket.close()
        self._socket = None

    def send(self, request, method="GET", end=False):
        """The answer to these bytes, which are a request with this method. `end` says that nothing comes after them.

        Raises ConnectionError or http.client.HTTPException if there is none.
        """
        if self._socket is None:
            self._socket = socket.create_connection(self._address, TIMEOUT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.sendall(request)
            if end:
                self._socket.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(self._socket, method=method)
            answer.begin()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            response = Response(answer.status, fields, answer.read())
        except Exception:
            self.close()
            raise
        if end or answer.will_close:
            self.close()
        return response


def request(method, target, headers=(), body=b""):
    """The bytes of a request: `target` in bytes, and a body of the length that is told unless `headers` tell another."""
    fields = {"host": "localhost", **({"content-length": str(len(body))} if body else {}), **dict(headers)}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return method.encode() + b" " + target + b" HTTP/1.1\r\n" + head.encode() + b"\r\n" + body
