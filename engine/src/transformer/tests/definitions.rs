//! How definitions are put together, and which transaction a fragment has.

use legation_proto::fragment::Fragment;
use serde_json::json;

use super::fixture::{Definitions, definition};
use crate::model::ResourceId;
use crate::transformer::definitions::MeshDefinitions;

#[test]
fn definitions_come_in_any_order_and_what_lies_nowhere_is_left_out() {
    let route = json!({"tcpRoute": {"action": {"weightedTargets": [{"virtualNode": "n", "weight": 1}]}}});
    let definitions = vec![
        (5, definition(ResourceId::route("a", "router", "route"), &route)),
        (4, definition(ResourceId::route("a", "gone", "route"), &route)),
        (3, definition(ResourceId::virtual_router("a", "router"), &json!({}))),
        (2, definition(ResourceId::virtual_node("gone", "node"), &json!({}))),
        (1, definition(ResourceId::mesh("a"), &json!({}))),
        (6, definition(ResourceId::mesh("b"), &json!({}))),
    ];
    let meshes = MeshDefinitions::collect(definitions);
    assert_eq!(meshes.keys().map(AsRef::as_ref).collect::<Vec<_>>(), ["a", "b"]);
    let mesh = &meshes["a"];
    let router = mesh.virtual_router("router").unwrap();
    assert_eq!(router.routes["route"].transaction, 5);
    assert_eq!(router.transaction(), 5);
    assert!(mesh.virtual_router("gone").is_none());
    assert_eq!(mesh.fragment_keys().count(), 0);
}

/// The transactions of the fragments of `service`, `node` and `gateway`, if the definition that `change` picks is of
/// transaction 9.
fn transactions(change: &str) -> [u64; 3] {
    let at = |definitions: Definitions, name: &str| {
        if name == change { definitions.at(9) } else { definitions.at(1) }
    };
    let target = json!({"virtualService": {"virtualServiceName": "service"}});
    let mut definitions = at(Definitions::new(), "mesh");
    definitions = at(definitions.listening_node("target", &[(80, "http")]), "target");
    definitions = at(definitions.listening_node("node", &[(80, "http")]), "node");
    definitions = at(definitions.virtual_router("router", &[(80, "http")]), "router");
    let action = json!({"weightedTargets": [{"virtualNode": "target", "weight": 1}]});
    let route = json!({"httpRoute": {"match": {"prefix": "/"}, "action": action}});
    definitions = at(definitions.route("router", "route", route), "route");
    definitions = at(definitions.provided_by_router("service", "router"), "service");
    let listener = json!({"portMapping": {"port": 80, "protocol": "http"}});
    definitions = at(definitions.virtual_gateway("gateway", json!({"listeners": [listener]})), "gateway");
    let gateway_route = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": target}}});
    definitions = at(definitions.gateway_route("gateway", "route", gateway_route), "gateway-route");
    [
        Fragment::Service(definitions.service("service")),
        Fragment::Node(definitions.node("node")),
        Fragment::Node(definitions.gateway("gateway")),
    ]
    .map(|fragment| fragment.transaction())
}

#[test]
fn a_fragment_has_the_transaction_of_the_newest_definition_that_went_into_it() {
    let table = [
        ("nothing", [1, 1, 1]),
        ("mesh", [9, 9, 9]),
        ("service", [9, 1, 1]),
        ("router", [9, 1, 1]),
        ("route", [9, 1, 1]),
        ("target", [9, 1, 1]),
        ("node", [1, 9, 1]),
        ("gateway", [1, 1, 9]),
        ("gateway-route", [1, 1, 9]),
    ];
    for (change, expected) in table {
        assert_eq!(transactions(change), expected, "{change}");
    }
}

#[test]
fn a_resource_has_the_transaction_of_the_newest_definition_that_went_into_it() {
    let definitions = Definitions::new().listening_node("node", &[(80, "http")]).at(7);
    // a change of the service leaves its clusters as they were, and their versions to the last digit
    let definitions = definitions.provided_by_node("service", "node").at(9);
    let fragment = definitions.service("service");
    assert_eq!((fragment.transaction, fragment.clusters[0].version.transaction), (9, 7));
    let whole = Fragment::Service(fragment);
    let Fragment::Service(travelled) = Fragment::decode(whole.encode().into()).unwrap() else {
        panic!("another kind");
    };
    assert_eq!((travelled.transaction, travelled.clusters[0].version.transaction), (9, 7));
    assert_eq!(Fragment::Service(travelled), whole);
}
