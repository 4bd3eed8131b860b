//! The way in: a fragment for every virtual service, virtual node and virtual gateway of a mesh.

use std::collections::BTreeMap;
use std::fmt;

use legation_proto::fragment::Fragment;
use legation_proto::id::{FragmentKey, FragmentKind};
use thiserror::Error;

use super::definitions::MeshDefinitions;
use super::sources::Sources;
use super::{virtual_gateway, virtual_node, virtual_service};

/// What a pass over the definitions of one mesh gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transformed {
    /// A fragment for every virtual service, node and gateway that could be transformed.
    pub fragments: BTreeMap<FragmentKey, Fragment>,
    /// Every one that could not be, in the order of their keys. They keep their last good fragments, and the others go on
    /// (invariant "one bad object harms only itself").
    pub problems: Vec<Problem>,
}

/// A virtual service, node or gateway that could not be transformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub key: FragmentKey,
    /// Why, and what to do about it.
    pub error: TransformError,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.error)
    }
}

/// Why something cannot be transformed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransformError {
    /// The provider is a router that is not there.
    #[error("its virtual router {0:?} does not exist; create it, or choose another provider")]
    NoVirtualRouter(String),
    /// The provider is a node that is not there.
    #[error("its virtual node {0:?} does not exist; create it, or choose another provider")]
    NoVirtualNode(String),
    /// A route leads to a node that is not there.
    #[error(
        "route {route:?} leads to virtual node {node:?}, which does not exist; create it, or remove the target"
    )]
    NoTarget {
        /// The route.
        route: String,
        /// The target.
        node: String,
    },
    /// A route leads to a port at which its target does not listen.
    #[error(
        "route {route:?} leads to port {port} of virtual node {node:?}, which does not listen there; \
         change the target's port, or add a listener to the node"
    )]
    NoListenerAtPort {
        /// The route.
        route: String,
        /// The target.
        node: String,
        /// The port that the target names.
        port: u16,
    },
    /// A route leads to a node that listens nowhere.
    #[error(
        "route {route:?} leads to virtual node {node:?}, which has no listeners; \
         add a listener to the node, or remove the target"
    )]
    NoListener {
        /// The route.
        route: String,
        /// The target.
        node: String,
    },
    /// A route leads to a node without saying at which of its ports, and none is the obvious one.
    #[error(
        "route {route:?} leads to virtual node {node:?}, of whose {listeners} listeners none is the obvious one; \
         give the target a port"
    )]
    NoObviousListener {
        /// The route.
        route: String,
        /// The target.
        node: String,
        /// How many listeners it has.
        listeners: usize,
    },
    /// Something that it is made of is defined in a way that cannot be read: the store was damaged, or a newer Legation wrote it.
    #[error(
        "the definition of {0} cannot be read; update or delete it, or run a Legation that is as new as what wrote it"
    )]
    Unreadable(String),
    /// It is more than the store takes.
    #[error(
        "its configuration has {bytes} bytes, and the store takes {limit}; spread it over several resources"
    )]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
}

/// Pure; deterministic to the byte: the same definitions give identical fragments on every host.
pub fn transform(definitions: &MeshDefinitions) -> Transformed {
    let mut transformed = Transformed::default();
    let Some(sources) = Sources::new(definitions) else {
        return transformed;
    };
    for key in definitions.fragment_keys() {
        match fragment(&sources, &key) {
            Some(Ok(fragment)) => {
                transformed.fragments.insert(key, fragment);
            }
            Some(Err(error)) => transformed.problems.push(Problem { key, error }),
            None => {}
        }
    }
    transformed
}

/// The fragment of `key`; nothing if nothing of this name is defined.
pub(super) fn fragment(sources: &Sources<'_>, key: &FragmentKey) -> Option<Result<Fragment, TransformError>> {
    let name = key.name.as_ref();
    let definitions = sources.definitions;
    match key.kind {
        FragmentKind::VirtualNode => {
            let (_, node) = definitions.virtual_node(name)?;
            Some(Ok(Fragment::Node(virtual_node::fragment(sources, name, node))))
        }
        FragmentKind::VirtualGateway => {
            let gateway = definitions.virtual_gateway(name)?;
            Some(Ok(Fragment::Node(virtual_gateway::fragment(sources, name, &gateway))))
        }
        FragmentKind::VirtualService => {
            let service = definitions.virtual_service(name)?;
            Some(virtual_service::fragment(sources, name, service).map(Fragment::Service))
        }
    }
}
