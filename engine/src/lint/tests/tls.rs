//! TLS. The API refuses it until it is built, so that these definitions are made past its checks.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{backends, brief, lint, listener, way};
use crate::model::{ResourceId, Spec, VirtualGatewaySpec, VirtualNodeSpec};
use crate::transformer::definitions::MeshDefinitions;
use crate::transformer::tests::fixture::{Definitions, MESH};

/// Checks `server`, which listens with this TLS, and `client` and a gateway, which have this client policy.
fn check(tls: &Value, policy: &Value, expected: Expect) {
    let mut own = listener(80, "http");
    own["tls"] = tls.clone();
    let server = json!({"listeners": [own], "serviceDiscovery": {"dns": {"hostname": "server"}}});
    let mut client = backends(&["service"]);
    client["backendDefaults"] = json!({"clientPolicy": {"tls": policy}});
    let gateway =
        json!({"listeners": [listener(80, "http")], "backendDefaults": {"clientPolicy": {"tls": policy}}});
    let mut definitions = Definitions::new()
        .virtual_gateway("gateway", json!({"listeners": [listener(80, "http")]}))
        .provided_by_node("service", "server")
        .gateway_route("gateway", "way", way(&json!({"prefix": "/"}), &super::to_service("service")))
        .collect();
    let node = |spec: Value| Spec::VirtualNode(serde_json::from_value::<VirtualNodeSpec>(spec).unwrap());
    insert(&mut definitions, ResourceId::virtual_node(MESH, "server"), node(server));
    insert(&mut definitions, ResourceId::virtual_node(MESH, "client"), node(client));
    let gateway = Spec::VirtualGateway(serde_json::from_value::<VirtualGatewaySpec>(gateway).unwrap());
    insert(&mut definitions, ResourceId::virtual_gateway(MESH, "gateway"), gateway);
    let lines: Vec<String> = lint(&definitions).iter().map(brief).collect();
    expected.assert_eq(&lines.join("\n"));
}

fn insert(definitions: &mut MeshDefinitions, id: ResourceId, spec: Spec) {
    let like = crate::transformer::tests::fixture::definition(ResourceId::mesh(MESH), &json!({}));
    definitions.insert(2, crate::model::Definition { id, spec, ..like });
}

fn tls(mode: &str) -> Value {
    json!({"mode": mode, "certificate": {"file": {"certificateChain": "/c", "privateKey": "/k"}}})
}

fn policy(more: &Value) -> Value {
    let mut policy = json!({"validation": {"trust": {"file": {"certificateChain": "/ca"}}}});
    for (name, value) in more.as_object().unwrap() {
        policy[name] = value.clone();
    }
    policy
}

#[test]
fn tls_not_offered() {
    for no_tls in [json!(null), tls("DISABLED")] {
        check(
            &no_tls,
            &policy(&json!({})),
            expect![[r#"
                tls-not-offered virtualNode/client spec.backends[0].virtualService.virtualServiceName
                tls-not-offered virtualGateway/gateway spec.backendDefaults"#]],
        );
    }
    check(&json!(null), &policy(&json!({"enforce": false})), expect![""]);
    check(&json!(null), &policy(&json!({"ports": [81]})), expect![""]);
    check(&json!(null), &json!(null), expect![""]);
    for offered in ["PERMISSIVE", "STRICT"] {
        check(&tls(offered), &policy(&json!({})), expect![""]);
    }
}

#[test]
fn tls_required() {
    for silent in [json!(null), policy(&json!({"ports": [81]}))] {
        check(
            &tls("STRICT"),
            &silent,
            expect![[r#"
                tls-required virtualNode/client spec.backends[0].virtualService.virtualServiceName
                tls-required virtualGateway/gateway spec.backendDefaults"#]],
        );
    }
    check(&tls("PERMISSIVE"), &json!(null), expect![""]);
    check(&tls("STRICT"), &policy(&json!({"enforce": false})), expect![""]);
}
