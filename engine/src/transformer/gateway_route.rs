//! Gateway routes in Envoy's terms: one or more Envoy routes each, since Envoy has no "or" within a condition.

use envoy_types::pb::envoy::config::route::v3 as envoy;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, RouteAction, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use super::listening::port_number;
use super::rank::{HostRank, PathRank, Rank, Specificity};
use super::{matching, names};
use crate::envoy::matching::{header, regex, text_in_any_case, text_matcher};
use crate::envoy::route::{Timeouts, overwrite_header, rewrite_host, route, to_cluster};
use crate::model::gateway_route::{
    GatewayRouteHostnameMatch, GatewayRouteHostnameRewrite, GatewayRouteTarget, HttpGatewayRouteMatch,
    HttpGatewayRoutePrefixRewrite, HttpGatewayRouteRewrite, Toggle,
};
use crate::model::matching::Priority;
use crate::model::{GatewayRouteKind, GrpcGatewayRoute, HttpGatewayRoute};

/// The host of a request, as Envoy names it.
const AUTHORITY: &str = ":authority";

/// Where a gateway route ranks, and what it is to Envoy.
#[derive(Debug)]
pub(super) struct RankedRoutes<'a> {
    /// Its rank.
    pub(super) rank: Rank<'a>,
    /// Envoy's routes, of which at most one matches a request.
    pub(super) routes: Vec<envoy::Route>,
}

/// A gateway route, through `cluster`.
pub(super) fn ranked_routes<'a>(
    name: &'a str,
    priority: Option<Priority>,
    kind: GatewayRouteKind<'_>,
    cluster: &str,
) -> RankedRoutes<'a> {
    let (hosts, host_rank) = hosts(kind.hostname());
    let (conditions, path_rank) = match kind {
        GatewayRouteKind::Http(http) | GatewayRouteKind::Http2(http) => http_conditions(http),
        GatewayRouteKind::Grpc(grpc) => grpc_conditions(grpc),
    };
    let further_conditions = conditions.first().map_or(0, Condition::further_conditions);
    let specificity = Specificity {
        path: path_rank,
        conditions: further_conditions + usize::from(kind.hostname().is_some()),
        host: host_rank,
    };
    let mut routes = Vec::new();
    for condition in &conditions {
        for host in &hosts {
            let mut route_match = condition.route_match.clone();
            route_match.headers.extend_from_slice(host);
            let mut action = to_cluster(cluster, Timeouts::NONE);
            action.prefix_rewrite.clone_from(&condition.new_path);
            routes.push(to_virtual_service(name, route_match, action, kind));
        }
    }
    RankedRoutes { rank: Rank::new(priority, specificity, name), routes }
}

/// Says which virtual service is meant: by the host, or, if the request keeps its own host, by a header. Whatever a client
/// says in that header is never believed.
fn to_virtual_service(
    name: &str,
    route_match: RouteMatch,
    mut action: RouteAction,
    kind: GatewayRouteKind<'_>,
) -> envoy::Route {
    let virtual_service = virtual_service_host(kind.target());
    if keeps_host(kind) {
        let mut route = route(name, route_match, Action::Route(action));
        route.request_headers_to_add =
            vec![overwrite_header(names::VIRTUAL_SERVICE_HEADER, &virtual_service)];
        return route;
    }
    rewrite_host(&mut action, &virtual_service);
    let mut route = route(name, route_match, Action::Route(action));
    route.request_headers_to_remove = vec![names::VIRTUAL_SERVICE_HEADER.to_owned()];
    route
}

/// The virtual service, with its port if the target names one.
fn virtual_service_host(target: &GatewayRouteTarget) -> String {
    let virtual_service = &target.virtual_service.virtual_service_name;
    match target.port {
        Some(port) => format!("{virtual_service}:{}", port_number(port)),
        None => virtual_service.to_string(),
    }
}

fn keeps_host(kind: GatewayRouteKind<'_>) -> bool {
    let rewrite = hostname_rewrite(kind);
    rewrite.and_then(|rewrite| rewrite.default_target_hostname) == Some(Toggle::Disabled)
}

fn hostname_rewrite(kind: GatewayRouteKind<'_>) -> Option<&GatewayRouteHostnameRewrite> {
    match kind {
        GatewayRouteKind::Http(http) | GatewayRouteKind::Http2(http) => {
            http.action.rewrite.as_ref()?.hostname.as_ref()
        }
        GatewayRouteKind::Grpc(grpc) => grpc.action.rewrite.as_ref()?.hostname.as_ref(),
    }
}

/// One of the ways to match, and what the matched path or prefix becomes: nothing else if this is empty.
struct Condition {
    route_match: RouteMatch,
    new_path: String,
}

