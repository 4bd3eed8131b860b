//! Composing snapshots, once for all replicas of a node.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use legation_proto::fragment::{Fragment, NodeFragment, ServiceFragment};
use thiserror::Error;

use crate::snapshot::Snapshot;

/// Makes what a client should have of the fragment of its node and those of its backends, which come in the order of
/// their names. Pure: the same fragments give the same snapshot. `before` is what was made for the node last: sets that
/// would be the same are shared with it, and cost neither memory nor the work to make and compare them.
pub type Compose =
    fn(Client, &NodeFragment, &[Backend<'_>], before: Option<&Snapshot>) -> Result<Composed, ComposeError>;

/// Makes of `before` what a client should have once one of the backends has changed, where that takes less than composing
/// anew: the others are not looked at, since a host has many more fragments than fit into a cache. Pure: gives what composing
/// anew would give, or `None` where it cannot tell.
pub type Recompose = fn(Client, &NodeFragment, before: &Composed, &Change<'_>) -> Option<Composed>;

/// A backend that has changed.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Its fragment of which `before` was made.
    pub from: &'a ServiceFragment,
    /// Its fragment now.
    pub to: &'a ServiceFragment,
}

/// How to compose.
#[derive(Clone, Copy, Debug)]
pub struct Composer {
    /// Of all fragments.
    pub compose: Compose,
    /// After a change of one backend.
    pub recompose: Recompose,
}

impl Composer {
    /// Composes of all fragments each time.
    pub fn anew(compose: Compose) -> Self {
        Self { compose, recompose: |_, _, _, _| None }
    }
}

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
    pub snapshot: Snapshot,
    /// What its node asks for and it does not get.
    pub problems: Problems,
}

/// What a node asks for and its clients do not get, a sentence each. Cloning shares them, without a reference count where there
/// are none, as with most nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Option<Arc<[String]>>);

impl From<Vec<String>> for Problems {
    fn from(problems: Vec<String>) -> Self {
        Self((!problems.is_empty()).then(|| problems.into()))
    }
}

impl Deref for Problems {
    type Target = [String];

    fn deref(&self) -> &[String] {
        self.0.as_deref().unwrap_or_default()
    }
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
pub struct Composition {
    composer: Composer,
    last: [Mutex<Option<Last>>; Client::COUNT],
}

#[derive(Debug)]
struct Last {
    node: Arc<Fragment>,
    backends: Vec<Arc<Fragment>>,
    composed: Composed,
}

impl Composition {
    /// Has composed nothing yet.
    pub fn new(composer: Composer) -> Self {
        Self { composer, last: Default::default() }
    }

    /// What these fragments make: that of the node and those of its backends, in the order of their names. Replicas that ask
    /// at the same time wait for the first of them, which does the work for all.
    pub fn compose<'a>(
        &self,
        client: Client,
        node: &Arc<Fragment>,
        backends: impl Iterator<Item = (&'a Arc<str>, &'a Arc<Fragment>)> + Clone,
    ) -> Result<Composed, ComposeError> {
        let mut last = self.last[client as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_mut()
            && last.follow(self.composer.recompose, client, node, backends.clone())
        {
            return Ok(last.composed.clone());
        }
        let before = last.as_ref().map(|last| &last.composed.snapshot);
        let composed =
            (self.composer.compose)(client, node_of(node)?, &backends_of(backends.clone())?, before)?;
        *last = Some(Last {
            node: Arc::clone(node),
            backends: backends.map(|(_, fragment)| Arc::clone(fragment)).collect(),
            composed: composed.clone(),
        });
        Ok(composed)
    }
}

impl Last {
    /// Whether this is of these fragments by now. The names of the backends follow from the node's fragment, so the fragments
    /// alone decide.
    fn follow<'a>(
        &mut self,
        recompose: Recompose,
        client: Client,
        node: &Arc<Fragment>,
        backends: impl Iterator<Item = (&'a Arc<str>, &'a Arc<Fragment>)> + Clone,
    ) -> bool {
        if !Arc::ptr_eq(&self.node, node) || self.backends.len() != backends.clone().count() {
            return false;
        }
        let mut changed =
            self.backends.iter_mut().zip(backends).filter(|(mine, (_, theirs))| !Arc::ptr_eq(mine, theirs));
        let Some((mine, (_, theirs))) = changed.next() else {
            return true;
        };
        if changed.next().is_some() {
            return false;
        }
        let (Fragment::Node(node), Fragment::Service(from), Fragment::Service(to)) =
            (node.as_ref(), mine.as_ref(), theirs.as_ref())
        else {
            return false;
        };
        let Some(composed) = recompose(client, node, &self.composed, &Change { from, to }) else {
            return false;
        };
        *mine = Arc::clone(theirs);
        self.composed = composed;
        true
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

fn backends_of<'a>(
    fragments: impl Iterator<Item = (&'a Arc<str>, &'a Arc<Fragment>)>,
) -> Result<Vec<Backend<'a>>, ComposeError> {
    let backend = |(name, fragment): (&'a Arc<str>, &'a Arc<Fragment>)| match fragment.as_ref() {
        Fragment::Service(fragment) => Ok(Backend { name, fragment }),
        Fragment::Node(_) => {
            Err(ComposeError { reason: format!("the fragment of backend {name} is that of a node") })
        }
    };
    fragments.map(backend).collect()
}
