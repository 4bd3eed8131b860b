//! The rules on routes and gateway routes.

use expect_test::expect;
use serde_json::{Value, json};

use super::{check, reported};
use crate::model::Kind;

fn action() -> Value {
    json!({"weightedTargets": [{"virtualNode": "n", "weight": 1}]})
}

fn http(condition: &Value) -> Value {
    json!({"httpRoute": {"action": action(), "match": condition}})
}

fn grpc(condition: &Value) -> Value {
    json!({"grpcRoute": {"action": action(), "match": condition}})
}

fn gateway_http(condition: &Value, rewrite: &Value) -> Value {
    let target = json!({"virtualService": {"virtualServiceName": "s"}});
    json!({"httpRoute": {"action": {"target": target, "rewrite": rewrite}, "match": condition}})
}

fn gateway_grpc(condition: &Value) -> Value {
    let target = json!({"virtualService": {"virtualServiceName": "s"}});
    json!({"grpcRoute": {"action": {"target": target}, "match": condition}})
}

#[test]
fn a_route_is_one_route() {
    check(
        Kind::Route,
        json!({"priority": 1}),
        expect!["spec: has none of httpRoute, http2Route, grpcRoute, tcpRoute; give exactly one"],
    );
    let tcp = json!({"action": action()});
    check(Kind::Route, json!({"tcpRoute": tcp}), expect!["valid"]);
    let http2 = json!({"action": action(), "match": {"prefix": "/"}});
    check(
        Kind::Route,
        json!({"tcpRoute": tcp, "http2Route": http2}),
        expect![
            "spec: has http2Route, tcpRoute; give exactly one of httpRoute, http2Route, grpcRoute, tcpRoute"
        ],
    );
    check(
        Kind::GatewayRoute,
        json!({}),
        expect!["spec: has none of httpRoute, http2Route, grpcRoute; give exactly one"],
    );
}

