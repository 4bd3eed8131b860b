"""Real requests through real Envoys: sidecars that intercept, each on a host of its own, and gateways."""

import time
from collections import Counter

import pytest

from harness import http1
from harness.definitions import Mesh
from harness.fleet import Fleet, start_application
from harness.http2 import grpc_status
from harness.legation import Legation

UNAVAILABLE = 14


def start(network, directory, path):
    legation = Legation(directory, xds_host=network.address).start()
    legation.apply_example(path)
    return Fleet(legation, network, directory)


@pytest.fixture(scope="module")
def shop(network, tmp_path_factory):
    """The bookshop, with a host for everyone in it."""
    fleet = start(network, tmp_path_factory.mktemp("bookshop"), "bookshop")
    try:
        for name, hostname in (("books-v1", "books-v1.shop.local"), ("books-v2", "books-v2.shop.local"),
                               ("reviews", "reviews.hosts.shop.local"), ("checkout", "checkout.shop.local"),
                               ("helpdesk", "helpdesk.shop.local")):
            fleet.sidecar(f"mesh/bookshop/virtualNode/{name}", ("http", 9080), dns=[hostname])
        fleet.gateway("mesh/bookshop/virtualGateway/storefront")
        fleet.wait_until_live()
        yield fleet
    finally:
        fleet.stop()
        fleet.legation.stop()


@pytest.fixture(scope="module")
def everything(network, tmp_path_factory):
    fleet = start(network, tmp_path_factory.mktemp("everything"), "everything")
    nodes = {name: [(listener["portMapping"]["protocol"], listener["portMapping"]["port"])
                    for listener in spec.get("listeners", [])]
             for name, spec in Mesh("everything").nodes.items()}
    try:
        for name, listeners in nodes.items():
            # the definition says IPv6_PREFERRED for this one, so its Envoy looks for it on ::1
            address = "::1" if name == "http2" else "127.0.0.1"
            fleet.sidecar(f"mesh/everything/virtualNode/{name}", *listeners, address=address,
                          dns=[f"{name}.everything.local"])
        fleet.gateway("mesh/everything/virtualGateway/gateway")
        fleet.wait_until_live()
        yield fleet
    finally:
        fleet.stop()
        fleet.legation.stop()


# the bookshop: weights, interception, the gateway's rewrites

def split(connection, path, host, count=500):
    """Who answered how many of `count` requests."""
    names = Counter()
    for _ in range(count):
        response = connection.request("GET", path, {"host": host})
        assert response.status == 200, response
        names[response.json()["name"]] += 1
    return names


def expect_share(names, name, percent):
    """Within five standard deviations of what the weights say."""
    count, share = names.total(), percent / 100
    tolerance = 5 * (share * (1 - share) / count) ** 0.5
    assert abs(names[name] / count - share) <= tolerance, names


def test_weights_through_the_gateway(shop):
    with shop.members["mesh/bookshop/virtualGateway/storefront"].connect(8088) as storefront:
        names = split(storefront, "/books/1", "www.example.com")
    assert set(names) == {"books-v1", "books-v2"}
    expect_share(names, "books-v2", 20)


def test_weights_through_a_sidecar(shop):
    with shop.members["mesh/bookshop/virtualNode/checkout"].calls(9080) as checkout:
        names = split(checkout, "/1", "books.shop.local:9080")
    assert set(names) == {"books-v1", "books-v2"}
    expect_share(names, "books-v2", 20)


def test_both_ways_are_intercepted(shop):
    """The request passes two Envoys: the caller's on its way out and the provider's on its way in."""
    caller = shop.members["mesh/bookshop/virtualNode/helpdesk"]
    provider = shop.members["mesh/bookshop/virtualNode/reviews"]
    before = caller.envoy.stats(), provider.envoy.stats()
    with caller.calls(9080) as helpdesk:
        assert helpdesk.request("GET", "/", {"host": "reviews.shop.local"}).json()["name"] == "reviews"
    after = caller.envoy.stats(), provider.envoy.stats()
    out, into = (
        "cluster.cds_egress_bookshop_reviews_http_9080.upstream_rq_completed",
        "cluster.cds_ingress_bookshop_reviews_http_9080.upstream_rq_completed",
    )
    assert after[0][out] - before[0].get(out, 0) == 1
    assert after[1][into] - before[1].get(into, 0) == 1


def test_the_gateway_rewrites_prefix_and_host(shop):
    with shop.members["mesh/bookshop/virtualGateway/storefront"].connect(8088) as storefront:
        for path, arrives_as in (("/books/1/2?page=3", "/1/2?page=3"), ("/books", "/"), ("/books/", "/"),
                                 ("/books//7", "/7")):
            answer = storefront.request("GET", path, {"host": "www.example.com"}).json()
            assert answer["path"] == arrives_as
            assert answer["headers"]["host"].split(":")[0] == "books.shop.local"
        for path in ("/", "/bookshelf", "/other"):
            assert storefront.request("GET", path).status == 404


