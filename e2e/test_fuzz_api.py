"""Requests at random, made from App Mesh's own model: right ones, and ones with one thing wrong.

Each answer is held against what the model and the documentation say, and what is stored against what has to be after all that was
accepted, and nothing else. The same seed makes the same requests; what fails is printed as a command that repeats it.

    FUZZ_SEED=7 FUZZ_REQUESTS=100000 python -m pytest test_fuzz_api.py -s
"""

import collections
import copy
import http.client
import json
import os
import random
import re
import shlex
import string
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import pytest
from botocore.validate import ParamValidator

from harness import raw_http, service_model
from harness.generated import Generator, spoiled
from harness.service_model import MODEL, OPERATIONS, violations
from harness.world import ARNS, KINDS, Resource, World, tags_of, without_nulls

SEED = int(os.environ.get("FUZZ_SEED", "4"))
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "3000"))
# with this seed so many requests make every operation accepted and refused
SEED_OF_A_WHOLE_RUN, REQUESTS_OF_A_WHOLE_RUN = 4, 3000
# how often everything that is stored is looked at
LOOK_EVERY = 500

PREFIX = "/v20190125"
ACCOUNT = "000000000000"
BODY_SHOWN_MAX = 500

NAMES = {
    "mesh": ["m", "n", "übung %2f", "o", "p", "q"],
    "virtualNode": ["a", "b", "c", "with/slash", "...", "a+b c"],
    "virtualRouter": ["r", "q", "ü?&=#"],
    "virtualService": ["s.local", "t.local", "%s/%2e%2e"],
    "virtualGateway": ["g", "h:1"],
    "route": ["x", "y", "x/y", "漢"],
    "gatewayRoute": ["w", "v", "*"],
}

# The errors of the model with their statuses, and what docs/api.md adds to them.
STATUSES = {
    **{shape.name: {shape.metadata["error"]["httpStatusCode"]} for shape in MODEL.error_shapes},
    "UnknownOperationException": {404, 405},
}
STATUSES["BadRequestException"] |= {413, 408}
ERRORS_OF_SETS = ("BadRequestException", "NotFoundException", "ConflictException", "ResourceInUseException",
                  "LimitExceededException", "TooManyTagsException")

# What the model, or botocore, is against and Legation takes. All of it is in docs/api.md, and nothing else is taken:
# - null for a member that may be absent, which is the same as absent: `violations` says so
# - HEAD where there is GET, which is HTTP's own
# - content types that are not JSON's, bodies of operations that take none, parameters that an operation does not have
TAKEN_METHODS = {"HEAD": "GET"}
ODD_HEADERS = [
    {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}, {"content-type": "ä" * 10},
    {"content-type": None}, {"content-type": ""}, {"accept": "text/html"}, {"accept-encoding": "gzip, br"},
    {"content-encoding": "gzip"}, {"x-amz-target": "AppMesh.DeleteMesh"}, {"x-http-method-override": "DELETE"},
    {"authorization": "AWS4-HMAC-SHA256 Credential=?"}, {"authorization": "Basic ="}, {"x-amz-date": "yesterday"},
    {"host": "127.0.0.1:1"}, {"x-forwarded-for": "1.2.3.4"}, {"cookie": "a=" + "b" * 10_000},
    {f"x-{number}": "y" for number in range(50)},
]

# what no resource is called
NASTY_SEGMENTS = [
    b"", b".", b"..", b"%", b"%2", b"%zz", b"%00", b"%ff", b"%c0%af", b"%2e%2e%2f%2e%2e", b"%2F", b"m%2fvirtualNodes",
    b"%0d%0a", b"%25", b"{mesh}", b":mesh", b"~", b";v=1", b"%ed%a0%80", b"%f4%90%80%80", b"%E2%80%AE", b"\xff\xfe",
    "ü".encode(), b"'\"<>", b"|^`", b"\\..\\", b"x" * 256, b"x" * 20_000, b"%61" * 300, b"%F0%9F%A6%80" * 100, b"nobody",
    b"nobody?limit=5", b"?", b"#", b"!$&'()*,",
]
METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", "Put", "FOO", "LINK", "X" * 300]

