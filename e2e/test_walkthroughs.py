"""The meshes of `examples/` from creation to deletion, as their owners would take them through it: with the AWS CLI.

The two walkthroughs and the bookshop go through the AWS CLI as a whole. Of `everything`, which has fifty resources, one of each
kind does; the others go through boto3, as the AWS CLI does itself. What is there after an update or a deletion is looked at with
boto3 always.
"""

import copy
import json

import pytest

from harness.app_mesh import refused
from harness.aws_cli import AwsCliSession
from harness.definitions import documents

# in an order in which they can be created: the key of the name, and what a document of that kind has besides
KINDS = {
    "mesh": ("meshName",),
    "virtualNode": ("meshName", "virtualNodeName"),
    "virtualRouter": ("meshName", "virtualRouterName"),
    "route": ("meshName", "virtualRouterName", "routeName"),
    "virtualService": ("meshName", "virtualServiceName"),
    "virtualGateway": ("meshName", "virtualGatewayName"),
    "gatewayRoute": ("meshName", "virtualGatewayName", "gatewayRouteName"),
}
WHOLE = ["walkthroughs/circuit-breakers.yaml", "walkthroughs/timeout-policy.yaml", "bookshop"]
ONE_OF_EACH_KIND = ["everything"]


class Resource:
    """One of an example's resources, and the client that it is taken through its life with."""

    def __init__(self, document):
        self.kind = next(kind for kind, keys in KINDS.items() if {*keys, "spec"} == set(document))
        self.names = {key: document[key] for key in KINDS[self.kind]}
        self.spec = document["spec"]
        self.client = None

    def __repr__(self):
        return f"{self.kind} {' '.join(self.names.values())}"

    def call(self, verb, **arguments):
        return self.client.call(verb, self.kind, {**self.names, **arguments})

    def is_refused(self, verb):
        """The code of the error."""
        return self.client.refused(verb, self.kind, self.names)


class Boto3:
    def __init__(self, client):
        self.client = client

    def call(self, verb, kind, arguments):
        return getattr(self.client, f"{verb}_{words(kind, '_')}")(**arguments)[kind]

    def refused(self, verb, kind, arguments):
        return refused(getattr(self.client, f"{verb}_{words(kind, '_')}"), **arguments)[0]


class AwsCli:
    def __init__(self, session):
        self.session = session
        self.used = set()

    def call(self, verb, kind, arguments):
        self.used.add((verb, kind))
        return self.session(*self.command(verb, kind, arguments))[kind]

    def refused(self, verb, kind, arguments):
        said = self.session.refused(*self.command(verb, kind, arguments))
        return said.partition("(")[2].partition(")")[0]

    @staticmethod
    def command(verb, kind, arguments):
        if "spec" in arguments:
            return f"{verb}-{words(kind, '-')}", "--cli-input-json", json.dumps(arguments)
        options = (part for key, name in arguments.items() for part in (f"--{words(key, '-')}", name))
        return f"{verb}-{words(kind, '-')}", *options


def words(name, between):
    """`virtualNode` in small letters, with something between its words."""
    return "".join(between + letter.lower() if letter.isupper() else letter for letter in name)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", WHOLE + ONE_OF_EACH_KIND)
def test_the_life_of_an_example(legation, path):
    resources = sorted(map(Resource, documents(path)), key=lambda resource: list(KINDS).index(resource.kind))
    with AwsCliSession(legation.endpoint, key=("test", "test")) as session:
        cli = AwsCli(session)
        first = {resource.kind: resource for resource in reversed(resources)}
        for resource in resources:
            with_cli = path in WHOLE or resource is first[resource.kind]
            resource.client = cli if with_cli else Boto3(legation.client())
        create(resources)
        update(resources, legation)
        delete_what_is_needed(resources, legation)
        delete(resources, legation)
        assert cli.used == {(verb, kind) for kind in first for verb in ("create", "describe", "update", "delete")}
    assert legation.client().list_meshes()["meshes"] == []
    assert legation.transaction() == 3 * len(resources), "a transaction each for creation, update and deletion"


def create(resources):
    for resource in resources:
        created = resource.call("create", spec=resource.spec)
        assert created["spec"] == resource.spec
        assert {key: created[key] for key in resource.names} == resource.names
        check(resource.call("describe"), resource, version=1)