def test_only_declared_backends(shop):
    with shop.members["mesh/bookshop/virtualNode/helpdesk"].calls(9080) as helpdesk:
        assert helpdesk.request("GET", "/", {"host": "books.shop.local"}).status == 404
    # a node without backends has no way out at all: the connection ends without an answer
    with pytest.raises(ConnectionError):
        with shop.members["mesh/bookshop/virtualNode/books-v1"].calls(9080) as books:
            books.request("GET", "/", {"host": "reviews.shop.local"})


def test_drop_all_lets_nothing_else_out(shop, tmp_path):
    outside = start_application("outside", tmp_path, [("http", shop.network.address, 7777)])
    try:
        helpdesk = shop.members["mesh/bookshop/virtualNode/helpdesk"]
        with pytest.raises(ConnectionError):
            http1.request((shop.network.address, 7777), "GET", "/", namespace=helpdesk.host)
    finally:
        outside.stop()


def test_default_retries(shop):
    """Without a retry policy App Mesh's own holds: two more tries after a 503."""
    with shop.members["mesh/bookshop/virtualNode/helpdesk"].calls(9080) as helpdesk:
        assert tries(helpdesk, "reviews.shop.local", "/", fail=2, key="default-2") == (200, 3)
        assert tries(helpdesk, "reviews.shop.local", "/", fail=9, key="default-9") == (503, 3)
        assert tries(helpdesk, "reviews.shop.local", "/", fail=1, key="default-500", status=500) == (500, 1)


def tries(connection, host, path, fail, key, status=503):
    """(status, how many times the application was asked) of a request whose first `fail` tries fail."""
    response = connection.request("GET", path, {
        "host": host, "x-request-key": key, "x-fail-first": str(fail), "x-answer-status": str(status)})
    return response.status, response.json()["seen"]


def test_traffic_follows_the_weights(shop):
    """Last of the bookshop's tests: it changes the definition."""
    spec = {"httpRoute": {"match": {"prefix": "/"}, "action": {
        "weightedTargets": [{"virtualNode": "books-v2", "weight": 1}]}}}
    shop.legation.client().update_route(
        meshName="bookshop", virtualRouterName="books", routeName="split", spec=spec)
    shop.legation.wait_for_envoys(len(shop.members))
    with shop.members["mesh/bookshop/virtualGateway/storefront"].connect(8088) as storefront:
        assert set(split(storefront, "/books/1", "www.example.com", 100)) == {"books-v2"}
    with shop.members["mesh/bookshop/virtualNode/checkout"].calls(9080) as checkout:
        assert set(split(checkout, "/", "books.shop.local", 100)) == {"books-v2"}


# the mesh of everything: every kind of match, retries, timeouts, and the other protocols

ALL_HEADERS = {"x-exact": "blue", "x-prefix": "before", "x-suffix": "the-end", "x-regex": "cafe", "x-range": "15",
               "x-present": "yes", "x-inverted": "anything"}

# method, path, headers, who answers
MATCHES = [
    ("GET", "/", {}, "http-v1"),
    ("GET", "/exact", {}, "http-v2"),
    ("GET", "/exact?query=1", {}, "http-v2"),
    ("GET", "/exactly", {}, "http-v1"),
    ("GET", "/exact/", {}, "http-v1"),
    ("GET", "/item/12", {}, "http-v2"),
    ("GET", "/item/12/more", {}, "http-v1"),
    ("GET", "/item/x", {}, "http-v1"),
    ("GET", "/headers", ALL_HEADERS, "http-v2"),
    ("GET", "/headers", {**ALL_HEADERS, "x-exact": "bluer"}, "http-v1"),
    ("GET", "/headers", {**ALL_HEADERS, "x-prefix": "after"}, "http-v1"),
    ("GET", "/headers", {**ALL_HEADERS, "x-suffix": "ending"}, "http-v1"),
    ("GET", "/headers", {**ALL_HEADERS, "x-regex": "cafeteria"}, "http-v1"),
    ("GET", "/headers", {**ALL_HEADERS, "x-range": "10"}, "http-v2"),
    ("GET", "/headers", {**ALL_HEADERS, "x-range": "20"}, "http-v1"),
    ("GET", "/headers", {**ALL_HEADERS, "x-range": "ten"}, "http-v1"),
    ("GET", "/headers", {**ALL_HEADERS, "x-inverted": "never"}, "http-v1"),
    ("GET", "/headers", {**ALL_HEADERS, "x-absent": "there"}, "http-v1"),
    ("GET", "/headers", {name: value for name, value in ALL_HEADERS.items() if name != "x-present"}, "http-v1"),
    ("POST", "/method", {}, "http-v2"),
    ("GET", "/method", {}, "http-v1"),
    ("GET", "/query?colour=blue&page=1", {}, "http-v2"),
    ("GET", "/query?page=&colour=blue", {}, "http-v2"),
    ("GET", "/query?colour=red&page=1", {}, "http-v1"),
    ("GET", "/query?colour=blue", {}, "http-v1"),
    ("GET", "/scheme", {}, "http-v2"),
    ("GET", "/port", {}, "many-listeners"),
]