WRONG_PARAMETERS = {
    "limit": [b"0", b"101", b"-1", b"", b"ten", b"1.5", b"1e1", b"9" * 20, b"%00", b"%ff", b"1%201", "１".encode(), b"0x10",
              b"true"],
    "nextToken": [b"", b"x", b"made-up", b"%00", b"%ff" * 10, b"0" * 16, b"0" * 17, b"0" * 18, b"zz" * 20, b"a" * 5000,
                  "ü".encode() * 8, b"0" * 15 + "ü".encode(), b"00000000000000000+"],
    "meshOwner": [b"", b"0", b"0" * 11, b"0" * 13, b"00000000000x", b"%00" * 12, "٠".encode() * 6, b"self", b"111111111111"],
    "resourceArn": [None, b"", b"mesh/m", b"arn", b":" * 100, b"%ff", b"x" * 5000, b"arn:aws:s3:::m",
                    b"arn:aws:appmesh:us-east-1:111111111111:mesh/m", b"arn:aws:appmesh:eu-west-1:000000000000:mesh/m",
                    b"arn:aws-cn:appmesh:us-east-1:000000000000:mesh/m",
                    *(ARNS.encode() + path for path in (
                        b"", b"mesh", b"mesh/", b"mesh/m/", b"mesh/m/virtualNode/", b"mesh/m%00", b"mesh/m/colour/x",
                        b"mesh/m/virtualRouter/r/gatewayRoute/x"))],
}
# with these in its target something is no request of HTTP, and is refused as such, with a bare status
NO_BYTES_OF_A_TARGET = {*b'"<>\\^`|', *range(0x80, 0x100)}

# of the sets of changes that `/legation/v1` takes: members in place of right ones
WRONG_MEMBERS = [
    *(("apply", value) for value in (
        {}, "all", [None], [[]], [{}], [{"meshName": "m"}, 7], [{"spec": {}}], [{"meshName": 1, "spec": {}}],
        [{"meshName": "m", "virtualNodeName": "a", "colour": 1, "spec": {}}], [{"meshName": "m", "routeName": "x", "spec": {}}],
        [{"meshName": "m", "spec": {}, "tags": [{"key": ""}]}], [{"meshName": "m\0", "spec": {}}])),
    *(("delete", value) for value in (
        "m", [1], [""], [None], ["mesh/"], ["mesh/m/"], ["mesh/m/route/x"], ["arn:aws:s3:::bucket"])),
    *(("ifTransaction", value) for value in (-1, 0.5, "1", 2 ** 64, 10 ** 30, [])),
    ("colour", 1), ("Apply", []), ("", None),
]
WRONG_ROLLBACKS = [
    {}, {"to": None}, {"to": -1}, {"to": "1"}, {"to": 0.5}, {"to": 2 ** 64}, {"to": 2 ** 62}, {"to": [1]}, {"to": {"to": 1}},
    {"to": 1, "mesh": 7}, {"to": 1, "mesh": ""}, {"to": 1, "mesh": "a/b"}, {"to": 1, "mesh": "m\0"}, {"to": 1, "mesh": "nobody"},
    {"to": 1, "dryRun": "true"}, {"to": 1, "dryRun": 0}, {"to": 1, "colour": 1}, {"to": 1, "ifTransaction": -1},
    {"to": 10 ** 400}, [], 7,
]
WRONG_QUERIES = {
    "history": [b"limit=0", b"limit=101", b"limit=x", b"limit=", b"limit=-1", b"before=x", b"before=-1", b"after=1.5",
                b"before=" + b"9" * 30, b"mesh=", b"mesh=a%2Fb", b"mesh=%00", b"mesh=%ff%00", b"resource=", b"resource=mesh",
                b"resource=mesh/m/colour/x", b"resource=arn:aws:appmesh", b"resource=mesh/m/virtualNode/a&mesh=n"],
    "denials": [b"limit=0", b"limit=1001", b"limit=x", b"mesh=", b"mesh=a%2Fb", b"mesh=%00"],
}
ODD_QUERIES = [b"", b"colour=1", b"limit=1&limit=2", b"mesh=nobody", b"resource=mesh/nobody", b"before=0", b"%", b"%zz=%zz",
               b"after=18446744073709551615", b"&&&=&", b"mesh=%ff", b"a" * 5000, b"before=5&after=7"]
