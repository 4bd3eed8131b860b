//! The listener of virtual nodes for the traffic to their application. Where they take requests only, and write no access logs, nothing
//! goes into it but their ports: it is the same for most nodes of a mesh.

use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener};

use super::{ip, names};
use crate::envoy::http_connection_manager::{self, http_connection_manager};
use crate::envoy::listener::{NetworkFilter, by_original_destination, filter_chain, listener, to_port};
use crate::envoy::tcp_proxy::{self, tcp_proxy};
use crate::envoy::value::duration;
use crate::model::{IpPreference, Protocol};

/// Where nodes listen for requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RequestPorts {
    /// Which addresses are used.
    pub(super) ip_preference: Option<IpPreference>,
    /// What is spoken where, which is not [`Protocol::Tcp`].
    pub(super) ports: Vec<(Protocol, u16)>,
}

impl RequestPorts {
    /// The listener of nodes that listen there, without access logs.
    pub(super) fn listener(&self) -> Listener {
        let count = self.ports.len();
        let chains = self.ports.iter().map(|&(protocol, port)| for_requests(count, protocol, port, &[]));
        ingress(self.ip_preference, chains.collect())
    }
}

/// The listener of a node with a filter chain for each of its ports.
pub(super) fn ingress(ip_preference: Option<IpPreference>, chains: Vec<FilterChain>) -> Listener {
    let address = ip::bind_address(ip_preference, names::INGRESS_PORT);
    let mut ingress = listener(names::INGRESS_LISTENER, address, TrafficDirection::Inbound);
    ingress.listener_filters = vec![by_original_destination()];
    ingress.filter_chains = chains;
    ingress
}

/// The filter chain for requests, of a node with so many `listeners`.
pub(super) fn for_requests(
    listeners: usize,
    protocol: Protocol,
    port: u16,
    access_logs: &[AccessLog],
) -> FilterChain {
    let stat_prefix = names::ingress_stat_prefix(listeners, protocol, port);
    let routes = names::ingress_route_configuration(protocol, port);
    let manager = http_connection_manager(&stat_prefix, &routes, access_logs);
    chain(protocol, port, http_connection_manager::filter(&manager))
}

/// The filter chain for connections that go to `cluster`.
pub(super) fn for_connections(
    listeners: usize,
    port: u16,
    cluster: &str,
    idle_timeout: Duration,
    access_logs: &[AccessLog],
) -> FilterChain {
    let stat_prefix = names::ingress_stat_prefix(listeners, Protocol::Tcp, port);
    let mut proxy = tcp_proxy(&stat_prefix, cluster, access_logs);
    proxy.idle_timeout = Some(duration(idle_timeout));
    chain(Protocol::Tcp, port, tcp_proxy::filter(&proxy))
}

fn chain(protocol: Protocol, port: u16, filter: NetworkFilter) -> FilterChain {
    filter_chain(&format!("ingress_{protocol}_{port}"), to_port(port), filter)
}
