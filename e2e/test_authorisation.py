"""Policies, as AWS's own clients and the commands meet them."""

import json
import os

import pytest
from botocore.exceptions import ClientError

from harness import locate
from harness.aws_cli import AwsCli
from harness.legation import Legation
from harness.waiting import wait_until

SECRET = "everybody-has-this-one"
GROUPS = {"admin": "admins", "pat": "payments", "oscar": "orders"}
ARN = "arn:aws:appmesh:us-east-1:000000000000:"


def replace(path, text):
    """Gives a file other contents at once, as every tool should."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.chmod(0o600)
    os.replace(temporary, path)


@pytest.fixture
def policies(tmp_path):
    directory = tmp_path / "policies"
    directory.mkdir()
    (directory / "teams.cedar").write_text((locate.EXAMPLES / "policies" / "teams.cedar").read_text())
    return directory


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.toml"
    replace(path, "".join(
        f'[[access-key]]\nid = "{user}"\nsecret = "{SECRET}"\nuser = "{user}"\ngroups = ["{group}"]\n'
        for user, group in GROUPS.items()))
    return path


@pytest.fixture
def legation(tmp_path, keys, policies):
    control_plane = Legation(tmp_path, options=["--access-keys", keys, "--policies", policies]).start()
    yield control_plane
    control_plane.stop()


def client(legation, user):
    return legation.client((user, SECRET))


def command(legation, user, *words, stdin=None):
    key = {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": SECRET}
    return legation.command(*words, "--endpoint", legation.endpoint, stdin=stdin, env=key)


def denied(call, *args, **kwargs):
    """The message of a call that must be denied."""
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    response = caught.value.response
    assert response["Error"]["Code"] == "ForbiddenException"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return response["Error"]["Message"]


def team(name):
    return [{"key": "team", "value": name}]


@pytest.fixture
def shop(legation):
    """A mesh of the platform's, with a node of each team."""
    admin = client(legation, "admin")
    admin.create_mesh(meshName="shop", tags=[{"key": "owner", "value": "platform"}])
    for name in ("payments", "orders"):
        admin.create_virtual_node(meshName="shop", virtualNodeName=name, spec={}, tags=team(name))
    return legation


def reloads(legation, outcome):
    return legation.metrics().get(("legation_file_reloads_total", (("file", "policies"), ("outcome", outcome))), 0)


def test_a_team_keeps_to_what_is_its_own(shop):
    pat, before = client(shop, "pat"), shop.transaction()
    others = {"meshName": "shop", "virtualNodeName": "orders"}
    arn = f"{ARN}mesh/shop/virtualNode/orders"
    message = denied(pat.update_virtual_node, **others, spec={})
    assert message == f"User: pat is not authorized to perform: appmesh:UpdateVirtualNode on resource: {arn}"
    with pytest.raises(pat.exceptions.ForbiddenException):
        pat.delete_virtual_node(**others)
    denied(pat.tag_resource, resourceArn=arn, tags=team("payments"))
    denied(pat.create_virtual_node, meshName="shop", virtualNodeName="else", spec={}, tags=team("payments"))
    denied(pat.create_virtual_node, meshName="shop", virtualNodeName="payments-2", spec={})
    denied(pat.create_mesh, meshName="mine", tags=[{"key": "owner", "value": "payments"}])
    denied(pat.update_mesh, meshName="shop", spec={})
    denied(pat.untag_resource, resourceArn=f"{ARN}mesh/shop/virtualNode/payments", tagKeys=["team"])
    # whether it exists or not
    assert denied(pat.delete_virtual_node, meshName="shop", virtualNodeName="none").endswith("virtualNode/none")
    assert shop.transaction() == before

    assert pat.describe_virtual_node(**others)["virtualNode"]["virtualNodeName"] == "orders"
    pat.create_virtual_node(meshName="shop", virtualNodeName="payments-2", spec={}, tags=team("payments"))
    listeners = [{"portMapping": {"port": 80, "protocol": "http"}}]
    for name in ("payments", "payments-2"):
        pat.update_virtual_node(meshName="shop", virtualNodeName=name, spec={"listeners": listeners})
    pat.tag_resource(resourceArn=f"{ARN}mesh/shop/virtualNode/payments", tags=[{"key": "colour", "value": "red"}])
    pat.delete_virtual_node(meshName="shop", virtualNodeName="payments-2")
    assert shop.transaction() == before + 5


def test_the_aws_cli_tells_who_was_denied_what(shop):
    words = ["delete-virtual-node", "--mesh-name", "shop", "--virtual-node-name", "orders"]
    said = AwsCli(shop.endpoint, ("pat", SECRET)).refused(*words)
    assert "ForbiddenException" in said and "DeleteVirtualNode operation" in said
    assert f"User: pat is not authorized to perform: appmesh:DeleteVirtualNode on resource: {ARN}mesh/shop" in said


