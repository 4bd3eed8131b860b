"""App Mesh's resources as tests of the API make them, through boto3."""

from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError

MESH = "shop"
LISTENERS = [{"portMapping": {"port": 9080, "protocol": "http"}}]
NODE_SPEC = {"listeners": LISTENERS, "serviceDiscovery": {"dns": {"hostname": "books.local"}}}


def route_spec(prefix, node="node"):
    return {"httpRoute": {"match": {"prefix": prefix},
                          "action": {"weightedTargets": [{"virtualNode": node, "weight": 1}]}}}


def gateway_route_spec(prefix, service="service.local"):
    return {"httpRoute": {"match": {"prefix": prefix},
                          "action": {"target": {"virtualService": {"virtualServiceName": service}}}}}


@dataclass
class Kind:
    """One of the seven kinds of resource."""

    noun: str
    plural: str
    key: str
    parents: dict
    arn: str
    spec: dict
    other_spec: dict

    @property
    def name_key(self):
        return f"{self.key}Name"

    def call(self, client, verb, name=None, **arguments):
        """`verb` on the resource called `name`; the bare object that the answer holds."""
        names = {self.name_key: name} if name is not None else {}
        noun = self.plural if verb == "list" else self.noun
        answer = getattr(client, f"{verb}_{noun}")(**self.parents, **names, **arguments)
        return answer if verb == "list" else answer[self.key]

    @property
    def list_key(self):
        return self.key + ("es" if self.key == "mesh" else "s")


IN_MESH = {"meshName": MESH}
IN_ROUTER = {**IN_MESH, "virtualRouterName": "router"}
IN_GATEWAY = {**IN_MESH, "virtualGatewayName": "gateway"}

KINDS = [
    Kind("mesh", "meshes", "mesh", {}, "mesh/{}", {}, {"egressFilter": {"type": "ALLOW_ALL"}}),
    Kind("virtual_node", "virtual_nodes", "virtualNode", IN_MESH, "mesh/shop/virtualNode/{}", NODE_SPEC, {}),
    Kind("virtual_service", "virtual_services", "virtualService", IN_MESH, "mesh/shop/virtualService/{}",
         {"provider": {"virtualNode": {"virtualNodeName": "node"}}}, {}),
    Kind("virtual_router", "virtual_routers", "virtualRouter", IN_MESH, "mesh/shop/virtualRouter/{}",
         {"listeners": LISTENERS}, {"listeners": [{"portMapping": {"port": 81, "protocol": "grpc"}}]}),
    Kind("route", "routes", "route", IN_ROUTER, "mesh/shop/virtualRouter/router/route/{}",
         route_spec("/a"), {"priority": 7, **route_spec("/b")}),
    Kind("virtual_gateway", "virtual_gateways", "virtualGateway", IN_MESH, "mesh/shop/virtualGateway/{}",
         {"listeners": LISTENERS}, {"listeners": [{"portMapping": {"port": 81, "protocol": "http"}}]}),
    Kind("gateway_route", "gateway_routes", "gatewayRoute", IN_GATEWAY,
         "mesh/shop/virtualGateway/gateway/gatewayRoute/{}", gateway_route_spec("/a"), gateway_route_spec("/b")),
]


def fill(client):
    """A mesh with one of everything that others refer to."""
    client.create_mesh(meshName=MESH, spec={})
    client.create_virtual_node(meshName=MESH, virtualNodeName="node", spec=NODE_SPEC)
    client.create_virtual_router(meshName=MESH, virtualRouterName="router", spec={"listeners": LISTENERS})
    client.create_virtual_service(meshName=MESH, virtualServiceName="service.local",
                                  spec={"provider": {"virtualRouter": {"virtualRouterName": "router"}}})
    client.create_virtual_gateway(meshName=MESH, virtualGatewayName="gateway", spec={"listeners": LISTENERS})


def refused(call, *args, **kwargs):
    """(code, status, message) of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


ARNS = "arn:aws:appmesh:us-east-1:000000000000:"
TAGS = [{"key": "team", "value": "books"}]


@dataclass
class Operation:
    """One of App Mesh's operations, on resources of one kind."""

    verb: str
    kind: Kind

    @property
    def name(self):
        """As App Mesh calls it."""
        if self.verb in TAG_VERBS:
            return "".join(word.capitalize() for word in self.verb.split("_"))
        noun = self.kind.list_key if self.verb == "list" else self.kind.key
        return self.verb.capitalize() + noun[0].upper() + noun[1:]

    def call(self, client, name="thing", **arguments):
        """The operation on the resource called `name`, with what it takes besides, unless `arguments` say otherwise."""
        if self.verb in TAG_VERBS:
            taken = {"tag_resource": {"tags": TAGS}, "untag_resource": {"tagKeys": ["team"]}}.get(self.verb, {})
            arn = ARNS + self.kind.arn.format(name)
            return getattr(client, self.verb)(**{"resourceArn": arn, **taken, **arguments})
        taken = {"create": {"spec": self.kind.spec}, "update": {"spec": self.kind.other_spec}}.get(self.verb, {})
        noun = self.kind.plural if self.verb == "list" else self.kind.noun
        names = {} if self.verb == "list" else {self.kind.name_key: name}
        return getattr(client, f"{self.verb}_{noun}")(**{**self.kind.parents, **names, **taken, **arguments})

    @property
    def is_write(self):
        return not (self.verb.startswith("list") or self.verb == "describe")


TAG_VERBS = ("tag_resource", "list_tags_for_resource", "untag_resource")
VERBS = ("create", "describe", "list", "update", *TAG_VERBS, "delete")

# in an order in which they can be called on one resource of each kind; those on tags stand for all kinds with one
OPERATIONS = [Operation(verb, kind) for verb in VERBS for kind in KINDS
              if verb not in TAG_VERBS or kind.noun == "virtual_node"]
