"""Tags through boto3, and the calls that Terraform's provider makes of them."""

import pytest

from harness.app_mesh import ARNS, KINDS, fill, refused


@pytest.fixture
def shop(client):
    fill(client)
    return client


def tags_of(client, arn):
    pages = client.get_paginator("list_tags_for_resource").paginate(resourceArn=arn, PaginationConfig={"PageSize": 2})
    return {tag["key"]: tag["value"] for page in pages for tag in page["tags"]}


def tags(**values):
    return [{"key": key, "value": value} for key, value in values.items()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_what_terraform_does(shop, kind):
    """Create with tags, read, update in place, change the tags, read again, delete."""
    created = kind.call(shop, "create", "thing", spec=kind.spec, tags=tags(a="1", b="", c="3"))
    arn = created["metadata"]["arn"]
    owner = created["metadata"]["meshOwner"]
    assert tags_of(shop, arn) == {"a": "1", "b": "", "c": "3"}

    owned = {} if kind.noun == "mesh" else {"meshOwner": owner}
    updated = kind.call(shop, "update", "thing", spec=kind.other_spec, **owned)
    shop.untag_resource(resourceArn=arn, tagKeys=["a", "never"])
    shop.tag_resource(resourceArn=arn, tags=tags(b="2", d="4"))
    assert tags_of(shop, arn) == {"b": "2", "c": "3", "d": "4"}

    described = kind.call(shop, "describe", "thing", meshOwner=owner)
    assert described["spec"] == kind.other_spec, "it is returned as it was given"
    assert described["metadata"] == updated["metadata"], "a change of tags is no update"
    kind.call(shop, "delete", "thing", **owned)
    assert refused(shop.list_tags_for_resource, resourceArn=arn)[:2] == ("NotFoundException", 404)
    kind.call(shop, "create", "thing", spec=kind.spec)
    assert tags_of(shop, arn) == {}


def test_too_many_tags(shop):
    arn = ARNS + "mesh/shop"
    shop.tag_resource(resourceArn=arn, tags=tags(**{f"k{number}": "" for number in range(50)}))
    before = tags_of(shop, arn)
    code, status, message = refused(shop.tag_resource, resourceArn=arn, tags=tags(one="more"))
    assert (code, status) == ("TooManyTagsException", 400)
    assert "50" in message
    assert tags_of(shop, arn) == before
