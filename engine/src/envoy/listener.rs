//! Listeners and filter chains.

use envoy_types::pb::envoy::config::core::v3::{Address, TrafficDirection};
use envoy_types::pb::envoy::config::listener::v3::listener_filter_chain_match_predicate::Rule;
use envoy_types::pb::envoy::config::listener::v3::{
    ApiListener, Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter,
    ListenerFilterChainMatchPredicate, filter, listener_filter,
};
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::r#type::v3::Int32Range;
use envoy_types::pb::google::protobuf::Any;

use super::http_connection_manager::http_connection_manager;
use super::value::{any, uint32};

/// A listener without filter chains.
pub fn listener(name: &str, address: Address, direction: TrafficDirection) -> Listener {
    Listener {
        name: name.to_owned(),
        address: Some(address),
        traffic_direction: direction.into(),
        ..Listener::default()
    }
}

/// A listener for clients that make requests themselves, without an Envoy: the routes are all that there is to it.
pub fn api_listener(name: &str, route_configuration: &str) -> Listener {
    let manager = http_connection_manager("", route_configuration, &[]);
    Listener {
        name: name.to_owned(),
        api_listener: Some(ApiListener { api_listener: Some(any(&manager)) }),
        ..Listener::default()
    }
}

/// Filter chains are chosen by where an intercepted connection was on its way to.
pub fn by_original_destination() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.original_dst".to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(any(&OriginalDst::default()))),
        ..ListenerFilter::default()
    }
}

/// Filter chains are chosen by the server name that a TLS client asks for, at this port only. Everywhere else the first
/// bytes are not waited for: in some protocols the server speaks first.
pub fn by_server_name_at(port: u16) -> ListenerFilter {
    let at_port =
        predicate(Rule::DestinationPortRange(Int32Range { start: port.into(), end: i32::from(port) + 1 }));
    ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        filter_disabled: Some(predicate(Rule::NotMatch(Box::new(at_port)))),
        config_type: Some(listener_filter::ConfigType::TypedConfig(any(&TlsInspector::default()))),
    }
}

fn predicate(rule: Rule) -> ListenerFilterChainMatchPredicate {
    ListenerFilterChainMatchPredicate { rule: Some(rule) }
}

/// The name that a network filter has in Envoy, and its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkFilter {
    /// Such as `envoy.filters.network.tcp_proxy`.
    pub name: &'static str,
    /// The message that configures it.
    pub config: Any,
}

/// What is done with the connections that `condition` chooses.
pub fn filter_chain(name: &str, condition: FilterChainMatch, filter: NetworkFilter) -> FilterChain {
    FilterChain {
        name: name.to_owned(),
        filter_chain_match: Some(condition),
        ..default_filter_chain(name, filter)
    }
}

/// What is done with the connections that no other chain is for.
pub fn default_filter_chain(name: &str, filter: NetworkFilter) -> FilterChain {
    FilterChain {
        name: name.to_owned(),
        filters: vec![Filter {
            name: filter.name.to_owned(),
            config_type: Some(filter::ConfigType::TypedConfig(filter.config)),
        }],
        ..FilterChain::default()
    }
}

/// Connections to `port`.
pub fn to_port(port: u16) -> FilterChainMatch {
    FilterChainMatch { destination_port: uint32(port.into()), ..FilterChainMatch::default() }
}

/// TLS connections to `port` that ask for a server of this name, which may start with `*.`.
pub fn to_server(port: u16, server_name: &str) -> FilterChainMatch {
    FilterChainMatch { server_names: vec![server_name.to_owned()], ..to_port(port) }
}
