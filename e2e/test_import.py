"""`legation import`: what people have becomes what a real control plane takes, and nothing is lost on the way."""

import json
from pathlib import Path

import pytest
import yaml

from harness.definitions import documents
from harness.legation import Legation

SAMPLES = Path(__file__).parent / "import"

# the file, the options, and how many resources are in it
FORMS = {
    "cloudformation": ("cloudformation.yaml", ["--parameter", "MeshName=shop"], 9),
    "kubernetes": ("kubernetes.yaml", [], 11),
    "terraform": ("terraform.tfstate", [], 10),
    "app-mesh": ("app-mesh.jsonl", [], 7),
}

KINDS = [
    # the operation, its parent's name and its own
    ("mesh", None, "meshName"),
    ("virtual_node", None, "virtualNodeName"),
    ("virtual_service", None, "virtualServiceName"),
    ("virtual_router", None, "virtualRouterName"),
    ("virtual_gateway", None, "virtualGatewayName"),
    ("route", "virtualRouterName", "routeName"),
    ("gateway_route", "virtualGatewayName", "gatewayRouteName"),
]


@pytest.fixture
def other(tmp_path_factory):
    """Another control plane with an empty store."""
    control_plane = Legation(tmp_path_factory.mktemp("other")).start()
    yield control_plane
    control_plane.stop()


def kind_of(document):
    """The operation's name for what a document defines, and its name keys."""
    for operation, parent, own in reversed(KINDS):
        if own in document:
            return operation, [key for key in ("meshName", parent, own) if key and key in document]
    raise AssertionError(f"{document} defines nothing")


def describe(legation, document):
    """What the API has of it, as boto3 answers it."""
    operation, keys = kind_of(document)
    answer = getattr(legation.client(), f"describe_{operation}")(**{key: document[key] for key in set(keys)})
    (wrapper,) = [key for key in answer if key != "ResponseMetadata"]
    return {wrapper: answer[wrapper]}


def imported(legation, *words, stdin=None, code=0):
    """The documents that an import writes, and what it says."""
    done = legation.command("import", *words, stdin=stdin)
    assert done.returncode == code, done.stdout + done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document], done


def tags_of(legation, mesh):
    client = legation.client()
    arn = client.describe_mesh(meshName=mesh)["mesh"]["metadata"]["arn"]
    pages = client.get_paginator("list_tags_for_resource").paginate(resourceArn=arn)
    return {tag["key"]: tag["value"] for page in pages for tag in page["tags"]}


def assert_described_as(legation, expected):
    for document in expected:
        (data,) = describe(legation, document).values()
        assert data["spec"] == document["spec"], document


@pytest.mark.parametrize("form", FORMS)
def test_an_import_is_applied_and_described_as_it_was(legation, form):
    file, options, count = FORMS[form]
    expected, done = imported(legation, SAMPLES / file, *options)
    assert len(expected) == count
    applied = legation.apply("-", stdin=done.stdout)
    assert applied.code == 0, applied.stdout + applied.stderr
    assert applied.counts == (count, 0, 0, 0)
    assert_described_as(legation, expected)
    # in the order in which each finds what it needs, and the same whenever it is asked for
    assert [line.split(" in mesh ")[0] for line in applied.lines[:-1]][0].endswith('mesh "shop"')
    assert imported(legation, "--format", form, SAMPLES / file, *options)[1].stdout == done.stdout


def test_what_the_names_come_to(legation):
    """The shop as each form has it, in a few names that are easy to check by eye."""
    names = {}
    for form, (file, options, _) in FORMS.items():
        written, _ = imported(legation, SAMPLES / file, *options)
        names[form] = {document[kind_of(document)[1][-1]] for document in written}
    assert {"shop", "cart", "cart-canary", "cart.staging.shop.local", "front"} <= names["cloudformation"]
    assert {"shop", "cart_prod", "canary", "search.prod", "cart.prod.svc.cluster.local"} <= names["kubernetes"]
    assert {"shop", "cart-blue", "cart-green", "cart.shop.local"} <= names["terraform"]
    assert {"shop", "cart", "cart.shop.local", "front", "default"} <= names["app-mesh"]


def test_what_boto3_describes_comes_back(legation, other, tmp_path):
    """Recorded from one control plane, in files of their own, into another."""
    legation.apply_example("bookshop")
    originals = documents("bookshop")
    export = tmp_path / "export"
    export.mkdir()
    for number, document in enumerate(originals):
        (export / f"{number:03}.json").write_text(json.dumps(describe(legation, document), default=str))
    _, done = imported(legation, export)
    assert other.apply("-", stdin=done.stdout).counts == (len(originals), 0, 0, 0)
    assert_described_as(other, originals)


def test_from_one_control_plane_to_another(legation, other, tmp_path):
    originals = documents("bookshop") + documents("everything")
    legation.apply_example("bookshop")
    legation.apply_example("everything")
    client = legation.client()
    arn = client.describe_mesh(meshName="bookshop")["mesh"]["metadata"]["arn"]
    client.tag_resource(resourceArn=arn, tags=[{"key": f"key-{number}", "value": "x"} for number in range(49)])
    done = legation.command("import", "--from-endpoint", legation.endpoint, "-o", tmp_path / "all.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    applied = other.apply(tmp_path / "all.yaml")
    assert applied.counts == (len(originals), 0, 0, 0), applied.stdout
    assert_described_as(other, originals)
    assert tags_of(other, "bookshop") == tags_of(legation, "bookshop")
    again = other.command("import", "--from-endpoint", other.endpoint, "-o", tmp_path / "again.yaml")
    assert again.returncode == 0, again.stderr
    first, second = ((tmp_path / name).read_text() for name in ("all.yaml", "again.yaml"))
    assert first.replace(legation.endpoint, "X") == second.replace(other.endpoint, "X")
    one, _ = imported(other, "--from-endpoint", other.endpoint, "--mesh", "bookshop")
    assert len(one) == len(documents("bookshop"))


def test_what_is_left_out_is_said_and_the_rest_is_written(legation, tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text(
        "Resources:\n"
        "  Mesh: {Type: 'AWS::AppMesh::Mesh', Properties: {MeshName: m}}\n"
        "  Node:\n"
        "    Type: AWS::AppMesh::VirtualNode\n"
        "    Properties: {MeshName: !GetAtt Mesh.MeshName, VirtualNodeName: !ImportValue shared-name, Spec: {}}\n"
    )
    written, done = imported(legation, template, code=1)
    assert [document["meshName"] for document in written] == ["m"]
    assert "Resources.Node.Properties.VirtualNodeName" in done.stderr
    assert "--set 'shared-name=VALUE'" in done.stderr
    written, _ = imported(legation, template, "--set", "shared-name=n")
    assert [document.get("virtualNodeName") for document in written] == [None, "n"]


@pytest.mark.parametrize("words, stdin", [
    (["missing.yaml"], None),
    (["-"], "a: [\n"),
    (["-"], "nothing: here\n"),
    (["-", "--parameter", "nonsense"], ""),
    (["-", "--format", "nonsense"], ""),
    (["--from-endpoint", "http://127.0.0.1:1"], None),
    ([], None),
])
def test_what_cannot_be_used_writes_nothing(legation, words, stdin):
    done = legation.command("import", *words, stdin=stdin)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == "" and done.stderr != ""
