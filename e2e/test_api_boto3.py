"""The App Mesh API as its users know it: through boto3, unchanged but for the endpoint."""

import pytest

from harness import http1
from harness.app_mesh import (
    IN_GATEWAY, IN_MESH, IN_ROUTER, KINDS, MESH, NODE_SPEC, fill, gateway_route_spec, refused, route_spec,
)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.noun)
def kind(request):
    return request.param


@pytest.fixture
def shop(client):
    """A mesh with one of everything that others refer to; the mesh's own API client."""
    fill(client)
    return client


def test_lifecycle(shop, kind):
    created = kind.call(shop, "create", "thing", spec=kind.spec)
    assert created[kind.name_key] == "thing"
    assert created["spec"] == kind.spec
    assert created["status"]["status"] == "ACTIVE"
    assert {name: created[name] for name in kind.parents} == kind.parents
    metadata = created["metadata"]
    assert metadata["version"] == 1
    assert metadata["arn"].startswith("arn:aws:appmesh:")
    assert metadata["arn"].split(":", 5)[5] == kind.arn.format("thing")
    assert len(metadata["meshOwner"]) == 12 and len(metadata["resourceOwner"]) == 12
    assert metadata["uid"]
    assert metadata["createdAt"] == metadata["lastUpdatedAt"]

    assert without_response(kind.call(shop, "describe", "thing")) == without_response(created)

    updated = kind.call(shop, "update", "thing", spec=kind.other_spec)
    # the whole specification is replaced, not merged
    assert updated["spec"] == kind.other_spec
    assert updated["metadata"]["version"] == 2
    assert updated["metadata"]["uid"] == metadata["uid"]
    assert updated["metadata"]["createdAt"] == metadata["createdAt"]
    assert updated["metadata"]["lastUpdatedAt"] >= metadata["lastUpdatedAt"]
    assert without_response(kind.call(shop, "describe", "thing")) == without_response(updated)

    deleted = kind.call(shop, "delete", "thing")
    assert deleted["status"]["status"] == "DELETED"
    assert deleted["spec"] == kind.other_spec
    assert refused(kind.call, shop, "describe", "thing")[:2] == ("NotFoundException", 404)

    # the name is free again, for a new resource
    again = kind.call(shop, "create", "thing", spec=kind.spec)
    assert again["metadata"]["version"] == 1
    assert again["metadata"]["uid"] != metadata["uid"]


def without_response(answer):
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def test_list_is_paginated(shop, kind):
    names = [f"n{number:02}" for number in range(8)]
    for name in names:
        kind.call(shop, "create", name, spec=kind.spec)
    first = kind.call(shop, "list", limit=3)
    assert len(first[kind.list_key]) == 3
    assert first["nextToken"]

    pages = list(shop.get_paginator(f"list_{kind.plural}").paginate(**kind.parents, PaginationConfig={"PageSize": 3}))
    assert all(len(page[kind.list_key]) <= 3 for page in pages)
    listed = [item for page in pages for item in page[kind.list_key]]
    found = [item[kind.name_key] for item in listed]
    assert len(found) == len(set(found))
    assert set(names) <= set(found)
    assert "nextToken" not in pages[-1]

    entry = next(item for item in listed if item[kind.name_key] == "n03")
    described = kind.call(shop, "describe", "n03")
    assert entry["arn"] == described["metadata"]["arn"]
    assert entry["version"] == 1
    assert entry["createdAt"] == described["metadata"]["createdAt"]

    # everything on one page, and a page that survives a deletion between it and the one before
    assert len(kind.call(shop, "list", limit=100)[kind.list_key]) == len(found)
    for item in first[kind.list_key]:
        if item[kind.name_key] in names:
            kind.call(shop, "delete", item[kind.name_key])
    rest = kind.call(shop, "list", limit=100, nextToken=first["nextToken"])[kind.list_key]
    assert [item[kind.name_key] for item in rest] == found[3:]


@pytest.mark.parametrize("limit", [0, 101])
def test_list_limit_is_bounded(legation, limit):
    lenient = legation.client(parameter_validation=False)
    assert refused(lenient.list_meshes, limit=limit)[:2] == ("BadRequestException", 400)


def test_list_refuses_a_token_that_it_did_not_make(shop, kind):
    code, status, message = refused(kind.call, shop, "list", nextToken="made-up")
    assert (code, status) == ("BadRequestException", 400)
    assert "nextToken" in message


def test_create_of_what_exists(shop, kind):
    kind.call(shop, "create", "thing", spec=kind.spec)
    code, status, message = refused(kind.call, shop, "create", "thing", spec=kind.other_spec)
    assert (code, status) == ("ConflictException", 409)
    assert "thing" in message
    assert kind.call(shop, "describe", "thing")["spec"] == kind.spec


@pytest.mark.parametrize("verb", ["describe", "update", "delete"])
def test_what_does_not_exist(shop, kind, verb):
    spec = {"spec": kind.spec} if verb == "update" else {}
    code, status, message = refused(kind.call, shop, verb, "nothing", **spec)
    assert (code, status) == ("NotFoundException", 404)
    assert "nothing" in message


