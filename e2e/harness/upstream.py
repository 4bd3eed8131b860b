"""An application behind the mesh: says who it is and what it was asked. Run as a program, one a host and port.

    upstream.py NAME PROTOCOL ADDRESS PORT [PROTOCOL ADDRESS PORT ...]

http and http2 answer with JSON {"name", "port", "method", "path", "headers", "seen"}, grpc with the name as its
message, and tcp sends "<name> " and then whatever it receives. A request may ask for more than an answer:

    x-answer-status: 503      with this status
    x-answer-delay: 0.5       after so many seconds
    x-request-key: K          "seen" counts the requests with this key, this one included
    x-fail-first: 2           the first two with the key are answered 503, or with x-answer-status
"""

import json
import socket
import socketserver
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import h2.config
import h2.connection
import h2.events

READ_SIZE = 65536
BACKLOG = 128


class Application:
    def __init__(self, name):
        self.name = name
        self._seen = Counter()
        self._lock = threading.Lock()

    def answer(self, port, method, path, headers):
        """(status, body) for one request."""
        key = headers.get("x-request-key", "")
        with self._lock:
            self._seen[key] += 1
            seen = self._seen[key]
        time.sleep(float(headers.get("x-answer-delay", 0)))
        status = int(headers.get("x-answer-status", 200))
        if "x-fail-first" in headers:
            failing = seen <= int(headers["x-fail-first"])
            status = int(headers.get("x-answer-status", 503)) if failing else 200
        answer = {"name": self.name, "port": port, "method": method, "path": path, "headers": headers, "seen": seen}
        return status, json.dumps(answer).encode()


def serve_http(application, address, port):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # an answer in one piece: two small writes would wait for each other's acknowledgement
        wbufsize = -1
        disable_nagle_algorithm = True

        def answer(self):
            length = int(self.headers.get("content-length") or 0)
            self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = application.answer(port, self.command, self.path, headers)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = BACKLOG
        address_family = family(address)

    return Server((address, port), Handler)


def serve_http2(application, address, port, grpc=False):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            connection = h2.connection.H2Connection(
                h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
            connection.initiate_connection()
            self.request.sendall(connection.data_to_send())
            requests = {}
            while data := self.request.recv(READ_SIZE):
                for event in connection.receive_data(data):
                    match event:
                        case h2.events.RequestReceived():
                            requests[event.stream_id] = dict(event.headers)
                        case h2.events.DataReceived():
                            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        case h2.events.StreamEnded():
                            respond(connection, event.stream_id, requests.pop(event.stream_id))
                self.request.sendall(connection.data_to_send())

    def respond(connection, stream_id, headers):
        method, path = headers.pop(":method"), headers.pop(":path")
        headers["host"] = headers.pop(":authority", "")
        headers.pop(":scheme", None)
        status, body = application.answer(port, method, path, headers)
        opening = [(":status", "200"), ("content-type", "application/grpc")]
        if grpc and status != 200:
            # 14 is UNAVAILABLE, the counterpart of a 503; told in the headers, where Envoy looks before it retries
            connection.send_headers(stream_id, [*opening, ("grpc-status", "14")], end_stream=True)
        elif grpc:
            name = application.name.encode()
            connection.send_headers(stream_id, opening)
            connection.send_data(stream_id, b"\0" + len(name).to_bytes(4, "big") + name)
            connection.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)
        else:
            connection.send_headers(stream_id, [(":status", str(status)), ("content-type", "application/json")])
            connection.send_data(stream_id, body, end_stream=True)

    return _tcp_server(address, port, Handler)


def serve_grpc(application, address, port):
    return serve_http2(application, address, port, grpc=True)


def serve_tcp(application, address, port):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(f"{application.name} ".encode())
            while data := self.request.recv(READ_SIZE):
                self.request.sendall(data)

    return _tcp_server(address, port, Handler)


def _tcp_server(address, port, handler):
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = BACKLOG
        address_family = family(address)

    return Server((address, port), handler)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


SERVERS = {"http": serve_http, "http2": serve_http2, "grpc": serve_grpc, "tcp": serve_tcp}


def main(name, *listeners):
    application = Application(name)
    threads = []
    for protocol, address, port in zip(listeners[::3], listeners[1::3], listeners[2::3]):
        server = SERVERS[protocol](application, address, int(port))
        threads.append(threading.Thread(target=server.serve_forever))
    print("ready", flush=True)
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