def test_a_set_is_denied_as_a_whole(shop):
    document = "meshName: shop\nvirtualNodeName: {}\nspec: {{listeners: [{{portMapping: {{port: 80, protocol: http}}}}]}}\n"
    before = shop.transaction()
    both = document.format("payments") + "---\n" + document.format("orders")
    applied = command(shop, "pat", "apply", "--atomic", "-f", "-", stdin=both)
    assert applied.returncode == 1, applied
    assert "appmesh:UpdateVirtualNode on resource" in applied.stdout + applied.stderr
    assert shop.transaction() == before
    applied = command(shop, "pat", "apply", "--atomic", "-f", "-", stdin=document.format("payments"))
    assert applied.returncode == 0, applied
    assert shop.transaction() == before + 1
    # oscar would take back what is not theirs
    rolled_back = command(shop, "oscar", "rollback", "--to", before, "--mesh", "shop", "--yes")
    assert rolled_back.returncode == 1 and "not authorized" in rolled_back.stderr, rolled_back
    assert shop.transaction() == before + 1
    assert command(shop, "pat", "rollback", "--to", before, "--mesh", "shop", "--yes").returncode == 0


NODE = "meshName: shop\nvirtualNodeName: {}\nspec: {{listeners: [{{portMapping: {{port: {}, protocol: http}}}}]}}\n"


def test_who_may_not_change_may_not_plan(shop, policies):
    own, others = NODE.format("payments", 80), NODE.format("orders", 80)
    before = shop.transaction()
    for words in (["plan"], ["plan", "-o", "json"], ["plan", "--summary"], ["plan", "--exit-code"]):
        refused = command(shop, "pat", *words, "-f", "-", stdin=own + "---\n" + others)
        assert refused.returncode == 1 and refused.stdout == "", refused
        assert f"appmesh:UpdateVirtualNode on resource: {ARN}mesh/shop/virtualNode/orders" in refused.stderr
    done = command(shop, "pat", "plan", "-f", "-", stdin=own)
    assert done.returncode == 0 and "updated mesh/shop/virtualNode/payments" in done.stdout, done
    # who may look at everything may change nothing, and so plans nothing
    refused = command(shop, "oscar", "plan", "-f", "-", stdin=own)
    assert refused.returncode == 1 and "virtualNode/payments" in refused.stderr and refused.stdout == ""

    taken = reloads(shop, "taken")
    replace(policies / "no.cedar", 'forbid (principal == User::"pat", action == Action::"legation:Plan", resource);')
    wait_until(lambda: reloads(shop, "taken") > taken, "the policy")
    refused = command(shop, "pat", "plan", "-f", "-", stdin=own)
    assert refused.returncode == 1 and f"legation:Plan on resource: {ARN}mesh/shop\n" in refused.stderr, refused
    assert shop.transaction() == before


def test_lint_takes_a_right_of_its_own(shop, policies):
    admin, before = client(shop, "admin"), shop.transaction()
    admin.update_virtual_node(meshName="shop", virtualNodeName="orders", spec={
        "backends": [{"virtualService": {"virtualServiceName": "secret.local"}}]})
    own = NODE.format("payments", 80)
    others = "meshName: shop\nvirtualNodeName: orders\n" \
        "spec: {backends: [{virtualService: {virtualServiceName: none.local}}]}\n"
    # it is a matter of reading: whoever may look at the mesh is told what others' changes would black-hole
    for user in GROUPS:
        done = command(shop, user, "lint", "-f", "-", stdin=own + "---\n" + others)
        assert done.returncode == 1 and "backend-missing" in done.stdout and "none.local" in done.stdout, done
        # of what is not in the file nothing is shown
        done = command(shop, user, "lint", "-f", "-", stdin=own)
        assert done.returncode == 0 and "secret.local" not in done.stdout, done

    taken = reloads(shop, "taken")
    replace(policies / "no.cedar", 'forbid (principal == User::"pat", action == Action::"legation:Lint", resource);')
    wait_until(lambda: reloads(shop, "taken") > taken, "the policy")
    for words in (["lint"], ["lint", "-o", "json"]):
        refused = command(shop, "pat", *words, "-f", "-", stdin=own)
        assert refused.returncode == 2 and refused.stdout == "", refused
        assert f"legation:Lint on resource: {ARN}mesh/shop\n" in refused.stderr
    assert command(shop, "oscar", "lint", "-f", "-", stdin=own).returncode == 0
    assert shop.transaction() == before + 1