@pytest.mark.parametrize("verb", ["create", "list"])
def test_no_parent(client, kind, verb):
    if not kind.parents:
        pytest.skip("a mesh has no parent")
    create = {"name": "thing", "spec": kind.spec} if verb == "create" else {}
    # without a mesh, then with a mesh but without its router or gateway
    assert refused(kind.call, client, verb, **create)[:2] == ("NotFoundException", 404)
    if len(kind.parents) == 2:
        client.create_mesh(meshName=MESH, spec={})
        assert refused(kind.call, client, verb, **create)[:2] == ("NotFoundException", 404)


def test_deletion_of_what_is_in_use(shop):
    shop.create_virtual_node(meshName=MESH, virtualNodeName="provider", spec=NODE_SPEC)
    shop.create_virtual_service(meshName=MESH, virtualServiceName="direct.local",
                                spec={"provider": {"virtualNode": {"virtualNodeName": "provider"}}})
    shop.create_route(**IN_ROUTER, routeName="route", spec=route_spec("/"))
    shop.create_gateway_route(**IN_GATEWAY, gatewayRouteName="way", spec=gateway_route_spec("/"))

    def in_use(verb, **names):
        code, status, _ = refused(getattr(shop, f"delete_{verb}"), **IN_MESH, **names)
        return (code, status) == ("ResourceInUseException", 409)

    assert in_use("virtual_node", virtualNodeName="node"), "the target of a route"
    assert in_use("virtual_node", virtualNodeName="provider"), "the provider of a service"
    assert in_use("virtual_router", virtualRouterName="router"), "it has routes and is a provider"
    assert in_use("virtual_service", virtualServiceName="service.local"), "a gateway route names it"
    assert in_use("virtual_gateway", virtualGatewayName="gateway"), "it has gateway routes"
    assert refused(shop.delete_mesh, **IN_MESH)[:2] == ("ResourceInUseException", 409), "it is not empty"

    # and in the right order everything goes
    shop.delete_gateway_route(**IN_GATEWAY, gatewayRouteName="way")
    shop.delete_virtual_gateway(**IN_GATEWAY)
    shop.delete_route(**IN_ROUTER, routeName="route")
    assert in_use("virtual_router", virtualRouterName="router"), "still a provider"
    shop.delete_virtual_service(**IN_MESH, virtualServiceName="service.local")
    shop.delete_virtual_router(**IN_ROUTER)
    shop.delete_virtual_service(**IN_MESH, virtualServiceName="direct.local")
    shop.delete_virtual_node(**IN_MESH, virtualNodeName="provider")
    shop.delete_virtual_node(**IN_MESH, virtualNodeName="node")
    assert shop.delete_mesh(**IN_MESH)["mesh"]["status"]["status"] == "DELETED"


def test_a_backend_may_come_before_its_service(shop):
    spec = {"backends": [{"virtualService": {"virtualServiceName": "later.local"}}]}
    created = shop.create_virtual_node(meshName=MESH, virtualNodeName="consumer", spec=spec)
    assert created["virtualNode"]["spec"] == spec


@pytest.mark.parametrize("name", ["svc.a.local/x y", "100%", "a%2Fb", "a?b#c", "a+b&c=d", "ünïcode"])
def test_names_that_a_path_must_escape(shop, name):
    shop.create_virtual_service(meshName=MESH, virtualServiceName=name, spec={})
    assert shop.describe_virtual_service(meshName=MESH, virtualServiceName=name)["virtualService"][
        "virtualServiceName"] == name
    listed = shop.list_virtual_services(meshName=MESH)["virtualServices"]
    assert name in [item["virtualServiceName"] for item in listed]
    assert shop.update_virtual_service(meshName=MESH, virtualServiceName=name, spec={})["virtualService"][
        "metadata"]["version"] == 1, "an equal specification changes nothing"
    shop.delete_virtual_service(meshName=MESH, virtualServiceName=name)
    assert refused(shop.describe_virtual_service, meshName=MESH, virtualServiceName=name)[0] == "NotFoundException"


def test_the_wire_shape(legation, shop):
    """What boto3 hides: bare bodies, epoch seconds, the error's type in a header and in the body."""
    host, port = legation.api.rsplit(":", 1)
    with http1.Connection((host, int(port))) as connection:
        found = connection.request("GET", "/v20190125/meshes/shop/virtualRouters/router")
        assert found.status == 200
        assert found.headers["content-type"].startswith("application/json")
        body = found.json()
        assert body["virtualRouterName"] == "router"
        assert isinstance(body["metadata"]["createdAt"], (int, float))

        missing = connection.request("GET", "/v20190125/meshes/none")
        assert missing.status == 404
        assert missing.headers["x-amzn-errortype"] == "NotFoundException"
        assert missing.json()["code"] == "NotFoundException"
        assert "none" in missing.json()["message"]

        elsewhere = connection.request("GET", "/v20190125/nowhere")
        assert elsewhere.status == 404
        assert elsewhere.json()["code"]
