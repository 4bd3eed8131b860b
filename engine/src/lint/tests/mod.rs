//! Tests of the rules: tables of what is found and what is not, and that what is found is what then happens.

mod covers;
mod reach;
mod rules;
mod tls;
mod truth;

use expect_test::Expect;
use serde_json::{Value, json};

use super::{Code, Finding, lint};
use crate::transformer::tests::fixture::Definitions;

/// What is found: the code, the resource and the place, a line each.
fn found(definitions: &Definitions) -> String {
    let lines: Vec<String> = lint(&definitions.collect()).iter().map(brief).collect();
    lines.join("\n")
}

fn brief(finding: &Finding) -> String {
    format!("{} {} {}", finding.code, finding.id.path().trim_start_matches("mesh/m/"), finding.path)
}

fn check(definitions: Definitions, expected: Expect) {
    expected.assert_eq(&found(&definitions));
}

/// A mesh in which everything is well: a node `client` and a gateway call `service`, which a router provides by one route to
/// the node `server`.
fn well() -> Definitions {
    Definitions::new()
        .listening_node("server", &[(8080, "http")])
        .virtual_router("router", &[(80, "http")])
        .route("router", "route", to(&[json!({"virtualNode": "server", "weight": 1})]))
        .provided_by_router("service", "router")
        .virtual_node("client", backends(&["service"]))
        .virtual_gateway("gateway", json!({"listeners": [listener(80, "http")]}))
        .gateway_route("gateway", "way", way(&json!({"prefix": "/"}), &to_service("service")))
}

fn listener(port: u16, protocol: &str) -> Value {
    json!({"portMapping": {"port": port, "protocol": protocol}})
}

fn backends(names: &[&str]) -> Value {
    let backend = |name: &&str| json!({"virtualService": {"virtualServiceName": name}});
    json!({"backends": names.iter().map(backend).collect::<Vec<_>>()})
}

/// A route for everything to these targets.
fn to(targets: &[Value]) -> Value {
    of("httpRoute", &json!({"prefix": "/"}), targets)
}

fn of(kind: &str, condition: &Value, targets: &[Value]) -> Value {
    json!({kind: {"match": condition, "action": {"weightedTargets": targets}}})
}

fn to_server() -> Vec<Value> {
    vec![json!({"virtualNode": "server", "weight": 1})]
}

fn to_service(name: &str) -> Value {
    json!({"virtualService": {"virtualServiceName": name}})
}

/// A gateway route.
fn way(condition: &Value, target: &Value) -> Value {
    json!({"httpRoute": {"match": condition, "action": {"target": target}}})
}

#[test]
fn names_of_codes_are_a_closed_set() {
    for code in Code::ALL {
        assert_eq!(Code::from_name(code.as_str()), Some(*code));
        assert!(code.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{code}");
    }
    assert_eq!(Code::from_name("BackendMissing"), None);
}
