//! The conditions of routes.

use envoy_types::pb::envoy::config::route::v3::VirtualHost;
use expect_test::{Expect, expect};
use legation_proto::fragment::Routing;
use prost::Message;
use serde_json::{Value, json};

use super::fixture::Definitions;
use super::render;

fn check(kind: &str, condition: &Value, expected: Expect) {
    let protocol = kind.trim_end_matches("Route");
    let action = json!({"weightedTargets": [{"virtualNode": "node", "weight": 1}]});
    let fragment = Definitions::new()
        .listening_node("node", &[(80, protocol)])
        .virtual_router("router", &[(80, protocol)])
        .route("router", "route", json!({kind: {"match": condition, "action": action}}))
        .provided_by_router("service", "router")
        .service("service");
    let Routing::VirtualHost(part) = &fragment.ports[0].routing else {
        panic!("no virtual host");
    };
    let virtual_host = VirtualHost::decode(part.content()).unwrap();
    expected.assert_eq(&render::message(virtual_host.routes[0].r#match.as_ref().unwrap()));
}

#[test]
fn paths() {
    check("httpRoute", &json!({"prefix": "/"}), expect!["Prefix /"]);
    check("http2Route", &json!({"prefix": "/cart"}), expect!["Prefix /cart"]);
    check("httpRoute", &json!({"path": {"exact": "/cart"}}), expect!["Path /cart"]);
    check(
        "httpRoute",
        &json!({"path": {"regex": "/items/[0-9]+"}}),
        expect!["SafeRegex regex /items/[0-9]+"],
    );
}

#[test]
fn methods_and_schemes() {
    check(
        "httpRoute",
        &json!({"prefix": "/", "method": "POST"}),
        expect!["{headers {name :method, StringMatch Exact POST}, Prefix /}"],
    );
    check(
        "httpRoute",
        &json!({"prefix": "/", "scheme": "https"}),
        expect!["{headers {name :scheme, StringMatch Exact https}, Prefix /}"],
    );
}

fn check_header(header: &Value, expected: Expect) {
    check("httpRoute", &json!({"prefix": "/", "headers": [header]}), expected);
}

#[test]
fn headers() {
    check_header(
        &json!({"name": "x", "match": {"exact": "1"}}),
        expect!["{headers {name x, StringMatch Exact 1}, Prefix /}"],
    );
    check_header(
        &json!({"name": "x", "match": {"prefix": "1"}}),
        expect!["{headers {name x, StringMatch Prefix 1}, Prefix /}"],
    );
    check_header(
        &json!({"name": "x", "match": {"suffix": "1"}}),
        expect!["{headers {name x, StringMatch Suffix 1}, Prefix /}"],
    );
    check_header(
        &json!({"name": "x", "match": {"regex": "1+"}}),
        expect!["{headers {name x, StringMatch SafeRegex regex 1+}, Prefix /}"],
    );
    check_header(
        &json!({"name": "x", "match": {"range": {"start": -1, "end": 10}}}),
        expect!["{headers {name x, RangeMatch {start -1, end 10}}, Prefix /}"],
    );
    check_header(&json!({"name": "x"}), expect!["{headers {name x, PresentMatch true}, Prefix /}"]);
    check_header(
        &json!({"name": "x", "invert": false}),
        expect!["{headers {name x, PresentMatch true}, Prefix /}"],
    );
}

#[test]
fn inverted_headers_hold_for_requests_without_the_header_too() {
    check_header(
        &json!({"name": "x", "invert": true, "match": {"exact": "1"}}),
        expect![
            "{headers {name x, invert_match true, treat_missing_header_as_empty true, StringMatch Exact 1}, Prefix /}"
        ],
    );
    check_header(
        &json!({"name": "x", "invert": true, "match": {"range": {"start": 1, "end": 2}}}),
        expect![
            "{headers {name x, invert_match true, treat_missing_header_as_empty true, RangeMatch {start 1, end 2}}, Prefix /}"
        ],
    );
    check_header(
        &json!({"name": "x", "invert": true}),
        expect!["{headers {name x, invert_match true, PresentMatch true}, Prefix /}"],
    );
}

#[test]
fn query_parameters() {
    let parameters =
        json!([{"name": "page", "match": {"exact": "1"}}, {"name": "debug"}, {"name": "x", "match": {}}]);
    check(
        "httpRoute",
        &json!({"prefix": "/", "queryParameters": parameters}),
        expect![
            "{query_parameters{{name page, StringMatch Exact 1}, {name debug, PresentMatch true}, {name x, PresentMatch true}}, Prefix /}"
        ],
    );
}

#[test]
fn all_conditions_at_once() {
    let condition = json!({
        "prefix": "/cart", "method": "GET", "scheme": "http", "port": 80,
        "headers": [{"name": "a"}, {"name": "b"}], "queryParameters": [{"name": "c"}],
    });
    check(
        "httpRoute",
        &condition,
        expect![
            "{headers{{name a, PresentMatch true}, {name b, PresentMatch true}, {name :method, StringMatch Exact GET}, {name :scheme, StringMatch Exact http}}, query_parameters {name c, PresentMatch true}, Prefix /cart}"
        ],
    );
}

#[test]
fn grpc() {
    check("grpcRoute", &json!({}), expect!["{grpc GrpcRouteMatchOptions, Prefix /}"]);
    check("grpcRoute", &json!({"serviceName": ""}), expect!["{grpc GrpcRouteMatchOptions, Prefix /}"]);
    check(
        "grpcRoute",
        &json!({"serviceName": "shop.Cart"}),
        expect!["{grpc GrpcRouteMatchOptions, Prefix /shop.Cart/}"],
    );
    check(
        "grpcRoute",
        &json!({"serviceName": "shop.Cart", "methodName": "Add"}),
        expect!["{grpc GrpcRouteMatchOptions, Path /shop.Cart/Add}"],
    );
    let metadata = json!([{"name": "tenant", "match": {"exact": "a"}}, {"name": "x", "invert": true}]);
    check(
        "grpcRoute",
        &json!({"metadata": metadata}),
        expect![
            "{headers{{name tenant, StringMatch Exact a}, {name x, invert_match true, PresentMatch true}}, grpc GrpcRouteMatchOptions, Prefix /}"
        ],
    );
}
