//! What a change would do to Envoys, before it is made: the blast radius.
//!
//! ```text
//!  definitions as they are ----> transform --> fragments --> compose --> snapshot --+
//!          |                                       |                                +--> session --> bytes
//!  definitions as they would be -> transform --> fragments --> compose --> snapshot +--> difference
//! ```
//! A pure function of the definitions. It calls the very functions that a change is put into effect by: `transform`, the
//! management's composer, and the session, to which an Envoy answers that accepts everything.
//!
//! | module | holds |
//! |---|---|
//! | `fragments` | what is made of the definitions of a mesh, before and after |
//! | `difference` | how two snapshots differ |
//! | `envoy` | an Envoy that accepts everything, and what it is sent |

mod difference;
mod envoy;
mod fragments;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use legation_actors::composition::{Backend, Client, Composed, Problems};
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_proto::fragment::Fragment;
use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Version;

pub use self::difference::{ChangedResource, Difference};
pub use self::envoy::Sent;
use self::fragments::Fragments;
use crate::management::compose::COMPOSER;
use crate::transformer::definitions::MeshDefinitions;
use crate::transformer::transform::Problem;

/// How many nodes are told in detail; the others that change are counted.
pub const NODES_DETAILED_MAX: usize = 1000;

/// A mesh, as it is and as it would be.
#[derive(Debug)]
pub struct MeshChange {
    /// Its definitions as they are.
    pub before: MeshDefinitions,
    /// Its definitions as they would be.
    pub after: MeshDefinitions,
    /// The encoded fragments that hosts have by now: of what cannot be transformed they keep the last good one.
    pub stored: BTreeMap<FragmentKey, Bytes>,
}

/// What a change would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// The fragments that would be others, in the order of their keys.
    pub fragments: Vec<FragmentChange>,
    /// What could not be transformed afterwards.
    pub problems: Vec<Problem>,
    /// The virtual nodes and gateways whose Envoys would be updated or disconnected, or could connect, in the order of their keys: at
    /// most [`NODES_DETAILED_MAX`].
    pub nodes: Vec<NodeChange>,
    /// How many there are of those.
    pub nodes_changed: usize,
    /// How many virtual nodes and gateways the meshes have, before or after.
    pub nodes_of_meshes: usize,
}

/// A fragment that would be another.
#[derive(Debug)]
pub struct FragmentChange {
    /// Which.
    pub key: FragmentKey,
    /// The version that hosts have.
    pub before: Option<Version>,
    /// The version that they would have.
    pub after: Option<Version>,
}

/// What becomes of a virtual node or gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeOutcome {
    /// Envoys can connect as this node from then on. What is sent is what the first one receives.
    Created,
    /// Its Envoys are updated.
    Updated,
    /// Its Envoys are disconnected, and keep what they have.
    Deleted,
}

impl NodeOutcome {
    /// The word for it in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// What a change would do to each Envoy of a virtual node or gateway.
#[derive(Debug)]
pub struct NodeChange {
    /// The virtual node or gateway.
    pub key: FragmentKey,
    /// What becomes of it.
    pub outcome: NodeOutcome,
    /// The resources that differ, in the order of [`ResourceType::ALL`].
    pub differences: [Difference; ResourceType::COUNT],
    /// What a delta Envoy that is in sync is sent, in the same order.
    pub sent: [Sent; ResourceType::COUNT],
    /// What its node would ask for and not get, a sentence each.
    pub problems: Problems,
}

impl NodeChange {
    /// The bytes of all that an Envoy is sent.
    pub fn bytes(&self) -> usize {
        self.sent.iter().map(|sent| sent.bytes).sum()
    }

