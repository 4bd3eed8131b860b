"""Signatures, access keys and TLS, as AWS's own clients meet them."""

import datetime
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request

import botocore.auth
import pytest
import trustme
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, SSLError

from harness import http1, locate
from harness.aws_cli import AwsCli
from harness.definitions import documents
from harness.legation import Legation
from harness.waiting import wait_until

ALICE = ("AKIDALICE", "alice/alice+alice=alice")
ALICE_NEXT = ("AKIDALICE2", "alice/alice+alice=next!")
BOB = ("AKIDBOB", "bobby-bobby-bobby-bobby")
SECRETS = [secret for _, secret in (ALICE, ALICE_NEXT, BOB)]

# as in a table of kinds of resource: the name in a document, the words of the command line
KINDS = {
    "gatewayRouteName": "gateway-route", "virtualGatewayName": "virtual-gateway", "routeName": "route",
    "virtualRouterName": "virtual-router", "virtualNodeName": "virtual-node",
    "virtualServiceName": "virtual-service", "meshName": "mesh",
}


def key_file(*keys):
    return "".join(
        f'[[access-key]]\nid = "{key[0]}"\nsecret = "{key[1]}"\nuser = "{user}"\n{more}\n' for user, key, more in keys)


DEFAULT_KEYS = key_file(("alice", ALICE, 'groups = ["payments"]'), ("bob", BOB, ""))


def replace(path, text):
    """Gives a file other contents at once, as every tool should."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.chmod(0o600)
    os.replace(temporary, path)


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.toml"
    replace(path, DEFAULT_KEYS)
    return path


@pytest.fixture
def guarded(tmp_path, keys):
    """A control plane that takes requests of alice and of bob."""
    control_plane = Legation(tmp_path, options=["--access-keys", keys]).start()
    yield control_plane
    log = control_plane.stderr
    control_plane.stop()
    assert not [secret for secret in SECRETS if secret in log], "a secret was logged"


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


class Certificate:
    """The files of a certificate for 127.0.0.1, which can be issued anew."""

    def __init__(self, directory, authority):
        self._authority = authority
        self.certificate, self.key, self.roots = (directory / name for name in ("api.pem", "api.key", "ca.pem"))
        authority.cert_pem.write_to_path(self.roots)
        self.issue()

    def issue(self):
        issued = self._authority.issue_cert("127.0.0.1")
        replace(self.key, issued.private_key_pem.bytes().decode())
        replace(self.certificate, "".join(pem.bytes().decode() for pem in issued.cert_chain_pems))

    @property
    def options(self):
        return ["--api-tls-certificate", self.certificate, "--api-tls-key", self.key]


@pytest.fixture
def certificate(tmp_path, authority):
    return Certificate(tmp_path, authority)


@pytest.fixture
def fortress(tmp_path, keys, certificate):
    """A control plane with access keys and TLS."""
    control_plane = Legation(tmp_path, options=["--access-keys", keys, *certificate.options]).start()
    yield control_plane
    control_plane.stop()


def refused(call, *args, **kwargs):
    """(code, status, message) of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def fetch(url, method="GET", body=None):
    """(status, body) of a request that is not signed here."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def signed(key, url, method="GET", body=None, headers=None):
    """A request with botocore's signature."""
    request = AWSRequest(method, url, data=body, headers=headers)
    SigV4Auth(Credentials(*key), "appmesh", "us-east-1").add_auth(request)
    return request.prepare()


# boto3


def test_the_right_key(guarded):
    alice = guarded.client(ALICE)
    alice.create_mesh(meshName="m", spec={})
    alice.update_mesh(meshName="m", spec={"egressFilter": {"type": "ALLOW_ALL"}})
    assert [mesh["meshName"] for mesh in guarded.client(BOB).list_meshes(limit=5)["meshes"]] == ["m"]
    alice.delete_mesh(meshName="m")


def test_wrong_keys(guarded):
    for key, expected in [
        (("AKIDNOBODY", ALICE[1]), "UnrecognizedClientException"),
        ((ALICE[0], BOB[1]), "InvalidSignatureException"),
    ]:
        code, status, message = refused(guarded.client(key).create_mesh, meshName="m", spec={})
        assert (code, status) == (expected, 403), message
    code, status, message = refused(guarded.client(ALICE, region="eu-west-1").list_meshes)
    assert (code, status) == ("InvalidSignatureException", 403)
    assert "us-east-1" in message
    assert guarded.client(ALICE).list_meshes()["meshes"] == [], "what was refused has changed something"


