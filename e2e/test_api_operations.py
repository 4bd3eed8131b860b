"""Every operation of App Mesh's, good and bad, held against the model that its own clients are made of."""

import json

import pytest

from harness.app_mesh import IN_MESH, KINDS, MESH, OPERATIONS, Operation, fill, refused
from harness.legation import Legation


@pytest.fixture
def shop(client):
    fill(client)
    return client


@pytest.fixture(params=OPERATIONS, ids=lambda operation: operation.name)
def operation(request):
    return request.param


def with_thing(client, operation):
    """Makes what the operation is about, unless it makes it itself."""
    if operation.verb not in ("create", "list"):
        Operation("create", operation.kind).call(client)


def test_the_operations_are_app_meshs(client):
    assert sorted(operation.name for operation in OPERATIONS) == sorted(client.meta.service_model.operation_names)


def test_answers_have_the_shape_that_the_model_says(shop, operation):
    with_thing(shop, operation)
    answers = []
    shop.meta.events.register("after-call.app-mesh", lambda http_response, **_: answers.append(http_response))
    parsed = operation.call(shop)
    assert parsed["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert parsed["ResponseMetadata"]["RequestId"]
    [answer] = answers
    shape = shop.meta.service_model.operation_model(operation.name).output_shape
    payload = shape.serialization.get("payload")
    check_shape(json.loads(answer.content), shape.members[payload] if payload else shape, operation.name)


def check_shape(value, shape, at):
    """Whether a value in JSON is what the model says: all that it requires, and nothing that it does not know."""
    if shape.type_name == "structure":
        assert isinstance(value, dict), at
        assert set(value) <= set(shape.members), f"{at}: {set(value) - set(shape.members)} are not in the model"
        assert set(shape.required_members) <= set(value), f"{at}: lacks some of {shape.required_members}"
        for name, member in value.items():
            check_shape(member, shape.members[name], f"{at}.{name}")
    elif shape.type_name == "list":
        assert isinstance(value, list), at
        for item in value:
            check_shape(item, shape.member, f"{at}[]")
    elif shape.type_name == "string":
        assert isinstance(value, str), at
        assert not shape.enum or value in shape.enum, f"{at}: {value}"
        assert shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", len(value)), f"{at}: {value}"
    elif shape.type_name in ("long", "integer"):
        assert isinstance(value, int) and not isinstance(value, bool), at
    else:
        assert shape.type_name in ("timestamp", "boolean"), shape.type_name
        assert isinstance(value, bool if shape.type_name == "boolean" else (int, float)), at


def test_requests_that_are_wrong(legation, operation):
    shop = legation.client(parameter_validation=False)
    fill(shop)
    with_thing(shop, operation)
    wrong = {
        "create": {operation.kind.name_key: "control\x01character"},
        "list": {"limit": 0} if operation.kind.noun == "mesh" else {"meshName": "control\x01character"},
    }.get(operation.verb)
    if operation.name.endswith("Resource"):
        wrong = {"resourceArn": "mesh/shop"}
    elif wrong is None:
        wrong = {"meshName": "control\x01character"}
    before = state(shop)
    code, status, message = refused(operation.call, shop, **wrong)
    assert (code, status) == ("BadRequestException", 400)
    assert next(iter(wrong)) in message
    assert state(shop) == before


def state(client):
    """What can be seen of the shop."""
    seen = []
    for operation in OPERATIONS:
        if operation.verb == "list":
            answer = operation.call(client)
            seen.append([entry["arn"] for entry in answer[operation.kind.list_key]])
            seen.append([entry["version"] for entry in answer[operation.kind.list_key]])
    return seen


def test_resources_that_do_not_exist(shop, operation):
    if operation.name in ("CreateMesh", "ListMeshes"):
        pytest.skip("needs nothing that could be missing")
    in_no_mesh = {"name": "thing"} if operation.kind.noun == "mesh" else {"meshName": "nowhere"}
    if operation.name.endswith("Resource"):
        in_no_mesh = {"resourceArn": "arn:aws:appmesh:us-east-1:000000000000:mesh/nowhere"}
    before = state(shop)
    code, status, message = refused(operation.call, shop, **in_no_mesh)
    assert (code, status) == ("NotFoundException", 404)
    assert "does not exist" in message
    assert state(shop) == before


def test_meshes_of_other_accounts(shop, operation):
    members = shop.meta.service_model.operation_model(operation.name).input_shape.members
    if "meshOwner" not in members:
        pytest.skip("takes no owner")
    with_thing(shop, operation)
    before = state(shop)
    assert refused(operation.call, shop, meshOwner="111111111111")[:2] == ("NotFoundException", 404)
    assert state(shop) == before
    operation.call(shop, meshOwner="000000000000")


@pytest.fixture
def strict(tmp_path):
    """A control plane with little patience and room for one more of each kind."""
    quotas = {"meshes": 2, "virtual-nodes": 2, "virtual-services": 2, "virtual-routers": 2, "virtual-gateways": 2,
              "routes": 1, "gateway-routes": 1, "backends": 1}
    options = [word for name, quota in quotas.items() for word in (f"--max-{name}", quota)]
    control_plane = Legation(tmp_path, options=options).start()
    yield control_plane
    control_plane.stop()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_quotas(strict, kind):
    client = strict.client()
    fill(client)
    kind.call(client, "create", "thing", spec=kind.spec)
    before = state(client)
    code, status, message = refused(kind.call, client, "create", "another", spec=kind.spec)
    assert (code, status) == ("LimitExceededException", 400)
    assert "quota" in message
    assert state(client) == before
    kind.call(client, "delete", "thing")
    kind.call(client, "create", "another", spec=kind.spec)


def test_quota_of_backends(strict):
    client = strict.client()
    fill(client)
    backend = {"virtualService": {"virtualServiceName": "service.local"}}
    names = {**IN_MESH, "virtualNodeName": "node"}
    client.update_virtual_node(**names, spec={"backends": [backend]})
    two = {"backends": [backend, {"virtualService": {"virtualServiceName": "other.local"}}]}
    assert refused(client.update_virtual_node, **names, spec=two)[:2] == ("LimitExceededException", 400)


@pytest.mark.parametrize("verb", ["create", "update"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_client_tokens(legation, client, kind, verb):
    fill(client)
    specs = kind.spec, kind.other_spec
    if verb == "update":
        kind.call(client, "create", "thing", spec=kind.spec)
        specs = kind.other_spec, kind.spec
    first = kind.call(client, verb, "thing", spec=specs[0], clientToken="token")
    transaction = newest_transaction(legation)
    assert bare(kind.call(client, verb, "thing", spec=specs[0], clientToken="token")) == bare(first)
    code, status, message = refused(kind.call, client, verb, "thing", spec=specs[1], clientToken="token")
    assert (code, status) == ("ConflictException", 409)
    assert "token" in message
    # a crash makes no difference
    legation.kill()
    legation.restart()
    assert bare(kind.call(client, verb, "thing", spec=specs[0], clientToken="token")) == bare(first)
    assert refused(kind.call, client, verb, "thing", spec=specs[1], clientToken="token")[0] == "ConflictException"
    assert newest_transaction(legation) == transaction


def newest_transaction(legation):
    return legation.metrics()["legation_store_transaction", ()]


def bare(answer):
    return {name: member for name, member in answer.items() if name != "ResponseMetadata"}


def test_throttling(tmp_path, operation):
    control_plane = Legation(tmp_path, options=["--api-reads-per-second", 1, "--api-writes-per-second", 1]).start()
    try:
        client = control_plane.client()
        # one call a second is answered, with whatever: the others are refused before anything is looked at
        for _ in range(1000):
            try:
                operation.call(client)
            except client.exceptions.TooManyRequestsException as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429
                assert error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
                break
            except client.exceptions.ClientError:
                pass
        else:
            pytest.fail("1000 calls and none was refused")
    finally:
        control_plane.stop()


def test_clients_try_again_when_they_are_throttled(tmp_path):
    control_plane = Legation(tmp_path, options=["--api-writes-per-second", 2]).start()
    try:
        client = control_plane.client()
        patient = control_plane.client(retries={"mode": "standard", "total_max_attempts": 20})
        for number in range(8):
            patient.create_mesh(meshName=f"{MESH}-{number}")
        assert len(client.list_meshes()["meshes"]) == 8
        counts = {dict(labels)["code"]: count for (name, labels), count in control_plane.metrics().items()
                  if name == "legation_api_requests_total" and dict(labels)["operation"] == "CreateMesh"}
        assert counts["OK"] == 8
        assert counts["TooManyRequestsException"] > 0
    finally:
        control_plane.stop()
