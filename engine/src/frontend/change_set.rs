//! Several changes that are made together or not at all.
//!
//! ```text
//!  changes --+
//!            +--> resolve --> effects (what becomes of each), or everything that is wrong
//!  current --+       |
//!                    +------> batch (what is written, with preconditions on everything that was relied on)
//! ```
//! Resolving is a pure function. What it needs of the definitions as they are is in [`Current`], which is read from the
//! store, or made of definitions that somebody has at hand.
//!
//! A set is checked as a whole: what its resources lie in and refer to must exist in the state as it will be, whatever the
//! order of the changes, and nothing may be deleted that something that stays needs. Each change does what the single
//! operation does: a definition that exists keeps its uid and gets the next version, one that does not gets a new uid
//! and version 1, and one that is as it should be is not written.

mod current;

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Display};

use bytes::Bytes;

pub use self::current::Current;
use super::Operation;
use super::lookup::containers;
use super::references::{Reference, references, referrer_key, targets};
use crate::model::{DecodeError, Definition, FieldError, Metadata, ResourceId, Spec, Tags};
use crate::store::{Batch, Precondition};

/// How many of the resources that need another are named.
const USERS_SHOWN: usize = 5;

/// One change of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Create it, or replace its specification and, if they are told, its tags where it exists.
    Put {
        /// The resource.
        id: ResourceId,
        /// What it is to be.
        spec: Spec,
        /// All of its tags; without, it keeps those that it has.
        tags: Option<Tags>,
    },
    /// Make it what it was, its tags included.
    Restore {
        /// The resource.
        id: ResourceId,
        /// What it was.
        spec: Spec,
        /// The tags that it had.
        tags: Tags,
    },
    /// Delete it.
    Delete {
        /// The resource.
        id: ResourceId,
    },
}

/// Changes that are made together or not at all, each of another resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// The changes. Their order is that of the effects, and means nothing else.
    pub changes: Vec<Change>,
}

/// What becomes of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did not exist.
    Created,
    /// It is changed.
    Updated,
    /// It was as it should be.
    Unchanged,
    /// It exists no longer.
    Deleted,
}

impl Outcome {
    /// The word for it in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
        }
    }
}

/// What a change does to its resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The resource.
    pub id: ResourceId,
    /// What it was.
    pub before: Option<Tagged>,
    /// What it will be.
    pub after: Option<Tagged>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// A definition and what stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The definition.
    pub definition: Definition,
    /// The tags of the resource.
    pub tags: Tags,
}

impl Effect {
    /// Whether the resource is as it should be already.
    pub fn is_unchanged(&self) -> bool {
        self.outcome == Outcome::Unchanged
    }

    /// The operations of the API that do this to one resource. What is unchanged was asked to be so, as by an update.
    pub fn operations(&self) -> Vec<Operation> {
        let kind = self.id.kind();
        let (before, after) = match (&self.before, &self.after) {
            (_, None) => return vec![Operation::Delete(kind)],
            (None, Some(_)) => return vec![Operation::Create(kind)],
            (Some(before), Some(after)) => (before, after),
        };
        let mut operations = Vec::new();
        if self.outcome == Outcome::Unchanged || before.definition != after.definition {
            operations.push(Operation::Update(kind));
        }
        let has_all = |one: &Tags, other: &Tags| other.clone().with(one) == *other;
        if !has_all(&after.tags, &before.tags) {
            operations.push(Operation::TagResource);
        }
        if before.tags.iter().any(|(key, _)| after.tags.iter().all(|(kept, _)| kept != key)) {
            operations.push(Operation::UntagResource);
        }
        operations
    }

    fn before(&self) -> Option<&Definition> {
        self.before.as_ref().map(|before| &before.definition)
    }

    fn after(&self) -> Option<&Definition> {
        self.after.as_ref().map(|after| &after.definition)
    }
}

/// What a resolution needs besides the definitions.
pub struct Making<'a> {
    /// The account that owns what is created: 12 digits.
    pub account: &'a str,
    /// The time, in milliseconds since 1970 in UTC.
    pub now_ms: i64,
    /// Gives a uid that nobody ever had.
    pub new_uid: &'a (dyn Fn() -> String + Sync),
}