WRONG_EXTENSION_PATHS = [b"", b"/", b"/history/", b"/transactions/1", b"/../v1/history", b"//history", b"/Plan", b"/plan%00",
                         b"/%ff"]


@dataclass
class Request:
    """A request, and what is known of it beforehand."""

    about: str
    operation: str
    method: str
    target: bytes
    body: bytes = b""
    headers: dict = field(default_factory=dict)
    # why it has to be refused, if it has to
    wrong: str = ""
    # what it may be refused with, where it is none of App Mesh's operations
    errors: tuple = ()
    # what to do with the answer once it is accepted
    accepted: object = lambda answer: None

    @property
    def wire(self):
        return raw_http.request(self.method, self.target, self.headers, self.body)

    def curl(self, endpoint):
        """About what a shell would take."""
        headers = "".join(f" -H {shlex.quote(f'{name}: {value or str()}')}" for name, value in self.headers.items())
        body = f" --data-binary {_shell(self.body)}" if self.body else ""
        return f"curl -i --path-as-is -X {self.method} {_shell(endpoint.encode() + self.target)}{headers}{body}"


def _shell(text):
    if all(0x20 <= byte < 0x7f for byte in text):
        return shlex.quote(text.decode())
    shown = (chr(byte) if 0x20 <= byte < 0x7f and byte not in b"'\\" else f"\\x{byte:02x}" for byte in text)
    return f"$'{''.join(shown)}'"


