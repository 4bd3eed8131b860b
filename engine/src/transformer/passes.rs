//! Passes: from definitions to fragments, again and again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use legation_proto::id::FragmentKey;
use legation_proto::version::Transaction;
use metrics::{describe_gauge, describe_histogram, gauge, histogram};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::keys::{self, DerivedKey};
use super::linter::{Changed, Linter, Question};
use super::mesh::{Delivery, Made, Mesh, Order, make};
use super::workers::Workers;
use crate::model::key::is_beside;
use crate::model::{Definition, ResourceId};
use crate::store::{At, Batch, CommitError, DEFINITIONS, Event, Record, Store, StoreError};

const PASS_SECONDS: &str = "legation_transform_pass_seconds";
const FRAGMENTS_FAILED: &str = "legation_fragments_failed";

/// How long after a pass over everything the next one comes.
const PASS_INTERVAL: Duration = Duration::from_secs(30);

/// How long after a pass that failed the next one comes.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How many fragments a thread makes at once.
const CHUNK: usize = 256;

/// What is made where the pass runs, in bytes as the store has it: so little is made sooner than a thread is woken.
const MADE_HERE_BYTES_MAX: usize = 16 * 1024;

/// Keeps the fragments in the store what the definitions in the store give.
///
/// A pass over everything reads all definitions and all fragments, makes every fragment anew and writes what differs. One
/// comes at the start, on a schedule, and after whatever went wrong. In between, a change leads to a pass over the fragments
/// that are made of it. What that gives must be what a pass over everything would: it is the same work, on less.
pub struct Passes {
    store: Arc<dyn Store>,
    workers: Workers,
    /// The last change of every definition that is in `meshes`.
    known: HashMap<Arc<str>, Transaction>,
    meshes: BTreeMap<Arc<str>, Mesh>,
    /// The meshes that changed since the linter asked last.
    unlinted: BTreeSet<Arc<str>>,
    questions: (mpsc::Sender<Question>, mpsc::Receiver<Question>),
    done: watch::Sender<Transaction>,
}