/// Something that is wrong with one change of a set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id}: {problem}")]
pub struct ChangeError {
    /// The resource.
    pub id: ResourceId,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Another change of the set is about the same resource.
    Repeated,
    /// What it lies in will not exist.
    ContainerMissing(ResourceId),
    /// What a field refers to will not exist.
    TargetMissing(FieldError),
    /// It is to be deleted, and does not exist.
    NotFound,
    /// It is to be deleted, and these, which stay, need it.
    InUse(Vec<ResourceId>),
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated => f.write_str("is changed twice; a set changes a resource once"),
            Self::ContainerMissing(container) => write!(f, "{container} does not exist"),
            Self::TargetMissing(error) => error.fmt(f),
            Self::NotFound => f.write_str("does not exist"),
            Self::InUse(users) => {
                let mut shown: Vec<String> =
                    users.iter().take(USERS_SHOWN).map(ToString::to_string).collect();
                if users.len() > USERS_SHOWN {
                    shown.push(format!("{} more", users.len() - USERS_SHOWN));
                }
                write!(f, "is in use by {}", shown.join(", "))
            }
        }
    }
}

/// Why a set cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Everything that is wrong with its changes.
    #[error("the set of changes cannot be made")]
    Wrong(Vec<ChangeError>),
    /// What is stored cannot be read.
    #[error(transparent)]
    Damaged(#[from] DecodeError),
}

/// A set that can be made, and what it does.
#[derive(Debug)]
pub struct Resolved {
    /// What becomes of each resource, in the order of the changes.
    pub effects: Vec<Effect>,
    preconditions: Vec<Precondition>,
    puts: Vec<(String, Bytes)>,
    deletions: Vec<String>,
}

impl Change {
    /// The resource that it is about.
    pub fn id(&self) -> &ResourceId {
        match self {
            Self::Put { id, .. } | Self::Restore { id, .. } | Self::Delete { id } => id,
        }
    }

    /// What the resource is to be; nothing if it is to be deleted.
    fn spec(&self) -> Option<&Spec> {
        match self {
            Self::Put { spec, .. } | Self::Restore { spec, .. } => Some(spec),
            Self::Delete { .. } => None,
        }
    }
}

impl ChangeSet {
    /// The names of the meshes that it changes something of, in order.
    pub fn meshes(&self) -> BTreeSet<&str> {
        self.changes.iter().map(|change| change.id().mesh_name()).collect()
    }

    /// What the set does to the definitions as they are, or everything that is wrong with it.
    pub fn resolve(&self, current: &Current, making: &Making<'_>) -> Result<Resolved, Refusal> {
        let mut by_id: HashMap<&ResourceId, &Change> = HashMap::with_capacity(self.changes.len());
        let mut errors = Vec::new();
        for change in &self.changes {
            if by_id.insert(change.id(), change).is_some() {
                errors.push(ChangeError { id: change.id().clone(), problem: Problem::Repeated });
            }
        }
        let state = Future { current, by_id };
        for change in &self.changes {
            match change.spec() {
                Some(spec) => state.check_needs(change.id(), spec, &mut errors),
                None => state.check_users(change.id(), &mut errors),
            }
        }
        if !errors.is_empty() {
            return Err(Refusal::Wrong(errors));
        }
        let effects = self.effects(current, making)?;
        Ok(Written::of(&state, &effects).into_resolved(effects))
    }

    /// What each change would do to its resource, whether the set can be made or not.
    pub fn effects(&self, current: &Current, making: &Making<'_>) -> Result<Vec<Effect>, DecodeError> {
        self.changes.iter().map(|change| effect(change, current, making)).collect()
    }
}

/// The state as it will be, as far as it can be told from what is read.
struct Future<'a> {
    current: &'a Current,
    by_id: HashMap<&'a ResourceId, &'a Change>,
}

