//! The network filter for plain connections.

use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, WeightedCluster,
};

use super::listener::NetworkFilter;
use super::value::{any, duration};

/// Passes connections to a cluster.
pub fn tcp_proxy(stat_prefix: &str, cluster: &str, access_logs: &[AccessLog]) -> TcpProxy {
    TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        access_log: access_logs.to_vec(),
        ..TcpProxy::default()
    }
}

/// Passes connections to clusters in proportion to their weights, without those of weight zero, which Envoy does not
/// take here. Nothing, if none is left.
pub fn weighted_tcp_proxy(
    stat_prefix: &str,
    clusters: &[(impl AsRef<str>, u32)],
    idle_timeout: Duration,
) -> Option<TcpProxy> {
    let clusters: Vec<_> = clusters
        .iter()
        .filter(|(_, weight)| *weight > 0)
        .map(|(name, weight)| ClusterWeight {
            name: name.as_ref().to_owned(),
            weight: *weight,
            ..ClusterWeight::default()
        })
        .collect();
    if clusters.is_empty() {
        return None;
    }
    Some(TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(ClusterSpecifier::WeightedClusters(WeightedCluster { clusters })),
        idle_timeout: Some(duration(idle_timeout)),
        ..TcpProxy::default()
    })
}

/// As a network filter.
pub fn filter(proxy: &TcpProxy) -> NetworkFilter {
    NetworkFilter { name: "envoy.filters.network.tcp_proxy", config: any(proxy) }
}
