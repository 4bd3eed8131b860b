//! What answers warn of: the header of writes, the answer that tells before, and that neither knows anything else than
//! what is found in the whole mesh.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, Api, node_provider, route_spec, router_provider};
use crate::frontend::neighbourhood::findings;
use crate::frontend::references::{references, referrer_key, targets};
use crate::frontend::scope::Scope;
use crate::lint::{Code, Finding, lint};
use crate::model::{Definition, Kind, ResourceId};
use crate::store::{Batch, EmbeddedStore, Store};
use crate::transformer::tests::fixture::Definitions;
use crate::transformer::tests::properties::definitions;

const NODES: &str = "/meshes/m/virtualNodes";
const ROUTES: &str = "/meshes/m/virtualRouter/r/routes";
const SERVICES: &str = "/meshes/m/virtualServices";
const GATEWAY_ROUTES: &str = "/meshes/m/virtualGateway/g/gatewayRoutes";

/// The code, the resource and the field of each warning.
fn check(answer: Answer, expected: Expect) {
    let brief: Vec<String> = answer
        .warnings
        .iter()
        .map(|warning| warning.splitn(4, ": ").take(3).collect::<Vec<_>>().join(" | "))
        .collect();
    answer.ok();
    expected.assert_eq(&brief.join("\n"));
}

fn listening(port: u16) -> Value {
    json!({
        "listeners": [{"portMapping": {"port": port, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": "a.local"}},
    })
}

fn to_port(port: u16) -> Value {
    let target = json!({"virtualNode": "a", "port": port, "weight": 1});
    json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [target]}}})
}

#[tokio::test]
async fn a_route_to_a_port_that_nobody_listens_on_is_told_and_told_until_it_is_right() {
    let api = Api::with_mesh().await;
    check(api.put(&format!("{NODES}/a"), &json!({"spec": listening(8080)})).await, expect![""]);
    let told = || {
        expect![[
            r#"target-port-not-listened | route "x" of virtual router "r" in mesh "m" | spec.httpRoute.action.weightedTargets[0].port"#
        ]]
    };
    check(api.put(ROUTES, &json!({"routeName": "x", "spec": to_port(8081)})).await, told());
    // also to who writes it again, and to who writes what it leads to or lies in
    check(api.put(&format!("{ROUTES}/x"), &json!({"spec": to_port(8081)})).await, told());
    check(api.put(&format!("{NODES}/a"), &json!({"spec": listening(8082)})).await, told());
    let two_ports = json!({"listeners": [
        {"portMapping": {"port": 80, "protocol": "http"}}, {"portMapping": {"port": 81, "protocol": "http"}},
    ]});
    check(api.put("/meshes/m/virtualRouters/r", &json!({"spec": two_ports})).await, told());
    // what only shows is not a write
    check(api.get(&format!("{ROUTES}/x")).await, expect![""]);
    check(api.put(&format!("{NODES}/a"), &json!({"spec": listening(8081)})).await, expect![""]);
}

