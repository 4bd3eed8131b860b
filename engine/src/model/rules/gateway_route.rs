//! Rules on gateway routes.

use super::check_exactly_one;
use super::matching::{check_headers, check_path_match, check_prefix_match, check_query_parameters};
use super::text::{check_hostname, check_hostname_suffix, check_path};
use crate::model::gateway_route::{
    GatewayRouteHostnameMatch, GatewayRouteSpec, GrpcGatewayRouteMatch, HttpGatewayRoute,
    HttpGatewayRouteMatch, HttpGatewayRouteRewrite,
};
use crate::model::shape::error::quote;
use crate::model::shape::{Errors, Path};

/// What no path of a gateway route begins with: App Mesh's own.
const RESERVED_PATHS: [&str; 2] = ["/aws-appmesh", "/aws-app-mesh"];

/// What no gRPC service of a gateway route begins with: App Mesh's own.
const RESERVED_SERVICE_PREFIX: &str = "aws.app-mesh";

/// A gRPC service that no gateway route has: App Mesh's own.
const RESERVED_SERVICE: &str = "aws.appmesh";

/// A gateway route is exactly one of the three routes. Every rule is checked in each one that it has.
pub(super) fn check(route: &GatewayRouteSpec, at: &Path, errors: &mut Errors) {
    let kinds = [
        ("httpRoute", route.http_route.is_some()),
        ("http2Route", route.http2_route.is_some()),
        ("grpcRoute", route.grpc_route.is_some()),
    ];
    check_exactly_one(&kinds, at, errors);
    if let Some(http) = &route.http_route {
        check_http_route(http, &at.field("httpRoute"), errors);
    }
    if let Some(http2) = &route.http2_route {
        check_http_route(http2, &at.field("http2Route"), errors);
    }
    if let Some(grpc) = &route.grpc_route {
        check_grpc_match(&grpc.r#match, &at.field("grpcRoute").field("match"), errors);
    }
}

fn check_http_route(route: &HttpGatewayRoute, at: &Path, errors: &mut Errors) {
    check_http_match(&route.r#match, &at.field("match"), errors);
    if let Some(rewrite) = &route.action.rewrite {
        check_rewrite(rewrite, &route.r#match, &at.field("action").field("rewrite"), errors);
    }
}

/// A gateway route matches by one of `prefix` and `path`, or by neither, but not by a reserved one; a prefix
/// is a path.
fn check_http_match(condition: &HttpGatewayRouteMatch, at: &Path, errors: &mut Errors) {
    if condition.prefix.is_some() && condition.path.is_some() {
        errors.report(at, "has prefix, path; give at most one of prefix, path");
    }
    if let Some(prefix) = &condition.prefix {
        let at = at.field("prefix");
        check_prefix_match(prefix, &at, errors);
        check_not_reserved(prefix, &at, errors);
    }
    if let Some(path) = &condition.path {
        let at = at.field("path");
        check_path_match(path, &at, errors);
        if let Some(exact) = &path.exact {
            check_not_reserved(exact, &at.field("exact"), errors);
        }
    }
    check_hostname_match(condition.hostname.as_ref(), at, errors);
    check_headers(condition.headers.as_deref().unwrap_or_default(), &at.field("headers"), errors);
    check_query_parameters(
        condition.query_parameters.as_deref().unwrap_or_default(),
        &at.field("queryParameters"),
        errors,
    );
}

/// Paths that begin with `/aws-appmesh` or `/aws-app-mesh` are reserved.
fn check_not_reserved(path: &str, at: &Path, errors: &mut Errors) {
    for reserved in RESERVED_PATHS {
        if path.starts_with(reserved) {
            errors.report(
                at,
                format_args!("{} is reserved, like all that starts with {reserved}", quote(path)),
            );
        }
    }
}

/// The gRPC services `aws.appmesh` and those that begin with `aws.app-mesh` are reserved.
fn check_grpc_match(condition: &GrpcGatewayRouteMatch, at: &Path, errors: &mut Errors) {
    if let Some(service) = &condition.service_name
        && (service.starts_with(RESERVED_SERVICE_PREFIX) || service == RESERVED_SERVICE)
    {
        errors.report(&at.field("serviceName"), format_args!("{} is reserved", quote(service)));
    }
    check_hostname_match(condition.hostname.as_ref(), at, errors);
    check_headers(condition.metadata.as_deref().unwrap_or_default(), &at.field("metadata"), errors);
}

/// A condition on the host is exactly one of `exact`, a host name, and `suffix`, the end of one.
fn check_hostname_match(hostname: Option<&GatewayRouteHostnameMatch>, at: &Path, errors: &mut Errors) {
    let Some(hostname) = hostname else {
        return;
    };
    let at = at.field("hostname");
    let ways = [("exact", hostname.exact.is_some()), ("suffix", hostname.suffix.is_some())];
    check_exactly_one(&ways, &at, errors);
    if let Some(exact) = &hostname.exact {
        check_hostname(exact, &at.field("exact"), errors);
    }
    if let Some(suffix) = &hostname.suffix {
        check_hostname_suffix(suffix, &at.field("suffix"), errors);
    }
}

/// What was matched is what is rewritten: `prefix` with a prefix match, `path` with a path match. A prefix
/// rewrite is exactly one of `defaultPrefix` and `value`, and the value starts and ends with `/`; a path
/// rewrite has a path.
fn check_rewrite(
    rewrite: &HttpGatewayRouteRewrite,
    condition: &HttpGatewayRouteMatch,
    at: &Path,
    errors: &mut Errors,
) {
    if let Some(prefix) = &rewrite.prefix {
        let at = at.field("prefix");
        if condition.prefix.is_none() {
            errors.report(&at, "needs a match by prefix");
        }
        let ways = [("defaultPrefix", prefix.default_prefix.is_some()), ("value", prefix.value.is_some())];
        check_exactly_one(&ways, &at, errors);
        if let Some(value) = &prefix.value {
            let at = at.field("value");
            check_path(value, &at, errors);
            if !value.ends_with('/') {
                errors.report(&at, format_args!("{} does not end with /", quote(value)));
            }
        }
    }
    if let Some(path) = &rewrite.path {
        let at = at.field("path");
        if condition.path.is_none() {
            errors.report(&at, "needs a match by path");
        }
        match &path.exact {
            Some(exact) => check_path(exact, &at.field("exact"), errors),
            None => errors.report(&at.field("exact"), "is required"),
        }
    }
}
