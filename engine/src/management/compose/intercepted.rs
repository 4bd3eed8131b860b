//! The egress of a sidecar: a filter chain for every port of a backend, matched on where an intercepted connection was on
//! its way to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3::FilterChain;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use legation_actors::composition::{Backend, ComposeError};
use legation_actors::snapshot::{ResourceSet, Source};
use legation_proto::body::Part;
use legation_proto::fragment::{NodeFragment, Routing};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use prost::Message;

use super::{ComposedEgress, DecodedEgress, Hosts, decode};
use crate::envoy::encoded;
use crate::envoy::http_connection_manager::{self, http_connection_manager};
use crate::envoy::listener::{NetworkFilter, filter_chain, to_port};
use crate::envoy::matching::everything;
use crate::envoy::route::{Timeouts, route, to_cluster, virtual_host};
use crate::envoy::tcp_proxy;
use crate::transformer::names;

/// The name of the virtual host for what is for no backend.
const ALLOW_ALL: &str = "mesh-allow-all";

/// What the backends have at one port.
enum Port<'a> {
    /// Requests, by host.
    Requests { virtual_hosts: Vec<Part>, hosts: Hosts, transaction: Transaction },
    /// Connections, to the only backend that can be there.
    Connections(&'a [u8]),
}

/// Composes the egress of a sidecar.
pub(super) fn compose(
    node: &NodeFragment,
    backends: &[Backend<'_>],
    listeners_before: Option<&Arc<ResourceSet>>,
) -> Result<ComposedEgress, ComposeError> {
    let mut problems = Vec::new();
    let ports = ports(backends, &mut problems);
    let source = source_of_listeners(node, &ports);
    let listeners = ResourceSet::made_of(source, listeners_before, || listeners(node, &ports))?;
    let allow_all = allow_all_virtual_host(node);
    let mut route_configurations = Vec::new();
    for (port, routing) in ports {
        let Port::Requests { mut virtual_hosts, transaction, .. } = routing else {
            continue;
        };
        virtual_hosts.extend(allow_all.clone());
        let name = names::egress_route_configuration(port);
        let body = encoded::route_configuration(&name, virtual_hosts);
        route_configurations.push(Resource::of(name.into(), transaction, body));
    }
    Ok(ComposedEgress { listeners, route_configurations, problems })
}

/// What the listeners are made of.
fn source_of_listeners(node: &NodeFragment, ports: &BTreeMap<u16, Port<'_>>) -> Source {
    let source =
        Source::begin().number(node.transaction).resources(&node.listeners).bytes(&node.egress.listener);
    let source = node.egress.access_logs.iter().fold(source, |source, log| source.bytes(log));
    let with_ports = ports.iter().fold(source, |source, (port, routing)| {
        let source = source.number((*port).into());
        match routing {
            Port::Requests { .. } => source.number(0),
            Port::Connections(proxy) => source.number(1).bytes(proxy),
        }
    });
    with_ports.finish()
}

/// The node's own listeners, and the outbound one with a filter chain for each port. Which ports there are follows from the
/// backends, but what the listener is like from the node: it has the node's transaction.
fn listeners(node: &NodeFragment, ports: &BTreeMap<u16, Port<'_>>) -> Result<Vec<Resource>, ComposeError> {
    let mut egress = DecodedEgress::new(&node.egress)?;
    for (port, routing) in ports {
        let chain = match routing {
            Port::Requests { .. } => request_chain(&egress, *port),
            Port::Connections(proxy) => connection_chain(&egress, *port, proxy)?,
        };
        egress.listener.filter_chains.push(chain);
    }
    let DecodedEgress { listener, .. } = egress;
    let mut listeners = node.listeners.clone();
    listeners.push(Resource::encode(ResourceType::Listener, &listener.name, node.transaction, &listener));
    Ok(listeners)
}

/// The ports of all backends. At one port there can be requests for many backends, told apart by host, or connections to
/// one. Of backends that do not go together those with requests have the port, since there may be many of them, or else the
/// first by name; the others are left out, which is a problem of theirs.
fn ports<'a>(backends: &[Backend<'a>], problems: &mut Vec<String>) -> BTreeMap<u16, Port<'a>> {
    let mut ports = BTreeMap::new();
    for backend in backends {
        for service_port in &backend.fragment.ports {
            if let Routing::VirtualHost(virtual_host) = &service_port.routing
                && !add_requests(&mut ports, service_port.port, backend, virtual_host)
            {
                problems.push(format!(
                    "virtual service {} is left out at port {}: another backend has the same host there",
                    backend.name, service_port.port
                ));
            }
        }
    }
    // one that has no provider is known nowhere by its port, and must not be taken for what is outside the mesh
    for backend in backends.iter().filter(|backend| backend.fragment.ports.is_empty()) {
        for port in ports.values_mut() {
            add_without_routes(port, backend);
        }
    }
    for backend in backends {
        for service_port in &backend.fragment.ports {
            let Routing::TcpProxy(proxy) = &service_port.routing else {
                continue;
            };
            match ports.entry(service_port.port) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Port::Connections(proxy));
                }
                Entry::Occupied(_) => problems.push(format!(
                    "virtual service {} is left out at port {}: connections by tcp cannot share a port, and another \
                     backend has it; give one of them another port",
                    backend.name, service_port.port
                )),
            }
        }
    }
    ports
}

