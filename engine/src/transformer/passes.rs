//! Passes: from all definitions to all fragments, again and again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use legation_proto::version::Transaction;
use metrics::{describe_gauge, describe_histogram, gauge, histogram};
use tokio::sync::watch;

use super::definitions::MeshDefinitions;
use super::keys::{self, DerivedKey};
use super::transform::{Problem, Transformed, transform};
use super::workers::Workers;
use crate::model::key::is_referrer;
use crate::model::{Definition, ResourceId};
use crate::store::{At, Batch, CommitError, DEFINITIONS, Record, Store, StoreError};

const PASS_SECONDS: &str = "legation_transform_pass_seconds";
const FRAGMENTS_FAILED: &str = "legation_fragments_failed";

/// How long after a pass the next one comes, if no definition changes before.
const PASS_INTERVAL: Duration = Duration::from_secs(30);

/// How long after a pass that failed the next one comes.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Computes every fragment of every mesh, after every change and on a schedule: always the whole of the work, so that
/// there is no other mode to recover in.
pub struct Passes {
    store: Arc<dyn Store>,
    workers: Workers,
    /// What was decoded in the last pass, by key and the transaction of its last change.
    decoded: HashMap<Arc<str>, (Transaction, Arc<Definition>)>,
    reported: Vec<String>,
    done: watch::Sender<Transaction>,
}

/// A pass that could not be finished. The next one does all of its work.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The store cannot be read.
    #[error("cannot read definitions or fragments")]
    Read(#[from] StoreError),
    /// The store takes no fragments.
    #[error("cannot write fragments")]
    Write(#[from] CommitError),
}

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
            decoded: HashMap::new(),
            reported: Vec::new(),
            done,
        };
        (passes, last)
    }

    /// Runs until the store ends.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let (_, mut changes) = self.store.list_and_watch(DEFINITIONS).await?;
        loop {
            let wait = match self.pass().await {
                Ok(transaction) => {
                    self.done.send_replace(transaction);
                    PASS_INTERVAL
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "transform pass failed");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                changed = changes.next() => drop(changed?),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn pass(&mut self) -> Result<Transaction, PassError> {
        let started = Instant::now();
        let listing = self.store.list(DEFINITIONS, At::Newest).await?;
        let transaction = listing.transaction;
        let meshes = MeshDefinitions::collect(self.decode(listing.records));
        let mut before = self.fragments_before().await?;
        let transforming: Vec<_> = meshes
            .into_iter()
            .map(|(mesh, definitions)| (mesh, self.workers.run(move || encode(transform(&definitions)))))
            .collect();
        let mut problems = Vec::new();
        for (mesh, outcome) in transforming {
            let before = before.remove(&mesh).unwrap_or_default();
            let Ok(outcome) = outcome.await else {
                tracing::error!(%mesh, "transforming this mesh failed; its fragments stay as they are");
                continue;
            };
            self.write(&mesh, &before, &outcome).await?;
            problems.extend(outcome.problems);
        }
        for (mesh, fragments) in before {
            let gone = fragments.into_keys().fold(Batch::derived(), Batch::delete);
            self.store.commit(gone.delete(keys::transformed(&mesh))).await?;
        }
        self.report(&problems);
        histogram!(PASS_SECONDS).record(started.elapsed());
        Ok(transaction)
    }

    /// Decodes what changed since the last pass; the rest is remembered.
    fn decode(&mut self, records: Vec<Record>) -> Vec<(Transaction, Definition)> {
        let mut decoded = HashMap::with_capacity(records.len());
        let mut definitions = Vec::with_capacity(records.len());
        for Record {
            key,
            value,
            transaction,
        } in records
        {
            if is_referrer(&key) {
                continue;
            }
            let definition = match self.decoded.remove(&key) {
                Some((remembered, definition)) if remembered == transaction => definition,
                _ => match decode(&key, &value) {
                    Some(definition) => Arc::new(definition),
                    None => continue,
                },
            };
            definitions.push((transaction, Definition::clone(&definition)));
            decoded.insert(key, (transaction, definition));
        }
        self.decoded = decoded;
        definitions
    }

    /// The fragments in the store, by mesh and key.
    async fn fragments_before(&self) -> Result<BTreeMap<Arc<str>, HashMap<Arc<str>, Bytes>>, StoreError> {
        let mut fragments: BTreeMap<Arc<str>, HashMap<_, _>> = BTreeMap::new();
        for record in self.store.list(keys::DERIVED, At::Newest).await?.records {
            match DerivedKey::parse(&record.key) {
                Some(DerivedKey::Fragment(key)) => {
                    fragments
                        .entry(key.mesh)
                        .or_default()
                        .insert(record.key, record.value);
                }
                Some(DerivedKey::Transformed(mesh)) => {
                    fragments.entry(mesh).or_default();
                }
                None => {}
            }
        }
        Ok(fragments)
    }

    /// Writes what differs, and the mark of the mesh last: whoever sees it can rely on the fragments being there.
    async fn write(
        &self,
        mesh: &str,
        before: &HashMap<Arc<str>, Bytes>,
        outcome: &Encoded,
    ) -> Result<(), CommitError> {
        let Encoded { fragments, kept, .. } = outcome;
        let changed = fragments
            .iter()
            .filter(|(key, value)| before.get(key.as_str()) != Some(*value))
            .map(|(key, value)| (key.as_str(), Some(value)));
        let gone = before
            .keys()
            .map(AsRef::as_ref)
            .filter(|key| !fragments.contains_key(*key) && !kept.contains(*key))
            .map(|key| (key, None));
        let changes: Vec<(&str, Option<&Bytes>)> = changed.chain(gone).collect();
        for part in changes.chunks(self.store.limits().changes) {
            let batch = part
                .iter()
                .fold(Batch::derived(), |batch, (key, value)| match value {
                    Some(value) => batch.put(*key, Bytes::clone(value)),
                    None => batch.delete(*key),
                });
            self.store.commit(batch).await?;
        }
        let mark = keys::transformed(mesh);
        if self.store.get(&mark).await?.is_none() {
            self.store
                .commit(Batch::derived().put(mark, Bytes::new()))
                .await?;
        }
        Ok(())
    }

    /// Tells of problems once, not in each pass.
    fn report(&mut self, problems: &[Problem]) {
        gauge!(FRAGMENTS_FAILED).set(problems.len() as f64);
        let reported: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for problem in reported.iter().filter(|problem| !self.reported.contains(problem)) {
            tracing::warn!(problem, "a fragment cannot be made; the last good one stays");
        }
        self.reported = reported;
    }
}

/// The outcome of transforming a mesh, by keys in the store.
struct Encoded {
    fragments: BTreeMap<String, Bytes>,
    /// Keys of fragments that could not be made: those that are there stay.
    kept: HashSet<String>,
    problems: Vec<Problem>,
}

fn encode(transformed: Transformed) -> Encoded {
    let Transformed { fragments, problems } = transformed;
    Encoded {
        fragments: fragments
            .into_iter()
            .map(|(key, fragment)| (keys::fragment(&key), fragment.encode().into()))
            .collect(),
        kept: problems
            .iter()
            .map(|problem| keys::fragment(&problem.key))
            .collect(),
        problems,
    }
}

fn decode(key: &str, value: &[u8]) -> Option<Definition> {
    let Some(id) = ResourceId::from_key(key) else {
        tracing::error!(
            key,
            "the key of a definition cannot be read; the definition is left out"
        );
        return None;
    };
    match Definition::decode(&id, value) {
        Ok(definition) => Some(definition),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a definition is left out"
            );
            None
        }
    }
}