def test_one_bad_file_keeps_all_the_others_out(shop, policies):
    """As on its way a directory is that is replaced as a whole: the last good set stays, and is told."""
    pat = client(shop, "pat")
    link = policies.parent / "turned"
    good, bad = policies.parent / "good", policies.parent / "bad"
    for folder in (good, bad):
        folder.mkdir()
        (folder / "teams.cedar").write_text((policies / "teams.cedar").read_text())
        (folder / "all.cedar").write_text('permit (principal == User::"pat", action, resource);')
    (bad / "no.cedar").write_text('forbid (principal == User::"pat", action == Action::"appmesh:DeleteMesh", reso')

    def turn_to(folder):
        link.symlink_to(folder)
        policies.rename(policies.parent / f"before-{folder.name}")
        os.replace(link, policies)

    refused = reloads(shop, "refused")
    turn_to(bad)
    wait_until(lambda: "no.cedar" in shop.stderr, "the refusal of one bad file")
    assert reloads(shop, "refused") > refused
    denied(pat.update_mesh, meshName="shop", spec={})
    pat.tag_resource(resourceArn=f"{ARN}mesh/shop/virtualNode/payments", tags=[{"key": "colour", "value": "red"}])
    told = [line for line in shop.stderr.splitlines() if "no.cedar" in line]
    assert len(told) == 1 and "what was read before stays" in told[0], told
    taken = reloads(shop, "taken")
    turn_to(good)
    wait_until(lambda: reloads(shop, "taken") > taken, "policies that are good")
    pat.update_mesh(meshName="shop", spec={})


def test_denials_are_shown_and_survive(shop):
    for _ in range(3):
        denied(client(shop, "pat").delete_mesh, meshName="shop")
    assert 'user="pat"' in shop.stderr and "appmesh:DeleteMesh" in shop.stderr

    def shown(*words):
        done = command(shop, "admin", "history", "--denied", *words)
        assert done.returncode == 0, done
        return done.stdout

    line = f"  pat  appmesh:DeleteMesh  {ARN}mesh/shop  3 times since "
    assert line in shown() and line in shown("--mesh", "shop")
    assert shown("--mesh", "other") == "nobody was denied anything\n"
    said = command(shop, "pat", "history", "--denied")
    assert said.returncode == 1 and "legation:GetDenials" in said.stderr
    shop.stop()
    shop.restart()
    assert line in shown()
    denials = json.loads(shown("-o", "json"))["denials"]
    assert [(denial["user"], denial["action"], denial["count"]) for denial in denials] == [
        ("pat", "legation:GetDenials", 1), ("pat", "appmesh:DeleteMesh", 3)]


def test_policies_come_and_go(shop, policies):
    pat = client(shop, "pat")

    def may_delete():
        try:
            pat.delete_virtual_node(meshName="shop", virtualNodeName="orders")
            return True
        except ClientError as error:
            # the next try is about what is not there
            assert error.response["Error"]["Code"] in ("ForbiddenException", "NotFoundException"), error
            return error.response["Error"]["Code"] == "NotFoundException"

    more = policies / "more.cedar"
    for number, bad in enumerate(['permit (principal == User::"pat", action', "",
                                  'permit (principal == User::"pat", action, resource) when { resource.nmae == "" };']):
        replace(more, bad)
        if bad:
            wait_until(lambda: reloads(shop, "refused") >= min(number + 1, 2), "the refusal of bad policies")
        assert not may_delete()
        pat.describe_mesh(meshName="shop")
    assert "more.cedar: line 1" in shop.stderr
    replace(more, 'permit (principal == User::"pat", action, resource);')
    wait_until(may_delete, "what the new policy permits")
    # what forbids wins
    replace(policies / "no.cedar", 'forbid (principal == User::"pat", action, resource);')
    wait_until(lambda: not may_delete(), "what the newest policy forbids")
    assert denied(pat.list_meshes).endswith("account 000000000000")
    (policies / "no.cedar").unlink()
    wait_until(may_delete, "what is no longer forbidden")


def test_there_is_no_start_with_bad_policies(tmp_path, legation, policies):
    (policies / "bad.cedar").write_text('permit (principal, action == Action::"appmesh:Fly", resource);')
    refused = legation.command("serve", "--data-dir", tmp_path / "other", "--policies", policies)
    assert refused.returncode != 0 and "appmesh:Fly" in refused.stderr
    checked = legation.command("authorisation", "check", policies)
    assert checked.returncode == 1 and "appmesh:Fly" in checked.stderr
    (policies / "bad.cedar").unlink()
    assert "fit the schema" in legation.command("authorisation", "check", policies).stdout
    assert "entity User in [Group]" in legation.command("authorisation", "schema").stdout


def test_without_keys_everybody_is_anonymous(tmp_path):
    policies = tmp_path / "p.cedar"
    policies.write_text('permit (principal == User::"anonymous", action in Action::"read", resource);')
    control_plane = Legation(tmp_path, options=["--policies", policies]).start()
    try:
        somebody = control_plane.client(("admin", SECRET))
        assert somebody.list_meshes()["meshes"] == []
        assert denied(somebody.create_mesh, meshName="m").startswith("User: anonymous is not")
        assert "there are policies and no access keys" in control_plane.stderr
    finally:
        control_plane.stop()