/// A pass that could not be finished. The next one is over everything.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The store cannot be read.
    #[error("cannot read definitions or fragments")]
    Read(#[from] StoreError),
    /// The store takes no fragments.
    #[error("cannot write fragments")]
    Write(#[from] CommitError),
}

/// The definitions of each mesh that changed.
type ChangedIds = BTreeMap<Arc<str>, Vec<ResourceId>>;

/// The fragments of each mesh that a pass makes.
type Work = BTreeMap<Arc<str>, Vec<FragmentKey>>;

impl Passes {
    /// Passes over what is in `store`, and the transaction that was transformed last.
    pub fn new(store: Arc<dyn Store>, workers: Workers) -> (Self, watch::Receiver<Transaction>) {
        describe_histogram!(
            PASS_SECONDS,
            "Seconds from the start of a transform pass to its fragments in the store"
        );
        describe_gauge!(
            FRAGMENTS_FAILED,
            "Fragments that cannot be made of their definitions; the last good ones stay"
        );
        gauge!(FRAGMENTS_FAILED).set(0.0);
        let (done, last) = watch::channel(0);
        let passes = Self {
            store,
            workers,
            known: HashMap::new(),
            meshes: BTreeMap::new(),
            unlinted: BTreeSet::new(),
            questions: mpsc::channel(1),
            done,
        };
        (passes, last)
    }

    /// What looks at the meshes behind these passes.
    pub fn linter(&self) -> Linter {
        Linter::new(self.questions.0.clone())
    }

    /// Runs until the store ends.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let (_, mut changes) = self.store.list_and_watch(DEFINITIONS).await?;
        let mut next_over_all = Instant::now();
        let mut is_behind = true;
        loop {
            let outcome = tokio::select! {
                biased; // however often something changes, everything is looked at in time
                () = sleep_until(next_over_all) => {
                    let outcome = self.pass_over_all().await;
                    next_over_all = Instant::now() + PASS_INTERVAL;
                    outcome
                }
                Some(question) = self.questions.1.recv() => {
                    let _ = question.send(self.take_unlinted()); // who asked may have ended
                    continue;
                }
                events = changes.next() => {
                    let events = events?;
                    if is_behind { self.pass_over_all().await } else { self.pass_after(events).await }
                }
            };
            is_behind = outcome.is_err();
            match outcome {
                Ok(transaction) => {
                    self.done.send_if_modified(|done| {
                        transaction > std::mem::replace(done, transaction.max(*done))
                    });
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "transform pass failed");
                    next_over_all = Instant::now() + RETRY_INTERVAL;
                    // it may have been half done: nothing that is remembered can be relied on
                    self.known.clear();
                    self.unlinted.extend(self.meshes.keys().cloned());
                    self.meshes.clear();
                }
            }
        }
    }

    /// Makes every fragment anew. What was remembered decides only which definitions need not be decoded again.
    async fn pass_over_all(&mut self) -> Result<Transaction, PassError> {
        let started = Instant::now();
        let listing = self.store.list(DEFINITIONS, At::Newest).await?;
        let differences = self.differences(&listing.records);
        let changed = self.take_in(differences);
        let mut stored = self.stored().await?;
        for mesh in stored.keys() {
            self.mesh(mesh);
        }
        let mut settled = HashMap::new();
        let mut work = Work::new();
        for (name, mesh) in &mut self.meshes {
            let remembered = mesh.made.replace(stored.remove(name).unwrap_or_default());
            if let (Some(remembered), false) = (remembered, changed.contains_key(name)) {
                settled.insert(Arc::clone(name), remembered.fragments);
            }
            work.insert(Arc::clone(name), mesh.all());
        }
        self.pass(work, &settled).await?;
        histogram!(PASS_SECONDS).record(started.elapsed());
        Ok(listing.transaction)
    }

    /// Makes the fragments that are made of what changed.
    async fn pass_after(&mut self, events: Vec<Event>) -> Result<Transaction, PassError> {
        let started = Instant::now();
        let transaction = events.iter().map(|event| event.transaction).max().unwrap_or_default();
        let changed = self.take_in(events);
        let is_unknown = |mesh: &Mesh| mesh.made.is_none();
        if changed.keys().any(|name| self.meshes.get(name).is_some_and(is_unknown)) {
            for name in changed.keys() {
                self.mesh(name).made = None;
            }
            return self.pass_over_all().await;
        }
        let of_mesh = |(name, ids): (Arc<str>, Vec<ResourceId>)| {
            let dependents = self.meshes.get(&name)?.dependents(&ids);
            Some((name, dependents))
        };
        let work = changed.into_iter().filter_map(of_mesh).collect();
        self.pass(work, &HashMap::new()).await?;
        histogram!(PASS_SECONDS).record(started.elapsed());
        Ok(transaction)
    }

    /// Makes these fragments and writes what differs from the store. None may differ from those of `settled` meshes, of
    /// which nothing has changed.
    async fn pass(
        &mut self,
        work: Work,
        settled: &HashMap<Arc<str>, HashMap<FragmentKey, Bytes>>,
    ) -> Result<(), PassError> {
        let mut making = Vec::new();
        for (name, keys) in work {
            if let Some(mesh) = self.meshes.get(&name) {
                let parts = self.start(mesh, keys);
                making.push((name, parts));
            }
        }
        for (name, parts) in making {
            let Ok(deliveries) = all_of(parts).await else {
                tracing::error!(mesh = %name, "transforming this mesh failed; its fragments stay as they are");
                self.mesh(&name).made = None;
                continue;
            };
            self.finish(&name, deliveries, settled.get(&name)).await?;
        }
        let problems: usize = self.meshes.values().map(|mesh| mesh.problems().len()).sum();
        gauge!(FRAGMENTS_FAILED).set(problems as f64);
        Ok(())
    }

    /// Makes fragments, or lets the workers do it.
    fn start(&self, mesh: &Mesh, keys: Vec<FragmentKey>) -> Vec<oneshot::Receiver<Vec<Delivery>>> {
        let orders = mesh.orders(keys);
        if are_made_here(&orders) {
            return vec![Workers::run_here(|| make(mesh.definitions(), orders))];
        }
        let parts = orders.chunks(CHUNK).map(|part| {
            let (definitions, part) = (Arc::clone(mesh.definitions()), part.to_vec());
            self.workers.run(move || make(&definitions, part))
        });
        parts.collect()
    }

    /// Writes what was made of a mesh. If that fails, what the store has is not known any more.
    async fn finish(
        &mut self,
        name: &Arc<str>,
        deliveries: Vec<Delivery>,
        settled: Option<&HashMap<FragmentKey, Bytes>>,
    ) -> Result<(), PassError> {
        let mesh = self.mesh(name);
        let Some(mut made) = mesh.made.take() else {
            return Ok(());
        };
        let changes = mesh.take_in(&mut made, deliveries);
        if let Some(settled) = settled {
            for (key, _) in changes.iter().filter(|(key, value)| settled.get(key) != value.as_ref()) {
                tracing::error!(%key, "a fragment was not what its definitions give; it is now");
            }
        }
        let mut changes: Vec<Change> =
            changes.into_iter().map(|(key, value)| (keys::fragment(&key).into(), value)).collect();
        let newest = mesh.definitions().mesh().map(|_| mesh.newest());
        // the mark comes last: whoever sees it can rely on the fragments being there
        match newest {
            Some(newest) if made.mark.is_none_or(|mark| mark < newest) => {
                made.mark = Some(newest);
                changes.push((keys::transformed(name).into(), Some(newest.to_string().into())));
            }
            None if made.mark.take().is_some() => changes.push((keys::transformed(name).into(), None)),
            _ => {}
        }
        self.write(&changes).await?;
        if self.mesh(name).definitions().is_empty() {
            self.meshes.remove(name);
        } else {
            self.mesh(name).made = Some(made);
        }
        Ok(())
    }

    /// The mesh `name`, which may be a new one.
    fn mesh(&mut self, name: &Arc<str>) -> &mut Mesh {
        self.meshes.entry(Arc::clone(name)).or_insert_with(|| Mesh::new(Arc::clone(name)))
    }

    /// What became of the definitions that are known, by all that there are.
    fn differences(&self, records: &[Record]) -> Vec<Event> {
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
            let gone = self.known.iter().filter(|(key, _)| !listed.contains(key));
            let gone = gone.map(|(key, known)| (Arc::clone(key), *known));
            events.extend(gone.map(|(key, transaction)| Event { key, value: None, transaction }));
        }
        events
    }

    /// Takes definitions over into their meshes, unless they are there already.
    fn take_in(&mut self, events: Vec<Event>) -> ChangedIds {
        let mut changed = ChangedIds::new();
        for Event { key, value, transaction } in events {
            let is_known = match &value {
                _ if is_beside(&key) => true,
                Some(_) => self.known.insert(Arc::clone(&key), transaction) == Some(transaction),
                None => self.known.remove(&key).is_none(),
            };
            if is_known {
                continue;
            }
            let Some(id) = ResourceId::from_key(&key) else {
                tracing::error!(%key, "the key of a definition cannot be read; the definition is left out");
                continue;
            };
            let name: Arc<str> = id.mesh_name().into();
            let mesh = self.mesh(&name);
            match value.and_then(|value| decode(&id, &value)) {
                Some(definition) => mesh.define(transaction, definition),
                None => mesh.undefine(&id),
            }
            if !self.unlinted.contains(&name) {
                self.unlinted.insert(Arc::clone(&name));
            }
            changed.entry(name).or_default().push(id);
        }
        changed
    }

    /// The meshes that changed since the last call, as they are.
    fn take_unlinted(&mut self) -> Changed {
        let names = std::mem::take(&mut self.unlinted);
        let definitions = |name: &Arc<str>| Some(Arc::clone(self.meshes.get(name)?.definitions()));
        names.into_iter().map(|name| (Arc::clone(&name), definitions(&name))).collect()
    }

    /// What the store has of each mesh.
    async fn stored(&self) -> Result<BTreeMap<Arc<str>, Made>, StoreError> {
        let mut meshes: BTreeMap<Arc<str>, Made> = BTreeMap::new();
        for record in self.store.list(keys::DERIVED, At::Newest).await?.records {
            match DerivedKey::parse(&record.key) {
                Some(DerivedKey::Fragment(key)) => {
                    // all share one name of their mesh
                    let mesh = meshes.get_key_value(&key.mesh).map_or(key.mesh, |(mesh, _)| Arc::clone(mesh));
                    let key = FragmentKey { mesh: Arc::clone(&mesh), ..key };
                    meshes.entry(mesh).or_default().fragments.insert(key, record.value);
                }
                Some(DerivedKey::Transformed(mesh)) => {
                    meshes.entry(mesh).or_default().mark = keys::transaction_of_mark(&record.value);
                }
                None => {}
            }
        }
        Ok(meshes)
    }

    async fn write(&self, changes: &[Change]) -> Result<(), CommitError> {
        for part in changes.chunks(self.store.limits().changes) {
            let batch = part.iter().cloned().fold(Batch::derived(), |batch, (key, value)| match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            });
            self.store.commit(batch).await?;
        }
        Ok(())
    }
}

/// A key, and its new value; `None` where it goes.
type Change = (Arc<str>, Option<Bytes>);

/// Whether these are few and small. How large one becomes that the store does not have yet is not known.
fn are_made_here(orders: &[Order]) -> bool {
    let bytes: Option<usize> = orders.iter().map(|(_, stored)| stored.as_ref().map(Bytes::len)).sum();
    bytes.is_some_and(|bytes| bytes <= MADE_HERE_BYTES_MAX)
}

/// Everything that workers made, unless one of them failed.
async fn all_of(
    parts: Vec<oneshot::Receiver<Vec<Delivery>>>,
) -> Result<Vec<Delivery>, oneshot::error::RecvError> {
    let mut deliveries = Vec::new();
    for part in parts {
        deliveries.extend(part.await?);
    }
    Ok(deliveries)
}

fn decode(id: &ResourceId, value: &[u8]) -> Option<Definition> {
    Definition::decode(id, value)
        .inspect_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "a definition is left out");
        })
        .ok()
}

#[cfg(test)]
mod tests;
