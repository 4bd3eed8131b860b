//! Which resources a resource needs, and who needs it.
//!
//! Beside each definition that refers to others stand entries in the store, one for each resource that it refers
//! to. They are definitions to the store, committed together with what they are about:
//!
//! ```text
//! definitions/<mesh>/referrer/<kind and name of the target>/<uid of the referrer> = <key of the referrer>
//! ```
//! That a resource is needed by nobody is then a precondition that a commit can carry: nothing is under its
//! prefix here. A uid is never used twice, so an entry is about one resource and not a later one of that name.

use std::collections::BTreeSet;

use super::error::ApiError;
use super::lookup::Records;
use super::{Frontend, lookup};
use crate::model::key::{self, mesh_prefix};
use crate::model::{GatewayRouteKind, Path, ResourceId, RouteKind, Spec, VirtualServiceProvider};
use crate::store::At;

/// A place in a specification that names another resource.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The place.
    pub(crate) at: Path,
    /// The resource that is named there.
    pub(crate) target: ResourceId,
}

/// Every reference in a specification to a resource that must exist. A backend need not.
pub(crate) fn references(mesh: &str, spec: &Spec) -> Vec<Reference> {
    let spec_at = Path::root("spec");
    match spec {
        Spec::Route(route) => {
            route.kind().map_or_else(Vec::new, |kind| route_references(mesh, kind, &spec_at))
        }
        Spec::VirtualService(service) => service
            .provider
            .iter()
            .map(|provider| provider_reference(mesh, provider, &spec_at.field("provider")))
            .collect(),
        Spec::GatewayRoute(route) => {
            route.kind().map(|kind| gateway_route_reference(mesh, kind, &spec_at)).into_iter().collect()
        }
        Spec::Mesh(_) | Spec::VirtualNode(_) | Spec::VirtualRouter(_) | Spec::VirtualGateway(_) => Vec::new(),
    }
}

fn route_references(mesh: &str, kind: RouteKind<'_>, at: &Path) -> Vec<Reference> {
    let at = at.field(kind.member()).field("action").field("weightedTargets");
    let targets = kind.weighted_targets().iter().enumerate();
    targets
        .map(|(index, target)| Reference {
            at: at.index(index).field("virtualNode"),
            target: ResourceId::virtual_node(mesh, target.virtual_node.as_str()),
        })
        .collect()
}

fn provider_reference(mesh: &str, provider: &VirtualServiceProvider, at: &Path) -> Reference {
    match provider {
        VirtualServiceProvider::VirtualNode(node) => Reference {
            at: at.field("virtualNode").field("virtualNodeName"),
            target: ResourceId::virtual_node(mesh, node.virtual_node_name.as_str()),
        },
        VirtualServiceProvider::VirtualRouter(router) => Reference {
            at: at.field("virtualRouter").field("virtualRouterName"),
            target: ResourceId::virtual_router(mesh, router.virtual_router_name.as_str()),
        },
    }
}

fn gateway_route_reference(mesh: &str, kind: GatewayRouteKind<'_>, at: &Path) -> Reference {
    let at = at.field(kind.member()).field("action").field("target").field("virtualService");
    let name = kind.target().virtual_service.virtual_service_name.as_str();
    Reference { at: at.field("virtualServiceName"), target: ResourceId::virtual_service(mesh, name) }
}

/// The resources that a specification refers to, each once.
pub(super) fn targets(mesh: &str, spec: &Spec) -> BTreeSet<ResourceId> {
    references(mesh, spec).into_iter().map(|reference| reference.target).collect()
}

/// The prefix of the entries of all who refer to `target`.
pub(super) fn referrers_prefix(target: &ResourceId) -> String {
    let mesh = mesh_prefix(target.mesh_name());
    let key = target.key();
    let kind_and_name = key.strip_prefix(&mesh).unwrap_or(&key);
    format!("{}{kind_and_name}/", key::referrers_prefix(target.mesh_name()))
}

/// The key of the entry that says that the resource with this uid refers to `target`.
pub(super) fn referrer_key(target: &ResourceId, uid: &str) -> String {
    format!("{}{uid}", referrers_prefix(target))
}

/// The targets of these references. Refuses those that do not exist, with all that is missing.
pub(super) fn require_targets(
    references: Vec<Reference>,
    records: &Records,
) -> Result<BTreeSet<ResourceId>, ApiError> {
    let mut missing = Vec::new();
    let mut targets = BTreeSet::new();
    for Reference { at, target } in references {
        if records.get(&target.key()).is_none() {
            missing.push(at.error(format_args!("{target} does not exist")));
        }
        targets.insert(target);
    }
    if missing.is_empty() { Ok(targets) } else { Err(ApiError::TargetsNotFound(missing)) }
}

impl Frontend {
    /// Everything without which `id` cannot be deleted: what lies in it, and what refers to it.
    pub(super) async fn users(&self, id: &ResourceId) -> Result<Vec<ResourceId>, ApiError> {
        let mut users = Vec::new();
        for prefix in lookup::children_prefixes(id) {
            let listing = self.store.list(&prefix, At::Newest).await?;
            users.extend(listing.records.iter().filter_map(|record| ResourceId::from_key(&record.key)));
        }
        let listing = self.store.list(&referrers_prefix(id), At::Newest).await?;
        let referrer = |value: &[u8]| ResourceId::from_key(str::from_utf8(value).ok()?);
        users.extend(listing.records.iter().filter_map(|record| referrer(&record.value)));
        Ok(users)
    }
}
