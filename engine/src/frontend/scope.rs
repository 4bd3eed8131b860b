//! Which findings concern some resources.

use std::collections::HashSet;

use super::references::targets;
use crate::lint::{Code, Finding};
use crate::model::{ResourceId, Spec};

/// Some resources, of which each was written or deleted.
#[derive(Debug, Default)]
pub(super) struct Scope {
    written: HashSet<ResourceId>,
    /// What they lead to.
    needed: HashSet<ResourceId>,
    /// Routers and gateways that lost a route.
    bereft: HashSet<ResourceId>,
}

impl Scope {
    /// Adds a resource that is `spec` now.
    pub(super) fn add_written(&mut self, id: &ResourceId, spec: &Spec) {
        self.needed.extend(needs(id.mesh_name(), spec));
        self.written.insert(id.clone());
    }

    /// Adds a resource that was deleted.
    pub(super) fn add_deleted(&mut self, id: &ResourceId) {
        self.bereft.extend(id.container().filter(|_| id.parent_name().is_some()));
        self.written.insert(id.clone());
    }

    /// Whether one of the resources takes part in what was found, suffers from it, or has caused it.
    pub(super) fn concerns(&self, finding: &Finding) -> bool {
        let is_of_written = |id: &ResourceId| {
            self.written.contains(id)
                || (id.parent_name().is_some()
                    && id.container().is_some_and(|container| self.written.contains(&container)))
        };
        let is_of_bereft = || match finding.code {
            Code::ProviderWithoutRoutes => finding.about.iter().any(|id| self.bereft.contains(id)),
            Code::GatewayListenerWithoutRoutes => self.bereft.contains(&finding.id),
            _ => false,
        };
        is_of_written(&finding.id)
            || finding.about.iter().any(|id| self.written.contains(id))
            || (finding.code.spreads() && self.needed.contains(&finding.id))
            || is_of_bereft()
    }
}

/// The resources that a specification leads to, each once; its backends among them, whether or not they exist.
pub(super) fn needs(mesh: &str, spec: &Spec) -> HashSet<ResourceId> {
    let mut needs: HashSet<ResourceId> = targets(mesh, spec).into_iter().collect();
    if let Spec::VirtualNode(node) = spec {
        let backends = node.backends();
        needs.extend(
            backends.map(|backend| ResourceId::virtual_service(mesh, backend.virtual_service_name.as_str())),
        );
    }
    needs
}