    /// The responses that an Envoy is sent.
    pub fn responses(&self) -> usize {
        self.sent.iter().map(|sent| sent.responses).sum()
    }
}

/// What the changes of these meshes would do. `control_plane` is the identifier in every response. Pure.
pub fn plan(meshes: &[MeshChange], control_plane: &str) -> Plan {
    let mut plan = Plan::default();
    for mesh in meshes {
        plan.add(mesh, control_plane);
    }
    plan
}

impl Plan {
    fn add(&mut self, mesh: &MeshChange, control_plane: &str) {
        let (fragments, problems) = Fragments::of(mesh);
        self.problems.extend(problems);
        let changed = fragments.changed();
        let mut nodes: BTreeSet<&FragmentKey> = BTreeSet::new();
        for key in fragments.keys().filter(|key| key.kind != FragmentKind::VirtualService) {
            self.nodes_of_meshes += 1;
            if changed.contains(key) || fragments.backends(key).any(|backend| changed.contains(&backend)) {
                nodes.insert(key);
            }
        }
        for key in nodes {
            let is_detailed = self.nodes.len() < NODES_DETAILED_MAX;
            let Some(moved) = Moved::of(&fragments, key) else { continue };
            self.nodes_changed += 1;
            if is_detailed {
                self.nodes.push(moved.into_change(key.clone(), control_plane));
            }
        }
        self.fragments.extend(changed.into_iter().map(|key| fragments.change(key)));
    }
}

/// What the Envoys of a node should have, before and after, where that differs.
struct Moved {
    outcome: NodeOutcome,
    before: Option<Composed>,
    after: Option<Composed>,
}

impl Moved {
    fn of(fragments: &Fragments, key: &FragmentKey) -> Option<Self> {
        let (was, will_be) = (fragments.before(key), fragments.after(key));
        let is_node = |fragment: Option<&Fragment>| matches!(fragment, Some(Fragment::Node(_)));
        let outcome = match (is_node(was), is_node(will_be)) {
            (true, true) => NodeOutcome::Updated,
            (false, true) => NodeOutcome::Created,
            (true, false) => NodeOutcome::Deleted,
            (false, false) => return None,
        };
        let before = composed(&key.mesh, was, |key| fragments.before(key), None);
        let snapshot_before = before.as_ref().map(|before| &before.snapshot);
        let after = composed(&key.mesh, will_be, |key| fragments.after(key), snapshot_before);
        let differs = match (&before, &after) {
            (Some(before), Some(after)) => are_different(&before.snapshot, &after.snapshot),
            // what cannot be composed leaves Envoys with what they have
            _ => outcome != NodeOutcome::Updated || after.is_some(),
        };
        differs.then_some(Self { outcome, before, after })
    }

    fn into_change(self, key: FragmentKey, control_plane: &str) -> NodeChange {
        let problems = self.after.as_ref().map(|after| after.problems.clone()).unwrap_or_default();
        let Some(after) = self.after.map(|after| after.snapshot) else {
            let (differences, sent) = (Default::default(), Default::default());
            return NodeChange { key, outcome: self.outcome, differences, sent, problems };
        };
        let before = self.before.map(|before| before.snapshot);
        let sent = envoy::sent(before.as_ref(), &after, control_plane);
        let nothing = Arc::new(ResourceSet::new(Vec::new()));
        let difference = |resource_type| {
            let before = before.as_ref().map_or(&nothing, |before| before.set(resource_type));
            difference::difference(before, after.set(resource_type))
        };
        let differences = ResourceType::ALL.map(difference);
        NodeChange { key, outcome: self.outcome, differences, sent, problems }
    }
}

fn are_different(before: &Snapshot, after: &Snapshot) -> bool {
    let is_same = |resource_type| {
        let (before, after) = (before.set(resource_type), after.set(resource_type));
        Arc::ptr_eq(before, after) || before.version() == after.version()
    };
    !ResourceType::ALL.into_iter().all(is_same)
}

/// What an Envoy of a node of this mesh should have, if `node` is one and that can be composed.
fn composed<'a>(
    mesh: &Arc<str>,
    node: Option<&'a Fragment>,
    fragment: impl Fn(&FragmentKey) -> Option<&'a Fragment>,
    before: Option<&Snapshot>,
) -> Option<Composed> {
    let Some(Fragment::Node(node)) = node else { return None };
    let backend = |name: &'a Arc<str>| match fragment(&FragmentKey::virtual_service(mesh, name))? {
        Fragment::Service(fragment) => Some(Backend { name, fragment }),
        Fragment::Node(_) => None,
    };
    let backends: Vec<Backend<'_>> = node.backends.iter().filter_map(backend).collect();
    (COMPOSER.compose)(Client::Envoy, node, &backends, before).ok()
}
