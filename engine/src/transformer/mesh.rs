//! A mesh between passes: its definitions, and what came of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::version::Transaction;

use super::definitions::MeshDefinitions;
use super::dependents::Dependents;
use super::fingerprint::Fingerprint;
use super::sources::{Source, Sources};
use super::transform::{Problem, TransformError, fragment};
use crate::model::key::is_beside;
use crate::model::{Definition, Kind, ResourceId};
use crate::store::{Event, Record};

/// A mesh: what is defined in it.
#[derive(Debug)]
pub(super) struct Mesh {
    definitions: Arc<MeshDefinitions>,
    /// The last change of every definition that was taken in, of those that cannot be read too.
    known: HashMap<Arc<str>, Transaction>,
    /// The newest change that was taken in.
    newest: Transaction,
    /// The transaction at which all definitions were listed last.
    listed: Transaction,
    /// What the last pass left. Nothing, if that is not known: there was none, or the last one over this mesh failed.
    pub(super) made: Option<Made>,
    /// What stands in the store for as long as nobody else has claimed this mesh.
    pub(super) claim: Option<Bytes>,
    /// Whether changes may be missing in the store that were told of: there was no pass yet, or the last one failed.
    pub(super) is_behind: bool,
    /// Whether there was a pass over it.
    pub(super) was_looked_at: bool,
    problems: BTreeMap<FragmentKey, TransformError>,
}

/// What passes made of a mesh, and left in the store.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Every fragment; of those that cannot be made any more, the last good ones.
    pub(super) fragments: HashMap<FragmentKey, Fingerprint>,
    /// The mark of the mesh: the newest change that was transformed.
    pub(super) mark: Option<Transaction>,
    dependents: Dependents,
}

impl Made {
    /// Whether this is another fragment than what it had.
    pub(super) fn differs(&self, key: &FragmentKey, encoded: Option<&[u8]>) -> bool {
        self.fragments.get(key).copied() != encoded.map(Fingerprint::of)
    }
}

/// A fragment that is to be made, and what the store has of it.
pub(super) type Order = (FragmentKey, Option<Fingerprint>);

/// A fragment, and what is written in its place; `None` where it goes.
pub(super) type FragmentChange = (FragmentKey, Option<Bytes>);

/// What came of an [`Order`].
#[derive(Debug)]
pub(super) struct Delivery {
    key: FragmentKey,
    outcome: Outcome,
    sources: BTreeSet<Source>,
}

#[derive(Debug)]
enum Outcome {
    /// What the store has.
    Same,
    /// Something else.
    New(Bytes),
    /// Nothing of this name is defined.
    Gone,
    /// It cannot be made.
    Failed(TransformError),
}

/// Makes and encodes fragments. Pure.
pub(super) fn make(definitions: &MeshDefinitions, orders: Vec<Order>) -> Vec<Delivery> {
    let sources = Sources::new(definitions);
    let deliver = |(key, stored): Order| {
        let made = match definitions.unreadable_for(&key) {
            Some(id) => Some(Err(TransformError::Unreadable(id.path()))),
            None => sources.as_ref().and_then(|sources| fragment(sources, &key)),
        };
        let outcome = match made {
            None => Outcome::Gone,
            Some(Err(error)) => Outcome::Failed(error),
            Some(Ok(fragment)) => {
                let bytes = Bytes::from(fragment.into_encoded());
                if stored == Some(Fingerprint::of(&bytes)) { Outcome::Same } else { Outcome::New(bytes) }
            }
        };
        let sources = sources.as_ref().map(Sources::take_asked).unwrap_or_default();
        Delivery { key, outcome, sources }
    };
    orders.into_iter().map(deliver).collect()
}

