//! The egress of a gateway: one filter chain for the requests that its own ingress passes on, for every backend.
//!
//! The ingress says which virtual service it means by the host, with a port if a gateway route names one. A request that
//! keeps the client's host says it by a header instead, and then the host, which a client chooses, must decide nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost};
use envoy_types::pb::google::protobuf::Any;
use legation_actors::composition::{Backend, ComposeError};
use legation_actors::snapshot::ResourceSet;
use legation_proto::fragment::{NodeFragment, Routing};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;

use super::hosts::Hosts;
use super::{ComposedEgress, access_logs, decode};
use crate::envoy::http_connection_manager::{self, http_connection_manager};
use crate::envoy::listener::default_filter_chain;
use crate::envoy::matching::{exactly, header, header_present, inverted};
use crate::envoy::route::{header_value, rewrite_host, route_configuration, virtual_host};
use crate::transformer::names;

/// Composes the egress of a gateway, at `port`.
pub(super) fn compose(
    node: &NodeFragment,
    backends: &[Backend<'_>],
    port: u16,
    transaction: Transaction,
) -> Result<ComposedEgress, ComposeError> {
    let mut listener: Listener = decode("the node's egress listener", &node.egress.listener)?;
    let routes_name = names::egress_route_configuration(port);
    let manager =
        http_connection_manager(names::EGRESS_STAT_PREFIX, &routes_name, &access_logs(&node.egress)?);
    listener.filter_chains =
        vec![default_filter_chain(&format!("egress_http_{port}"), http_connection_manager::filter(&manager))];
    let listener = Resource::encode(ResourceType::Listener, &listener.name, transaction, &listener);

    let mut problems = Vec::new();
    let virtual_hosts = virtual_hosts(node, backends, &mut problems)?;
    let routes = route_configuration(&routes_name, virtual_hosts);
    let routes = Resource::encode(ResourceType::RouteConfiguration, &routes_name, transaction, &routes);
    let mut listeners = node.listeners.clone();
    listeners.push(listener);
    let listeners = Arc::new(ResourceSet::new(listeners));
    Ok(ComposedEgress { listeners, route_configurations: vec![routes], problems })
}

/// The virtual hosts of all backends, and the default one for the requests that say by a header where they go.
fn virtual_hosts(
    node: &NodeFragment,
    backends: &[Backend<'_>],
    problems: &mut Vec<String>,
) -> Result<Vec<VirtualHost>, ComposeError> {
    let named_by_header = named_by_header(node)?;
    let mut routes_by_header = Vec::new();
    let mut virtual_hosts = Vec::new();
    let mut hosts = Hosts::default();
    for backend in backends {
        for mut own in request_ports(backend)? {
            if !hosts.take(&own.domains) {
                problems.push(format!(
                    "virtual service {} is left out: another one has the host {}",
                    backend.name, own.name
                ));
                continue;
            }
            for name in own.domains.iter().filter(|name| named_by_header.contains(*name)) {
                routes_by_header.extend(own.routes.iter().map(|route| by_header(route, name)));
            }
            for route in &mut own.routes {
                if let Some(Action::Route(action)) = &mut route.action {
                    rewrite_host(action, backend.name);
                }
            }
            virtual_hosts.push(own);
        }
    }
    if routes_by_header.is_empty() {
        return Ok(virtual_hosts);
    }
    for virtual_host in &mut virtual_hosts {
        only_without_header(&mut virtual_host.routes);
        virtual_host.routes.splice(0..0, routes_by_header.iter().cloned());
    }
    virtual_hosts.push(virtual_host(names::DEFAULT_BACKEND, vec!["*".to_owned()], routes_by_header));
    Ok(virtual_hosts)
}

/// The virtual hosts of a backend, one for each of its ports for requests. All are known with their port, and the first
/// one without, too.
fn request_ports(backend: &Backend<'_>) -> Result<Vec<VirtualHost>, ComposeError> {
    let mut virtual_hosts: Vec<VirtualHost> = Vec::new();
    for service_port in &backend.fragment.ports {
        let Routing::VirtualHost(part) = &service_port.routing else {
            continue;
        };
        let mut virtual_host: VirtualHost = decode("the virtual host of a backend", part.content())?;
        if !virtual_hosts.is_empty() {
            let with_port = format!("{}:{}", backend.name, service_port.port);
            virtual_host.name.clone_from(&with_port);
            virtual_host.domains = vec![with_port];
        }
        virtual_hosts.push(virtual_host);
    }
    Ok(virtual_hosts)
}

/// What the node's ingress writes into the header: the virtual services, with or without a port, that are meant by
/// requests which keep their host.
fn named_by_header(node: &NodeFragment) -> Result<BTreeSet<String>, ComposeError> {
    let mut named = BTreeSet::new();
    for resource in &node.route_configurations {
        let any: Any = decode("a route configuration of the node", &resource.body.to_bytes())?;
        let configuration: RouteConfiguration = decode("a route configuration of the node", &any.value)?;
        let routes = configuration.virtual_hosts.iter().flat_map(|host| &host.routes);
        let added = routes.flat_map(|route| &route.request_headers_to_add);
        named.extend(added.filter_map(|option| header_value(option, names::VIRTUAL_SERVICE_HEADER)));
    }
    Ok(named)
}

/// The same route, for requests that name `virtual_service` by the header. The header goes no further.
fn by_header(route: &Route, virtual_service: &str) -> Route {
    let mut route = route.clone();
    let condition = route.r#match.get_or_insert_default();
    let names_it = header(names::VIRTUAL_SERVICE_HEADER, exactly(virtual_service));
    condition.headers.push(names_it);
    route.request_headers_to_remove.push(names::VIRTUAL_SERVICE_HEADER.to_owned());
    route
}

/// The same routes, for requests that say by the host where they go.
fn only_without_header(routes: &mut [Route]) {
    for route in routes {
        let condition = route.r#match.get_or_insert_default();
        let without = inverted(header_present(names::VIRTUAL_SERVICE_HEADER));
        condition.headers.push(without);
    }
}
