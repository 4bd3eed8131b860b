//! When one condition holds wherever another does.

use serde_json::{Value, json};

use super::{of, to_server};
use crate::lint::covers::covers;
use crate::model::{Kind, Spec};
use crate::transformer::definitions::MeshDefinitions;
use crate::transformer::order::request_routes;
use crate::transformer::tests::fixture::Definitions;
use envoy_types::pb::envoy::config::route::v3::RouteMatch;

fn condition(condition: &Value) -> RouteMatch {
    let definitions: MeshDefinitions = Definitions::new()
        .virtual_router("router", &[(80, "http")])
        .route("router", "route", of("httpRoute", condition, &to_server()))
        .collect();
    let router = definitions.virtual_router("router").unwrap();
    request_routes(&router, crate::model::Protocol::Http, 80).remove(0).1.remove(0)
}

fn check(general: &Value, special: &Value, expected: bool) {
    assert_eq!(covers(&condition(general), &condition(special)), expected, "{general} {special}");
    assert!(covers(&condition(general), &condition(general)), "{general} covers itself");
}

#[test]
fn paths() {
    let prefix = |prefix: &str| json!({"prefix": prefix});
    let exact = |path: &str| json!({"path": {"exact": path}});
    let regex = |regex: &str| json!({"path": {"regex": regex}});
    for (general, special, expected) in [
        (prefix("/"), prefix("/a"), true),
        (prefix("/"), exact("/a"), true),
        (prefix("/"), regex(".*"), true),
        (prefix("/a"), prefix("/ab"), true),
        (prefix("/ab"), prefix("/a"), false),
        (prefix("/a"), prefix("/b"), false),
        (prefix("/a"), exact("/ab"), true),
        (prefix("/a"), exact("/b"), false),
        (exact("/a"), exact("/b"), false),
        (exact("/a"), prefix("/a"), false),
        (prefix("/a"), regex("/a.*"), true),
        (prefix("/a/"), regex("/a/[0-9]+"), true),
        (prefix("/a"), regex("/a+"), true),
        (prefix("/a"), regex("/a*"), false),
        (prefix("/a"), regex("/a?b"), false),
        (prefix("/ab"), regex("/ab{0,1}"), false),
        (prefix("/a"), regex("/a|/b"), false),
        (prefix("/a"), regex("(?i)/a"), false),
        (prefix("/a.c"), regex("/a.c"), false),
        (prefix("/é"), regex("/é*"), false),
        (regex("/a.*"), regex("/a.*"), true),
        (regex("/a.*"), exact("/ab"), false),
        (regex(".*"), prefix("/"), false),
    ] {
        check(&general, &special, expected);
    }
}

#[test]
fn headers() {
    let on = |headers: Value| json!({"prefix": "/", "headers": headers});
    let exact = |value: &str| json!({"name": "x", "match": {"exact": value}});
    let prefix = |value: &str| json!({"name": "x", "match": {"prefix": value}});
    let suffix = |value: &str| json!({"name": "x", "match": {"suffix": value}});
    let range = |start: i64, end: i64| json!({"name": "x", "match": {"range": {"start": start, "end": end}}});
    let regex = |value: &str| json!({"name": "x", "match": {"regex": value}});
    let not = |mut header: Value| {
        header["invert"] = json!(true);
        header
    };
    let present = json!({"name": "x"});
    for (general, special, expected) in [
        (present.clone(), exact("a"), true),
        (present.clone(), range(0, 1), true),
        (present.clone(), regex("a?"), true),
        (present.clone(), json!({"name": "X"}), true),
        (present.clone(), json!({"name": "y"}), false),
        (present.clone(), not(exact("a")), false),
        (exact("a"), present.clone(), false),
        (exact("a"), exact("b"), false),
        (prefix("a"), exact("ab"), true),
        (prefix("b"), exact("ab"), false),
        (prefix("a"), prefix("ab"), true),
        (prefix("ab"), prefix("a"), false),
        (suffix("b"), exact("ab"), true),
        (suffix("b"), suffix("ab"), true),
        (suffix("a"), prefix("a"), false),
        (range(0, 10), exact("7"), true),
        (range(0, 10), exact("10"), false),
        (range(0, 10), exact("07"), false),
        (range(0, 10), range(1, 10), true),
        (range(0, 10), range(1, 11), false),
        (not(exact("a")), exact("b"), true),
        (not(exact("a")), exact("a"), false),
        (not(prefix("a")), exact("b"), true),
        (not(prefix("a")), prefix("b"), true),
        (not(prefix("ab")), prefix("a"), false),
        (not(range(0, 10)), exact("10"), true),
        (not(range(0, 10)), range(10, 20), true),
        (not(range(0, 10)), range(9, 20), false),
        (not(present.clone()), exact("a"), false),
        (not(exact("a")), not(exact("b")), false),
        (not(exact("a")), present.clone(), false),
        (regex("a"), exact("a"), false),
    ] {
        check(&on(json!([general])), &on(json!([special])), expected);
    }
    // each of the general conditions must be implied, by any of the others
    check(&on(json!([present, exact("a")])), &on(json!([exact("a")])), true);
    check(&on(json!([present, {"name": "y"}])), &on(json!([exact("a")])), false);
    check(&json!({"prefix": "/"}), &on(json!([exact("a")])), true);
    check(&on(json!([exact("a")])), &json!({"prefix": "/"}), false);
}

#[test]
fn methods_schemes_and_query_parameters() {
    let on = |members: Value| {
        let mut condition = json!({"prefix": "/"});
        for (name, member) in members.as_object().unwrap() {
            condition[name] = member.clone();
        }
        condition
    };
    let query = |parameters: Value| on(json!({"queryParameters": parameters}));
    for (general, special, expected) in [
        (on(json!({})), on(json!({"method": "GET"})), true),
        (on(json!({"method": "GET"})), on(json!({})), false),
        (on(json!({"method": "GET"})), on(json!({"method": "POST"})), false),
        (on(json!({"scheme": "https"})), on(json!({"scheme": "https", "method": "GET"})), true),
        (query(json!([{"name": "q"}])), query(json!([{"name": "q", "match": {"exact": "1"}}])), true),
        (query(json!([{"name": "q", "match": {"exact": "1"}}])), query(json!([{"name": "q"}])), false),
        (query(json!([{"name": "q"}])), query(json!([{"name": "Q"}])), false),
        (query(json!([{"name": "q"}])), on(json!({})), false),
    ] {
        check(&general, &special, expected);
    }
}

#[test]
fn the_conditions_of_these_tests_are_valid() {
    let spec = of("httpRoute", &json!({"path": {"regex": "/ab{0,1}"}}), &to_server());
    assert!(Spec::parse(Kind::Route, &spec).is_ok());
}
