//! Composing: what one Envoy should have, of the fragment of its node and those of its backends.
//!
//! Clusters, endpoints and ingress are taken as they are. What is made here is the egress, since it depends on which
//! backends share a port. A sidecar's is in `intercepted`, a gateway's in `redirected`. A gRPC client without an Envoy has
//! other needs, which are in `proxyless`. Most changes are of the routes of one backend, which take less: `recompose`.

pub(crate) mod hosts;
mod intercepted;
mod proxyless;
mod recompose;
mod redirected;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use legation_actors::composition::{Backend, Client, ComposeError, Composed, Composer};
use legation_actors::snapshot::{ResourceSet, Snapshot, Source};
use legation_proto::fragment::{Egress, EgressMode, NodeFragment};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use prost::Message;
use proxyless::Proxyless;

/// How what clients should have is composed.
pub const COMPOSER: Composer = Composer { compose, recompose: recompose::recompose };

/// Makes what a client should have of the fragment of its node and those of its backends, which come in the order of their
/// names. Pure: the same fragments give the same snapshot. What would be the same as `before` is shared with it.
pub fn compose(
    client: Client,
    node: &NodeFragment,
    backends: &[Backend<'_>],
    before: Option<&Snapshot>,
) -> Result<Composed, ComposeError> {
    match client {
        Client::Envoy => compose_envoy(node, backends, before),
        Client::Grpc => {
            let Proxyless { clusters, endpoints, listeners, route_configurations, problems } =
                proxyless::compose(node, backends)?;
            let secrets = Vec::new();
            let sets = [clusters, endpoints, secrets, listeners, route_configurations].map(ResourceSet::new);
            Ok(composed(newest(node, backends), sets.map(Arc::new), problems))
        }
    }
}

fn compose_envoy(
    node: &NodeFragment,
    backends: &[Backend<'_>],
    before: Option<&Snapshot>,
) -> Result<Composed, ComposeError> {
    let newest = newest(node, backends);
    let before = |resource_type| before.map(|before| before.set(resource_type));
    let listeners_before = before(ResourceType::Listener);
    let egress = match node.egress.mode {
        EgressMode::Intercepted => intercepted::compose(node, backends, listeners_before)?,
        EgressMode::Redirected { port } => redirected::compose(node, backends, port, newest)?,
    };
    let fragments = || backends.iter().map(|backend| backend.fragment);
    let clusters = joined(before(ResourceType::Cluster), || {
        std::iter::once(&node.clusters).chain(fragments().map(|fragment| &fragment.clusters))
    });
    let endpoints =
        joined(before(ResourceType::Endpoints), || fragments().map(|fragment| &fragment.endpoints));
    let secrets = joined(before(ResourceType::Secret), std::iter::empty); // no definition leads to one yet
    let mut route_configurations = node.route_configurations.clone();
    route_configurations.extend(egress.route_configurations);
    let route_configurations = Arc::new(ResourceSet::new(route_configurations));
    Ok(composed(
        newest,
        [clusters, endpoints, secrets, egress.listeners, route_configurations],
        egress.problems,
    ))
}

/// The newest definition of all.
fn newest(node: &NodeFragment, backends: &[Backend<'_>]) -> Transaction {
    backends.iter().map(|backend| backend.fragment.transaction).fold(node.transaction, Transaction::max)
}

/// These resources together, the same set as `before` if they are the same.
fn joined<'a, I: Iterator<Item = &'a Vec<Resource>>>(
    before: Option<&Arc<ResourceSet>>,
    parts: impl Fn() -> I,
) -> Arc<ResourceSet> {
    let source = parts().fold(Source::begin(), |source, part| source.resources(part)).finish();
    let Ok(set) =
        ResourceSet::made_of(source, before, || Ok::<_, Infallible>(parts().flatten().cloned().collect()));
    set
}

fn composed(
    newest: Transaction,
    sets: [Arc<ResourceSet>; ResourceType::COUNT],
    problems: Vec<String>,
) -> Composed {
    Composed { snapshot: Snapshot::at(newest, sets), problems: problems.into() }
}

/// The part of a snapshot that depends on which backends share a port.
struct ComposedEgress {
    /// All listeners of the node, the outbound one among them.
    listeners: Arc<ResourceSet>,
    route_configurations: Vec<Resource>,
    /// Which backends are left out at which port, and why.
    problems: Vec<String>,
}

/// The access logs of what a node sends out.
fn access_logs(egress: &Egress) -> Result<Vec<AccessLog>, ComposeError> {
    egress.access_logs.iter().map(|log| decode("an access log of the node", log)).collect()
}

/// Decodes `bytes`, which are `what`.
fn decode<M: Message + Default>(what: &str, bytes: &[u8]) -> Result<M, ComposeError> {
    M::decode(bytes).map_err(|error| ComposeError { reason: format!("{what} cannot be decoded: {error}") })
}