impl Mesh {
    /// A mesh of which nothing is known.
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            definitions: Arc::new(MeshDefinitions::new(name)),
            known: HashMap::default(),
            newest: 0,
            listed: 0,
            made: None,
            claim: None,
            is_behind: true,
            was_looked_at: false,
            problems: BTreeMap::new(),
        }
    }

    /// What is defined.
    pub(super) fn definitions(&self) -> &Arc<MeshDefinitions> {
        &self.definitions
    }

    /// Whether nothing of it is defined any more.
    pub(super) fn is_gone(&self) -> bool {
        self.known.is_empty() && self.definitions.is_empty()
    }

    /// The newest change that was taken in.
    pub(super) fn newest(&self) -> Transaction {
        self.newest
    }

    /// Nothing is newer than this.
    pub(super) fn reach(&mut self, transaction: Transaction) {
        self.newest = self.newest.max(transaction);
    }

    /// Takes in all definitions that there are at `transaction`; whether any is not what it was.
    pub(super) fn list(&mut self, records: &[Record], transaction: Transaction) -> bool {
        let differences = self.differences(records, transaction);
        let has_changed = !differences.is_empty();
        for event in differences {
            self.change(event);
        }
        self.listed = self.listed.max(transaction);
        has_changed
    }

    /// What became of the definitions that are known, by all that there are at `transaction`.
    fn differences(&self, records: &[Record], transaction: Transaction) -> Vec<Event> {
        let mut events = Vec::new();
        let mut known = 0;
        for record in records.iter().filter(|record| !is_beside(&record.key)) {
            let before = self.known.get(&record.key);
            known += usize::from(before.is_some());
            if before != Some(&record.transaction) {
                let (key, value) = (Arc::clone(&record.key), Some(record.value.clone()));
                events.push(Event { key, value, transaction: record.transaction });
            }
        }
        if known < self.known.len() {
            let listed: HashSet<_> = records.iter().map(|record| &record.key).collect();
            let gone = self.known.keys().filter(|key| !listed.contains(key)).cloned();
            events.extend(gone.map(|key| Event { key, value: None, transaction }));
        }
        events
    }

    /// Takes in a definition, or its end, unless that was done already; the answer is which.
    pub(super) fn change(&mut self, event: Event) -> Option<ResourceId> {
        let Event { key, value, transaction } = event;
        self.reach(transaction);
        if transaction <= self.listed {
            return None; // what was listed is newer
        }
        let is_known = match &value {
            Some(_) => self.known.insert(Arc::clone(&key), transaction) == Some(transaction),
            None => self.known.remove(&key).is_none(),
        };
        if is_known {
            return None;
        }
        let Some(id) = ResourceId::from_key(&key) else {
            tracing::error!(%key, "the key of a definition cannot be read; the definition is left out");
            return None;
        };
        match value.map(|value| Definition::decode(&id, &value)) {
            Some(Ok(definition)) => self.define(transaction, definition),
            Some(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "a definition cannot be read; what was made of it stays as it is");
                Arc::make_mut(&mut self.definitions).insert_unreadable(id.clone());
            }
            None => self.undefine(&id),
        }
        Some(id)
    }

    /// Every fragment that cannot be made, and why.
    pub(super) fn problems(&self) -> &BTreeMap<FragmentKey, TransformError> {
        &self.problems
    }

    /// Puts a definition in.
    pub(super) fn define(&mut self, transaction: Transaction, definition: Definition) {
        Arc::make_mut(&mut self.definitions).insert(transaction, definition);
    }

    /// Takes a definition out.
    pub(super) fn undefine(&mut self, id: &ResourceId) {
        Arc::make_mut(&mut self.definitions).remove(id);
    }

    /// Every fragment, and all that was one.
    pub(super) fn all(&self) -> Vec<Order> {
        let mut all: Vec<_> = self.definitions.fragment_keys().map(|key| self.order(key)).collect();
        let stored = all.iter().filter(|(_, stored)| stored.is_some()).count();
        // in a large mesh it takes long to look for what is gone
        let made = self.made.iter().filter(|made| made.fragments.len() > stored);
        let made = made.flat_map(|made| made.fragments.keys());
        let gone = made.chain(self.problems.keys()).filter(|key| !self.definitions.defines(key));
        all.extend(gone.map(|key| self.order(key.clone())));
        all
    }

    /// The fragments that were made of these definitions, or would be.
    pub(super) fn dependents(&self, ids: &[ResourceId]) -> Vec<Order> {
        if ids.iter().any(|id| id.kind() == Kind::Mesh) {
            return self.all();
        }
        let mut dependents = BTreeSet::new();
        for id in ids {
            let named_after = |kind, name: &str| {
                let mesh = Arc::clone(self.definitions.name());
                FragmentKey { mesh, kind, name: name.into() }
            };
            let name = id.name();
            let parent = id.parent_name().unwrap_or_default();
            let (named_after, source) = match id.kind() {
                Kind::Mesh => (None, None),
                Kind::VirtualNode => (
                    Some(named_after(FragmentKind::VirtualNode, name)),
                    Some(Source::VirtualNode(name.into())),
                ),
                Kind::VirtualRouter => (None, Some(Source::VirtualRouter(name.into()))),
                Kind::Route => (None, Some(Source::VirtualRouter(parent.into()))),
                Kind::VirtualService => (Some(named_after(FragmentKind::VirtualService, name)), None),
                Kind::VirtualGateway => (Some(named_after(FragmentKind::VirtualGateway, name)), None),
                Kind::GatewayRoute => (Some(named_after(FragmentKind::VirtualGateway, parent)), None),
            };
            dependents.extend(named_after);
            if let (Some(made), Some(source)) = (&self.made, source) {
                dependents.extend(made.dependents.of(&source).cloned());
            }
        }
        dependents.into_iter().map(|key| self.order(key)).collect()
    }

    /// What to [`make`] for this fragment.
    fn order(&self, key: FragmentKey) -> Order {
        let stored = self.made.as_ref().and_then(|made| made.fragments.get(&key).copied());
        (key, stored)
    }

    /// Takes over what was made. The answer is what to write; `None` where a fragment goes. One of more than `bytes_max` bytes
    /// cannot be.
    pub(super) fn take_in(
        &mut self,
        made: &mut Made,
        deliveries: Vec<Delivery>,
        bytes_max: usize,
    ) -> Vec<FragmentChange> {
        let mut changes = Vec::new();
        for Delivery { key, outcome, sources } in deliveries {
            made.dependents.add(&key, sources);
            let outcome = match outcome {
                Outcome::New(bytes) if bytes.len() > bytes_max => {
                    Outcome::Failed(TransformError::TooLarge { bytes: bytes.len(), limit: bytes_max })
                }
                outcome => outcome,
            };
            if let Outcome::Failed(error) = outcome {
                self.fail(key, error);
                continue;
            }
            self.problems.remove(&key);
            match outcome {
                Outcome::Same | Outcome::Failed(_) => {}
                Outcome::New(bytes) => {
                    made.fragments.insert(key.clone(), Fingerprint::of(&bytes));
                    changes.push((key, Some(bytes)));
                }
                Outcome::Gone => {
                    if made.fragments.remove(&key).is_some() {
                        changes.push((key, None));
                    }
                }
            }
        }
        changes
    }

    /// Tells of a problem once, not in each pass.
    fn fail(&mut self, key: FragmentKey, error: TransformError) {
        let problem = Problem { key, error };
        if self.problems.get(&problem.key) != Some(&problem.error) {
            tracing::warn!(%problem, "a fragment cannot be made; the last good one stays");
        }
        self.problems.insert(problem.key, problem.error);
    }
}