class Requests:
    """Makes requests, by chance and what there is in a world."""

    def __init__(self, seed, world):
        self.random = random.Random(seed)
        self.generator = Generator(self.random, NAMES)
        self.world = world

    def any(self):
        [make] = self.random.choices([make for make, _ in SHARES], [share for _, share in SHARES])
        return make(self)

    def chance(self, probability):
        return self.generator.chance(probability)

    # right requests

    def right(self, operation=None):
        """A request that the model has nothing against."""
        return Right(self, operation or self.random.choices(OPERATIONS, WEIGHTS)[0]).request()

    def null_members(self):
        """Members that may be absent are null, which is the same."""
        right = Right(self, self.random.choice(WITH_BODY))
        shape, there = service_model.body(right.operation), right.body
        while shape.type_name == "structure":
            for name in shape.members:
                if name not in there and self.chance(0.5):
                    there[name] = None
            deeper = [name for name in there if isinstance(there[name], dict)]
            if not deeper:
                break
            name = self.random.choice(deeper)
            there, shape = there[name], shape.members[name]
        return right.request("null members")

    def odd_headers(self):
        right = Right(self, self.random.choices(OPERATIONS, WEIGHTS)[0]).request("odd headers")
        right.headers = {**right.headers, **self.random.choice(ODD_HEADERS)}
        return right

    def names(self, kind):
        """Of something of this kind, which may be there or not."""
        existing = self.world.names(kind)
        if existing and self.chance(0.6):
            return self.random.choice(existing)
        containers = self.world.names(kind.container) if kind.container else [()]
        if containers and self.chance(0.95):
            # most is in few of them, so that there is something to work with, and little in others, which can be deleted
            few = containers[:2] if self.chance(0.95) else containers
            return (*self.random.choice(few), self.generator.name(kind.name))
        return tuple(self.generator.name(key.removesuffix("Name")) for key in kind.keys)

    def json(self, value):
        return json.dumps(value, ensure_ascii=self.chance(0.5)).encode()

    # requests with one thing wrong

    def spoiled_body(self):
        """One thing in the body is against the model."""
        right = Right(self, self.random.choice(WITH_BODY))
        request = right.request("spoiled body")
        request.wrong, body = spoiled(self.generator, right.body, service_model.body(right.operation))
        request.body = self.json(body)
        return request

    def malformed_body(self):
        request = Right(self, self.random.choice(WITH_BODY)).request("malformed body")
        request.body, request.wrong = self.malformed(request.body), "it is no object of JSON"
        return request

    def malformed(self, text):
        """What is no object of JSON, or not to a strict reader, made of the text of one."""
        at = self.random.randrange(1, len(text))
        return self.random.choice([
            text[:at], text + text, text + b"\0", text[:-1] + b",}", b"[" + text + b"]", b"/**/" + text, b"\xef\xbb\xbf" + text,
            text.decode().encode("utf-16"), b"\xff" + self.random.randbytes(at), b"{" * self.random.choice([1, 200, 100_000]),
            b'{"a":' * self.random.choice([200, 50_000]), b'{"a": 1, "a": 1}', b'{"spec": {}, "spec": {}}', b"{'a': 1}",
            b'{"a": NaN}', b'{"a": 1e400}', b'{"a": -Infinity}', b'{"a": 01}', b'{"a": .5}', b'{"a": "\\ud800"}', b'{"a": "\\x"}',
            b'{"a": "\n"}', b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b"", b" ", b"null", b"true", b"0", b'"text"', b"[]", b"a=b",
            b"<a/>", b"\0",
        ])

    def wrong_method(self):
        right = Right(self, self.random.choices(OPERATIONS, WEIGHTS)[0])
        place = re.sub(r"{\w+}", "{}", right.operation.http["requestUri"])
        known = {other.http["method"] for other in OPERATIONS if re.sub(r"{\w+}", "{}", other.http["requestUri"]) == place}
        method = self.random.choice([method for method in METHODS if method not in known])
        request = Request(f"wrong method: {method[:10]}", "Unknown", method, right.target)
        if TAKEN_METHODS.get(method) not in known:
            request.wrong, request.errors = "there is no such method here", ("UnknownOperationException",)
            request.body = right.request().body
        return request

    def wrong_path(self):
        """A path with something else than a name in it, or that is none."""
        right = Right(self, self.random.choices(OPERATIONS, WEIGHTS)[0])
        path, _, query = right.target.partition(b"?")
        steps, template = path.split(b"/"), right.operation.http["requestUri"].split("/")
        names = [index for index, step in enumerate(template) if step.startswith("{")]
        if names and self.chance(0.7):
            steps[self.random.choice(names)] = self.random.choice(NASTY_SEGMENTS)
        else:
            # what follows ? and # is no part of the path
            nasty = [segment for segment in NASTY_SEGMENTS if not set(segment) & set(b"?#")]
            at = self.random.randrange(1, len(steps))
            steps[at:at + self.random.choice([0, 1])] = [self.random.choice(nasty)]
        path = b"/".join(steps)
        request = Request(f"wrong path: {right.operation.name}", "Unknown", right.operation.http["method"], path + b"?" + query,
                          right.request().body, errors=tuple(STATUSES))
        # what is left of a path may be that of another operation, which shows something
        request.wrong = "" if request.method == "GET" else "nothing is there"
        return request

    def wrong_query(self):
        """A parameter of the query that is out of its limits."""
        right = Right(self, self.random.choice(WITH_QUERY))
        name = self.random.choice(list(service_model.members(right.operation.input_shape, "querystring")))
        value = self.random.choice(WRONG_PARAMETERS[name])
        path, _, query = right.target.partition(b"?")
        pairs = [pair for pair in query.split(b"&") if pair and not pair.startswith(name.encode() + b"=")]
        if value is not None:
            pairs.append(f"{name}=".encode() + value)
        self.random.shuffle(pairs)
        request = right.request("wrong query")
        request.target, request.wrong = path + b"?" + b"&".join(pairs), f"{name}={value}"
        return request

    # what App Mesh never had

    def documents(self):
        """What `legation apply` takes, by kind and names."""
        documents = {}
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.choice(list(KINDS.values()))
            names = self.names(kind)
            body = self.generator.value(service_model.body(kind.operation("Create")))
            parts = {"spec": body.get("spec", {}), **({"tags": body["tags"]} if "tags" in body else {})}
            documents[kind, names] = {**dict(zip(kind.keys, names, strict=True)), **parts}
        return documents

    def change_set(self):
        documents, deleted = self.documents(), []
        if self.world.resources and self.chance(0.3):
            name, names = self.random.choice(list(self.world.resources))
            if (KINDS[name], names) not in documents:
                deleted.append((KINDS[name], names))
        body = {"apply": list(documents.values()),
                "delete": [kind.arn(names).removeprefix(self.random.choice(["", ARNS])) for kind, names in deleted]}
        extension = self.random.choice(["transactions", "plan", "lint"])
        request = self.of_extension(f"change set: {extension}", extension, self.json(body))
        if extension == "transactions":
            request.accepted = lambda answer: self.set_accepted(documents, deleted, answer)
        return request

    def of_extension(self, about, extension, body=b"", query=b""):
        method = "POST" if body else "GET"
        target = f"/legation/v1/{extension}".encode() + (b"?" + query if query else b"")
        return Request(about, extension, method, target, body, errors=ERRORS_OF_SETS)

    def set_accepted(self, documents, deleted, answer):
        is_changed = bool(deleted)
        # what lies in others comes after them
        for (kind, names), document in sorted(documents.items(), key=lambda item: len(item[0][1])):
            tags = None if document.get("tags") is None else tags_of(document)
            is_changed |= self.world.put(kind, names, document["spec"], tags)
        for kind, names in deleted:
            self.world.delete(kind, names)
        self.world.transaction += is_changed
        assert answer["transaction"] == self.world.transaction

    def wrong_change_set(self):
        extension = self.random.choice(["transactions", "plan", "lint"])
        documents = self.documents()
        body = {"apply": list(documents.values()), "delete": []}
        request = self.of_extension(f"wrong change set: {extension}", extension, self.json(body))
        roll = self.random.random()
        if roll < 0.6:
            index = self.random.randrange(len(documents))
            (kind, _), document = list(documents.items())[index]
            # without one the specification of a mesh is taken to be empty
            request.wrong, spec = spoiled(self.generator, document["spec"], MODEL.shape_for(f"{kind.title}Spec"))
            body["apply"][index] = {**document, "spec": [] if spec is None else spec}
            request.body = self.json(body)
        elif roll < 0.8:
            request.body, request.wrong = self.malformed(request.body), "it is no object of JSON"
        else:
            name, value = self.random.choice(WRONG_MEMBERS)
            request.body, request.wrong = self.json({**body, name: value}), f"{name}: {value}"
            if value is None:
                # as if it were absent
                request.wrong = ""
                kept = {} if name == "apply" else documents
                if extension == "transactions":
                    request.accepted = lambda answer: self.set_accepted(kept, [], answer)
        return request

    def rollback(self):
        """Right ones only tell what they would do."""
        if self.chance(0.5):
            body = {"to": self.random.randint(0, self.world.transaction), "dryRun": True}
            return self.of_extension("rollback: dry", "rollback", self.json(body))
        request = self.of_extension("rollback: wrong", "rollback", self.json(self.random.choice(WRONG_ROLLBACKS)))
        request.wrong = "there is nothing to go back to"
        return request

    def query_of_extension(self):
        extension = self.random.choice(list(WRONG_QUERIES))
        if self.chance(0.5):
            return self.of_extension(f"odd query: {extension}", extension, query=self.random.choice(ODD_QUERIES))
        query = self.random.choice(WRONG_QUERIES[extension])
        request = self.of_extension(f"wrong query: {extension}", extension, query=query)
        request.wrong = query.decode()
        return request

    def path_of_extension(self):
        target = b"/legation/v1" + self.random.choice(WRONG_EXTENSION_PATHS)
        method = self.random.choice(["GET", "POST", "PUT", "DELETE"])
        return Request("wrong path: extension", "Unknown", method, target, b"{}", wrong="there is nothing",
                       errors=("UnknownOperationException",))


