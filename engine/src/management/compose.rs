//! Composing: what one Envoy should have, of the fragment of its node and those of its backends.
//!
//! Clusters, endpoints and ingress are taken as they are. What is made here is the egress, since it depends on which
//! backends share a port. A sidecar's is in `intercepted`, a gateway's in `redirected`. A gRPC client without an Envoy has
//! other needs, which are in `proxyless`.

mod intercepted;
mod proxyless;
mod redirected;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use legation_actors::composition::{Backend, Client, ComposeError, Composed};
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_proto::fragment::{Egress, EgressMode, NodeFragment};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use prost::Message;
use proxyless::Proxyless;

/// Makes what a client should have of the fragment of its node and those of its backends, which come in the order of their
/// names. Pure: the same fragments give the same snapshot.
pub fn compose(
    client: Client,
    node: &NodeFragment,
    backends: &[Backend<'_>],
) -> Result<Composed, ComposeError> {
    match client {
        Client::Envoy => compose_envoy(node, backends),
        Client::Grpc => {
            let Proxyless { clusters, endpoints, listeners, route_configurations, problems } =
                proxyless::compose(node, backends)?;
            let secrets = Vec::new();
            Ok(composed([clusters, endpoints, secrets, listeners, route_configurations], problems))
        }
    }
}

fn compose_envoy(node: &NodeFragment, backends: &[Backend<'_>]) -> Result<Composed, ComposeError> {
    let transaction =
        backends.iter().map(|backend| backend.fragment.transaction).fold(node.transaction, Transaction::max);
    let egress = match node.egress.mode {
        EgressMode::Intercepted => intercepted::compose(node, backends, transaction)?,
        EgressMode::Redirected { port } => redirected::compose(node, backends, port, transaction)?,
    };

    let mut clusters = node.clusters.clone();
    let mut endpoints = Vec::new();
    for backend in backends {
        clusters.extend_from_slice(&backend.fragment.clusters);
        endpoints.extend_from_slice(&backend.fragment.endpoints);
    }
    let mut listeners = node.listeners.clone();
    listeners.push(egress.listener);
    let mut route_configurations = node.route_configurations.clone();
    route_configurations.extend(egress.route_configurations);
    let secrets = Vec::new(); // no definition leads to one yet
    Ok(composed([clusters, endpoints, secrets, listeners, route_configurations], egress.problems))
}

fn composed(sets: [Vec<Resource>; ResourceType::COUNT], problems: Vec<String>) -> Composed {
    Composed { snapshot: Arc::new(Snapshot::new(sets.map(ResourceSet::new))), problems: problems.into() }
}

/// The part of a snapshot that depends on which backends share a port.
struct ComposedEgress {
    listener: Resource,
    route_configurations: Vec<Resource>,
    /// Which backends are left out at which port, and why.
    problems: Vec<String>,
}

/// The egress of a node, decoded.
struct DecodedEgress {
    listener: Listener,
    access_logs: Vec<AccessLog>,
}

impl DecodedEgress {
    fn new(egress: &Egress) -> Result<Self, ComposeError> {
        let access_logs = egress.access_logs.iter();
        Ok(Self {
            listener: decode("the node's egress listener", &egress.listener)?,
            access_logs: access_logs
                .map(|log| decode("an access log of the node", log))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Decodes `bytes`, which are `what`.
fn decode<M: Message + Default>(what: &str, bytes: &[u8]) -> Result<M, ComposeError> {
    M::decode(bytes).map_err(|error| ComposeError { reason: format!("{what} cannot be decoded: {error}") })
}

/// The hosts that the virtual hosts of one route configuration have taken already. Envoy knows each host once, in whatever
/// case, and refuses a route configuration in which it stands twice.
#[derive(Default)]
struct Hosts(HashSet<String>);

impl Hosts {
    /// Takes all of `hosts`, or none if one of them is taken.
    fn take(&mut self, hosts: &[String]) -> bool {
        let hosts: Vec<_> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        if hosts.iter().any(|host| self.0.contains(host)) {
            return false;
        }
        self.0.extend(hosts);
        true
    }
}