@pytest.mark.parametrize("method, path, headers, name", MATCHES, ids=str)
def test_http_match(everything, method, path, headers, name):
    with everything.members["mesh/everything/virtualNode/consumer"].calls(8080) as consumer:
        response = consumer.request(method, path, {"host": "http.everything.local:8080", **headers})
    assert response.status == 200
    answer = response.json()
    assert answer["name"] == name
    assert answer["path"] == path, "a sidecar rewrites nothing"
    assert answer["port"] == (8090 if path == "/port" else 8080)


def test_retries(everything):
    host = "http.everything.local"
    with everything.members["mesh/everything/virtualNode/consumer"].calls(8080) as consumer:
        assert tries(consumer, host, "/retry", fail=2, key="503") == (200, 3)
        assert tries(consumer, host, "/retry", fail=1, key="500", status=500) == (200, 2)
        assert tries(consumer, host, "/retry", fail=1, key="409", status=409) == (200, 2)
        assert tries(consumer, host, "/retry", fail=1, key="404", status=404) == (404, 1)
        assert tries(consumer, host, "/retry", fail=9, key="all") == (503, 4)


def test_request_timeout(everything):
    with everything.members["mesh/everything/virtualNode/consumer"].calls(8080) as consumer:
        fields = {"host": "http.everything.local"}
        assert consumer.request("GET", "/timeout", {**fields, "x-answer-delay": "0.1"}).status == 200
        began = time.monotonic()
        assert consumer.request("GET", "/timeout", {**fields, "x-answer-delay": "3"}).status == 504
        assert 0.4 < time.monotonic() - began < 2


def test_other_providers(everything):
    consumer = everything.members["mesh/everything/virtualNode/consumer"]

    def ask(port, host, path):
        with consumer.calls(port) as connection:
            response = connection.request("GET", path, {"host": host})
            return (response.json()["name"], response.json()["port"]) if response.status == 200 else response.status

    assert ask(8080, "node.everything.local", "/") == ("http-v1", 8080)
    # two listeners: a route for one of them, and a more specific one for both
    assert ask(8090, "two-ports.everything.local", "/x") == ("many-listeners", 8090)
    assert ask(8090, "two-ports.everything.local", "/both") == ("many-listeners", 8080)
    assert ask(8080, "two-ports.everything.local", "/both") == ("many-listeners", 8080)
    assert ask(8080, "two-ports.everything.local", "/x") == 404


def test_http2(everything):
    with everything.members["mesh/everything/virtualNode/consumer"].calls_http2(8081) as consumer:
        answer = consumer.fetch("GET", "/a?b", {"host": "http2.everything.local"}).json()
    assert (answer["name"], answer["path"]) == ("http2", "/a?b")


GRPC_METADATA = ALL_HEADERS


@pytest.mark.parametrize("service, method, metadata, name", [
    ("shop.Books", "Find", GRPC_METADATA, b"many-listeners"),
    ("shop.Books", "Find", {**GRPC_METADATA, "x-exact": "red"}, b"grpc"),
    ("shop.Books", "Find", {**GRPC_METADATA, "x-inverted": "never"}, b"grpc"),
    ("shop.Books", "Found", GRPC_METADATA, b"grpc"),
    ("shop.Reviews", "Any", {}, b"many-listeners"),
    ("shop.Other", "Any", {}, b"grpc"),
], ids=str)
def test_grpc_match(everything, service, method, metadata, name):
    with everything.members["mesh/everything/virtualNode/consumer"].calls_http2(8082) as consumer:
        stream = consumer.call(service, method, headers={"host": "grpc.everything.local", **metadata})
    assert grpc_status(stream)[0] == 0
    assert stream.body[5:] == name


def test_grpc_retries(everything):
    fields = {"host": "grpc.everything.local", **GRPC_METADATA}
    with everything.members["mesh/everything/virtualNode/consumer"].calls_http2(8082) as consumer:
        fails = {"x-request-key": "grpc", "x-fail-first": "2"}
        assert grpc_status(consumer.call("shop.Books", "Find", headers={**fields, **fails}))[0] == 0
        fails = {"x-request-key": "grpc-all", "x-fail-first": "9"}
        assert grpc_status(consumer.call("shop.Books", "Find", headers={**fields, **fails}))[0] == UNAVAILABLE


