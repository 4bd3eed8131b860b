//! Routes that are never reached: whatever they are for, one that is tried earlier takes, wherever they are tried at all.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::route::v3::RouteMatch;

use super::covers::covers;
use super::finding::{Code, Finding};
use super::mesh::Mesh;
use crate::model::{Path, Protocol, ResourceId};
use crate::transformer::listening::{Router, routes_at};
use crate::transformer::order::{
    Conditions, Gateway, first_connection_route, gateway_routes, request_routes,
};

/// How many of the routes that are tried first are compared with those after them. What only later ones take is not found.
const EARLIER_MAX: usize = 100;

/// What is known of a route: which earlier one takes all that is for it, at every port looked at so far.
type Takers<'a> = BTreeMap<&'a str, Option<&'a str>>;

pub(super) fn check_routes(
    mesh: &Mesh<'_>,
    name: &str,
    router: &Router<'_>,
    ports: &BTreeMap<u16, Protocol>,
    findings: &mut Vec<Finding>,
) {
    if router.routes.len() < 2 {
        return;
    }
    let mut takers = Takers::new();
    for (port, protocol) in ports {
        if *protocol == Protocol::Tcp {
            let first = first_connection_route(router, *port).map(|(name, ..)| name);
            for (route, ..) in routes_at(router, Protocol::Tcp, *port) {
                note(&mut takers, route, first.filter(|first| *first != route));
            }
        } else {
            note_takers(&mut takers, &request_routes(router, *protocol, *port));
        }
    }
    let id = |route: &str| ResourceId::route(mesh.name(), name, route);
    let member = |route: &str| Some(router.routes.get(route)?.spec.kind()?.member());
    report(&takers, id, member, findings);
}

pub(super) fn check_gateway_routes(
    mesh: &Mesh<'_>,
    name: &str,
    gateway: &Gateway<'_>,
    findings: &mut Vec<Finding>,
) {
    if gateway.routes.len() < 2 {
        return;
    }
    let mut takers = Takers::new();
    for listener in &gateway.definition.spec.listeners {
        note_takers(&mut takers, &gateway_routes(gateway, listener));
    }
    let id = |route: &str| ResourceId::gateway_route(mesh.name(), name, route);
    let member = |route: &str| Some(gateway.routes.get(route)?.spec.kind()?.member());
    report(&takers, id, member, findings);
}

/// Notes for each of the routes at one port which earlier one takes all that is for it.
fn note_takers<'a>(takers: &mut Takers<'a>, routes: &[Conditions<'a>]) {
    for (index, (route, conditions)) in routes.iter().enumerate() {
        let earlier = &routes[..index.min(EARLIER_MAX)];
        note(takers, route, taker(earlier, conditions));
    }
}

/// The last of the earlier routes that it takes to take everything that one of these conditions holds for; nothing, if
/// something is left.
fn taker<'a>(earlier: &[Conditions<'a>], conditions: &[RouteMatch]) -> Option<&'a str> {
    let mut last = None;
    for condition in conditions {
        let by = earlier.iter().position(|(_, earlier)| earlier.iter().any(|one| covers(one, condition)))?;
        last = last.max(Some(by));
    }
    last.map(|last| earlier[last].0)
}

/// Only what is taken wherever it is tried is never reached.
fn note<'a>(takers: &mut Takers<'a>, route: &'a str, taker: Option<&'a str>) {
    takers
        .entry(route)
        .and_modify(|known| {
            if taker.is_none() {
                *known = None;
            }
        })
        .or_insert(taker);
}

fn report(
    takers: &Takers<'_>,
    id: impl Fn(&str) -> ResourceId,
    member: impl Fn(&str) -> Option<&'static str>,
    findings: &mut Vec<Finding>,
) {
    for (route, taker) in takers {
        let (Some(taker), Some(member)) = (taker, member(route)) else { continue };
        let at = Path::root("spec").field(member).field("match");
        let earlier = id(taker);
        let message = format!(
            "{earlier} is tried earlier and takes everything that this one is for, so that nothing reaches it; give it a \
             lower priority value, make the other one more specific, or delete it"
        );
        findings.push(Finding::new(Code::UnreachableRoute, id(route), &at, message).about(vec![earlier]));
    }
}
