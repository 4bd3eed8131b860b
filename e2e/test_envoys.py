"""A real Envoy for every virtual node and gateway of every example, in both protocols, accepts all and has all.

No traffic flows here, so the Envoys share one host: they bind the same ports side by side.
"""

import pytest

from harness.definitions import Mesh
from harness.envoy import Envoy

MESHES = ["bookshop", "everything", "walkthroughs/timeout-policy.yaml", "walkthroughs/circuit-breakers.yaml"]


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
@pytest.mark.parametrize("path", MESHES)
def test_every_envoy_accepts_everything(legation, tmp_path, path, protocol):
    mesh = Mesh(path)
    legation.apply_example(path)
    envoys = [Envoy(legation, node_id, tmp_path, protocol) for node_id in mesh.node_ids()]
    try:
        for envoy in envoys:
            envoy.wait_until_live()
        legation.wait_for_envoys(len(envoys))
        for envoy in envoys:
            check(mesh, envoy)
        assert sum(legation.by_type("legation_nacks_total").values()) == 0
        assert legation.metrics()["legation_envoys_connected", ()] == len(envoys)
        check_status(legation, mesh, protocol)
    finally:
        for envoy in envoys:
            envoy.stop()


def check(mesh, envoy):
    assert envoy.connected
    assert envoy.rejected() == {"cds": 0, "lds": 0, "rds": 0}, envoy.log[-3000:]
    updates, config = envoy.updates(), envoy.config()
    assert updates["cds"] >= 1 and updates["lds"] >= 1
    assert updates["rds"] >= len(config["routes"])

    kind, name = envoy.node_id.split("/")[2:]
    if kind == "virtualNode":
        assert "lds_egress_0.0.0.0_15001" in config["listeners"]
        assert ("lds_ingress_0.0.0.0_15000" in config["listeners"]) == bool(mesh.nodes[name].get("listeners"))
        ingress = {cluster for cluster in config["clusters"] if cluster.startswith("cds_ingress_")}
        assert ingress == mesh.ingress_clusters(name)
    else:
        for listener in mesh.gateways[name]["listeners"]:
            assert f"lds_ingress_0.0.0.0_{listener['portMapping']['port']}" in config["listeners"]

    # an Envoy receives its own node, and its backends, and not a byte more
    of_the_mesh = {f"cds_egress_{mesh.name}_amazonaws", f"cds_egress_{mesh.name}_mesh-allow-all"}
    egress = {cluster for cluster in config["clusters"] if cluster.startswith("cds_egress_")}
    assert egress - of_the_mesh == mesh.egress_clusters(envoy.node_id)


def check_status(legation, mesh, protocol):
    status = legation.status()
    assert sorted(envoy["node"] for envoy in status["envoys"]) == sorted(mesh.node_ids())
    for envoy in status["envoys"]:
        assert envoy["protocol"] == protocol
        assert envoy["synced"] is True
        assert envoy["types"]["cds"]["sent"], "the version of the clusters that it was sent"
        for state in envoy["types"].values():
            assert state["sent"] == state["acked"]
            assert state["nacked"] is None
    shown = legation.command("status", "--admin", f"http://{legation.admin}")
    assert shown.returncode == 0, shown.stderr
    for node_id in mesh.node_ids():
        assert node_id.rsplit("/", 1)[1] in shown.stdout
