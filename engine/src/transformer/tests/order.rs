//! The order in which routes are tried.

use serde_json::{Value, json};

use super::fixture::Definitions;
use super::render;

/// The names of the routes at port 80 in their order; they are given in another.
fn order(kind: &str, routes: &[(&str, Value, Option<u16>)]) -> Vec<String> {
    let protocol = kind.trim_end_matches("Route");
    let action = json!({"weightedTargets": [{"virtualNode": "node", "weight": 1}]});
    let mut definitions = Definitions::new()
        .listening_node("node", &[(80, protocol)])
        .virtual_router("router", &[(80, protocol)])
        .provided_by_router("service", "router");
    for (name, condition, priority) in routes {
        let mut spec = json!({kind: {"match": condition, "action": action}});
        if let Some(priority) = priority {
            spec["priority"] = json!(priority);
        }
        definitions = definitions.route("router", name, spec);
    }
    let rendered = render::port(&definitions.service("service"), 80);
    let lines = rendered.lines().skip(1);
    lines.map(|line| line.trim().trim_start_matches("{name ").split(',').next().unwrap().to_owned()).collect()
}

fn check(kind: &str, in_order: &[(&str, Value, Option<u16>)]) {
    let expected: Vec<_> = in_order.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(order(kind, in_order), expected);
    let reversed: Vec<_> = in_order.iter().rev().cloned().collect();
    assert_eq!(order(kind, &reversed), expected);
}

#[test]
fn lower_priorities_come_first_and_routes_without_one_last() {
    check(
        "httpRoute",
        &[
            ("d", json!({"prefix": "/"}), Some(0)),
            ("c", json!({"path": {"exact": "/a"}}), Some(1)),
            ("b", json!({"prefix": "/"}), Some(1000)),
            ("a", json!({"path": {"exact": "/a"}}), None),
        ],
    );
}

#[test]
fn the_most_specific_path_comes_first() {
    check(
        "httpRoute",
        &[
            ("e", json!({"path": {"exact": "/a"}}), None),
            ("d", json!({"path": {"regex": "/a/.*"}}), None),
            ("c", json!({"prefix": "/a/b"}), None),
            ("b", json!({"prefix": "/a"}), None),
            ("a", json!({"prefix": "/"}), None),
        ],
    );
}

#[test]
fn of_equal_paths_the_one_with_more_conditions_comes_first_and_then_the_name_decides() {
    let header = |name: &str| json!({"name": name});
    check(
        "httpRoute",
        &[
            ("f", json!({"prefix": "/", "method": "GET", "scheme": "http", "headers": [header("a")]}), None),
            ("e", json!({"prefix": "/", "headers": [header("a"), header("b")]}), None),
            ("b", json!({"prefix": "/", "queryParameters": [{"name": "a"}]}), None),
            ("c", json!({"prefix": "/", "scheme": "http"}), None),
            ("d", json!({"prefix": "/", "method": "GET"}), None),
            ("a", json!({"prefix": "/"}), None),
        ],
    );
}

#[test]
fn grpc_methods_come_before_services_before_the_rest() {
    check(
        "grpcRoute",
        &[
            ("d", json!({"serviceName": "a.B", "methodName": "C"}), None),
            ("c", json!({"serviceName": "a.B", "metadata": [{"name": "x"}]}), None),
            ("b", json!({"serviceName": "a.B"}), None),
            ("a", json!({}), None),
        ],
    );
}
