//! The egress of virtual nodes, as far as it does not depend on their backends: what lies outside the mesh. It is the same for
//! most nodes of a mesh.

use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use prost::Message;

use super::definitions::Versioned;
use super::{ip, names};
use crate::envoy::cluster::{original_destination_cluster, speak_as_spoken_to};
use crate::envoy::listener::{
    NetworkFilter, by_original_destination, by_server_name_at, default_filter_chain, filter_chain, listener,
    to_server,
};
use crate::envoy::tcp_proxy::{self, tcp_proxy};
use crate::model::{EgressFilterType, IpPreference, MeshSpec};

/// How long a connection to somewhere outside the mesh may take.
const OUTSIDE_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The port of AWS's own services.
const AMAZONAWS_PORT: u16 = 443;

/// The servers of AWS's own services.
const AMAZONAWS_SERVERS: &str = "*.amazonaws.com";

/// What an egress is made of, encoded.
#[derive(Debug)]
pub(super) struct Egress {
    /// The clusters of what lies outside the mesh.
    pub(super) clusters: Vec<Resource>,
    /// The listener for the traffic from the application, to be completed with what depends on the backends.
    pub(super) listener: Bytes,
}

impl Egress {
    /// Of nodes of the mesh `name` with this preference and these access logs.
    pub(super) fn new(
        name: &str,
        mesh: &Versioned<MeshSpec>,
        ip_preference: Option<IpPreference>,
        access_logs: &[AccessLog],
    ) -> Self {
        let outside = Outside {
            mesh: name,
            allows_all: mesh.spec.egress() == EgressFilterType::AllowAll,
            ip_preference,
            access_logs,
        };
        let encode = |cluster: &Cluster| {
            Resource::encode(ResourceType::Cluster, &cluster.name, mesh.transaction, cluster)
        };
        Self {
            clusters: outside.clusters().iter().map(encode).collect(),
            listener: outside.listener().encode_to_vec().into(),
        }
    }
}

struct Outside<'a> {
    mesh: &'a str,
    allows_all: bool,
    ip_preference: Option<IpPreference>,
    access_logs: &'a [AccessLog],
}

impl Outside<'_> {
    /// Requests at a backend's port may be for the outside, so that there both versions of HTTP are spoken.
    fn clusters(&self) -> Vec<Cluster> {
        let amazonaws = names::amazonaws_cluster(self.mesh);
        let mut clusters = vec![original_destination_cluster(&amazonaws, OUTSIDE_CONNECT_TIMEOUT)];
        if self.allows_all {
            let name = names::allow_all_cluster(self.mesh);
            let mut anywhere = original_destination_cluster(&name, OUTSIDE_CONNECT_TIMEOUT);
            speak_as_spoken_to(&mut anywhere);
            clusters.push(anywhere);
        }
        clusters
    }

    /// AWS's own services are always reached, and everything that is for no backend where the mesh allows all.
    fn listener(&self) -> Listener {
        let address = ip::bind_address(self.ip_preference, names::EGRESS_PORT);
        let mut egress = listener(names::EGRESS_LISTENER, address, TrafficDirection::Outbound);
        egress.listener_filters = vec![by_original_destination(), by_server_name_at(AMAZONAWS_PORT)];
        // a client that waits for the server to speak first names none, and goes on without
        egress.continue_on_listener_filters_timeout = true;
        egress.filter_chains = vec![filter_chain(
            "egress_amazonaws",
            to_server(AMAZONAWS_PORT, AMAZONAWS_SERVERS),
            self.filter(&names::amazonaws_cluster(self.mesh)),
        )];
        if self.allows_all {
            let filter = self.filter(&names::allow_all_cluster(self.mesh));
            egress.default_filter_chain = Some(default_filter_chain("egress_mesh-allow-all", filter));
        }
        egress
    }

    fn filter(&self, cluster: &str) -> NetworkFilter {
        tcp_proxy::filter(&tcp_proxy(names::EGRESS_STAT_PREFIX, cluster, self.access_logs))
    }
}
