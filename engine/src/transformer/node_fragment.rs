//! What the fragments of virtual nodes and virtual gateways have in common.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use legation_proto::fragment::{self, EgressMode, NodeFragment};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use prost::Message;

use super::egress::Egress;

/// The parts of a node's fragment, as Envoy's messages.
pub(super) struct NodeParts<'a> {
    /// The newest definition that went into them.
    pub(super) transaction: Transaction,
    pub(super) clusters: Vec<Cluster>,
    /// Ingress listeners, which nodes share as far as they are the same.
    pub(super) listeners: Vec<Resource>,
    /// Ingress route configurations.
    pub(super) route_configurations: Vec<RouteConfiguration>,
    /// The egress, without what depends on the backends.
    pub(super) egress: &'a Egress,
    pub(super) egress_mode: EgressMode,
    pub(super) access_logs: &'a [AccessLog],
    /// The virtual services that the node may reach.
    pub(super) backends: BTreeSet<Arc<str>>,
}

impl NodeParts<'_> {
    /// Encodes every resource, once.
    pub(super) fn encode(self) -> NodeFragment {
        let transaction = self.transaction;
        let mut clusters =
            resources(ResourceType::Cluster, transaction, &self.clusters, |cluster| &cluster.name);
        clusters.extend_from_slice(&self.egress.clusters);
        NodeFragment {
            transaction,
            clusters,
            listeners: self.listeners,
            route_configurations: resources(
                ResourceType::RouteConfiguration,
                transaction,
                &self.route_configurations,
                |routes| &routes.name,
            ),
            egress: fragment::Egress {
                listener: self.egress.listener.clone(),
                access_logs: self.access_logs.iter().map(|log| log.encode_to_vec().into()).collect(),
                mode: self.egress_mode,
            },
            backends: self.backends.into_iter().collect(),
        }
    }
}

/// Each of these messages, made at `transaction`.
pub(super) fn resources<M: Message>(
    resource_type: ResourceType,
    transaction: Transaction,
    messages: &[M],
    name: fn(&M) -> &str,
) -> Vec<Resource> {
    messages
        .iter()
        .map(|message| Resource::encode(resource_type, name(message), transaction, message))
        .collect()
}
