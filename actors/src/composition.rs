//! Composing snapshots, once for all replicas of a node.

use std::sync::{Arc, Mutex, PoisonError};

use legation_proto::fragment::{Fragment, NodeFragment, ServiceFragment};
use thiserror::Error;

use crate::snapshot::Snapshot;

/// Makes what a client should have of the fragment of its node and those of its backends, which come in the order of
/// their names. Pure: the same fragments give the same snapshot. `before` is what was made for the node last: sets that
/// would be the same are shared with it, and cost neither memory nor the work to make and compare them.
pub type Compose =
    fn(Client, &NodeFragment, &[Backend<'_>], before: Option<&Snapshot>) -> Result<Composed, ComposeError>;

/// What is at the other end of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Client {
    /// An Envoy.
    #[default]
    Envoy,
    /// A gRPC client that resolves virtual services itself, without an Envoy.
    Grpc,
}

impl Client {
    /// How many kinds there are.
    const COUNT: usize = 2;

    /// By what a client says that it is, in `node.user_agent_name`: "gRPC" and a language, where it is gRPC.
    pub fn of_user_agent(name: &str) -> Self {
        if name.starts_with("gRPC") { Self::Grpc } else { Self::Envoy }
    }

    /// The name in status and logs: `envoy`, `grpc`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Grpc => "grpc",
        }
    }
}

/// What a client should have, and what it lacks. Cloning shares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    /// What the Envoy should have.
    pub snapshot: Arc<Snapshot>,
    /// What its node asks for and it does not get, a sentence each.
    pub problems: Arc<[String]>,
}

/// A backend of a node that exists.
#[derive(Clone, Copy, Debug)]
pub struct Backend<'a> {
    /// The name of the virtual service.
    pub name: &'a str,
    /// What its consumers need.
    pub fragment: &'a ServiceFragment,
}

/// Fragments that cannot be composed. The Envoy keeps what it has.
#[derive(Debug, Error)]
#[error("cannot compose: {reason}")]
pub struct ComposeError {
    /// What is wrong with which fragment.
    pub reason: String,
}

/// Composes for one node and remembers the last result for each kind of client, which its replicas share.
#[derive(Debug)]
pub(crate) struct Composition {
    compose: Compose,
    last: [Mutex<Option<Last>>; Client::COUNT],
}

#[derive(Debug)]
struct Last {
    node: Arc<Fragment>,
    backends: Vec<Arc<Fragment>>,
    composed: Composed,
}

impl Composition {
    pub(crate) fn new(compose: Compose) -> Self {
        Self { compose, last: Default::default() }
    }

    /// What these fragments make. Replicas that ask at the same time wait for the first of them, which does the
    /// work for all.
    pub(crate) fn compose(
        &self,
        client: Client,
        node: &Arc<Fragment>,
        backends: &[(Arc<str>, Arc<Fragment>)],
    ) -> Result<Composed, ComposeError> {
        let mut last = self.last[client as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref()
            && last.is_of(node, backends)
        {
            return Ok(last.composed.clone());
        }
        let before = last.as_ref().map(|last| last.composed.snapshot.as_ref());
        let composed = (self.compose)(client, node_of(node)?, &backends_of(backends)?, before)?;
        *last = Some(Last {
            node: Arc::clone(node),
            backends: backends.iter().map(|(_, fragment)| Arc::clone(fragment)).collect(),
            composed: composed.clone(),
        });
        Ok(composed)
    }
}

impl Last {
    /// The names of the backends follow from the node's fragment, so the fragments alone decide.
    fn is_of(&self, node: &Arc<Fragment>, backends: &[(Arc<str>, Arc<Fragment>)]) -> bool {
        Arc::ptr_eq(&self.node, node)
            && self.backends.len() == backends.len()
            && self.backends.iter().zip(backends).all(|(mine, (_, theirs))| Arc::ptr_eq(mine, theirs))
    }
}

fn node_of(fragment: &Fragment) -> Result<&NodeFragment, ComposeError> {
    match fragment {
        Fragment::Node(node) => Ok(node),
        Fragment::Service(_) => {
            Err(ComposeError { reason: "the node's fragment is that of a service".to_owned() })
        }
    }
}

fn backends_of(fragments: &[(Arc<str>, Arc<Fragment>)]) -> Result<Vec<Backend<'_>>, ComposeError> {
    let mut backends = Vec::with_capacity(fragments.len());
    for (name, fragment) in fragments {
        let Fragment::Service(service) = fragment.as_ref() else {
            return Err(ComposeError { reason: format!("the fragment of backend {name} is that of a node") });
        };
        backends.push(Backend { name, fragment: service });
    }
    Ok(backends)
}