#[tokio::test]
async fn each_kind_is_told_what_it_takes_part_in() {
    let api = Api::with_mesh().await;
    let backends = json!({"backends": [{"virtualService": {"virtualServiceName": "s"}}]});
    check(
        api.put(&format!("{NODES}/b"), &json!({"spec": backends})).await,
        expect![[
            r#"backend-missing | virtual node "b" in mesh "m" | spec.backends[0].virtualService.virtualServiceName"#
        ]],
    );
    let created = api.put(SERVICES, &json!({"virtualServiceName": "s", "spec": {}})).await;
    check(
        created,
        expect![[r#"service-without-provider | virtual service "s" in mesh "m" | spec.provider"#]],
    );
    let told = || expect![[r#"service-without-provider | virtual service "s" in mesh "m" | spec.provider"#]];
    check(api.put(&format!("{NODES}/b"), &json!({"spec": backends})).await, told());
    let way = json!({"gatewayRouteName": "x", "spec": super::gateway_route_spec("s")});
    check(api.put(GATEWAY_ROUTES, &way).await, told());
    check(
        api.put(&format!("{SERVICES}/s"), &json!({"spec": node_provider("a")})).await,
        expect![[
            r#"provider-without-listeners | virtual service "s" in mesh "m" | spec.provider.virtualNode.virtualNodeName"#
        ]],
    );
    check(
        api.put(&format!("{SERVICES}/s"), &json!({"spec": router_provider("r")})).await,
        expect![[
            r#"provider-without-routes | virtual service "s" in mesh "m" | spec.provider.virtualRouter.virtualRouterName"#
        ]],
    );
    check(
        api.put(ROUTES, &json!({"routeName": "x", "spec": route_spec(&["a"])})).await,
        expect![[
            r#"target-without-listeners | route "x" of virtual router "r" in mesh "m" | spec.httpRoute.action.weightedTargets[0].virtualNode"#
        ]],
    );
    check(api.put(&format!("{NODES}/a"), &json!({"spec": listening(80)})).await, expect![""]);
    let undiscovered = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    check(
        api.put(&format!("{NODES}/a"), &json!({"spec": undiscovered})).await,
        expect![[r#"no-service-discovery | virtual node "a" in mesh "m" | spec.serviceDiscovery"#]],
    );
    check(api.put(&format!("{NODES}/a"), &json!({"spec": listening(80)})).await, expect![""]);
    // an earlier one is told to whoever makes another unreachable, and the other way round
    check(
        api.put(ROUTES, &json!({"routeName": "y", "spec": route_spec(&["a"])})).await,
        expect![[
            r#"unreachable-route | route "y" of virtual router "r" in mesh "m" | spec.httpRoute.match"#
        ]],
    );
    check(
        api.put(&format!("{ROUTES}/x"), &json!({"spec": to_port(80)})).await,
        expect![[
            r#"unreachable-route | route "y" of virtual router "r" in mesh "m" | spec.httpRoute.match"#
        ]],
    );
    check(api.delete(&format!("{ROUTES}/x")).await, expect![""]);
    check(
        api.delete(&format!("{ROUTES}/y")).await,
        expect![[
            r#"provider-without-routes | virtual service "s" in mesh "m" | spec.provider.virtualRouter.virtualRouterName"#
        ]],
    );
    check(
        api.delete(&format!("{GATEWAY_ROUTES}/x")).await,
        expect![[r#"gateway-listener-without-routes | virtual gateway "g" in mesh "m" | spec.listeners[0]"#]],
    );
    check(api.put("/meshes/m", &json!({"spec": {}})).await, expect![""]);
}

#[tokio::test]
async fn warnings_are_few_short_and_in_ascii() {
    let api = Api::with_body_bytes_max(64 * 1024);
    api.put("/meshes", &json!({"meshName": "m"})).await.ok();
    let backend = |index: usize| {
        let name = if index == 0 {
            "\u{fc}\u{1f600}.local".to_owned()
        } else {
            format!("{index}{}", "x".repeat(2000))
        };
        json!({"virtualService": {"virtualServiceName": name}})
    };
    let backends: Vec<Value> = (0..20).map(backend).collect();
    let node = json!({"virtualNodeName": "a\u{fc}", "spec": {"backends": backends}});
    let answer = api.put(NODES, &node).await;
    let warnings = answer.warnings.clone();
    answer.ok();
    assert_eq!(warnings.len(), 6);
    assert!(warnings[0].starts_with(
        r#"backend-missing: virtual node "a\u{fc}" in mesh "m": spec.backends[0].virtualService.virtualServiceName: virtual service "\u{fc}\u{1f600}.local""#
    ), "{}", warnings[0]);
    assert_eq!(warnings[5], "15 more; legation status and legation lint tell all");
    for warning in &warnings {
        assert!(warning.len() < 720, "{}", warning.len());
        assert!(warning.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{warning}");
    }
    let refused = api.put(NODES, &node).await;
    assert_eq!(refused.warnings, Vec::<String>::new());
    refused.refused(409, "ConflictException");
}

#[tokio::test]
async fn where_too_much_would_have_to_be_looked_at_nothing_is_told() {
    let api = Api::with_body_bytes_max(64 * 1024);
    api.put("/meshes", &json!({"meshName": "m"})).await.ok();
    let node = |count: usize| {
        let backend = |index| json!({"virtualService": {"virtualServiceName": format!("s{index}")}});
        json!({"spec": {"backends": (0..count).map(backend).collect::<Vec<_>>()}})
    };
    let mut first = node(99);
    first["virtualNodeName"] = json!("n");
    assert_eq!(api.put(NODES, &first).await.warnings.len(), 6);
    assert_eq!(api.put(&format!("{NODES}/n"), &node(100)).await.warnings.len(), 0);
}

/// The code and the resource of what `lint` tells of these changes.
async fn linted(api: &Api, changes: &Value) -> Vec<(String, String)> {
    let before = (api.transaction().await, api.records().await);
    let answer = api.post("lint", changes).await.ok();
    assert_eq!((api.transaction().await, api.records().await), before, "it changed something");
    let findings = answer["findings"].as_array().unwrap();
    assert_eq!(answer["count"], findings.len());
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    findings.iter().map(|finding| (text(finding, "code"), text(finding, "resource"))).collect()
}

#[tokio::test]
async fn changes_are_looked_at_on_top_of_what_is_there() {
    let api = Api::with_mesh().await;
    api.put(&format!("{NODES}/a"), &json!({"spec": listening(8080)})).await.ok();
    let route = |port: u16| json!({"meshName": "m", "virtualRouterName": "r", "routeName": "x", "spec": to_port(port)});
    let found = |code: &str, resource: &str| (code.to_owned(), resource.to_owned());
    assert_eq!(linted(&api, &json!({"apply": [route(8080)]})).await, []);
    let wrong = found("target-port-not-listened", "mesh/m/virtualRouter/r/route/x");
    assert_eq!(linted(&api, &json!({"apply": [route(8081)]})).await, [wrong]);
    let node = json!({"meshName": "m", "virtualNodeName": "a", "spec": listening(8081)});
    assert_eq!(linted(&api, &json!({"apply": [route(8081), node]})).await, []);
    // what a deletion leaves behind, and what a document lacks
    let service = json!({"meshName": "m", "virtualServiceName": "s", "spec": router_provider("r")});
    api.put(ROUTES, &json!({"routeName": "x", "spec": to_port(8080)})).await.ok();
    assert_eq!(linted(&api, &json!({"apply": [service]})).await, []);
    api.put(SERVICES, &json!({"virtualServiceName": "s", "spec": router_provider("r")})).await.ok();
    let delete = json!({"delete": ["mesh/m/virtualRouter/r/route/x"]});
    assert_eq!(linted(&api, &delete).await, [found("provider-without-routes", "mesh/m/virtualService/s")]);
    let elsewhere = json!({"meshName": "n", "virtualServiceName": "s", "spec": node_provider("gone")});
    let missing = found("reference-missing", "mesh/n/virtualService/s");
    // the provider and the mesh
    assert_eq!(linted(&api, &json!({"apply": [elsewhere]})).await, [missing.clone(), missing]);
    let refused = api.post("lint", &json!({"apply": [{"meshName": "m", "spec": {"x": 1}}]})).await;
    assert!(refused.refused(400, "BadRequestException").contains("spec.x"));
}

/// The definitions of which each refers to what exists only, as the API has it.
fn consistent(definitions: Definitions) -> Vec<Definition> {
    let mut definitions = definitions.into_definitions();
    // of several of a name the last one counts
    let latest: BTreeMap<ResourceId, Definition> =
        definitions.drain(..).map(|definition| (definition.id.clone(), definition)).collect();
    let mut definitions: Vec<Definition> = latest.into_values().collect();
    loop {
        let ids: BTreeSet<ResourceId> = definitions.iter().map(|definition| definition.id.clone()).collect();
        let before = definitions.len();
        definitions.retain(|Definition { id, spec, .. }| {
            let is_there = id.container().is_none_or(|container| ids.contains(&container));
            is_there
                && references(id.mesh_name(), spec).iter().all(|reference| ids.contains(&reference.target))
        });
        if definitions.len() == before {
            return definitions;
        }
    }
}

fn describe(finding: &Finding) -> String {
    format!("{} {} {}", finding.code, finding.id, finding.path)
}

/// What a few reads cannot tell: who has a virtual service as a backend, and which other services a gateway leads to.
fn may_be_missed(kind: Kind, code: Code) -> bool {
    match code {
        Code::BackendsShareHost => true,
        Code::TcpBackendsSharePort => kind != Kind::VirtualNode,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_header_tells_what_is_found_in_the_whole_mesh(all in definitions()) {
        let definitions = consistent(all);
        let mut batch = Batch::definitions("tester", "Test");
        let mut whole = Definitions::default();
        for (index, definition) in definitions.iter().enumerate() {
            let id = &definition.id;
            batch = batch.put(id.key(), definition.encode());
            for target in targets(id.mesh_name(), &definition.spec) {
                batch = batch.put(referrer_key(&target, &index.to_string()), id.key());
            }
            whole = whole.add(id.clone(), definition.spec.to_json());
        }
        let whole = lint(&whole.collect());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = TempDir::new().unwrap();
            let store = EmbeddedStore::open(dir.path()).unwrap();
            store.commit(batch).await.unwrap();
            for definition in &definitions {
                let mut scope = Scope::default();
                scope.add_written(&definition.id, &definition.spec);
                let kind = definition.id.kind();
                let concerning = whole.iter().filter(|finding| scope.concerns(finding));
                let (may, must): (Vec<&Finding>, Vec<&Finding>) =
                    concerning.partition(|finding| may_be_missed(kind, finding.code));
                let told: BTreeSet<String> =
                    findings(&store, &definition.id, Some(&definition.spec)).await.unwrap().iter().map(describe).collect();
                let must: BTreeSet<String> = must.into_iter().map(describe).collect();
                let may: BTreeSet<String> = may.into_iter().map(describe).collect();
                assert!(must.is_subset(&told), "{}: {:?} is missed", definition.id, &must - &told);
                assert!((&told - &must).is_subset(&may), "{}: {:?} is too much", definition.id, &told - &must);
            }
        });
    }
}
