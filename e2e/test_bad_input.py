"""Bad input to every door: a clear error, the right status, and nothing changed."""

import http.client
import json

import pytest

from harness import http1, raw_http, xds
from harness.legation import Legation

API = "/v20190125/meshes"
LISTENER = {"portMapping": {"port": 9080, "protocol": "http"}}
TARGETS = {"weightedTargets": [{"virtualNode": "node", "weight": 1}]}
BODY_OVER_ANY_LIMIT = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A control plane that all of these tests try to spoil; each checks that it did not succeed."""
    control_plane = Legation(tmp_path_factory.mktemp("shop")).start()
    client = control_plane.client()
    client.create_mesh(meshName="shop", spec={})
    client.create_virtual_node(meshName="shop", virtualNodeName="node", spec={
        "listeners": [LISTENER], "serviceDiscovery": {"dns": {"hostname": "node.local"}}})
    client.create_virtual_router(meshName="shop", virtualRouterName="router", spec={"listeners": [LISTENER]})
    client.create_route(meshName="shop", virtualRouterName="router", routeName="route", spec={
        "httpRoute": {"match": {"prefix": "/"}, "action": TARGETS}})
    client.create_virtual_gateway(meshName="shop", virtualGatewayName="gateway", spec={"listeners": [LISTENER]})
    yield control_plane
    control_plane.stop()


@pytest.fixture
def unchanged(shop):
    """Checks after the test that no definition was touched by it."""
    before = everything(shop)
    yield
    assert everything(shop) == before


def everything(legation):
    client = legation.client()
    lists = [client.list_meshes()["meshes"]]
    for plural, key in (("virtual_nodes", "virtualNodes"), ("virtual_routers", "virtualRouters"),
                        ("virtual_services", "virtualServices"), ("virtual_gateways", "virtualGateways")):
        lists.append(getattr(client, f"list_{plural}")(meshName="shop")[key])
    lists.append(client.list_routes(meshName="shop", virtualRouterName="router")["routes"])
    lists.append(client.describe_route(meshName="shop", virtualRouterName="router", routeName="route")["route"]["spec"])
    return lists


def call(legation, method, path, body=None, headers=None):
    """One raw request; `body` is JSON unless it is bytes already."""
    host, port = legation.api.rsplit(":", 1)
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content-type": "application/json", **(headers or {})}
    return http1.request((host, int(port)), method, path, fields, content)


def expect_error(response, status, code, *words):
    assert response.status == status, response.body
    assert response.headers["x-amzn-errortype"] == code
    answer = response.json()
    assert answer["code"] == code
    for word in words:
        assert word in answer["message"], answer["message"]


def node(**spec):
    return "virtualNodes", {"virtualNodeName": "new", "spec": spec}


def listener(**fields):
    return node(listeners=[{**LISTENER, **fields}])


def route(**http_route):
    return "virtualRouter/router/routes", {"routeName": "new", "spec": {"httpRoute": {
        "match": {"prefix": "/"}, "action": TARGETS, **http_route}}}


def match(**fields):
    return route(match=fields)


HEALTH = {"protocol": "http", "path": "/", "healthyThreshold": 2, "unhealthyThreshold": 2,
          "intervalMillis": 5000, "timeoutMillis": 2000}
FILE_CERTIFICATE = {"file": {"certificateChain": "/chain.pem", "privateKey": "/key.pem"}}

# what it is: (path below the mesh and body, words that the message must hold)
BAD_BODIES = {
    "unknown field at the top": (("virtualNodes", {"virtualNodeName": "new", "spec": {}, "colour": 1}), "colour"),
    "unknown field in the spec": (node(colour="blue"), "colour"),
    "unknown field deep down": (listener(portMapping={"port": 1, "protocol": "http", "colour": 1}), "colour"),
    "wrong enum": (listener(portMapping={"port": 1, "protocol": "udp"}),
                   "spec.listeners[0].portMapping.protocol", "udp"),
    "enum in the wrong case": (match(prefix="/", method="get"), "method"),
    "port too large": (listener(portMapping={"port": 70000, "protocol": "http"}),
                       "spec.listeners[0].portMapping.port", "70000", "65535"),
    "port zero": (listener(portMapping={"port": 0, "protocol": "http"}), "spec.listeners[0].portMapping.port"),
    "number below its range": (listener(healthCheck={**HEALTH, "timeoutMillis": 1}),
                               "spec.listeners[0].healthCheck.timeoutMillis"),
    "weight over 100": (route(action={"weightedTargets": [{"virtualNode": "node", "weight": 101}]}), "weight", "101"),
    "priority over 1000": (("virtualRouter/router/routes", {"routeName": "new", "spec": {
        "priority": 1001, "httpRoute": {"match": {"prefix": "/"}, "action": TARGETS}}}), "spec.priority", "1001"),
    "string for a number": (listener(portMapping={"port": "http", "protocol": "http"}), "port"),
    "number for a string": (node(serviceDiscovery={"dns": {"hostname": 7}}), "hostname"),
    "list for an object": (("virtualNodes", {"virtualNodeName": "new", "spec": []}), "spec"),
    "union of two": (node(serviceDiscovery={"dns": {"hostname": "a"}, "awsCloudMap": {
        "namespaceName": "a", "serviceName": "b"}}), "spec.serviceDiscovery"),
    "union of none": (node(serviceDiscovery={}), "spec.serviceDiscovery"),
    "unknown member of a union": (node(serviceDiscovery={"consul": {}}), "consul"),
    "header match of two": (match(prefix="/", headers=[{"name": "x", "match": {"exact": "a", "prefix": "b"}}]),
                            "headers[0].match"),
    "route of two protocols": (("virtualRouter/router/routes", {"routeName": "new", "spec": {
        "httpRoute": {"match": {"prefix": "/"}, "action": TARGETS}, "tcpRoute": {"action": TARGETS}}}), "spec"),
    "route of no protocol": (("virtualRouter/router/routes", {"routeName": "new", "spec": {"priority": 1}}), "spec"),
    "missing name": (("virtualNodes", {"spec": {}}), "virtualNodeName"),
    "missing spec": (("virtualNodes", {"virtualNodeName": "new"}), "spec"),
    "missing field deep down": (node(listeners=[{"portMapping": {"protocol": "http"}}]), "port"),
    "missing action": (("virtualRouter/router/routes", {"routeName": "new", "spec": {
        "httpRoute": {"match": {"prefix": "/"}}}}), "action"),
    "empty list": (route(action={"weightedTargets": []}), "weightedTargets"),
    "list too long": (route(action={"weightedTargets": TARGETS["weightedTargets"] * 11}), "weightedTargets"),
    "string too long": (match(path={"exact": "/" + "x" * 255}), "spec.httpRoute.match.path.exact"),
    "name too long": (("virtualNodes", {"virtualNodeName": "x" * 256, "spec": {}}), "virtualNodeName"),
    "empty name": (("virtualNodes", {"virtualNodeName": "", "spec": {}}), "virtualNodeName"),
    "regular expression that is none": (match(path={"regex": "/(open"}), "spec.httpRoute.match.path.regex"),
    "prefix without a slash": (match(prefix="colour"), "prefix"),
    # not offered yet, and therefore refused and never silently ignored
    "listener TLS": (listener(tls={"mode": "STRICT", "certificate": FILE_CERTIFICATE}), "spec.listeners[0].tls"),
    "Cloud Map": (node(serviceDiscovery={"awsCloudMap": {"namespaceName": "a", "serviceName": "b"}}),
                  "spec.serviceDiscovery.awsCloudMap"),
    "client TLS": (node(backendDefaults={"clientPolicy": {"tls": {
        "validation": {"trust": {"file": {"certificateChain": "/ca.pem"}}}}}}), "tls"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body(shop, unchanged, name):
    (path, body), *words = BAD_BODIES[name]
    expect_error(call(shop, "PUT", f"{API}/shop/{path}", body), 400, "BadRequestException", *words)


def test_all_errors_are_told_at_once(shop, unchanged):
    path, body = node(listeners=[
        {"portMapping": {"port": 70000, "protocol": "http"}},
        {"portMapping": {"port": 80, "protocol": "http"}, "healthCheck": {**HEALTH, "healthyThreshold": 99}},
    ])
    expect_error(call(shop, "PUT", f"{API}/shop/{path}", body), 400, "BadRequestException",
                 "spec.listeners[0].portMapping.port", "spec.listeners[1].healthCheck.healthyThreshold")


def test_bad_update(shop, unchanged):
    spec = {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
        {"virtualNode": "node", "weight": -1}]}}}
    response = call(shop, "PUT", f"{API}/shop/virtualRouter/router/routes/route", {"spec": spec})
    expect_error(response, 400, "BadRequestException", "weight")


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"null", b"meshName: yaml", b'{"meshName": "\xff"}', b"\0" * 100],
                         ids=repr)
def test_malformed_json(shop, unchanged, body):
    expect_error(call(shop, "PUT", API, body), 400, "BadRequestException")


def test_body_over_the_limit(shop, unchanged):
    body = {"meshName": "big", "spec": {}, "tags": [{"key": "k", "value": "x" * BODY_OVER_ANY_LIMIT}]}
    try:
        response = call(shop, "PUT", API, body)
    except (BrokenPipeError, ConnectionResetError):
        return  # refused before all of it was sent, which is as good
    assert response.status in (400, 413)
    assert response.json()["code"] == "BadRequestException"


def test_deeply_nested_body(shop, unchanged):
    expect_error(call(shop, "PUT", API, b'{"spec":' + b"[" * 100_000), 400, "BadRequestException")


def test_a_name_may_not_leave_its_place(shop, unchanged):
    """An encoded slash belongs to the name: this is not virtual node `node` of mesh `shop`."""
    assert call(shop, "GET", f"{API}/shop%2FvirtualNodes%2Fnode").status == 400, "no name of a mesh"
    assert call(shop, "GET", f"{API}/shop/virtualNodes/..%2FvirtualNodes%2Fnode").status == 404


def test_wrong_method(shop, unchanged):
    assert call(shop, "POST", API, {"meshName": "x", "spec": {}}).status in (404, 405)
    assert call(shop, "PATCH", f"{API}/shop", {"spec": {}}).status in (404, 405)


def test_update_of_what_does_not_exist(shop, unchanged):
    response = call(shop, "PUT", f"{API}/shop/virtualNodes/none", {"spec": {}})
    expect_error(response, 404, "NotFoundException", "none")


def test_create_of_what_exists(shop, unchanged):
    path, body = "virtualNodes", {"virtualNodeName": "node", "spec": {}}
    expect_error(call(shop, "PUT", f"{API}/shop/{path}", body), 409, "ConflictException", "node")


def test_deletion_of_what_is_in_use(shop, unchanged):
    expect_error(call(shop, "DELETE", f"{API}/shop/virtualNodes/node"), 409, "ResourceInUseException", "node")
    expect_error(call(shop, "DELETE", f"{API}/shop"), 409, "ResourceInUseException", "shop")


SMUGGLED_BODY = b'{"meshName": "smuggled", "spec": {}}'
CREATE = b"PUT /v20190125/meshes HTTP/1.1\r\nhost: localhost\r\n"
LIST = b"GET /v20190125/meshes HTTP/1.1\r\nhost: localhost\r\n"

# What is no HTTP, or says of its body what is not true; all of it ends, and nothing of it makes a mesh
NO_HTTP = {
    "zeros": b"\0" * 1000,
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\x01" * 200,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9,
    "HTTP/0.9": b"GET /v20190125/meshes\r\n\r\n",
    "HTTP/9.9": b"GET /v20190125/meshes HTTP/9.9\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "no method": b" /v20190125/meshes HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a method with odd letters": b"G(T /v20190125/meshes HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a blank in the target": b"GET /v20190125/mes hes HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a control character in the target": b"GET /v20190125/meshes/\x01 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "bytes beyond ASCII in the target": b"GET /v20190125/meshes/\xff\xfe\x80 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a relative target": b"GET v20190125/meshes HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a target of a megabyte": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a target that is a star": b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a target that is an authority": b"CONNECT legation:80 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a header without a colon": LIST + b"nonsense\r\n\r\n",
    "a header with a blank in its name": LIST + b"a b: c\r\n\r\n",
    "a header with zeros": LIST + b"a: \0\0\r\n\r\n",
    "a header in two lines": LIST + b"a: b\r\n c\r\n\r\n",
    "a header of a megabyte": LIST + b"a: " + b"b" * 1_000_000 + b"\r\n\r\n",
    "ten thousand headers": LIST + b"a: b\r\n" * 10_000 + b"\r\n",
    "lines that end otherwise": LIST.replace(b"\r\n", b"\r") + b"\r\r",
    "a negative length": CREATE + b"content-length: -1\r\n\r\n" + SMUGGLED_BODY,
    "a length that is no number": CREATE + b"content-length: 0x24\r\n\r\n" + SMUGGLED_BODY,
    "a length of many digits": CREATE + b"content-length: " + b"9" * 40 + b"\r\n\r\n" + SMUGGLED_BODY,
    "a length beyond the body": CREATE + b"content-length: 1000\r\n\r\n" + SMUGGLED_BODY,
    "a length beyond any limit": CREATE + b"content-length: 1000000000000\r\n\r\n" + SMUGGLED_BODY,
    "a length within the body": CREATE + b"content-length: 20\r\n\r\n" + SMUGGLED_BODY,
    "two lengths": CREATE + b"content-length: 36\r\ncontent-length: 3\r\n\r\n" + SMUGGLED_BODY,
    "a length and chunks": CREATE + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + CREATE,
    "an encoding that is none": CREATE + b"transfer-encoding: soup\r\n\r\n" + SMUGGLED_BODY,
    "a chunk of no size": CREATE + b"transfer-encoding: chunked\r\n\r\nxyz\r\n" + SMUGGLED_BODY,
    "a chunk of a huge size": CREATE + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + SMUGGLED_BODY,
    "chunks that end too early": CREATE + b"transfer-encoding: chunked\r\n\r\n24\r\n" + SMUGGLED_BODY + b"\r\n",
    "a chunk that is too short": CREATE + b"transfer-encoding: chunked\r\n\r\n24\r\n" + SMUGGLED_BODY[:10] + b"\r\n0\r\n\r\n",
    "no body": CREATE + b"\r\n",
    "a body after a request without one": LIST + b"\r\n" + SMUGGLED_BODY,
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_what_is_no_http(shop, unchanged, name):
    host, port = shop.api.rsplit(":", 1)
    transaction = shop.transaction()
    with raw_http.Connection((host, int(port))) as connection:
        try:
            answer = connection.send(NO_HTTP[name], end=True)
        except (ConnectionError, http.client.HTTPException):
            answer = None  # closed without a word: there was no request
    if answer is not None:
        assert answer.status < 500
        # what is no request is answered below the API, with a bare status
        if answer.status >= 400 and answer.body:
            assert answer.headers["x-amzn-errortype"] == answer.json()["code"]
    assert shop.transaction() == transaction
    assert "panicked" not in shop.stderr


# the ADS port

INVALID_ARGUMENT = 3
UNIMPLEMENTED = 12

BAD_NODES = {
    "no node": None,
    "empty id": "",
    "no known form": "sidecar-17",
    "unknown kind": "mesh/shop/virtualRouter/router",
    "no name": "mesh/shop/virtualNode/",
    "not a mesh": "fleet/shop/virtualNode/node",
    "no such virtual node": "mesh/shop/virtualNode/none",
    "no such virtual gateway": "mesh/shop/virtualGateway/node",
    "no such mesh": "mesh/none/virtualNode/node",
    "ARN of another service": "arn:aws:ecs:us-east-1:000000000000:cluster/shop",
}


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
@pytest.mark.parametrize("name", BAD_NODES)
def test_bad_stream(shop, unchanged, protocol, name):
    node_id = BAD_NODES[name]
    code, message = xds.stream_end(shop, protocol, xds.first_request(protocol, node_id))
    assert code == INVALID_ARGUMENT
    assert message, "an operator needs to be told why"


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
@pytest.mark.parametrize("node_id", [
    "mesh/shop/virtualNode/node",
    "mesh/shop/virtualGateway/gateway",
    "arn:aws:appmesh:us-east-1:123456789012:mesh/shop/virtualNode/node",
])
def test_good_stream(shop, protocol, node_id):
    """The counterpart: every documented form of a node id is answered."""
    body = xds.first_response(shop, protocol, xds.first_request(protocol, node_id))
    assert b"cds_" in body


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_stream_without_a_type(shop, unchanged, protocol):
    message = xds.first_request(protocol, "mesh/shop/virtualNode/node", type_url="")
    code, text = xds.stream_end(shop, protocol, message)
    assert code == INVALID_ARGUMENT and "type_url" in text


@pytest.mark.parametrize("service, method", [
    ("envoy.service.route.v3.VirtualHostDiscoveryService", "DeltaVirtualHosts"),
    ("envoy.service.cluster.v3.ClusterDiscoveryService", "FetchClusters"),
    ("grpc.health.v1.Health", "Check"),
])
def test_another_service(shop, service, method):
    message = xds.first_request("delta", "mesh/shop/virtualNode/node")
    code, _ = xds.stream_end(shop, "delta", message, service, method)
    assert code == UNIMPLEMENTED


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_a_node_is_known_once_its_creation_is_acknowledged(shop, protocol):
    """An Envoy that is started right after the API call is not told that its node does not exist."""
    for number in range(30):
        name = f"new-{protocol}-{number}"
        shop.client().create_virtual_node(meshName="shop", virtualNodeName=name, spec={})
        node_id = f"mesh/shop/virtualNode/{name}"
        assert b"cds_" in xds.first_response(shop, protocol, xds.first_request(protocol, node_id))


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_stream_of_garbage(shop, unchanged, protocol):
    code, _ = xds.stream_end(shop, protocol, b"\xff" * 50)
    assert code != 0
    assert b"cds_" in xds.first_response(shop, protocol, xds.first_request(protocol, "mesh/shop/virtualNode/node"))


# the command line

def test_serve_refuses_a_public_address(shop, tmp_path):
    for flag in ("--api-addr", "--xds-addr", "--admin-addr"):
        done = shop.command("serve", "--data-dir", tmp_path, "--api-addr", "127.0.0.1:0", "--xds-addr", "127.0.0.1:0",
                            "--admin-addr", "127.0.0.1:0", flag, "0.0.0.0:0")
        assert done.returncode not in (0, -9)
        assert "--insecure" in done.stderr


def test_serve_refuses_data_in_use(shop, tmp_path):
    done = shop.command("serve", "--data-dir", shop.data_dir, "--api-addr", "127.0.0.1:0",
                        "--xds-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
    assert done.returncode not in (0, -9)
    assert str(shop.data_dir) in done.stderr


@pytest.mark.parametrize("words", [
    ("serve", "--max-envoys", "many"),
    ("serve", "--roles", "frontend,backstage"),
    ("serve", "--no-such-flag"),
    ("apply",),
    ("apply", "-f", "/does/not/exist.yaml"),
    ("bootstrap", "--mesh", "shop"),
    ("bootstrap", "--mesh", "shop", "--virtual-node", "a", "--virtual-gateway", "b"),
    ("bootstrap", "--mesh", "shop", "--virtual-node", "a", "--protocol", "carrier-pigeon"),
    ("status", "--admin", "http://127.0.0.1:1"),
], ids=" ".join)
def test_bad_command_line(shop, words):
    done = shop.command(*words)
    assert done.returncode != 0
    assert done.stderr.strip(), "an error is told"
    assert "panicked" not in done.stderr


def test_nothing_panicked(shop):
    """Runs last in this file: all of the above went to one control plane, which is to be alive and well."""
    assert shop.get("/healthz") is not None
    assert "panicked" not in shop.stderr