def test_no_signature(guarded):
    status, body = fetch(f"{guarded.endpoint}/v20190125/meshes", "PUT", b'{"meshName": "m", "spec": {}}')
    assert (status, body["code"]) == (403, "MissingAuthenticationTokenException")
    address = ("127.0.0.1", int(guarded.api.rsplit(":", 1)[1]))
    # nothing is said about a body that nobody has signed, however long or wrong it is
    for body in [b"{", b"[]", b"x" * 900_000]:
        answer = http1.request(address, "PUT", "/v20190125/meshes", body=body)
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    assert guarded.metrics()["legation_api_requests_total",
                             (("code", "MissingAuthenticationTokenException"), ("operation", "CreateMesh"))] == 4


def test_a_body_that_is_not_the_one_that_was_signed(guarded):
    url = f"{guarded.endpoint}/v20190125/meshes"
    request = signed(ALICE, url, "PUT", b'{"meshName": "m", "spec": {}}', {"Content-Type": "application/json"})
    address = ("127.0.0.1", int(guarded.api.rsplit(":", 1)[1]))
    headers = dict(request.headers)
    answer = http1.request(address, "PUT", "/v20190125/meshes", headers, b'{"meshName": "n", "spec": {}}')
    assert (answer.status, answer.json()["code"]) == (403, "InvalidSignatureException")
    answer = http1.request(address, "PUT", "/v20190125/meshes", headers, b'{"meshName": "m", "spec": {}}')
    assert answer.status == 200
    # as with AWS it may come again, for as long as its time is
    answer = http1.request(address, "PUT", "/v20190125/meshes", headers, b'{"meshName": "m", "spec": {}}')
    assert (answer.status, answer.json()["code"]) == (409, "ConflictException")


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_clock_that_is_wrong(guarded, monkeypatch, minutes):
    client = guarded.client(ALICE)
    there = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: there.replace(tzinfo=None))
    code, status, message = refused(client.list_meshes)
    assert (code, status) == ("InvalidSignatureException", 403)
    assert ("expired" if minutes < 0 else "not yet current") in message
    assert there.strftime("%Y%m%dT%H%M") in message, "the message tells the time of the signature"
    there -= datetime.timedelta(minutes=minutes * 0.5)
    assert client.list_meshes()["meshes"] == [], "half of that is allowed"


def test_presigned(guarded):
    alice = guarded.client(ALICE)
    alice.create_mesh(meshName="a b-c%d", spec={})
    params = {"meshName": "a b-c%d", "meshOwner": "000000000000"}
    url = alice.generate_presigned_url("describe_mesh", Params=params, ExpiresIn=60)
    status, body = fetch(url)
    assert (status, body["meshName"]) == (200, "a b-c%d")
    signature = re.search("X-Amz-Signature=(.)", url).group(1)
    wrong = url.replace(f"X-Amz-Signature={signature}", f"X-Amz-Signature={'1' if signature == '0' else '0'}")
    for altered in [wrong, url + "&limit=1", url.replace("X-Amz-Expires=60", "X-Amz-Expires=61")]:
        assert fetch(altered)[0] == 403, altered
        assert fetch(altered)[1]["code"] == "InvalidSignatureException", altered
    assert fetch(url, "DELETE")[1]["code"] == "InvalidSignatureException"
    url = alice.generate_presigned_url("list_meshes", ExpiresIn=1)
    assert fetch(url)[0] == 200
    wait_until(lambda: fetch(url)[1].get("code") == "RequestExpired", "the end of the time of a presigned request")
    assert fetch(alice.generate_presigned_url("list_meshes", ExpiresIn=604_801))[1]["code"] == (
        "IncompleteSignatureException")


@pytest.mark.parametrize("name", ["x y", "100%", "a%2Fb", "a?b#c", "a+b&c=d", "ünïcode", "a:b@c;d,e", "~'()!*$"])
def test_names_with_odd_characters(guarded, name):
    alice = guarded.client(ALICE)
    alice.create_mesh(meshName="m", spec={})
    alice.create_virtual_node(meshName="m", virtualNodeName=name, spec={})
    described = alice.describe_virtual_node(meshName="m", virtualNodeName=name)["virtualNode"]
    assert described["virtualNodeName"] == name
    token = alice.list_virtual_nodes(meshName="m", limit=1).get("nextToken")
    assert token is None
    alice.delete_virtual_node(meshName="m", virtualNodeName=name)


