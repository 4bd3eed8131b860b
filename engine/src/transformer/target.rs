//! Virtual nodes as targets of routes: which of their listeners is meant, and the cluster that leads there.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::DiscoveryType;
use envoy_types::pb::envoy::config::core::v3::Address;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;

use super::definitions::Versioned;
use super::listening::{Listening, meant_listener, port_number};
use super::transform::TransformError;
use super::{health, ip, names};
use crate::envoy::address::{no_endpoints, socket_address};
use crate::envoy::cluster::{dns_cluster, eds_cluster, speak_http2};
use crate::model::service_discovery::DnsServiceDiscovery;
use crate::model::{
    DnsResponseType, IpPreference, Listener, MeshSpec, Protocol, ServiceDiscovery, VirtualNodeSpec,
    WeightedTarget,
};

/// How long a connection to an endpoint may take (observed).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A virtual node as a target.
#[derive(Debug)]
pub(super) struct Target {
    /// The newest definition that went into it.
    pub(super) transaction: Transaction,
    /// Its listeners, in ascending order of port.
    pub(super) listeners: Vec<TargetListener>,
}

/// A listener of a virtual node as a target.
#[derive(Debug)]
pub(super) struct TargetListener {
    /// Its port.
    pub(super) port: u16,
    /// What it speaks.
    pub(super) protocol: Protocol,
    /// The cluster that leads there.
    pub(super) cluster: TargetCluster,
}

/// A cluster that leads to a listener of a virtual node. It is encoded once, for all virtual services that lead there.
#[derive(Debug, Clone)]
pub(super) struct TargetCluster {
    /// The cluster.
    pub(super) cluster: Resource,
    /// Its endpoints, if Envoy asks for them.
    pub(super) endpoints: Option<Resource>,
}

impl Target {
    /// The virtual node `name` of the mesh `mesh_name`.
    pub(super) fn new(
        mesh_name: &str,
        mesh: &Versioned<MeshSpec>,
        name: &str,
        node: &Versioned<VirtualNodeSpec>,
    ) -> Self {
        let transaction = node.transaction.max(mesh.transaction);
        let ip_preference = ip::preference(&mesh.spec, &node.spec);
        let mut listeners: Vec<_> = node
            .spec
            .listeners()
            .iter()
            .map(|listener| {
                let port = port_number(listener.port_mapping.port);
                let protocol = listener.port_mapping.protocol;
                let cluster_name = names::egress_cluster(mesh_name, name, protocol, port);
                let discovery = node.spec.service_discovery.as_ref();
                let cluster = discovered_cluster(discovery, ip_preference, &cluster_name, port);
                let cluster = TargetCluster::new(cluster, listener, transaction);
                TargetListener { port, protocol, cluster }
            })
            .collect();
        listeners.sort_by_key(|listener| listener.port);
        Self { transaction, listeners }
    }

    /// The listener that `target`, of `route`, means when it gets what comes in by `protocol` at `port`.
    pub(super) fn listener(
        &self,
        route: &str,
        target: &WeightedTarget,
        protocol: Protocol,
        port: u16,
    ) -> Result<&TargetListener, TransformError> {
        meant_listener(&self.listeners, route, target, protocol, port)
    }
}

impl Listening for TargetListener {
    fn port(&self) -> u16 {
        self.port
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl TargetCluster {
    /// The cluster of `listener`, of which `cluster` says how its endpoints are found.
    fn new(mut cluster: Cluster, listener: &Listener, transaction: Transaction) -> Self {
        if health::speaks_http2(listener.port_mapping.protocol) {
            speak_http2(&mut cluster);
        }
        cluster.health_checks = health::health_check_of(listener).into_iter().collect();
        cluster.outlier_detection = listener.outlier_detection.as_ref().map(health::outlier_detection);

        let name = &cluster.name;
        let is_eds = cluster.eds_cluster_config.is_some();
        let endpoints =
            is_eds.then(|| Resource::encode(ResourceType::Endpoints, name, transaction, &no_endpoints(name)));
        Self { cluster: Resource::encode(ResourceType::Cluster, name, transaction, &cluster), endpoints }
    }

    /// Its name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.cluster.name
    }
}

/// A cluster by the node's service discovery. Without one there are no endpoints, and the control plane says so, so that
/// requests are answered with 503 at once.
fn discovered_cluster(
    discovery: Option<&ServiceDiscovery>,
    ip_preference: Option<IpPreference>,
    name: &str,
    port: u16,
) -> Cluster {
    match discovery {
        Some(ServiceDiscovery::Dns(dns)) => {
            let family = ip::lookup_family(ip_preference);
            dns_cluster(name, discovery_type(dns), dns_address(&dns.hostname, port), family, CONNECT_TIMEOUT)
        }
        Some(ServiceDiscovery::AwsCloudMap(_)) | None => eds_cluster(name, CONNECT_TIMEOUT),
    }
}

fn discovery_type(dns: &DnsServiceDiscovery) -> DiscoveryType {
    match dns.response_type {
        None | Some(DnsResponseType::LoadBalancer) => DiscoveryType::LogicalDns,
        Some(DnsResponseType::Endpoints) => DiscoveryType::StrictDns,
    }
}

/// The host to look up, with a dot at its end, so that no search domain is tried. An IP address has none, and neither has
/// a name of one part, such as `localhost`: the hosts file or a search domain must complete it.
fn dns_address(hostname: &str, port: u16) -> Address {
    let is_address = hostname.parse::<std::net::IpAddr>().is_ok();
    if is_address || !hostname.contains('.') || hostname.ends_with('.') {
        return socket_address(hostname, port);
    }
    socket_address(&format!("{hostname}."), port)
}
