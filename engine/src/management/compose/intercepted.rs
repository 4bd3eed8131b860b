//! The egress of a sidecar: a filter chain for every port of a backend, matched on where an intercepted connection was on
//! its way to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::listener::v3::FilterChain;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use legation_actors::composition::{Backend, ComposeError};
use legation_actors::snapshot::{ResourceSet, Source};
use legation_proto::body::Part;
use legation_proto::fragment::{NodeFragment, Routing};
use legation_proto::resource::Resource;
use legation_proto::version::Transaction;
use prost::Message;

use super::hosts::{self, Hosts};
use super::{ComposedEgress, access_logs, decode};
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
    Requests(Requests),
    /// Connections, to the only backend that can be there.
    Connections(&'a [u8]),
}

/// The requests at a port.
struct Requests {
    virtual_hosts: Vec<Part>,
    /// The newest of their definitions.
    transaction: Transaction,
    /// The hosts that are taken. There are none to keep account of where no two backends can have one in common.
    taken: Option<Hosts>,
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
        let Port::Requests(Requests { mut virtual_hosts, transaction, .. }) = routing else {
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
            Port::Requests(_) => source.number(0),
            Port::Connections(proxy) => source.number(1).bytes(proxy),
        }
    });
    with_ports.finish()
}

/// The node's own listeners, and the outbound one with a filter chain for each port. Which ports there are follows from the
/// backends, but what the listener is like from the node: it has the node's transaction.
fn listeners(node: &NodeFragment, ports: &BTreeMap<u16, Port<'_>>) -> Result<Vec<Resource>, ComposeError> {
    let access_logs = access_logs(&node.egress)?;
    let chain_of = |(port, routing): (&u16, &Port<'_>)| match routing {
        Port::Requests(_) => Ok(request_chain(*port, &access_logs)),
        Port::Connections(proxy) => connection_chain(*port, proxy, &access_logs),
    };
    let chains = ports.iter().map(chain_of).collect::<Result<Vec<_>, _>>()?;
    let body = encoded::listener(&node.egress.listener, chains);
    let mut listeners = node.listeners.clone();
    listeners.push(Resource::of(names::EGRESS_LISTENER.into(), node.transaction, body));
    Ok(listeners)
}

/// The ports of all backends. At one port there can be requests for many backends, told apart by host, or connections to
/// one. Of backends that do not go together those with requests have the port, since there may be many of them, or else the
/// first by name; the others are left out, which is a problem of theirs.
fn ports<'a>(backends: &[Backend<'a>], problems: &mut Vec<String>) -> BTreeMap<u16, Port<'a>> {
    let mut ports = BTreeMap::new();
    let may_share_hosts = backends.iter().any(|backend| hosts::is_ambiguous(backend.name));
    let nothing = || Port::Requests(Requests::new(may_share_hosts));
    for backend in backends {
        for service_port in &backend.fragment.ports {
            let port = service_port.port;
            if let Routing::VirtualHost(virtual_host) = &service_port.routing
                && let Port::Requests(requests) = ports.entry(port).or_insert_with(nothing)
                && !requests.add(backend, virtual_host, || hosts::of_service(backend.name, port))
            {
                problems.push(format!(
                    "virtual service {} is left out at port {port}: another backend has the same host there",
                    backend.name
                ));
            }
        }
    }
    // one that has no provider is known nowhere by its port, and must not be taken for what is outside the mesh
    for backend in backends.iter().filter(|backend| backend.fragment.ports.is_empty()) {
        let without_routes = virtual_host_without_routes(backend.name);
        for port in ports.values_mut() {
            if let Port::Requests(requests) = port {
                requests.add(backend, &without_routes, || [backend.name.to_owned()]);
            }
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

impl Requests {
    fn new(may_share_hosts: bool) -> Self {
        Self { virtual_hosts: Vec::new(), transaction: 0, taken: may_share_hosts.then(Hosts::default) }
    }

    /// Adds a virtual host of a backend if the hosts that it is for are free.
    fn add<const N: usize>(
        &mut self,
        backend: &Backend<'_>,
        virtual_host: &Part,
        hosts: impl FnOnce() -> [String; N],
    ) -> bool {
        let are_free = self.taken.as_mut().is_none_or(|taken| taken.take(&hosts()));
        if are_free {
            self.virtual_hosts.push(virtual_host.clone());
            self.transaction = backend.fragment.transaction.max(self.transaction);
        }
        are_free
    }
}

/// A virtual host under which requests are answered with 404.
fn virtual_host_without_routes(backend: &str) -> Part {
    Part::virtual_host(&virtual_host(backend, vec![backend.to_owned()], Vec::new()).encode_to_vec())
}

fn request_chain(port: u16, access_logs: &[AccessLog]) -> FilterChain {
    let routes = names::egress_route_configuration(port);
    let manager = http_connection_manager(names::EGRESS_STAT_PREFIX, &routes, access_logs);
    chain("http", port, http_connection_manager::filter(&manager))
}

fn connection_chain(port: u16, proxy: &[u8], access_logs: &[AccessLog]) -> Result<FilterChain, ComposeError> {
    let mut proxy: TcpProxy = decode("the TCP proxy of a backend", proxy)?;
    proxy.access_log = access_logs.to_vec();
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