@pytest.mark.parametrize("name", ["a/b", "/", "a//b", "./..", "a/../b"])
def test_names_with_slashes(guarded, name):
    """Only virtual nodes and services may have them."""
    alice = guarded.client(ALICE)
    alice.create_mesh(meshName="m", spec={})
    alice.create_virtual_service(meshName="m", virtualServiceName=name, spec={})
    described = alice.describe_virtual_service(meshName="m", virtualServiceName=name)["virtualService"]
    assert described["virtualServiceName"] == name
    alice.delete_virtual_service(meshName="m", virtualServiceName=name)


# what anybody can do


def test_a_page_in_a_browser(tmp_path):
    """Where nobody signs, a page that a user of this machine looks at may not do what the user may."""
    control_plane = Legation(tmp_path).start()
    try:
        address = ("127.0.0.1", int(control_plane.api.rsplit(":", 1)[1]))
        body = json.dumps({"apply": [{"meshName": "m", "spec": {}}]})

        def post(**headers):
            # no browser asks before such a request: it could be a form's
            connection = http.client.HTTPConnection(*address, timeout=10)
            connection.request("POST", "/legation/v1/transactions", body, {"Content-Type": "text/plain", **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()).get("code")

        for headers in ({"Origin": "https://example.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
                        {"Host": "example.com:8080"}, {"Host": "example.com", "Origin": "http://example.com"}):
            assert post(**headers) == (403, "AccessDeniedException"), headers
        assert control_plane.client().list_meshes()["meshes"] == []
        assert post(Host="localhost") == (200, None)
    finally:
        control_plane.stop()


def test_who_is_refused_all_the_time_keeps_nobody_out(guarded):
    address, connection = guarded.api.rsplit(":", 1), None
    statuses = []
    log_before = guarded.stderr.count("request refused")
    for _ in range(3000):
        connection = connection or http.client.HTTPConnection(address[0], int(address[1]), timeout=10)
        connection.request("GET", "/v20190125/meshes")
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        if answer.will_close:
            connection.close()
            connection = None
    told = statuses.count(403)
    assert set(statuses) <= {403, 429} and told >= 100
    # 100 a second, whatever the speed of this machine; and no more lines in the log than are told
    assert guarded.stderr.count("request refused") - log_before <= told
    assert guarded.client(ALICE).list_meshes()["meshes"] == []


# keys and certificates that change


def test_keys_come_and_go(guarded, keys):
    def lets_in(key):
        try:
            guarded.client(key).list_meshes()
            return True
        except ClientError:
            return False

    assert (lets_in(ALICE), lets_in(ALICE_NEXT)) == (True, False)
    both = key_file(("alice", ALICE, ""), ("alice", ALICE_NEXT, ""))
    replace(keys, both)
    wait_until(lambda: lets_in(ALICE_NEXT), "the next key of alice")
    assert (lets_in(ALICE), lets_in(BOB)) == (True, False)

    # a bad file changes nothing
    replace(keys, both.replace("user", "usher"))
    wait_until(lambda: reloads(guarded, "access_keys", "refused") == 1, "the refusal of a bad file")
    assert lets_in(ALICE) and lets_in(ALICE_NEXT)
    assert "access-key[0].user: is required" in guarded.stderr

    # as Kubernetes does it: a link to a folder is turned
    for number, text in [(1, both), (2, key_file(("alice", ALICE_NEXT, ""), ("alice", ALICE, "disabled = true")))]:
        folder = keys.parent / str(number)
        folder.mkdir()
        (folder / "keys.toml").write_text(text)
    data = keys.parent / "..data"
    data.symlink_to("1")
    turned = keys.parent / "..turned"
    os.symlink("..data/keys.toml", turned)
    os.replace(turned, keys)
    os.symlink("2", turned)
    os.replace(turned, data)
    wait_until(lambda: not lets_in(ALICE), "a key that is disabled")
    assert lets_in(ALICE_NEXT)
    code, _, message = refused(guarded.client(ALICE).list_meshes)
    assert (code, message) == ("UnrecognizedClientException", "the access key is disabled")


def reloads(legation, file, outcome):
    return legation.metrics().get(("legation_file_reloads_total", (("file", file), ("outcome", outcome))), 0)


def test_tls(fortress, certificate):
    verify = str(certificate.roots)
    alice = fortress.client(ALICE, verify=verify)
    alice.create_mesh(meshName="m", spec={})
    with pytest.raises(SSLError):
        fortress.client(ALICE).list_meshes()
    assert refused(fortress.client((ALICE[0], BOB[1]), verify=verify).list_meshes)[0] == "InvalidSignatureException"
    # what is no TLS is closed without an answer, and HTTP/2 is not agreed upon
    with pytest.raises((http.client.HTTPException, OSError)):
        http1.request(("127.0.0.1", int(fortress.api.rsplit(":", 1)[1])), "GET", "/v20190125/meshes")
    wait_until(lambda: fortress.metrics()["legation_tls_handshakes_failed_total", (("reason", "error"),)] >= 2,
               "both connections without TLS counted")
    context = ssl.create_default_context(cafile=verify)
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, port = fortress.api.rsplit(":", 1)
    with context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host) as tls:
        assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")


def test_keys_and_certificates_change_under_load(fortress, certificate, keys):
    host, port = fortress.api.rsplit(":", 1)
    context = ssl.create_default_context(cafile=str(certificate.roots))
    current = {"key": ALICE}
    done, failures, answered, seen = threading.Event(), [], [0], set()

    def work():
        while not done.is_set():
            request = signed(current["key"], f"{fortress.endpoint}/v20190125/meshes")
            connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
            try:
                connection.request("GET", "/v20190125/meshes", headers=dict(request.headers))
                seen.add(hashlib.sha256(connection.sock.getpeercert(binary_form=True)).hexdigest())
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    failures.append(body)
                answered[0] += 1
            except Exception as error:
                failures.append(repr(error))
            finally:
                connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        for number in range(3):
            old, new = (ALICE, ALICE_NEXT) if number % 2 == 0 else (ALICE_NEXT, ALICE)
            taken = reloads(fortress, "access_keys", "taken"), reloads(fortress, "api_certificate", "taken")
            replace(keys, key_file(("alice", old, f"# {number}"), ("alice", new, "")))
            certificate.issue()
            wait_until(lambda: (reloads(fortress, "access_keys", "taken") > taken[0]
                                and reloads(fortress, "api_certificate", "taken") > taken[1]), "both taken")
            current["key"] = new
            before = answered[0]
            # whoever still signed with the old key is done with it
            wait_until(lambda: answered[0] > before + 20, "requests with the new key", 60)
            replace(keys, key_file(("alice", new, "")))
            wait_until(lambda: reloads(fortress, "access_keys", "taken") > taken[0] + 1, "the new key alone")
    finally:
        done.set()
        for worker in workers:
            worker.join()
    assert not failures, failures[:3]
    assert len(seen) == 4, "each certificate was shown"


def test_a_certificate_that_cannot_be_used_is_not(fortress, certificate):
    verify = str(certificate.roots)
    other = trustme.CA().issue_cert("127.0.0.1")
    # the key of another certificate, as between two writes that never end
    replace(certificate.key, other.private_key_pem.bytes().decode())
    wait_until(lambda: reloads(fortress, "api_certificate", "refused") == 1, "the refusal of a pair")
    assert fortress.client(ALICE, verify=verify).list_meshes()["meshes"] == []


def test_what_is_needed_to_start(tmp_path, keys, certificate):
    for options, expected in [
        (["--access-keys", tmp_path / "none"], "cannot read"),
        (["--access-keys", certificate.key], "is not TOML"),
        (["--api-tls-certificate", certificate.certificate, "--api-tls-key", keys], "no private key"),
        (["--api-tls-certificate", certificate.certificate], "--api-tls-key"),
        (["--api-addr", "0.0.0.0:0", "--access-keys", keys], "--api-tls-certificate"),
    ]:
        done = Legation(tmp_path).command("serve", "--data-dir", tmp_path / "data", "--xds-addr", "127.0.0.1:0",
                                          "--admin-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", *options)
        assert done.returncode != 0
        assert expected in done.stderr, done.stderr
        assert not [secret for secret in SECRETS if secret in done.stderr]


def test_keys_that_everybody_can_read_are_told(tmp_path, keys):
    keys.chmod(0o644)
    control_plane = Legation(tmp_path, options=["--access-keys", keys]).start()
    assert "chmod 600" in control_plane.stderr
    control_plane.stop()


# our own commands


def test_our_own_commands_sign(fortress, certificate):
    variables = {"AWS_ACCESS_KEY_ID": ALICE[0], "AWS_SECRET_ACCESS_KEY": ALICE[1],
                 "LEGATION_CA_CERTIFICATE": str(certificate.roots)}
    files = locate.EXAMPLES / "bookshop"

    def apply(**changes):
        env = {name: value for name, value in (variables | changes).items() if value is not None}
        return fortress.apply(files, env=env)

    assert "missing authentication token" in apply(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None).stdout
    assert "invalid signature" in apply(AWS_SECRET_ACCESS_KEY=BOB[1]).stdout
    assert "the region here is us-east-1" in apply(AWS_REGION="eu-west-1").stdout
    assert "session tokens are not issued here" in apply(AWS_SESSION_TOKEN="token").stdout
    assert "UnknownIssuer" in apply(LEGATION_CA_CERTIFICATE=None).stdout
    half = apply(AWS_SECRET_ACCESS_KEY=None)
    assert half.code == 2 and "AWS_SECRET_ACCESS_KEY is not" in half.stderr
    missing = apply(LEGATION_CA_CERTIFICATE="/none")
    assert missing.code == 2 and "cannot read" in missing.stderr

    count = len(documents("bookshop"))
    assert apply().counts == (count, 0, 0, 0)
    bundle = apply(LEGATION_CA_CERTIFICATE=None, AWS_CA_BUNDLE=str(certificate.roots))
    assert bundle.counts == (0, 0, count, 0)


@pytest.mark.parametrize("name", ["..", ".", "a//b", "a b%2F", "ünïcode"])
def test_our_own_commands_escape_names(guarded, tmp_path, name):
    file = tmp_path / "odd.json"
    file.write_text(json.dumps({"meshName": "m", "spec": {}}) + json.dumps(
        {"meshName": "m", "virtualServiceName": name, "spec": {}}))
    env = {"AWS_ACCESS_KEY_ID": ALICE[0], "AWS_SECRET_ACCESS_KEY": ALICE[1]}
    assert guarded.apply(file, env=env).counts == (2, 0, 0, 0)
    assert guarded.apply(file, env=env).counts == (0, 0, 2, 0)


# the AWS CLI


def test_the_aws_cli_is_told_why(guarded):
    for key, expected in [
        (("AKIDNOBODY", ALICE[1]), "UnrecognizedClientException"),
        ((ALICE[0], BOB[1]), "InvalidSignatureException"),
    ]:
        assert expected in AwsCli(guarded.endpoint, key).refused("list-meshes")
    assert "credentials" in AwsCli(guarded.endpoint).refused("list-meshes")
    answer = AwsCli(guarded.endpoint).refused("list-meshes", "--no-sign-request")
    assert "MissingAuthenticationTokenException" in answer


def test_the_aws_cli_over_tls(fortress, certificate):
    aws = AwsCli(fortress.endpoint, ALICE, AWS_CA_BUNDLE=str(certificate.roots))
    created = aws("create-mesh", "--mesh-name", "m", "--spec", "{}")
    assert created["mesh"]["status"]["status"] == "ACTIVE"
    assert "SSL" in AwsCli(fortress.endpoint, ALICE).refused("list-meshes")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", ["walkthroughs/timeout-policy.yaml", "walkthroughs/circuit-breakers.yaml"])
def test_a_walkthrough_with_the_aws_cli(guarded, path):
    """Creates, describes, updates and deletes all that a walkthrough of App Mesh defines."""
    aws = AwsCli(guarded.endpoint, ALICE)
    order = ["mesh", "virtual-node", "virtual-router", "route", "virtual-service", "virtual-gateway", "gateway-route"]
    resources = []
    for document in documents(path):
        noun = next(noun for key, noun in KINDS.items() if key in document)
        names = [word for key, name in document.items() if key.endswith("Name") for word in (option(key), name)]
        resources.append((order.index(noun), noun, names, json.dumps(document["spec"])))
    resources.sort(key=lambda resource: resource[0])
    for _, noun, names, spec in resources:
        created = body(aws(f"create-{noun}", *names, "--spec", spec))
        assert created["spec"] == json.loads(spec)
    for _, noun, names, spec in resources:
        assert body(aws(f"describe-{noun}", *names))["metadata"]["version"] == 1
        assert body(aws(f"update-{noun}", *names, "--spec", spec))["metadata"]["version"] == 1
    for _, noun, names, _ in reversed(resources):
        assert body(aws(f"delete-{noun}", *names))["status"]["status"] == "DELETED"
    assert aws("list-meshes") == {"meshes": []}


def option(key):
    """A member of a document as an option of the command line: meshName is --mesh-name."""
    return "--" + re.sub("([A-Z])", lambda letter: "-" + letter.group().lower(), key)


def body(answer):
    (resource,) = answer.values()
    return resource
