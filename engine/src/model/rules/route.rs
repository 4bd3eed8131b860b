//! Rules on routes.

use super::matching::{check_headers, check_path_match, check_prefix_match, check_query_parameters};
use super::{check_distinct, check_exactly_one};
use crate::model::retry::{GrpcRetryPolicy, HTTP_RETRY_EVENTS, HttpRetryPolicy};
use crate::model::route::{GrpcRoute, GrpcRouteMatch, HttpRoute, HttpRouteMatch, RouteAction, RouteSpec};
use crate::model::shape::error::quote;
use crate::model::shape::{Errors, List, Path, Text};

/// A route is exactly one of the four routes. Every rule is checked in each one that it has.
pub(super) fn check(route: &RouteSpec, at: &Path, errors: &mut Errors) {
    let kinds = [
        ("httpRoute", route.http_route.is_some()),
        ("http2Route", route.http2_route.is_some()),
        ("grpcRoute", route.grpc_route.is_some()),
        ("tcpRoute", route.tcp_route.is_some()),
    ];
    check_exactly_one(&kinds, at, errors);
    if let Some(http) = &route.http_route {
        check_http_route(http, &at.field("httpRoute"), errors);
    }
    if let Some(http2) = &route.http2_route {
        check_http_route(http2, &at.field("http2Route"), errors);
    }
    if let Some(grpc) = &route.grpc_route {
        check_grpc_route(grpc, &at.field("grpcRoute"), errors);
    }
    if let Some(tcp) = &route.tcp_route {
        check_targets(&tcp.action, &at.field("tcpRoute"), errors);
    }
}

fn check_http_route(route: &HttpRoute, at: &Path, errors: &mut Errors) {
    check_targets(&route.action, at, errors);
    check_http_match(&route.r#match, &at.field("match"), errors);
    if let Some(policy) = &route.retry_policy {
        check_http_retry_policy(policy, &at.field("retryPolicy"), errors);
    }
}

fn check_grpc_route(route: &GrpcRoute, at: &Path, errors: &mut Errors) {
    check_targets(&route.action, at, errors);
    check_grpc_match(&route.r#match, &at.field("match"), errors);
    if let Some(policy) = &route.retry_policy {
        check_grpc_retry_policy(policy, &at.field("retryPolicy"), errors);
    }
}

/// A route has each port of each virtual node as a target once. All weights may be zero: its users did so to take a route
/// out of service.
fn check_targets(action: &RouteAction, at: &Path, errors: &mut Errors) {
    let at = at.field("action").field("weightedTargets");
    let targets = &action.weighted_targets;
    let places = targets.iter().enumerate();
    let places = places.map(|(index, target)| (at.index(index), (&target.virtual_node, target.port)));
    check_distinct(places.collect(), errors);
}

/// An HTTP route matches by exactly one of `prefix` and `path`, and a prefix is a path.
fn check_http_match(condition: &HttpRouteMatch, at: &Path, errors: &mut Errors) {
    let ways = [("prefix", condition.prefix.is_some()), ("path", condition.path.is_some())];
    check_exactly_one(&ways, at, errors);
    if let Some(prefix) = &condition.prefix {
        check_prefix_match(prefix, &at.field("prefix"), errors);
    }
    if let Some(path) = &condition.path {
        check_path_match(path, &at.field("path"), errors);
    }
    check_headers(condition.headers.as_deref().unwrap_or_default(), &at.field("headers"), errors);
    check_query_parameters(
        condition.query_parameters.as_deref().unwrap_or_default(),
        &at.field("queryParameters"),
        errors,
    );
}

/// A gRPC route that names a method names its service too.
fn check_grpc_match(condition: &GrpcRouteMatch, at: &Path, errors: &mut Errors) {
    if condition.method_name.is_some() && condition.service_name.is_none() {
        errors.report(&at.field("serviceName"), "is required with methodName");
    }
    check_headers(condition.metadata.as_deref().unwrap_or_default(), &at.field("metadata"), errors);
}

/// A retry policy names at least one event.
fn check_http_retry_policy(policy: &HttpRetryPolicy, at: &Path, errors: &mut Errors) {
    if policy.http_retry_events.is_none() && policy.tcp_retry_events.is_none() {
        errors.report(at, "has no event; give httpRetryEvents or tcpRetryEvents");
    }
    check_http_retry_events(policy.http_retry_events.as_ref(), at, errors);
}

/// A retry policy names at least one event.
fn check_grpc_retry_policy(policy: &GrpcRetryPolicy, at: &Path, errors: &mut Errors) {
    let has_event = policy.grpc_retry_events.is_some()
        || policy.http_retry_events.is_some()
        || policy.tcp_retry_events.is_some();
    if !has_event {
        errors.report(at, "has no event; give grpcRetryEvents, httpRetryEvents or tcpRetryEvents");
    }
    check_http_retry_events(policy.http_retry_events.as_ref(), at, errors);
}

/// The events of HTTP are `server-error`, `gateway-error`, `client-error` and `stream-error`.
fn check_http_retry_events(events: Option<&List<Text<1, 25>, 1, 25>>, at: &Path, errors: &mut Errors) {
    let at = at.field("httpRetryEvents");
    for (index, event) in events.into_iter().flatten().enumerate() {
        if !HTTP_RETRY_EVENTS.contains(&event.as_str()) {
            let known = HTTP_RETRY_EVENTS.join(", ");
            errors.report(&at.index(index), format_args!("{} is not one of {known}", quote(event)));
        }
    }
}