impl Future<'_> {
    fn exists(&self, id: &ResourceId) -> bool {
        match self.by_id.get(id) {
            Some(change) => change.spec().is_some(),
            None => self.current.exists(id),
        }
    }

    /// Reports what `id` needs and will not exist.
    fn check_needs(&self, id: &ResourceId, spec: &Spec, errors: &mut Vec<ChangeError>) {
        let mut report = |problem| errors.push(ChangeError { id: id.clone(), problem });
        if let Some(missing) = containers(id).into_iter().find(|container| !self.exists(container)) {
            report(Problem::ContainerMissing(missing));
        }
        for Reference { at, target } in references(id.mesh_name(), spec) {
            if !self.exists(&target) {
                report(Problem::TargetMissing(at.error(format_args!("{target} does not exist"))));
            }
        }
    }

    /// Reports that `id` is not there to be deleted, or who needs it. A user that is in the set was checked for what it
    /// needs itself, or goes too.
    fn check_users(&self, id: &ResourceId, errors: &mut Vec<ChangeError>) {
        let mut report = |problem| errors.push(ChangeError { id: id.clone(), problem });
        if !self.current.exists(id) {
            return report(Problem::NotFound);
        }
        let stay: Vec<ResourceId> =
            self.current.users(id).filter(|user| !self.by_id.contains_key(user)).cloned().collect();
        if !stay.is_empty() {
            report(Problem::InUse(stay));
        }
    }
}

/// What `change` does to its resource.
fn effect(change: &Change, current: &Current, making: &Making<'_>) -> Result<Effect, DecodeError> {
    let id = change.id().clone();
    let before = current.tagged(&id)?;
    let no_tags = Tags::default();
    let (spec, tags) = match change {
        Change::Delete { .. } => return Ok(Effect { id, before, after: None, outcome: Outcome::Deleted }),
        Change::Put { spec, tags, .. } => {
            let kept = before.as_ref().map_or(&no_tags, |before| &before.tags);
            (spec, tags.as_ref().unwrap_or(kept))
        }
        Change::Restore { spec, tags, .. } => (spec, tags),
    };
    let (metadata, outcome) = match &before {
        None => {
            let uid = (making.new_uid)();
            (Metadata::created(uid, making.account, making.now_ms), Outcome::Created)
        }
        Some(Tagged { definition, .. }) if definition.spec != *spec => {
            let now_ms = making.now_ms.max(definition.metadata.last_updated_at_ms);
            (definition.metadata.updated(now_ms), Outcome::Updated)
        }
        // tags are no part of what has a version
        Some(Tagged { definition, tags: before }) => {
            let outcome = if before == tags { Outcome::Unchanged } else { Outcome::Updated };
            (definition.metadata.clone(), outcome)
        }
    };
    let definition = Definition { id: id.clone(), spec: spec.clone(), metadata };
    let after = Some(Tagged { definition, tags: tags.clone() });
    Ok(Effect { id, before, after, outcome })
}

/// What is written, and what must be true for it.
#[derive(Default)]
struct Written {
    preconditions: Vec<Precondition>,
    puts: Vec<(String, Bytes)>,
    deletions: Vec<String>,
    /// What must exist and is not in the set.
    needed: BTreeSet<ResourceId>,
    /// Routers and gateways that lose a route.
    bereft: BTreeSet<ResourceId>,
}

impl Written {
    fn of(state: &Future<'_>, effects: &[Effect]) -> Written {
        let mut written = Written::default();
        for effect in effects {
            written.add(effect, state.current);
        }
        written.add_bereft(state, effects);
        let needed = std::mem::take(&mut written.needed);
        // what is in the set has preconditions of its own
        for needed in needed.iter().filter(|needed| !state.by_id.contains_key(needed)) {
            written.preconditions.push(Precondition::Present { key: needed.key().into() });
        }
        written
    }

    fn add(&mut self, effect: &Effect, current: &Current) {
        let id = &effect.id;
        let key = id.key();
        let (before, after) = (effect.before(), effect.after());
        self.preconditions.push(match current.value(id) {
            Some(value) => Precondition::Equal { key: key.as_str().into(), value: value.clone() },
            None => Precondition::Absent { key: key.as_str().into() },
        });
        self.add_tags(effect, current);
        if before == after {
            return;
        }
        match after {
            Some(after) => self.puts.push((key.clone(), after.encode().into())),
            None => self.deletions.push(key.clone()),
        }
        match effect.outcome {
            Outcome::Created => self.needed.extend(containers(id)),
            Outcome::Deleted => {
                self.preconditions.extend(current.nobody_else(id));
                self.bereft.extend(id.container().filter(|_| id.parent_name().is_some()));
            }
            Outcome::Updated | Outcome::Unchanged => {}
        }
        let target_set = |definition: &Definition| targets(id.mesh_name(), &definition.spec);
        let old_targets = before.map(target_set).unwrap_or_default();
        let new_targets = after.map(target_set).unwrap_or_default();
        let Some(Definition { metadata, .. }) = after.or(before) else { return };
        for target in old_targets.difference(&new_targets) {
            self.deletions.push(referrer_key(target, &metadata.uid));
        }
        for target in new_targets.difference(&old_targets) {
            self.puts.push((referrer_key(target, &metadata.uid), key.clone().into()));
            self.needed.insert(target.clone());
        }
    }

