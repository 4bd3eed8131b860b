//! Composing after a change of the routes of one backend: of a sidecar's configuration its virtual hosts are replaced, and the
//! fragments of the other backends are not looked at.

use std::sync::Arc;

use legation_actors::composition::{Change, Client, Composed};
use legation_actors::snapshot::ResourceSet;
use legation_proto::fragment::{EgressMode, NodeFragment, Routing, ServiceFragment};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;

use crate::transformer::names;

/// What comes of `before` with the `change`, where that is of nothing but routes.
pub(super) fn recompose(
    client: Client,
    node: &NodeFragment,
    before: &Composed,
    change: &Change<'_>,
) -> Option<Composed> {
    let Change { from, to } = *change;
    let is_sidecar = client == Client::Envoy && node.egress.mode == EgressMode::Intercepted;
    // the newest definition of all is that of the backend now
    let transaction = to.transaction;
    if !is_sidecar || transaction < before.snapshot.transaction() || !differ_by_routes_only(from, to) {
        return None;
    }
    let mut resources = before.snapshot.set(ResourceType::RouteConfiguration).resources().to_vec();
    for (from, to) in from.ports.iter().zip(&to.ports) {
        if let (Routing::VirtualHost(of_before), Routing::VirtualHost(now)) = (&from.routing, &to.routing) {
            let is_of_port =
                |resource: &&mut Resource| names::is_egress_route_configuration(&resource.name, from.port);
            let routes = resources.iter_mut().find(is_of_port)?;
            // it may have been left out
            let body = routes.body.with_part(of_before, now.clone())?;
            *routes = Resource::of(Arc::clone(&routes.name), transaction, body);
        }
    }
    let snapshot = before.snapshot.with_route_configurations(transaction, ResourceSet::new(resources));
    Some(Composed { snapshot, problems: before.problems.clone() })
}

/// Whether the two have the same at the same ports, but for where requests are routed. One without ports is not known by them.
fn differ_by_routes_only(a: &ServiceFragment, b: &ServiceFragment) -> bool {
    !a.ports.is_empty()
        && a.ports.len() == b.ports.len()
        && a.ports.iter().zip(&b.ports).all(|(a, b)| {
            a.port == b.port
                && match (&a.routing, &b.routing) {
                    (Routing::VirtualHost(_), Routing::VirtualHost(_)) => true,
                    (a, b) => a == b,
                }
        })
        && are_the_same(&a.clusters, &b.clusters)
        && are_the_same(&a.endpoints, &b.endpoints)
}

/// Whether these are the same resources, to the last digit of their versions.
fn are_the_same(a: &[Resource], b: &[Resource]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
}