#[test]
fn an_http_route_matches_by_prefix_or_path() {
    for (condition, expected) in [
        (json!({"prefix": "/"}), expect!["valid"]),
        (json!({"path": {"exact": "/a"}}), expect!["valid"]),
        (json!({"path": {"regex": "/a/.*"}}), expect!["valid"]),
        (json!({}), expect!["spec.httpRoute.match: has none of prefix, path; give exactly one"]),
        (
            json!({"prefix": "/", "path": {"exact": "/a"}}),
            expect!["spec.httpRoute.match: has prefix, path; give exactly one of prefix, path"],
        ),
        (json!({"prefix": "a"}), expect![[r#"spec.httpRoute.match.prefix: "a" does not start with /"#]]),
        (json!({"prefix": ""}), expect![[r#"spec.httpRoute.match.prefix: "" does not start with /"#]]),
        (
            json!({"path": {}}),
            expect!["spec.httpRoute.match.path: has none of exact, regex; give exactly one"],
        ),
        (
            json!({"path": {"exact": "a", "regex": "("}}),
            expect![[r#"
            spec.httpRoute.match.path: has exact, regex; give exactly one of exact, regex
            spec.httpRoute.match.path.exact: "a" does not start with /
            spec.httpRoute.match.path.regex: "(" is not a regular expression: unclosed group"#]],
        ),
    ] {
        check(Kind::Route, http(&condition), expected);
    }
}

#[test]
fn conditions_make_sense() {
    for (header, expected) in [
        (json!({"name": "a"}), None),
        (json!({"name": "a", "match": {"range": {"start": -1, "end": 1}}}), None),
        (
            json!({"name": "a", "match": {"range": {"start": 1, "end": 1}}}),
            Some("match.range: starts at 1, which is not below its end, 1"),
        ),
        (json!({"name": "a", "match": {"regex": "^[a-z]+$"}}), None),
        (
            json!({"name": "a", "match": {"regex": "[a-"}}),
            Some(r#"match.regex: "[a-" is not a regular expression: unclosed character class"#),
        ),
        (
            json!({"name": "a", "match": {"regex": "(a"}}),
            Some(r#"match.regex: "(a" is not a regular expression: unclosed group"#),
        ),
        (json!({"name": "a\r\nb"}), Some(r#"name: "a\r\nb" has a control character"#)),
    ] {
        let expected = expected
            .map_or("valid".to_owned(), |problem| format!("spec.httpRoute.match.headers[0].{problem}"));
        let condition = json!({"prefix": "/", "headers": [header]});
        assert_eq!(reported(Kind::Route, &http(&condition)), expected);
        assert_eq!(reported(Kind::GatewayRoute, &gateway_http(&condition, &json!(null))), expected);
    }
    let range = json!({"metadata": [{"name": "a", "match": {"range": {"start": 2, "end": 1}}}]});
    check(
        Kind::Route,
        grpc(&range),
        expect!["spec.grpcRoute.match.metadata[0].match.range: starts at 2, which is not below its end, 1"],
    );
    check(
        Kind::GatewayRoute,
        gateway_grpc(&range),
        expect!["spec.grpcRoute.match.metadata[0].match.range: starts at 2, which is not below its end, 1"],
    );
    check(
        Kind::Route,
        http(&json!({"prefix": "/", "queryParameters": [{"name": ""}]})),
        expect!["spec.httpRoute.match.queryParameters[0].name: is empty"],
    );
}

#[test]
fn a_grpc_method_has_a_service() {
    check(Kind::Route, grpc(&json!({})), expect!["valid"]);
    check(Kind::Route, grpc(&json!({"serviceName": "s", "methodName": "m"})), expect!["valid"]);
    check(
        Kind::Route,
        grpc(&json!({"methodName": "m"})),
        expect!["spec.grpcRoute.match.serviceName: is required with methodName"],
    );
}

#[test]
fn targets_are_distinct_and_may_weigh_nothing() {
    let target = |port: Option<u16>, weight| json!({"virtualNode": "n", "port": port, "weight": weight});
    for (targets, expected) in [
        (json!([target(Some(80), 0), target(Some(81), 1), target(None, 1)]), expect!["valid"]),
        (
            json!([target(None, 1), target(None, 2)]),
            expect![
                "spec.tcpRoute.action.weightedTargets[1]: repeats spec.tcpRoute.action.weightedTargets[0]"
            ],
        ),
        (
            json!([target(Some(80), 0), target(Some(80), 0)]),
            expect![
                "spec.tcpRoute.action.weightedTargets[1]: repeats spec.tcpRoute.action.weightedTargets[0]"
            ],
        ),
    ] {
        check(Kind::Route, json!({"tcpRoute": {"action": {"weightedTargets": targets}}}), expected);
    }
}

#[test]
fn a_retry_policy_names_events() {
    for (events, expected) in [
        (
            json!({"httpRetryEvents": ["server-error", "gateway-error", "client-error", "stream-error"]}),
            expect!["valid"],
        ),
        (json!({"tcpRetryEvents": ["connection-error"]}), expect!["valid"]),
        (
            json!({}),
            expect!["spec.httpRoute.retryPolicy: has no event; give httpRetryEvents or tcpRetryEvents"],
        ),
        (
            json!({"httpRetryEvents": ["server-error", "5xx"]}),
            expect![[
                r#"spec.httpRoute.retryPolicy.httpRetryEvents[1]: "5xx" is not one of server-error, gateway-error, client-error, stream-error"#
            ]],
        ),
        (
            json!({"httpRetryEvents": [], "tcpRetryEvents": ["reset"]}),
            expect![[r#"
                spec.httpRoute.retryPolicy.httpRetryEvents: has 0 items; 1 to 25 are allowed
                spec.httpRoute.retryPolicy.tcpRetryEvents[0]: "reset" is not one of connection-error"#]],
        ),
    ] {
        let mut policy = events;
        policy["maxRetries"] = json!(2);
        policy["perRetryTimeout"] = json!({"unit": "s", "value": 1});
        let mut spec = http(&json!({"prefix": "/"}));
        spec["httpRoute"]["retryPolicy"] = policy;
        check(Kind::Route, spec, expected);
    }
    let mut spec = grpc(&json!({}));
    spec["grpcRoute"]["retryPolicy"] = json!({"maxRetries": 2, "perRetryTimeout": {}});
    check(
        Kind::Route,
        spec,
        expect![
            "spec.grpcRoute.retryPolicy: has no event; give grpcRetryEvents, httpRetryEvents or tcpRetryEvents"
        ],
    );
}

#[test]
fn gateway_routes_match_by_prefix_or_path_or_neither() {
    for (condition, expected) in [
        (json!({}), expect!["valid"]),
        (
            json!({"prefix": "/a", "path": {"exact": "/a"}}),
            expect!["spec.httpRoute.match: has prefix, path; give at most one of prefix, path"],
        ),
        (json!({"prefix": "a"}), expect![[r#"spec.httpRoute.match.prefix: "a" does not start with /"#]]),
        (
            json!({"path": {"exact": "a"}}),
            expect![[r#"spec.httpRoute.match.path.exact: "a" does not start with /"#]],
        ),
    ] {
        check(Kind::GatewayRoute, gateway_http(&condition, &json!(null)), expected);
    }
}

#[test]
fn some_paths_and_services_are_reserved() {
    for (condition, expected) in [
        (json!({"prefix": "/aws"}), expect!["valid"]),
        (
            json!({"prefix": "/aws-appmesh"}),
            expect![[
                r#"spec.httpRoute.match.prefix: "/aws-appmesh" is reserved, like all that starts with /aws-appmesh"#
            ]],
        ),
        (
            json!({"prefix": "/aws-app-mesh/x"}),
            expect![[
                r#"spec.httpRoute.match.prefix: "/aws-app-mesh/x" is reserved, like all that starts with /aws-app-mesh"#
            ]],
        ),
        (
            json!({"path": {"exact": "/aws-appmesh-x"}}),
            expect![[
                r#"spec.httpRoute.match.path.exact: "/aws-appmesh-x" is reserved, like all that starts with /aws-appmesh"#
            ]],
        ),
    ] {
        check(Kind::GatewayRoute, gateway_http(&condition, &json!(null)), expected);
    }
    for (service, expected) in [
        ("aws.other", expect!["valid"]),
        ("aws.appmesh", expect![[r#"spec.grpcRoute.match.serviceName: "aws.appmesh" is reserved"#]]),
        ("aws.app-mesh.v1", expect![[r#"spec.grpcRoute.match.serviceName: "aws.app-mesh.v1" is reserved"#]]),
    ] {
        check(Kind::GatewayRoute, gateway_grpc(&json!({"serviceName": service})), expected);
    }
    check(Kind::Route, http(&json!({"prefix": "/aws-appmesh"})), expect!["valid"]);
}

#[test]
fn hosts_match_exactly_or_by_suffix() {
    for (hostname, expected) in [
        (json!({"exact": "a.example.com"}), expect!["valid"]),
        (json!({"suffix": ".example.com"}), expect!["valid"]),
        (json!({}), expect!["spec.grpcRoute.match.hostname: has none of exact, suffix; give exactly one"]),
        (
            json!({"exact": "a", "suffix": "a"}),
            expect!["spec.grpcRoute.match.hostname: has exact, suffix; give exactly one of exact, suffix"],
        ),
        (
            json!({"exact": "*.example.com"}),
            expect![[r#"spec.grpcRoute.match.hostname.exact: "*.example.com" is not a host name"#]],
        ),
        (
            json!({"suffix": "*.example.com"}),
            expect![[
                r#"spec.grpcRoute.match.hostname.suffix: "*.example.com" is not the end of a host name"#
            ]],
        ),
    ] {
        check(Kind::GatewayRoute, gateway_grpc(&json!({"hostname": hostname})), expected);
    }
}

#[test]
fn what_was_matched_is_what_is_rewritten() {
    let (prefix, path) = (json!({"prefix": "/a"}), json!({"path": {"exact": "/a"}}));
    for (condition, rewrite, expected) in [
        (&prefix, json!({"prefix": {"defaultPrefix": "DISABLED"}}), expect!["valid"]),
        (&prefix, json!({"prefix": {"value": "/b/"}}), expect!["valid"]),
        (&prefix, json!({"prefix": {"value": "/"}}), expect!["valid"]),
        (&path, json!({"path": {"exact": "/b"}}), expect!["valid"]),
        (&path, json!({"hostname": {"defaultTargetHostname": "DISABLED"}}), expect!["valid"]),
        (
            &path,
            json!({"prefix": {"value": "/b/"}}),
            expect!["spec.httpRoute.action.rewrite.prefix: needs a match by prefix"],
        ),
        (
            &prefix,
            json!({"path": {"exact": "/b"}}),
            expect!["spec.httpRoute.action.rewrite.path: needs a match by path"],
        ),
        (
            &prefix,
            json!({"prefix": {}}),
            expect![
                "spec.httpRoute.action.rewrite.prefix: has none of defaultPrefix, value; give exactly one"
            ],
        ),
        (
            &prefix,
            json!({"prefix": {"defaultPrefix": "ENABLED", "value": "b"}}),
            expect![[r#"
                spec.httpRoute.action.rewrite.prefix: has defaultPrefix, value; give exactly one of defaultPrefix, value
                spec.httpRoute.action.rewrite.prefix.value: "b" does not start with /
                spec.httpRoute.action.rewrite.prefix.value: "b" does not end with /"#]],
        ),
        (&path, json!({"path": {}}), expect!["spec.httpRoute.action.rewrite.path.exact: is required"]),
        (
            &path,
            json!({"path": {"exact": "b"}}),
            expect![[r#"spec.httpRoute.action.rewrite.path.exact: "b" does not start with /"#]],
        ),
    ] {
        check(Kind::GatewayRoute, gateway_http(condition, &rewrite), expected);
    }
}

/// What is reported of these conditions, of a route and of a gateway route alike.
fn check_condition(condition: &Value, expected: &str) {
    let expected = if expected == "valid" {
        expected.to_owned()
    } else {
        expected.lines().map(|line| format!("spec.httpRoute.match.{line}")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(reported(Kind::Route, &http(condition)), expected, "{condition}");
    assert_eq!(reported(Kind::GatewayRoute, &gateway_http(condition, &json!(null))), expected, "{condition}");
}

#[test]
fn paths_that_no_request_has() {
    for (path, problem) in [
        ("/a?b=1", Some("a path is compared up to its ?")),
        ("/a#b", Some("a path is compared up to its #")),
        ("/a//b", Some("adjacent slashes of a request are merged before")),
        ("//", Some("adjacent slashes of a request are merged before")),
        ("/a/./b", Some(". is resolved in a request before")),
        ("/a/../b", Some(".. is resolved in a request before")),
        ("/a/.b/c", None),
        ("/a.", None),
        ("/a/...", None),
        ("/", None),
    ] {
        let at = |member: &str| {
            problem
                .map_or("valid".to_owned(), |problem| format!("{member}: {path:?} never matches: {problem}"))
        };
        check_condition(&json!({"prefix": path}), &at("prefix"));
        check_condition(&json!({"path": {"exact": path}}), &at("path.exact"));
    }
    // the last part of a prefix may go on
    check_condition(&json!({"prefix": "/a/.."}), "valid");
    check_condition(
        &json!({"path": {"exact": "/a/.."}}),
        r#"path.exact: "/a/.." never matches: .. is resolved in a request before"#,
    );
}

#[test]
fn conditions_that_exclude_each_other() {
    let exact = |value: &str| json!({"name": "x", "match": {"exact": value}});
    let prefix = |value: &str| json!({"name": "X", "match": {"prefix": value}});
    let suffix = |value: &str| json!({"name": "x", "match": {"suffix": value}});
    let range = |start: i64, end: i64| json!({"name": "x", "match": {"range": {"start": start, "end": end}}});
    let not = |mut header: Value| {
        header["invert"] = json!(true);
        header
    };
    let present = json!({"name": "x"});
    let other = json!({"name": "y", "match": {"exact": "b"}});
    for (one, another, is_valid) in [
        (exact("a"), exact("b"), false),
        (exact("a"), exact("a"), true),
        (exact("a"), other, true),
        (exact("a"), prefix("b"), false),
        (exact("ab"), prefix("a"), true),
        (exact("a"), suffix("b"), false),
        (exact("ab"), suffix("b"), true),
        (prefix("a"), prefix("b"), true),
        (prefix("a"), suffix("b"), true),
        (range(0, 5), range(5, 6), false),
        (range(0, 5), range(4, 6), true),
        (exact("a"), not(exact("a")), false),
        (exact("a"), not(exact("b")), true),
        (not(exact("a")), not(exact("b")), true),
        (present.clone(), not(present.clone()), false),
        (exact("a"), not(present.clone()), false),
        (present.clone(), not(exact("a")), true),
    ] {
        let name = another["name"].as_str().unwrap();
        let problem = format!(
            "headers[1]: never holds together with spec.httpRoute.match.headers[0]: both are on the header {name:?}"
        );
        let expected = if is_valid { "valid" } else { &problem };
        check_condition(&json!({"prefix": "/", "headers": [one, another]}), expected);
        // whichever comes first
        let is_reported = reported(Kind::Route, &http(&json!({"prefix": "/", "headers": [another, one]})));
        assert_eq!(is_reported == "valid", is_valid, "{another} {one}");
    }
    let query = |one: Value, another: Value| json!({"prefix": "/", "queryParameters": [one, another]});
    let is = |name: &str, value: &str| json!({"name": name, "match": {"exact": value}});
    check_condition(&query(is("q", "1"), is("q", "1")), "valid");
    check_condition(&query(is("q", "1"), is("Q", "2")), "valid");
    check_condition(&query(is("q", "1"), json!({"name": "q"})), "valid");
    check_condition(
        &query(is("q", "1"), is("q", "2")),
        r#"queryParameters[1]: never holds together with spec.httpRoute.match.queryParameters[0]: both are on the parameter "q""#,
    );
}