impl Condition {
    fn further_conditions(&self) -> usize {
        self.route_match.headers.len() + self.route_match.query_parameters.len()
    }
}

fn http_conditions(http: &HttpGatewayRoute) -> (Vec<Condition>, PathRank) {
    let condition = &http.r#match;
    let (paths, rank) = http_paths(condition, http.action.rewrite.as_ref());
    let mut headers = matching::headers(condition.headers.iter().flatten());
    headers.extend(condition.method.map(matching::method));
    let query_parameters = matching::query_parameters(condition.query_parameters.iter().flatten());
    let conditions = paths
        .into_iter()
        .map(|(path, new_path)| Condition {
            route_match: RouteMatch {
                headers: headers.clone(),
                query_parameters: query_parameters.clone(),
                ..crate::envoy::matching::by_path(path)
            },
            new_path,
        })
        .collect();
    (conditions, rank)
}

fn grpc_conditions(grpc: &GrpcGatewayRoute) -> (Vec<Condition>, PathRank) {
    let (path, rank) = matching::grpc_path(grpc.r#match.service_name.as_deref(), None);
    let condition = Condition {
        route_match: RouteMatch {
            headers: matching::headers(grpc.r#match.metadata.iter().flatten()),
            ..matching::grpc(path)
        },
        new_path: String::new(),
    };
    (vec![condition], rank)
}

/// The paths of a gateway route, and what each becomes. The prefix `/p` is given as `/p/` and `/p`, so that `/px` does not
/// match.
fn http_paths(
    condition: &HttpGatewayRouteMatch,
    rewrite: Option<&HttpGatewayRouteRewrite>,
) -> (Vec<(PathSpecifier, String)>, PathRank) {
    let Some(prefix) = &condition.prefix else {
        let (path, rank) = matching::path(None, condition.path.as_ref());
        let new_path = rewrite.and_then(|rewrite| rewrite.path.as_ref()).and_then(|path| path.exact.as_ref());
        let new_path = new_path.map(ToString::to_string).unwrap_or_default();
        return (vec![(path, new_path)], rank);
    };
    let new_prefix = new_prefix(prefix, rewrite.and_then(|rewrite| rewrite.prefix.as_ref()));
    let rank = PathRank::prefix(prefix.trim_end_matches('/'));
    if prefix.ends_with('/') {
        let paths = vec![(PathSpecifier::Prefix(prefix.clone()), new_prefix)];
        return (paths, rank);
    }
    let paths = vec![
        (PathSpecifier::Prefix(format!("{prefix}/")), new_prefix.clone()),
        (PathSpecifier::Path(prefix.clone()), new_prefix),
    ];
    (paths, rank)
}

/// What a matched prefix becomes: `/` by default. Empty if it stays as it is.
fn new_prefix(prefix: &str, rewrite: Option<&HttpGatewayRoutePrefixRewrite>) -> String {
    let value = rewrite.and_then(|rewrite| rewrite.value.as_ref());
    let toggle = rewrite.and_then(|rewrite| rewrite.default_prefix);
    let new_prefix = match (value, toggle) {
        (Some(value), _) => value.as_str(),
        (None, Some(Toggle::Disabled)) => "",
        (None, Some(Toggle::Enabled) | None) => "/",
    };
    if new_prefix == prefix {
        return String::new();
    }
    new_prefix.to_owned()
}

/// The ways in which the host may be right, with and without a port, each with the conditions that must all hold. Case does
/// not matter.
fn hosts(hostname: Option<&GatewayRouteHostnameMatch>) -> (Vec<Vec<HeaderMatcher>>, HostRank) {
    let authority = |pattern| header(AUTHORITY, text_in_any_case(pattern));
    if let Some(exact) = hostname.and_then(|hostname| hostname.exact.as_ref()) {
        let hosts = vec![
            vec![authority(MatchPattern::Exact(exact.to_string()))],
            vec![authority(MatchPattern::Prefix(format!("{exact}:")))],
        ];
        return (hosts, HostRank::Exact);
    }
    if let Some(suffix) = hostname.and_then(|hostname| hostname.suffix.as_ref()) {
        // with one colon only, what comes before it is the end of the host; the suffix is no part of the regular
        // expression, which would become too large for Envoy
        let with_port = text_matcher(MatchPattern::SafeRegex(regex("[^:]*:[0-9]+")));
        let hosts = vec![
            vec![authority(MatchPattern::Suffix(suffix.to_string()))],
            vec![authority(MatchPattern::Contains(format!("{suffix}:"))), header(AUTHORITY, with_port)],
        ];
        return (hosts, HostRank::Suffix(std::cmp::Reverse(suffix.len())));
    }
    (vec![Vec::new()], HostRank::Any)
}
