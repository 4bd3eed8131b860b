//! Retries and timeouts of routes.

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{RouteAction, VirtualHost};
use expect_test::{Expect, expect};
use legation_proto::fragment::Routing;
use prost::Message;
use serde_json::{Value, json};

use super::fixture::Definitions;
use super::render;

/// The policy of a route that says nothing.
const BY_DEFAULT: &str = "{retry_on unavailable,connect-failure,refused-stream,reset,retriable-status-codes, \
    num_retries 2, retry_host_predicate {name envoy.retry_host_predicates.previous_hosts, PreviousHostsPredicate \
    PreviousHostsPredicate}, host_selection_retry_max_attempts 5, retriable_status_codes 503}";

/// The action of a route of `kind` with these members beside.
fn action(kind: &str, members: &Value) -> RouteAction {
    let protocol = kind.trim_end_matches("Route");
    let mut route = members.clone();
    route["action"] = json!({"weightedTargets": [{"virtualNode": "node", "weight": 1}]});
    route["match"] = if protocol == "grpc" { json!({}) } else { json!({"prefix": "/"}) };
    let fragment = Definitions::new()
        .listening_node("node", &[(80, protocol)])
        .virtual_router("router", &[(80, protocol)])
        .route("router", "route", json!({kind: route}))
        .provided_by_router("service", "router")
        .service("service");
    let Routing::VirtualHost(part) = &fragment.ports[0].routing else {
        panic!("no virtual host");
    };
    let mut virtual_host = VirtualHost::decode(part.content()).unwrap();
    match virtual_host.routes.remove(0).action {
        Some(Action::Route(action)) => action,
        other => panic!("{other:?}"),
    }
}

fn check_retries(kind: &str, policy: Value, expected: Expect) {
    let mut policy = policy;
    policy["maxRetries"] = json!(3);
    policy["perRetryTimeout"] = json!({"unit": "ms", "value": 500});
    let action = action(kind, &json!({"retryPolicy": policy}));
    let mut retry_policy = action.retry_policy.unwrap();
    assert_eq!(retry_policy.retry_host_predicate.len(), 1);
    assert_eq!(retry_policy.host_selection_retry_max_attempts, 5);
    retry_policy.retry_host_predicate.clear();
    retry_policy.host_selection_retry_max_attempts = 0;
    expected.assert_eq(&render::message(&retry_policy));
}

#[test]
fn by_default_requests_are_tried_again() {
    for kind in ["httpRoute", "http2Route", "grpcRoute"] {
        let policy = action(kind, &json!({})).retry_policy.unwrap();
        assert_eq!(render::message(&policy), BY_DEFAULT);
    }
}

#[test]
fn retry_events_of_http() {
    // as observed
    let observed = json!({"httpRetryEvents": ["gateway-error", "client-error", "stream-error"]});
    check_retries(
        "httpRoute",
        observed,
        expect![
            "{retry_on reset,refused-stream,retriable-status-codes, num_retries 3, per_try_timeout 0.5s, retriable_status_codes{502, 503, 504, 409}}"
        ],
    );
    check_retries(
        "httpRoute",
        json!({"httpRetryEvents": ["server-error"]}),
        expect!["{retry_on 5xx, num_retries 3, per_try_timeout 0.5s}"],
    );
    check_retries(
        "http2Route",
        json!({"httpRetryEvents": ["gateway-error"]}),
        expect![
            "{retry_on reset,retriable-status-codes, num_retries 3, per_try_timeout 0.5s, retriable_status_codes{502, 503, 504}}"
        ],
    );
    check_retries(
        "httpRoute",
        json!({"httpRetryEvents": ["client-error", "client-error"]}),
        expect![
            "{retry_on retriable-status-codes, num_retries 3, per_try_timeout 0.5s, retriable_status_codes 409}"
        ],
    );
    check_retries(
        "httpRoute",
        json!({"httpRetryEvents": ["stream-error"]}),
        expect!["{retry_on reset,refused-stream, num_retries 3, per_try_timeout 0.5s}"],
    );
    check_retries(
        "httpRoute",
        json!({"tcpRetryEvents": ["connection-error"]}),
        expect!["{retry_on connect-failure, num_retries 3, per_try_timeout 0.5s}"],
    );
}

#[test]
fn retry_events_of_grpc() {
    let all = json!({
        "grpcRetryEvents": ["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"],
        "httpRetryEvents": ["server-error"], "tcpRetryEvents": ["connection-error"],
    });
    check_retries(
        "grpcRoute",
        all,
        expect![
            "{retry_on 5xx,connect-failure,cancelled,deadline-exceeded,internal,resource-exhausted,unavailable, num_retries 3, per_try_timeout 0.5s}"
        ],
    );
}

#[test]
fn zero_retries_are_none_and_a_zero_timeout_of_a_try_is_no_timeout() {
    let policy = json!({
        "maxRetries": 0, "perRetryTimeout": {"unit": "s", "value": 0}, "httpRetryEvents": ["server-error"],
    });
    let policy = action("httpRoute", &json!({"retryPolicy": policy})).retry_policy.unwrap();
    assert_eq!(policy.num_retries.unwrap().value, 0);
    assert_eq!(policy.per_try_timeout, None);
}

#[test]
fn timeouts_are_as_given_and_else_app_meshs_defaults() {
    let table = [
        (json!({}), ("15s", "300s")),
        (json!({"timeout": {}}), ("15s", "300s")),
        (json!({"timeout": {"perRequest": {"unit": "s", "value": 60}}}), ("60s", "300s")),
        (
            json!({"timeout": {"perRequest": {"unit": "s", "value": 0}, "idle": {"unit": "ms", "value": 0}}}),
            ("0s", "0s"),
        ),
        (json!({"timeout": {"idle": {"unit": "ms", "value": 1500}}}), ("15s", "1.5s")),
    ];
    for (members, (per_request, idle)) in table {
        for kind in ["httpRoute", "http2Route", "grpcRoute"] {
            let action = action(kind, &members);
            assert_eq!(render::message(&action.timeout.unwrap()), per_request, "{members}");
            assert_eq!(render::message(&action.idle_timeout.unwrap()), idle, "{members}");
        }
    }
}

#[test]
fn connections_end_after_the_idle_time_of_their_route() {
    let table = [(None, "300s"), (Some(60), "60s"), (Some(0), "0s")];
    for (idle, expected) in table {
        let mut route = json!({"action": {"weightedTargets": [{"virtualNode": "node", "weight": 1}]}});
        if let Some(idle) = idle {
            route["timeout"] = json!({"idle": {"unit": "s", "value": idle}});
        }
        let fragment = Definitions::new()
            .listening_node("node", &[(80, "tcp")])
            .virtual_router("router", &[(80, "tcp")])
            .route("router", "route", json!({"tcpRoute": route}))
            .provided_by_router("service", "router")
            .service("service");
        let rendered = render::port(&fragment, 80);
        assert!(rendered.contains(&format!("idle_timeout {expected},")), "{rendered}");
    }
}
