//! Clusters.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use envoy_types::pb::envoy::config::core::v3::{Address, Http1ProtocolOptions, Http2ProtocolOptions};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
};

use prost::Message;

use super::address::one_endpoint;
use super::value::{ads, any, duration, uint32};

/// The name under which Envoy looks for the HTTP options of a cluster.
const HTTP_PROTOCOL_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What is not limited: the largest number that Envoy counts to in a circuit breaker.
pub const UNLIMITED: u32 = 2_147_483_647;

/// How much may be in flight to a cluster at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub connections: u32,
    /// Requests that wait for a connection.
    pub pending_requests: u32,
    /// Requests.
    pub requests: u32,
}

impl Default for Limits {
    /// No limits.
    fn default() -> Self {
        Self { connections: UNLIMITED, pending_requests: UNLIMITED, requests: UNLIMITED }
    }
}

/// A cluster of one address that is known.
pub fn static_cluster(name: &str, address: Address, connect_timeout: Duration, limits: Limits) -> Cluster {
    Cluster {
        load_assignment: Some(one_endpoint(name, address)),
        ..cluster(name, DiscoveryType::Static, connect_timeout, limits)
    }
}

/// A cluster of what DNS answers for the host of `address`: all of it with [`DiscoveryType::StrictDns`], any one of it
/// with [`DiscoveryType::LogicalDns`].
pub fn dns_cluster(
    name: &str,
    discovery: DiscoveryType,
    address: Address,
    family: DnsLookupFamily,
    connect_timeout: Duration,
) -> Cluster {
    Cluster {
        load_assignment: Some(one_endpoint(name, address)),
        dns_lookup_family: family.into(),
        ..cluster(name, discovery, connect_timeout, Limits::default())
    }
}

/// A cluster of the endpoints that the control plane knows by the same name.
pub fn eds_cluster(name: &str, connect_timeout: Duration) -> Cluster {
    Cluster {
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), ..EdsClusterConfig::default() }),
        ..cluster(name, DiscoveryType::Eds, connect_timeout, Limits::default())
    }
}

/// A cluster of whatever address the connection was intercepted on its way to.
pub fn original_destination_cluster(name: &str, connect_timeout: Duration) -> Cluster {
    Cluster {
        lb_policy: LbPolicy::ClusterProvided.into(),
        ..cluster(name, DiscoveryType::OriginalDst, connect_timeout, Limits::default())
    }
}

fn cluster(name: &str, discovery: DiscoveryType, connect_timeout: Duration, limits: Limits) -> Cluster {
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery.into())),
        connect_timeout: Some(duration(connect_timeout)),
        circuit_breakers: Some(circuit_breakers(limits)),
        ..Cluster::default()
    }
}

fn circuit_breakers(limits: Limits) -> CircuitBreakers {
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: uint32(limits.connections),
            max_pending_requests: uint32(limits.pending_requests),
            max_requests: uint32(limits.requests),
            max_retries: uint32(UNLIMITED),
            ..Thresholds::default()
        }],
        ..CircuitBreakers::default()
    }
}

/// Makes Envoy speak HTTP/2 to a cluster, and not HTTP/1.1.
pub fn speak_http2(cluster: &mut Cluster) {
    let http2 = ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default());
    let config = ExplicitHttpConfig { protocol_config: Some(http2) };
    set_upstream_protocol(cluster, UpstreamProtocolOptions::ExplicitHttpConfig(config));
}

/// Whether a cluster is always spoken to in HTTP/2.
pub fn speaks_http2(cluster: &Cluster) -> bool {
    let options = cluster.typed_extension_protocol_options.get(HTTP_PROTOCOL_OPTIONS);
    let options = options.and_then(|any| HttpProtocolOptions::decode(any.value.as_slice()).ok());
    matches!(
        options.and_then(|options| options.upstream_protocol_options),
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(_)),
        }))
    )
}

/// Makes a cluster of all that DNS answers into one that gRPC takes for the same; whether it was one.
pub fn resolve_all_at_once(cluster: &mut Cluster) -> bool {
    let strict = Some(ClusterDiscoveryType::Type(DiscoveryType::StrictDns.into()));
    let is_strict = cluster.cluster_discovery_type == strict;
    if is_strict {
        cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::LogicalDns.into()));
    }
    is_strict
}

/// Makes Envoy speak to a cluster as it is spoken to: HTTP/2 if the request came by HTTP/2.
pub fn speak_as_spoken_to(cluster: &mut Cluster) {
    let config = UseDownstreamHttpConfig {
        http_protocol_options: Some(Http1ProtocolOptions::default()),
        http2_protocol_options: Some(Http2ProtocolOptions::default()),
        ..UseDownstreamHttpConfig::default()
    };
    set_upstream_protocol(cluster, UpstreamProtocolOptions::UseDownstreamProtocolConfig(config));
}

fn set_upstream_protocol(cluster: &mut Cluster, protocol: UpstreamProtocolOptions) {
    let options =
        HttpProtocolOptions { upstream_protocol_options: Some(protocol), ..HttpProtocolOptions::default() };
    cluster.typed_extension_protocol_options.insert(HTTP_PROTOCOL_OPTIONS.to_owned(), any(&options));
}