    fn add_tags(&mut self, effect: &Effect, current: &Current) {
        let tags =
            |tagged: &Option<Tagged>| tagged.as_ref().map(|tagged| tagged.tags.clone()).unwrap_or_default();
        let (before, after) = (tags(&effect.before), tags(&effect.after));
        let key = effect.id.tags_key();
        if effect.outcome == Outcome::Deleted {
            // whatever they are by then
            self.deletions.push(key);
            return;
        }
        if before == after {
            return;
        }
        if effect.outcome == Outcome::Updated {
            self.preconditions.push(current.tags_unchanged(&effect.id));
        }
        if after.is_empty() {
            self.deletions.push(key);
        } else {
            self.puts.push((key, after.encode().into()));
        }
    }

    /// What is made of a router or gateway carries the transaction of the newest definition that went into it. A deletion
    /// leaves none, so one that stays takes its number, unless it is written anyway.
    fn add_bereft(&mut self, state: &Future<'_>, effects: &[Effect]) {
        let is_written = |effect: &Effect| effect.before() != effect.after();
        let written: HashMap<&ResourceId, bool> =
            effects.iter().map(|effect| (&effect.id, is_written(effect))).collect();
        for parent in std::mem::take(&mut self.bereft) {
            let Some(value) = state.current.value(&parent) else { continue };
            let key = parent.key();
            match written.get(&parent) {
                Some(true) => continue,
                Some(false) => {}
                None => self
                    .preconditions
                    .push(Precondition::Equal { key: key.as_str().into(), value: value.clone() }),
            }
            self.puts.push((key, value.clone()));
        }
    }

    fn into_resolved(self, effects: Vec<Effect>) -> Resolved {
        let Written { preconditions, puts, deletions, .. } = self;
        Resolved { effects, preconditions, puts, deletions }
    }
}

impl Resolved {
    /// The same, with more that must be true for it.
    #[must_use]
    pub fn relying_on(mut self, preconditions: Vec<Precondition>) -> Self {
        self.preconditions.extend(preconditions);
        self
    }

    /// Whether every definition is as it should be already.
    pub fn changes_nothing(&self) -> bool {
        self.puts.is_empty() && self.deletions.is_empty()
    }

    /// The operations of the API that the set consists of, each with its resource: who may do all of them one by one
    /// may make the set.
    pub fn operations(&self) -> impl Iterator<Item = (Operation, &ResourceId)> {
        self.effects
            .iter()
            .flat_map(|effect| effect.operations().into_iter().map(move |operation| (operation, &effect.id)))
    }

    /// The resources that come of it, or go, with this outcome.
    pub fn with_outcome(&self, outcome: Outcome) -> impl Iterator<Item = &ResourceId> {
        self.effects.iter().filter(move |effect| effect.outcome == outcome).map(|effect| &effect.id)
    }

    /// The specifications that come of it and were not there before.
    pub fn new_specs(&self) -> impl Iterator<Item = &Spec> {
        self.effects.iter().filter_map(|effect| {
            let after = &effect.after()?.spec;
            (effect.before().map(|before| &before.spec) != Some(after)).then_some(after)
        })
    }

    /// What is written to the store: keys with their new values, `None` where one goes.
    pub fn written(&self) -> impl Iterator<Item = (&str, Option<&Bytes>)> {
        let puts = self.puts.iter().map(|(key, value)| (key.as_str(), Some(value)));
        puts.chain(self.deletions.iter().map(|key| (key.as_str(), None)))
    }

    /// What is to be committed for it. `author` and `operation` go into the journal.
    pub fn batch(&self, author: &str, operation: &str) -> Batch {
        let mut batch = Batch::definitions(author, operation);
        for precondition in &self.preconditions {
            batch = batch.require(precondition.clone());
        }
        for (key, value) in &self.puts {
            batch = batch.put(key.as_str(), value.clone());
        }
        for key in &self.deletions {
            batch = batch.delete(key.as_str());
        }
        batch
    }
}

#[cfg(test)]
mod tests;
