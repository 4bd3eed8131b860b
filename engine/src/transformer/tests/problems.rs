//! What cannot be transformed: it harms only itself, and says what to do.

use expect_test::{Expect, expect};
use legation_proto::fragment::Fragment;
use legation_proto::id::{FragmentKey, FragmentKind};
use serde_json::{Value, json};

use super::fixture::{Definitions, MESH, key};
use super::render;
use crate::model::ResourceId;

/// A mesh in which everything is well, and which `harm` harms: only the service does not come through.
fn check(harm: impl FnOnce(Definitions) -> Definitions, expected: Expect) {
    let route = json!({"httpRoute": {
        "match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNode": "node", "weight": 1}]},
    }});
    let listener = json!({"portMapping": {"port": 80, "protocol": "http"}});
    let well = Definitions::new()
        .listening_node("node", &[(80, "http")])
        .listening_node("other", &[(80, "http")])
        .virtual_router("router", &[(80, "http")])
        .route("router", "route", route)
        .provided_by_router("service", "router")
        .provided_by_node("other", "other")
        .virtual_gateway("gateway", json!({"listeners": [listener]}));
    let before = well.transform();
    assert!(before.problems.is_empty());
    let after = harm(well).transform();
    let problems: Vec<_> = after.problems.iter().map(ToString::to_string).collect();
    expected.assert_eq(&problems.join("\n"));
    let harmed = FragmentKey::virtual_service(&MESH.into(), "service");
    assert!(!after.fragments.contains_key(&harmed));
    for name in ["other", "gateway"] {
        for kind in [FragmentKind::VirtualNode, FragmentKind::VirtualGateway, FragmentKind::VirtualService] {
            let key = key(MESH, kind, name);
            assert_eq!(after.fragments.get(&key), before.fragments.get(&key), "{key}");
        }
    }
}

fn route_to(target: &Value) -> Value {
    json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [target]}}})
}

#[test]
fn a_router_that_is_not_there() {
    check(
        |well| well.without(&ResourceId::virtual_router(MESH, "router")),
        expect![[
            r#"mesh/m/virtualService/service: its virtual router "router" does not exist; create it, or choose another provider"#
        ]],
    );
}

#[test]
fn a_node_that_is_not_there() {
    check(
        |well| well.without(&ResourceId::virtual_node(MESH, "node")),
        expect![[
            r#"mesh/m/virtualService/service: route "route" leads to virtual node "node", which does not exist; create it, or remove the target"#
        ]],
    );
    let provided = |well: Definitions| {
        well.without(&ResourceId::virtual_service(MESH, "service")).provided_by_node("service", "gone")
    };
    check(
        provided,
        expect![[
            r#"mesh/m/virtualService/service: its virtual node "gone" does not exist; create it, or choose another provider"#
        ]],
    );
}

#[test]
fn a_port_at_which_nobody_listens() {
    let route = route_to(&json!({"virtualNode": "node", "port": 81, "weight": 1}));
    check(
        |well| well.route("router", "wrong", route),
        expect![[
            r#"mesh/m/virtualService/service: route "wrong" leads to port 81 of virtual node "node", which does not listen there; change the target's port, or add a listener to the node"#
        ]],
    );
}

#[test]
fn a_node_without_listeners() {
    let route = route_to(&json!({"virtualNode": "mute", "weight": 1}));
    check(
        |well| well.virtual_node("mute", json!({})).route("router", "wrong", route),
        expect![[
            r#"mesh/m/virtualService/service: route "wrong" leads to virtual node "mute", which has no listeners; add a listener to the node, or remove the target"#
        ]],
    );
}

#[test]
fn a_route_for_another_port_is_no_problem() {
    let route = json!({"tcpRoute": {"action": {"weightedTargets": [{"virtualNode": "gone", "weight": 1}]}}});
    let definitions = Definitions::new()
        .listening_node("node", &[(80, "http")])
        .virtual_router("router", &[(80, "http")])
        .route("router", "unused", route)
        .provided_by_router("service", "router");
    assert!(definitions.transform().problems.is_empty());
    assert!(render::port(&definitions.service("service"), 80).starts_with("{name service"));
}

#[test]
fn everything_else_has_a_fragment() {
    let definitions = Definitions::new()
        .virtual_node("node", json!({}))
        .virtual_service("service", json!({}))
        .virtual_gateway("gateway", json!({"listeners": [{"portMapping": {"port": 1, "protocol": "grpc"}}]}));
    let fragments = definitions.transform().fragments;
    let kinds: Vec<_> = fragments
        .iter()
        .map(|(key, fragment)| (key.to_string(), matches!(fragment, Fragment::Service(_))))
        .collect();
    assert_eq!(
        kinds,
        [
            ("mesh/m/virtualNode/node".to_owned(), false),
            ("mesh/m/virtualGateway/gateway".to_owned(), false),
            ("mesh/m/virtualService/service".to_owned(), true),
        ]
    );
}
