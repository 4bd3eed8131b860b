//! Routes in Envoy's terms: for requests one Envoy route each, for connections one filter.

use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3 as envoy;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{RetryPolicy, RouteMatch};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

use super::rank::Rank;
use super::{matching, names, retry, timeouts};
use crate::envoy::matching::everything;
use crate::envoy::route::{Timeouts, answer, route, to_weighted_clusters};
use crate::envoy::tcp_proxy::weighted_tcp_proxy;
use crate::model::matching::Priority;
use crate::model::{RouteKind, TcpRoute};

/// The name of the one route of a virtual service that a virtual node provides.
const CATCH_ALL: &str = "catch-all";

/// The answer where no target has a weight: none may have the request.
const NO_TARGET_STATUS: u32 = 503;

/// A cluster, and its share of the requests or connections.
pub(super) type Share = (Arc<str>, u32);

/// Where a route for requests ranks, and what it is to Envoy.
#[derive(Debug)]
pub(super) struct RankedRoute<'a> {
    /// Its rank.
    pub(super) rank: Rank<'a>,
    /// Envoy's route.
    pub(super) route: envoy::Route,
}

/// Where a route for requests ranks, and which requests it is for. Nothing for a TCP route.
pub(super) fn ranked_condition<'a>(
    name: &'a str,
    priority: Option<Priority>,
    kind: RouteKind<'_>,
) -> Option<(Rank<'a>, RouteMatch)> {
    let (condition, specificity) = match kind {
        RouteKind::Http(http) | RouteKind::Http2(http) => matching::of_http_route(&http.r#match),
        RouteKind::Grpc(grpc) => matching::of_grpc_route(&grpc.r#match),
        RouteKind::Tcp(_) => return None,
    };
    Some((Rank::new(priority, specificity, name), condition))
}

/// A route for requests. Nothing for a TCP route.
pub(super) fn request_route<'a>(
    name: &'a str,
    priority: Option<Priority>,
    kind: RouteKind<'_>,
    shares: &[Share],
) -> Option<RankedRoute<'a>> {
    let (timeout, retry_policy) = match kind {
        RouteKind::Http(http) | RouteKind::Http2(http) => {
            (http.timeout.as_ref(), retry::of_http(http.retry_policy.as_ref()))
        }
        RouteKind::Grpc(grpc) => (grpc.timeout.as_ref(), retry::of_grpc(grpc.retry_policy.as_ref())),
        RouteKind::Tcp(_) => return None,
    };
    let (rank, condition) = ranked_condition(name, priority, kind)?;
    let route = share_out(name, condition, shares, timeouts::of_requests(timeout), retry_policy);
    Some(RankedRoute { rank, route })
}

/// The one route of a virtual service that a virtual node provides: every request goes there.
pub(super) fn catch_all_route(cluster: &Arc<str>) -> envoy::Route {
    share_out(
        CATCH_ALL,
        everything(),
        &[(Arc::clone(cluster), 1)],
        timeouts::of_requests(None),
        retry::default_policy(),
    )
}

/// Shares requests out among clusters. If all weights are zero, which Envoy does not take, they are answered with 503.
fn share_out(
    name: &str,
    condition: RouteMatch,
    shares: &[Share],
    timeouts: Timeouts,
    retry_policy: RetryPolicy,
) -> envoy::Route {
    if shares.iter().all(|(_, weight)| *weight == 0) {
        return route(name, condition, answer(NO_TARGET_STATUS));
    }
    let mut action = to_weighted_clusters(shares, timeouts);
    action.retry_policy = Some(retry_policy);
    route(name, condition, Action::Route(action))
}

/// A TCP route, without access logs, which are each consumer's own. Nothing, if no target has a weight.
pub(super) fn connection_route(tcp: &TcpRoute, shares: &[Share]) -> Option<TcpProxy> {
    weighted_tcp_proxy(names::EGRESS_STAT_PREFIX, shares, timeouts::of_connections(tcp.timeout.as_ref()))
}

/// The TCP proxy of a virtual service that a virtual node provides.
pub(super) fn catch_all_connection_route(cluster: &Arc<str>) -> Option<TcpProxy> {
    weighted_tcp_proxy(names::EGRESS_STAT_PREFIX, &[(Arc::clone(cluster), 1)], timeouts::of_connections(None))
}