class Right:
    """A request for one of App Mesh's operations that the model has nothing against."""

    def __init__(self, requests, operation):
        self.requests, self.world, self.operation = requests, requests.world, operation
        generator, members = requests.generator, operation.input_shape.members
        query, in_path = {}, ()
        if operation.name.endswith("Resource"):
            self.kind = requests.random.choice(list(KINDS.values()))
            self.names = requests.names(self.kind)
            query["resourceArn"] = self.kind.arn(self.names)
        else:
            self.kind = kind_of(operation)
            self.names = requests.names(self.kind)
            in_path = self.names[:len(service_model.members(operation.input_shape, "uri"))]
        if "meshOwner" in members and requests.chance(0.1):
            query["meshOwner"] = ACCOUNT if requests.chance(0.8) else "123456789012"
        if "limit" in members and requests.chance(0.5):
            query["limit"] = generator.value(members["limit"])
        self.target = target(operation, in_path, query)
        shape = service_model.body(operation)
        self.body = shape and generator.value(shape)
        if self.body and "clientToken" in self.body:
            self.body["clientToken"] = "".join(requests.random.choices(string.ascii_letters + string.digits + "-_", k=36))
        if verb(operation) == "Create":
            self.body[self.kind.keys[-1]] = self.names[-1]

    def request(self, about="right"):
        body = b"" if self.body is None else self.requests.json(self.body)
        headers = {"content-type": "application/json"} if body else {}
        return Request(f"{about}: {self.operation.name}", self.operation.name, self.operation.http["method"], self.target, body,
                       headers, accepted=self.accepted)

    def accepted(self, answer):
        """Makes of the world what it has to be now, and compares the answer with it."""
        found = violations(answer, service_model.output(self.operation), self.operation.name)
        assert not found, f"the answer is not what the model says: {found}"
        world, key = self.world, (self.kind.name, self.names)
        match verb(self.operation):
            case "Create":
                assert key not in world.resources, "what exists was created"
                world.put(self.kind, self.names, self.body.get("spec") or {}, tags_of(self.body))
                world.transaction += 1
                check_item(answer, self.kind, self.names, world.resources[key])
            case "Update":
                assert key in world.resources, "what does not exist was updated"
                world.transaction += world.put(self.kind, self.names, self.body.get("spec") or {}, None)
                check_item(answer, self.kind, self.names, world.resources[key])
            case "Describe":
                check_item(answer, self.kind, self.names, world.resources[key])
            case "Delete":
                check_item(answer, self.kind, self.names, world.delete(self.kind, self.names), "DELETED")
                world.transaction += 1
            case "Tag" | "Untag":
                tags = world.resources[key].tags
                changed = {name: value for name, value in {**tags, **tags_of(self.body)}.items()
                           if name not in self.body.get("tagKeys", ())}
                world.transaction += changed != tags
                world.resources[key].tags = changed
            case "List" if self.operation.name == "ListTagsForResource":
                check_page(answer, "tags", sorted(world.resources[key].tags.items()), lambda tag: (tag["key"], tag["value"]))
            case "List":
                expected = sorted(names[-1] for names in world.names(self.kind, self.names[:-1]))
                [member] = set(answer) - {"nextToken"}
                check_page(answer, member, expected, lambda item: item[self.kind.keys[-1]])