def test_tcp(everything):
    with everything.members["mesh/everything/virtualNode/consumer"].calls_tcp(8083) as consumer:
        consumer.sendall(b"hello")
        received = b""
        while len(received) < len(b"many-listeners hello"):
            chunk = consumer.recv(100)
            assert chunk, received
            received += chunk
    assert received == b"many-listeners hello"


def test_allow_all_lets_the_rest_out(everything, tmp_path):
    outside = start_application("outside", tmp_path, [("http", everything.network.address, 7777)])
    try:
        consumer = everything.members["mesh/everything/virtualNode/consumer"]
        response = http1.request((everything.network.address, 7777), "GET", "/", namespace=consumer.host)
        assert response.json()["name"] == "outside"
        passed = consumer.envoy.stats()["cluster.cds_egress_everything_mesh-allow-all.upstream_cx_total"]
        assert passed >= 1
    finally:
        outside.stop()


# method, path, headers; who answers, at which port, what path and host it saw
GATEWAY = [
    ("GET", "/shop/a/b?c=d", {}, "http-v1", 8080, "/a/b?c=d", "http.everything.local"),
    ("GET", "/shop", {}, "http-v1", 8080, "/", "http.everything.local"),
    ("GET", "/old/a", {}, "http-v1", 8080, "/new/a", "http.everything.local"),
    ("GET", "/kept/a", {}, "http-v1", 8080, "/kept/a", "http.everything.local"),
    ("GET", "/welcome", {}, "http-v1", 8080, "/index.html", "http.everything.local"),
    ("GET", "/item/5", {}, "http-v2", 8080, "/item/5", "http.everything.local"),
    ("GET", "/x", {"host": "kept.example.com"}, "http-v1", 8080, "/x", "kept.example.com"),
    ("GET", "/x", {"host": "any.example.org"}, "http-v1", 8080, "/x", "node.everything.local"),
    ("PUT", "/match/x?colour=blue&page=1", {"host": "match.example.com", **ALL_HEADERS},
     "many-listeners", 8090, "/x?colour=blue&page=1", "two-ports.everything.local"),
]


@pytest.mark.parametrize("method, path, headers, name, port, seen_path, seen_host", GATEWAY, ids=str)
def test_gateway_route(everything, method, path, headers, name, port, seen_path, seen_host):
    with everything.members["mesh/everything/virtualGateway/gateway"].connect(8088) as gateway:
        response = gateway.request(method, path, headers)
    assert response.status == 200
    answer = response.json()
    assert (answer["name"], answer["port"], answer["method"]) == (name, port, method)
    assert answer["path"] == seen_path
    assert answer["headers"]["host"].split(":")[0] == seen_host


@pytest.mark.parametrize("method, path, headers", [
    ("GET", "/nowhere", {}),
    ("GET", "/match/x?colour=blue&page=1", {"host": "match.example.com", **ALL_HEADERS}),
    ("PUT", "/match/x?colour=blue", {"host": "match.example.com", **ALL_HEADERS}),
    ("PUT", "/match/x?colour=blue&page=1", {"host": "match.example.com", **ALL_HEADERS, "x-inverted": "never"}),
    ("PUT", "/match/x?colour=blue&page=1", {"host": "else.example.com", **ALL_HEADERS}),
], ids=str)
def test_no_gateway_route(everything, method, path, headers):
    with everything.members["mesh/everything/virtualGateway/gateway"].connect(8088) as gateway:
        assert gateway.request(method, path, headers).status == 404


def test_gateway_http2(everything):
    with everything.members["mesh/everything/virtualGateway/gateway"].connect_http2(8089) as gateway:
        answer = gateway.fetch("GET", "/a").json()
    assert answer["name"] == "http2"
    assert answer["headers"]["host"].split(":")[0] == "http2.everything.local"


def test_gateway_grpc(everything):
    with everything.members["mesh/everything/virtualGateway/gateway"].connect_http2(8091) as gateway:
        found = gateway.call("shop.Books", "Find", headers={"host": "api.example.com", **GRPC_METADATA})
        assert (grpc_status(found)[0], found.body[5:]) == (0, b"many-listeners")
        other = gateway.call("shop.Reviews", "Any", headers={"host": "any.host"})
        assert (grpc_status(other)[0], other.body[5:]) == (0, b"many-listeners")
        # 12 is UNIMPLEMENTED, Envoy's 404 for gRPC
        wrong_host = gateway.call("shop.Books", "Find", headers={"host": "api.example.net", **GRPC_METADATA})
        assert grpc_status(wrong_host)[0] == 12
