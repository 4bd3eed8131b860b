//! The conditions of routes and gateway routes, in Envoy's terms.

use envoy_types::pb::envoy::config::route::v3::route_match::{GrpcRouteMatchOptions, PathSpecifier};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use super::rank::{HostRank, PathRank, Specificity};
use crate::envoy::matching as envoy;
use crate::model::matching::{HeaderMatch, HeaderMatchMethod, HttpMethod, HttpPathMatch, HttpQueryParameter};
use crate::model::route::{GrpcRouteMatch, HttpRouteMatch};

/// The requests of an HTTP or HTTP/2 route.
pub(super) fn of_http_route(condition: &HttpRouteMatch) -> (RouteMatch, Specificity) {
    let (path, path_rank) = path(condition.prefix.as_deref(), condition.path.as_ref());
    let mut headers = headers(condition.headers.iter().flatten());
    headers.extend(condition.method.map(method));
    headers.extend(condition.scheme.map(|scheme| pseudo_header(":scheme", scheme.as_str())));
    let query_parameters = query_parameters(condition.query_parameters.iter().flatten());
    let specificity = Specificity {
        path: path_rank,
        conditions: headers.len() + query_parameters.len(),
        host: HostRank::Any,
    };
    let route_match = RouteMatch { headers, query_parameters, ..envoy::by_path(path) };
    (route_match, specificity)
}

/// The requests of a gRPC route.
pub(super) fn of_grpc_route(condition: &GrpcRouteMatch) -> (RouteMatch, Specificity) {
    let method = condition.method_name.as_deref();
    let (path, path_rank) = grpc_path(condition.service_name.as_deref(), method);
    let headers = headers(condition.metadata.iter().flatten());
    let specificity = Specificity { path: path_rank, conditions: headers.len(), host: HostRank::Any };
    let route_match = RouteMatch { headers, ..grpc(path) };
    (route_match, specificity)
}

/// Calls of gRPC, told from other requests by their content type, with this path.
pub(super) fn grpc(path: PathSpecifier) -> RouteMatch {
    RouteMatch { grpc: Some(GrpcRouteMatchOptions::default()), ..envoy::by_path(path) }
}

/// The path of a request: one of the two that may be given, and any path if none is.
pub(super) fn path(prefix: Option<&str>, path: Option<&HttpPathMatch>) -> (PathSpecifier, PathRank) {
    let exact = path.and_then(|path| path.exact.as_ref());
    let regex = path.and_then(|path| path.regex.as_ref());
    if let Some(exact) = exact {
        return (PathSpecifier::Path(exact.to_string()), PathRank::Exact);
    }
    if let Some(regex) = regex {
        return (PathSpecifier::SafeRegex(envoy::regex(regex)), PathRank::Regex);
    }
    let prefix = prefix.unwrap_or("/");
    (PathSpecifier::Prefix(prefix.to_owned()), PathRank::prefix(prefix))
}

/// The path of a gRPC call: `/service/method`. Without a method it is any of the service's, and without a service any call.
pub(super) fn grpc_path(service: Option<&str>, method: Option<&str>) -> (PathSpecifier, PathRank) {
    let service = service.filter(|service| !service.is_empty());
    match (service, method) {
        (Some(service), Some(method)) => {
            (PathSpecifier::Path(format!("/{service}/{method}")), PathRank::Exact)
        }
        (Some(service), None) => {
            let prefix = format!("/{service}/");
            let rank = PathRank::prefix(&prefix);
            (PathSpecifier::Prefix(prefix), rank)
        }
        (None, _) => path(None, None),
    }
}

/// The method of a request.
pub(super) fn method(method: HttpMethod) -> HeaderMatcher {
    pseudo_header(":method", method.as_str())
}

fn pseudo_header(name: &str, value: &str) -> HeaderMatcher {
    envoy::header(name, envoy::exactly(value))
}

/// The headers of a request, or the metadata of a call.
pub(super) fn headers<'a>(conditions: impl Iterator<Item = &'a HeaderMatch>) -> Vec<HeaderMatcher> {
    conditions.map(header).collect()
}

fn header(condition: &HeaderMatch) -> HeaderMatcher {
    let name = condition.name.as_str();
    let text = |pattern| envoy::header(name, envoy::text_matcher(pattern));
    let matcher = match &condition.r#match {
        None => envoy::header_present(name),
        Some(HeaderMatchMethod::Exact(value)) => text(MatchPattern::Exact(value.to_string())),
        Some(HeaderMatchMethod::Prefix(value)) => text(MatchPattern::Prefix(value.to_string())),
        Some(HeaderMatchMethod::Suffix(value)) => text(MatchPattern::Suffix(value.to_string())),
        Some(HeaderMatchMethod::Regex(value)) => text(MatchPattern::SafeRegex(envoy::regex(value))),
        Some(HeaderMatchMethod::Range(range)) => envoy::header_in_range(name, range.start, range.end),
    };
    if condition.invert == Some(true) {
        return envoy::inverted(matcher);
    }
    matcher
}

/// The query parameters of a request.
pub(super) fn query_parameters<'a>(
    conditions: impl Iterator<Item = &'a HttpQueryParameter>,
) -> Vec<QueryParameterMatcher> {
    conditions
        .map(|condition| {
            let value = condition.r#match.as_ref().and_then(|value| value.exact.as_deref());
            envoy::query_parameter(&condition.name, value)
        })
        .collect()
}