def verb(operation):
    return re.match(r"Create|Describe|List|Update|Delete|Tag|Untag", operation.name)[0]


def kind_of(operation):
    return next(kind for kind in KINDS.values()
                if operation.name.removeprefix(verb(operation)) in (kind.title, f"{kind.title}s", f"{kind.title}es"))


def target(operation, names, query=None):
    """The path of an operation with these names in it, and a query."""
    path = operation.http["requestUri"]
    for key, name in zip(re.findall(r"{(\w+)}", path), names, strict=True):
        # a segment of dots would be taken for a way up
        path = path.replace(f"{{{key}}}", name.replace(".", "%2E") if name in (".", "..") else quote(name, safe=""))
    return (path + (f"?{urlencode(query)}" if query else "")).encode()


def check_item(answer, kind, names, resource, status="ACTIVE"):
    assert tuple(answer[key] for key in kind.keys) == names
    assert answer["spec"] == resource.spec, f"not what was sent: {answer['spec']}"
    assert answer["metadata"]["version"] == resource.version
    assert answer["metadata"]["arn"] == kind.arn(names)
    assert answer["status"]["status"] == status


def check_page(answer, member, expected, entry):
    listed = [entry(item) for item in answer[member]]
    assert listed == expected[:len(listed)]
    assert ("nextToken" in answer) == (len(listed) < len(expected))


