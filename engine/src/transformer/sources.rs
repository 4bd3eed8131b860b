//! What fragments are made of: the definitions of a mesh, and a memory of which of them were asked for.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;

use super::definitions::{MeshDefinitions, Parent, Versioned};
use super::egress::Egress;
use super::ingress::RequestPorts;
use super::names;
use super::target::Target;
use super::transform::TransformError;
use crate::model::{IpPreference, MeshSpec, RouteSpec, VirtualRouterSpec, WeightedTarget};

/// A definition that a fragment is made of, there or not, beside the mesh and what the fragment is named after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    /// A virtual node.
    VirtualNode(Arc<str>),
    /// A virtual router with its routes.
    VirtualRouter(Arc<str>),
}

/// The definitions of a mesh, for one fragment after the other. Every way to a definition that is not the fragment's own
/// leads through here, so that none is forgotten.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    /// The mesh itself.
    pub(super) mesh: &'a Versioned<MeshSpec>,
    /// Everything, for a fragment's own definition.
    pub(super) definitions: &'a MeshDefinitions,
    /// Virtual nodes as targets, made when they are asked for first.
    targets: RefCell<HashMap<Arc<str>, Rc<Target>>>,
    /// The egress of nodes without access logs, for each of the few preferences.
    egresses: RefCell<Vec<(Option<IpPreference>, Rc<Egress>)>>,
    /// The ingress listeners of nodes without access logs that take requests only.
    ingresses: RefCell<HashMap<RequestPorts, Resource>>,
    asked: RefCell<BTreeSet<Source>>,
}

impl<'a> Sources<'a> {
    /// The definitions of a mesh, unless the mesh itself is not there.
    pub(super) fn new(definitions: &'a MeshDefinitions) -> Option<Self> {
        Some(Self {
            mesh: definitions.mesh()?,
            definitions,
            targets: RefCell::default(),
            egresses: RefCell::default(),
            ingresses: RefCell::default(),
            asked: RefCell::default(),
        })
    }

    /// What was asked for since the last call.
    pub(super) fn take_asked(&self) -> BTreeSet<Source> {
        self.asked.take()
    }

    /// The egress of nodes with this preference and these access logs.
    pub(super) fn egress(&self, preference: Option<IpPreference>, access_logs: &[AccessLog]) -> Rc<Egress> {
        let egress = || Rc::new(Egress::new(self.definitions.name(), self.mesh, preference, access_logs));
        if !access_logs.is_empty() {
            return egress();
        }
        let mut egresses = self.egresses.borrow_mut();
        if let Some((_, egress)) = egresses.iter().find(|(of, _)| *of == preference) {
            return Rc::clone(egress);
        }
        let egress = egress();
        egresses.push((preference, Rc::clone(&egress)));
        egress
    }

    /// The ingress listener of nodes without access logs that listen there.
    pub(super) fn ingress(&self, ports: RequestPorts) -> Resource {
        let encode = |ports: &RequestPorts| {
            let name = names::INGRESS_LISTENER;
            Resource::encode(ResourceType::Listener, name, self.mesh.transaction, &ports.listener())
        };
        self.ingresses.borrow_mut().entry(ports).or_insert_with_key(encode).clone()
    }

    /// The virtual router `name`, with its routes.
    pub(super) fn virtual_router(&self, name: &str) -> Option<Parent<'a, VirtualRouterSpec, RouteSpec>> {
        self.asked.borrow_mut().insert(Source::VirtualRouter(name.into()));
        self.definitions.virtual_router(name)
    }

    /// The virtual node `name`, as a target.
    pub(super) fn target(&self, name: &str) -> Option<Rc<Target>> {
        let Some((name, node)) = self.definitions.virtual_node(name) else {
            self.asked.borrow_mut().insert(Source::VirtualNode(name.into()));
            return None;
        };
        self.asked.borrow_mut().insert(Source::VirtualNode(Arc::clone(name)));
        let mut targets = self.targets.borrow_mut();
        let target = targets
            .entry(Arc::clone(name))
            .or_insert_with(|| Rc::new(Target::new(self.definitions.name(), self.mesh, name, node)));
        Some(Rc::clone(target))
    }

    /// The virtual node that `target`, of `route`, names.
    pub(super) fn target_of_route(
        &self,
        route: &str,
        target: &WeightedTarget,
    ) -> Result<Rc<Target>, TransformError> {
        self.target(&target.virtual_node).ok_or_else(|| TransformError::NoTarget {
            route: route.to_owned(),
            node: target.virtual_node.to_string(),
        })
    }
}