/// Whether the hosts of the backend were free at the port.
fn add_requests<'a>(
    ports: &mut BTreeMap<u16, Port<'a>>,
    port: u16,
    backend: &Backend<'_>,
    virtual_host: &Part,
) -> bool {
    let own_hosts = [backend.name.to_owned(), format!("{}:{port}", backend.name)];
    let requests = Port::Requests { virtual_hosts: Vec::new(), hosts: Hosts::default(), transaction: 0 };
    let Port::Requests { virtual_hosts, hosts, transaction } = ports.entry(port).or_insert(requests) else {
        return false;
    };
    if !hosts.take(&own_hosts) {
        return false;
    }
    virtual_hosts.push(virtual_host.clone());
    *transaction = backend.fragment.transaction.max(*transaction);
    true
}

/// Adds a virtual host without routes, under which requests are answered with 404.
fn add_without_routes(port: &mut Port<'_>, backend: &Backend<'_>) {
    let Port::Requests { virtual_hosts, hosts, transaction } = port else {
        return;
    };
    let domains = vec![backend.name.to_owned()];
    if hosts.take(&domains) {
        let without_routes = virtual_host(backend.name, domains, Vec::new());
        virtual_hosts.push(Part::virtual_host(&without_routes.encode_to_vec()));
        *transaction = backend.fragment.transaction.max(*transaction);
    }
}

fn request_chain(egress: &DecodedEgress, port: u16) -> FilterChain {
    let manager = http_connection_manager(
        names::EGRESS_STAT_PREFIX,
        &names::egress_route_configuration(port),
        &egress.access_logs,
    );
    chain("http", port, http_connection_manager::filter(&manager))
}

fn connection_chain(egress: &DecodedEgress, port: u16, proxy: &[u8]) -> Result<FilterChain, ComposeError> {
    let mut proxy: TcpProxy = decode("the TCP proxy of a backend", proxy)?;
    proxy.access_log.clone_from(&egress.access_logs);
    Ok(chain("tcp", port, tcp_proxy::filter(&proxy)))
}

fn chain(protocol: &str, port: u16, filter: NetworkFilter) -> FilterChain {
    filter_chain(&format!("egress_{protocol}_{port}"), to_port(port), filter)
}

/// Where the mesh allows all, a request at a backend's port that is for no backend goes on to where it was going, as it
/// would at any other port.
fn allow_all_virtual_host(node: &NodeFragment) -> Option<Part> {
    let cluster = node.clusters.iter().find(|cluster| names::is_allow_all_cluster(&cluster.name))?;
    let action = to_cluster(&cluster.name, Timeouts::NONE);
    let routes = vec![route(ALLOW_ALL, everything(), Action::Route(action))];
    let virtual_host = virtual_host(ALLOW_ALL, vec!["*".to_owned()], routes);
    Some(Part::virtual_host(&virtual_host.encode_to_vec()))
}