WITH_BODY = [operation for operation in OPERATIONS if service_model.body(operation)]
WITH_QUERY = [operation for operation in OPERATIONS if service_model.members(operation.input_shape, "querystring")]
# there has to be something to work with, so more is created than deleted
WEIGHTS = [{"Create": 4, "Describe": 1, "List": 1, "Update": 3, "Delete": 1, "Tag": 3, "Untag": 2}[verb(operation)]
           for operation in OPERATIONS]
SHARES = [
    (Requests.right, 40), (Requests.null_members, 4), (Requests.odd_headers, 2), (Requests.spoiled_body, 25),
    (Requests.malformed_body, 5), (Requests.wrong_method, 4), (Requests.wrong_path, 6), (Requests.wrong_query, 6),
    (Requests.change_set, 4), (Requests.wrong_change_set, 4), (Requests.rollback, 1), (Requests.query_of_extension, 1),
    (Requests.path_of_extension, 1),
]


class Fuzz:
    """Sends requests, and holds what is answered and stored against what has to be."""

    def __init__(self, legation, seed):
        self.legation = legation
        self.seed = seed
        self.world = World()
        self.requests = Requests(seed, self.world)
        self.sent = 0
        # by what it is about, and whether it was accepted
        self.answered = collections.Counter()
        self.api = raw_http.Connection(address(legation.api))
        self.admin = raw_http.Connection(address(legation.admin))

    def one(self):
        request = self.requests.any()
        self.sent += 1
        try:
            self.check(request)
        except (AssertionError, LookupError, ValueError, OSError, http.client.HTTPException) as error:
            pytest.fail(f"{request.about}: {error!r}\nwhat is wrong with it: {request.wrong or 'nothing'}\nrequest {self.sent} of "
                        f"FUZZ_SEED={self.seed}:\n{request.curl(self.legation.endpoint)[:20_000]}", pytrace=False)

    def check(self, request):
        answer = self.api.send(request.wire, request.method)
        is_accepted = 200 <= answer.status < 300
        self.answered[request.operation, is_accepted] += 1
        self.answered[request.about.partition(":")[0], is_accepted] += 1
        assert answer.status < 500, f"{answer.status}: {answer.body}"
        if answer.status == 400 and not answer.body and set(request.target) & NO_BYTES_OF_A_TARGET:
            return
        assert answer.headers.get("x-amzn-requestid"), "an answer without an identifier"
        if is_accepted:
            assert not request.wrong, f"it was accepted: {answer.body[:BODY_SHOWN_MAX]}"
            if request.method != "HEAD":
                request.accepted(answer.json())
        elif request.method != "HEAD":
            check_error(request, answer)
        assert self.transaction() == self.world.transaction, "what was accepted, and nothing else, is a transaction"

    def transaction(self):
        return self.admin.send(raw_http.request("GET", b"/status")).json()["transaction"]

    def check_everything(self):
        """What is stored is what was accepted, and all is well with the process."""
        found = dict(self.find(KINDS["mesh"], ()))
        assert found == self.world.resources
        assert "panicked" not in self.legation.stderr
        assert "request failed" not in self.legation.stderr, "the log has an error of the server"

    def find(self, kind, container):
        """All resources of a kind that lie in another, and what lies in them."""
        [listing] = [one for one in OPERATIONS if verb(one) == "List" and "Tags" not in one.name and kind_of(one) == kind]
        for item in self.pages(listing, container):
            names = (*container, item[kind.keys[-1]])
            body = self.read(target(kind.operation("Describe"), names))
            tags = self.pages(MODEL.operation_model("ListTagsForResource"), (), resourceArn=kind.arn(names))
            version = body["metadata"]["version"]
            yield (kind.name, names), Resource(body["spec"], {tag["key"]: tag["value"] for tag in tags}, version)
            for child in KINDS.values():
                if child.container == kind:
                    yield from self.find(child, names)

    def pages(self, operation, names, **query):
        token = {}
        while True:
            page = self.read(target(operation, names, {**query, "limit": 7, **token}))
            [member] = set(page) - {"nextToken"}
            yield from page[member]
            if "nextToken" not in page:
                return
            token = {"nextToken": page["nextToken"]}

    def read(self, place):
        answer = self.api.send(raw_http.request("GET", place))
        assert answer.status == 200, f"{place}: {answer.status} {answer.body}"
        return answer.json()