def update(resources, legation):
    node = next(resource.names["virtualNodeName"] for resource in resources if resource.kind == "virtualNode")
    for resource in resources:
        spec = changed(resource, node)
        assert spec != resource.spec
        updated = resource.call("update", spec=spec)
        resource.spec = spec
        assert updated["spec"] == spec
        check(Boto3(legation.client()).call("describe", resource.kind, resource.names), resource, version=2)


def check(described, resource, version):
    assert described["spec"] == resource.spec
    assert (described["metadata"]["version"], described["status"]["status"]) == (version, "ACTIVE")


def changed(resource, node):
    """Another specification, which may refer to a virtual node of this name: what the two walkthroughs change where they do, and
    otherwise something else that users change."""
    spec = copy.deepcopy(resource.spec)
    match resource.kind:
        case "mesh":
            is_open = spec.get("egressFilter") == {"type": "ALLOW_ALL"}
            spec["egressFilter"] = {"type": "DROP_ALL" if is_open else "ALLOW_ALL"}
        case "virtualNode" | "virtualGateway" if spec.get("listeners"):
            # as the walkthrough of circuit breakers does
            pools = {"http": {"maxConnections": 7, "maxPendingRequests": 7}, "tcp": {"maxConnections": 7},
                     "http2": {"maxRequests": 7}, "grpc": {"maxRequests": 7}}
            listener = spec["listeners"][0]
            protocol = listener["portMapping"]["protocol"]
            listener["connectionPool"] = {protocol: pools[protocol]}
        case "virtualNode":
            spec["logging"] = {"accessLog": {"file": {"path": "/dev/stdout"}}}
        case "virtualRouter":
            spec["listeners"].append({"portMapping": {"port": 19080, "protocol": "http"}})
        case "route":
            # as the walkthrough of timeouts does
            [(name, route)] = ((name, route) for name, route in spec.items() if name.endswith("Route"))
            minute = {"unit": "s", "value": 61}
            route["timeout"] = {"idle": minute} if name == "tcpRoute" else {"perRequest": minute, "idle": minute}
        case "virtualService" if "virtualNode" in spec.get("provider", {}):
            del spec["provider"]
        case "virtualService":
            spec["provider"] = {"virtualNode": {"virtualNodeName": node}}
        case "gatewayRoute":
            spec["priority"] = 1000 - spec.get("priority", 0)
    return spec


def needed(resources):
    """What others of these need."""
    keys = set()
    for resource in resources:
        mesh = resource.names["meshName"]
        if resource.kind != "mesh":
            keys.add(("mesh", mesh))
        if resource.kind in ("route", "gatewayRoute"):
            container = "virtualRouter" if resource.kind == "route" else "virtualGateway"
            keys.add((container, resource.names[f"{container}Name"]))
            for action in (value["action"] for name, value in resource.spec.items() if name.endswith("Route")):
                keys |= {("virtualNode", target["virtualNode"]) for target in action.get("weightedTargets", [])}
                if "target" in action:
                    keys.add(("virtualService", action["target"]["virtualService"]["virtualServiceName"]))
        if resource.kind == "virtualService":
            for kind, provider in resource.spec.get("provider", {}).items():
                keys.add((kind, provider[f"{kind}Name"]))
    return [resource for resource in resources if (resource.kind, list(resource.names.values())[-1]) in keys]


def delete_what_is_needed(resources, legation):
    transaction = legation.transaction()
    in_use = needed(resources)
    assert {"mesh", "virtualNode", "virtualRouter"} <= {resource.kind for resource in in_use}
    for resource in in_use:
        assert resource.is_refused("delete") == "ResourceInUseException", resource
    assert legation.transaction() == transaction


def delete(resources, legation):
    for resource in reversed(resources):
        if resource.kind == "mesh":
            check_empty(legation.client(), resource.names["meshName"])
        deleted = resource.call("delete")
        assert deleted["status"] == {"status": "DELETED"}
        assert deleted["spec"] == resource.spec
        assert {key: deleted[key] for key in resource.names} == resource.names
        assert Boto3(legation.client()).refused("describe", resource.kind, resource.names) == "NotFoundException"


def check_empty(client, mesh):
    for kind in ("virtual_nodes", "virtual_routers", "virtual_services", "virtual_gateways"):
        answer = getattr(client, f"list_{kind}")(meshName=mesh)
        del answer["ResponseMetadata"]
        assert list(answer.values()) == [[]], kind
