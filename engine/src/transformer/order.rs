//! The conditions of routes, in the order in which they are tried.

use envoy_types::pb::envoy::config::route::v3::RouteMatch;

use super::definitions::Parent;
use super::gateway_route::ranked_routes;
use super::listening::{Router, is_for_listener, routes_at};
use super::rank::priority_rank;
use super::route::ranked_condition;
use crate::model::{
    GatewayRouteSpec, Protocol, RouteKind, RouteSpec, VirtualGatewayListener, VirtualGatewaySpec,
};

/// A virtual gateway with its gateway routes.
pub(crate) type Gateway<'a> = Parent<'a, VirtualGatewaySpec, GatewayRouteSpec>;

/// A route, and the conditions of which one must hold for a request.
pub(crate) type Conditions<'a> = (&'a str, Vec<RouteMatch>);

/// The routes for requests by `protocol` at `port`, the one that is tried first in front.
pub(crate) fn request_routes<'a>(router: &Router<'a>, protocol: Protocol, port: u16) -> Vec<Conditions<'a>> {
    let routes = routes_at(router, protocol, port);
    let mut ranked: Vec<_> = routes
        .filter_map(|(name, kind, route)| {
            let (rank, condition) = ranked_condition(name, route.priority, kind)?;
            Some((rank, (name, vec![condition])))
        })
        .collect();
    ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
    ranked.into_iter().map(|(_, conditions)| conditions).collect()
}

/// The gateway routes for requests at `listener`, the one that is tried first in front.
pub(crate) fn gateway_routes<'a>(
    gateway: &Gateway<'a>,
    listener: &VirtualGatewayListener,
) -> Vec<Conditions<'a>> {
    let mut ranked: Vec<_> = gateway
        .routes
        .iter()
        .filter_map(|(name, route)| {
            let kind = route.spec.kind().filter(|kind| is_for_listener(*kind, listener))?;
            let ranked = ranked_routes(name, route.spec.priority, kind, "");
            let conditions = ranked.routes.into_iter().filter_map(|route| route.r#match).collect();
            Some((ranked.rank, (name.as_ref(), conditions)))
        })
        .collect();
    ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
    ranked.into_iter().map(|(_, conditions)| conditions).collect()
}

/// The first route for connections at `port`: there is nothing by which connections to one port could be told apart.
pub(crate) fn first_connection_route<'a>(
    router: &Router<'a>,
    port: u16,
) -> Option<(&'a str, RouteKind<'a>, &'a RouteSpec)> {
    let routes = routes_at(router, Protocol::Tcp, port);
    routes.min_by_key(|(name, _, route)| (priority_rank(route.priority), *name))
}