def check_error(request, answer):
    """An error is one that there is, in App Mesh's form, and one that the operation has."""
    code = answer.headers.get("x-amzn-errortype")
    assert code in STATUSES, f"{answer.status}: {answer.headers}"
    assert answer.status in STATUSES[code], f"{answer.status} {code}"
    body = answer.json()
    assert set(body) == {"code", "message"} and body["code"] == code and body["message"], body
    if request.operation in MODEL.operation_names:
        allowed = {shape.name for shape in MODEL.operation_model(request.operation).error_shapes}
    else:
        allowed = request.errors
    assert code in allowed, f"{request.operation} has no {code}: {body['message']}"


def address(listener):
    host, port = listener.rsplit(":", 1)
    return host, int(port)


@pytest.mark.timeout(120 + REQUESTS // 10)
def test_requests_at_random(legation):
    print(f"FUZZ_SEED={SEED} FUZZ_REQUESTS={REQUESTS}")
    fuzz = Fuzz(legation, SEED)
    for number in range(1, REQUESTS + 1):
        fuzz.one()
        if number % LOOK_EVERY == 0:
            fuzz.check_everything()
    fuzz.check_everything()
    for name in sorted({name for name, _ in fuzz.answered}):
        print(f"{name}: {fuzz.answered[name, True]} accepted, {fuzz.answered[name, False]} refused")
    if REQUESTS >= REQUESTS_OF_A_WHOLE_RUN and SEED == SEED_OF_A_WHOLE_RUN:
        # the right ones are right, and each operation had its share of both: that is known of this seed
        for is_accepted, word in ((True, "accepted"), (False, "refused")):
            never = [operation.name for operation in OPERATIONS if not fuzz.answered[operation.name, is_accepted]]
            assert never == [], f"never {word}"


def test_what_botocore_refuses_is_wrong():
    """The test's own measure of right and wrong is at least as strict as that of App Mesh's clients."""
    generator = Generator(random.Random(SEED), NAMES)
    validator, refused = ParamValidator(), collections.Counter()
    for _ in range(1000):
        operation = generator.random.choice(WITH_BODY)
        shape = service_model.body(operation)
        right = generator.value(shape)
        before = copy.deepcopy(right)
        what, wrong = spoiled(generator, right, shape)
        assert right == before and violations(right, shape) == [] and violations(wrong, shape), what
        names = {name: "x" for name in operation.input_shape.required_members if name not in shape.members}
        for value in (right, wrong):
            if isinstance(value, dict):
                errors = validator.validate({**names, **without_nulls(value)}, operation.input_shape)
                refused[errors.has_errors()] += 1
                assert not errors.has_errors() or violations(value, shape), errors.generate_report()
    assert refused[True] > 100 and refused[False] > 1000
