"""Only consumers: a change is pushed to the Envoys that depend on it, once, and to nobody else. Exact numbers.

Counted twice: by the control plane (`legation_pushes_total`) and by each Envoy itself (`update_success`).
"""

import pytest

from harness.definitions import documents
from harness.envoy import Envoy
from harness.legation import Legation

BOOKS = {"checkout", "checkout-replica", "storefront"}
ENVOYS = {
    "storefront": "mesh/bookshop/virtualGateway/storefront",
    "checkout": "mesh/bookshop/virtualNode/checkout",
    "checkout-replica": "mesh/bookshop/virtualNode/checkout",
    "helpdesk": "mesh/bookshop/virtualNode/helpdesk",
    "books-v1": "mesh/bookshop/virtualNode/books-v1",
    "reviews": "mesh/bookshop/virtualNode/reviews",
}
SPECS = {
    (document.get("routeName") or document.get("virtualNodeName")): document["spec"]
    for document in documents("bookshop") if "routeName" in document or "virtualNodeName" in document
}


@pytest.fixture(scope="module", params=["delta", "sotw"])
def shop(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("fanout")
    control_plane = Legation(directory).start()
    envoys = {}
    try:
        control_plane.apply_example("bookshop")
        for name, node_id in ENVOYS.items():
            (directory / name).mkdir()
            envoys[name] = Envoy(control_plane, node_id, directory / name, request.param)
        for envoy in envoys.values():
            envoy.wait_until_live()
        control_plane.wait_for_envoys(len(envoys))
        yield Shop(control_plane, envoys)
    finally:
        for envoy in envoys.values():
            envoy.stop()
        control_plane.stop()


class Shop:
    def __init__(self, legation, envoys):
        self.legation = legation
        self.client = legation.client()
        self.envoys = envoys

    def effect(self, change, commits=True):
        """(pushes by type, {envoy: updates by type} of those that had any) that `change` made.

        `commits`: whether it is a change to the store at all."""
        pushes = self.legation.pushes()
        updates = {name: envoy.updates() for name, envoy in self.envoys.items()}
        transaction = self.legation.transaction()
        change()
        assert (self.legation.transaction() > transaction) is commits
        self.legation.wait_until_quiet()
        self.legation.wait_for_envoys(len(self.envoys))
        by_envoy = {name: difference(envoy.updates(), updates[name]) for name, envoy in self.envoys.items()}
        return difference(self.legation.pushes(), pushes), {name: counts for name, counts in by_envoy.items() if counts}

    def update_node(self, name, **fields):
        self.client.update_virtual_node(meshName="bookshop", virtualNodeName=name, spec={**SPECS[name], **fields})

    def update_split(self, first, second):
        self.client.update_route(meshName="bookshop", virtualRouterName="books", routeName="split", spec={"httpRoute": {
            "match": {"prefix": "/"},
            "action": {"weightedTargets": [{"virtualNode": "books-v1", "weight": first},
                                           {"virtualNode": "books-v2", "weight": second}]},
        }})


def difference(after, before):
    return {kind: after[kind] - before[kind] for kind in after if after[kind] != before[kind]}


def test_weights(shop):
    pushes, updates = shop.effect(lambda: shop.update_split(10, 90))
    assert pushes == {"rds": 3}
    assert updates == {name: {"rds": 1} for name in BOOKS}


def test_the_same_again(shop):
    shop.update_split(30, 70)
    shop.legation.wait_until_quiet()
    pushes, updates = shop.effect(lambda: shop.update_split(30, 70), commits=False)
    assert (pushes, updates) == ({}, {})


def test_tags(shop):
    """They are for people and policies: no Envoy hears of them, whatever they are on."""
    arn = "arn:aws:appmesh:us-east-1:000000000000:"
    whose = ["mesh/bookshop", *set(ENVOYS.values()), "mesh/bookshop/virtualRouter/books",
             "mesh/bookshop/virtualRouter/books/route/split", "mesh/bookshop/virtualService/books.shop.local"]

    def tag():
        for path in whose:
            shop.client.tag_resource(resourceArn=arn + path, tags=[{"key": "team", "value": "books"}])

    def untag():
        for path in whose:
            shop.client.untag_resource(resourceArn=arn + path, tagKeys=["team"])

    assert shop.effect(tag) == ({}, {})
    assert shop.effect(untag) == ({}, {})


def test_where_a_provider_is_found(shop):
    """The Envoys of the provider itself do not care under which name others find them."""
    pushes, updates = shop.effect(lambda: shop.update_node(
        "reviews", serviceDiscovery={"dns": {"hostname": "elsewhere.shop.local"}}))
    assert pushes == {"cds": 1}
    assert updates == {"helpdesk": {"cds": 1}}


def test_a_backend_more(shop):
    """Only the node's own Envoys, all of them."""
    pushes, updates = shop.effect(lambda: shop.update_node("checkout", backends=[
        {"virtualService": {"virtualServiceName": "books.shop.local"}},
        {"virtualService": {"virtualServiceName": "reviews.shop.local"}},
    ]))
    assert set(updates) == {"checkout", "checkout-replica"}
    assert pushes["cds"] == 2
    for counts in updates.values():
        assert counts["cds"] == 1
    shop.effect(lambda: shop.update_node("checkout"))


def test_what_nobody_uses(shop):
    def change():
        shop.client.create_virtual_node(meshName="bookshop", virtualNodeName="unused", spec=SPECS["books-v2"])
        shop.client.create_virtual_service(meshName="bookshop", virtualServiceName="unused.shop.local", spec={
            "provider": {"virtualNode": {"virtualNodeName": "unused"}}})

    try:
        assert shop.effect(change) == ({}, {})
    finally:
        shop.client.delete_virtual_service(meshName="bookshop", virtualServiceName="unused.shop.local")
        shop.client.delete_virtual_node(meshName="bookshop", virtualNodeName="unused")


def test_another_mesh(shop):
    assert shop.effect(lambda: shop.legation.apply_example("everything")) == ({}, {})


def test_a_burst_ends_in_the_last_state(shop):
    """Many changes at once may be pushed as fewer, never as more, and never to others."""
    changes = 20

    def change():
        for weight in range(1, changes + 1):
            shop.update_split(weight, 100 - weight)

    pushes, updates = shop.effect(change)
    assert set(pushes) == {"rds"} and 3 <= pushes["rds"] <= 3 * changes
    assert set(updates) == BOOKS
    for name in BOOKS:
        assert f'"weight": {changes}' in shop.envoys[name].admin("/config_dump?resource=dynamic_route_configs")
