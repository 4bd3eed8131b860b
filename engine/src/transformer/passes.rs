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
        let passes = Self { store, workers, decoded: HashMap::new(), reported: Vec::new(), done };
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
        let definitions = self.decode(listing.records);
        let newest = newest_by_mesh(&definitions);
        let mut before = self.meshes_before().await?;
        let transforming: Vec<_> = MeshDefinitions::collect(definitions)
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
            self.write(&outcome.changes(&before)).await?;
            // the mark comes last: whoever sees it can rely on the fragments being there
            let newest = newest.get(&mesh).copied().unwrap_or_default();
            if before.transformed.is_none_or(|transformed| transformed < newest) {
                let mark = Bytes::from(newest.to_string());
                self.write(&[(keys::transformed(&mesh).into(), Some(mark))]).await?;
            }
            problems.extend(outcome.problems);
        }
        for (mesh, before) in before {
            let mut gone: Vec<Change> = before.fragments.into_keys().map(|key| (key, None)).collect();
            gone.push((keys::transformed(&mesh).into(), None));
            self.write(&gone).await?;
        }
        self.report(&problems);
        histogram!(PASS_SECONDS).record(started.elapsed());
        Ok(transaction)
    }

    /// Decodes what changed since the last pass; the rest is remembered.
    fn decode(&mut self, records: Vec<Record>) -> Vec<(Transaction, Definition)> {
        let mut decoded = HashMap::with_capacity(records.len());
        let mut definitions = Vec::with_capacity(records.len());
        for Record { key, value, transaction } in records {
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

    /// What earlier passes left in the store.
    async fn meshes_before(&self) -> Result<BTreeMap<Arc<str>, Before>, StoreError> {
        let mut meshes: BTreeMap<Arc<str>, Before> = BTreeMap::new();
        for record in self.store.list(keys::DERIVED, At::Newest).await?.records {
            match DerivedKey::parse(&record.key) {
                Some(DerivedKey::Fragment(key)) => {
                    let mesh = meshes.entry(key.mesh).or_default();
                    mesh.fragments.insert(record.key, record.value);
                }
                Some(DerivedKey::Transformed(mesh)) => {
                    meshes.entry(mesh).or_default().transformed = keys::transaction_of_mark(&record.value);
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

/// A key, and its new value; `None` where it goes.
type Change = (Arc<str>, Option<Bytes>);

/// What earlier passes left in the store of a mesh.
#[derive(Default)]
struct Before {
    fragments: HashMap<Arc<str>, Bytes>,
    /// The newest definition of the mesh that was transformed.
    transformed: Option<Transaction>,
}

/// The outcome of transforming a mesh, by keys in the store.
struct Encoded {
    fragments: BTreeMap<Arc<str>, Bytes>,
    /// Keys of fragments that could not be made: those that are there stay.
    kept: HashSet<Arc<str>>,
    problems: Vec<Problem>,
}

impl Encoded {
    /// What differs from what is there.
    fn changes(&self, before: &Before) -> Vec<Change> {
        let changed = self.fragments.iter().filter(|(key, value)| before.fragments.get(*key) != Some(*value));
        let stays = |key: &Arc<str>| self.fragments.contains_key(key) || self.kept.contains(key);
        let gone = before.fragments.keys().filter(|key| !stays(key));
        changed
            .map(|(key, value)| (Arc::clone(key), Some(value.clone())))
            .chain(gone.map(|key| (Arc::clone(key), None)))
            .collect()
    }
}

/// The newest definition of each mesh.
fn newest_by_mesh(definitions: &[(Transaction, Definition)]) -> HashMap<Arc<str>, Transaction> {
    let mut newest: HashMap<Arc<str>, Transaction> = HashMap::new();
    for (transaction, definition) in definitions {
        let of_mesh = newest.entry(definition.id.mesh_name().into()).or_default();
        *of_mesh = (*of_mesh).max(*transaction);
    }
    newest
}

fn encode(transformed: Transformed) -> Encoded {
    let Transformed { fragments, problems } = transformed;
    Encoded {
        fragments: fragments
            .into_iter()
            .map(|(key, fragment)| (keys::fragment(&key).into(), fragment.encode().into()))
            .collect(),
        kept: problems.iter().map(|problem| keys::fragment(&problem.key).into()).collect(),
        problems,
    }
}

fn decode(key: &str, value: &[u8]) -> Option<Definition> {
    let Some(id) = ResourceId::from_key(key) else {
        tracing::error!(key, "the key of a definition cannot be read; the definition is left out");
        return None;
    };
    match Definition::decode(&id, value) {
        Ok(definition) => Some(definition),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a definition is left out");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use legation_proto::id::FragmentKey;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{Metadata, Spec};
    use crate::store::EmbeddedStore;

    struct Setup {
        store: Arc<dyn Store>,
        passes: Passes,
        _directory: tempfile::TempDir,
    }

    impl Setup {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
            let (passes, _) = Passes::new(Arc::clone(&store), Workers::start(1).unwrap());
            Self { store, passes, _directory: directory }
        }

        async fn define(&self, id: ResourceId, spec: Value) {
            let spec = Spec::parse(id.kind(), &spec).unwrap();
            let metadata = Metadata::created("uid".to_owned(), "000000000000", 0);
            let key = id.key();
            let definition = Definition { id, spec, metadata, tags: Vec::new() };
            self.store
                .commit(Batch::definitions("test", "Create").put(key, definition.encode()))
                .await
                .unwrap();
        }

        async fn delete_mesh(&self) {
            let definitions = self.store.list(DEFINITIONS, At::Newest).await.unwrap().records;
            for part in definitions.chunks(self.store.limits().changes) {
                let batch = part.iter().fold(Batch::definitions("test", "Delete"), |batch, record| {
                    batch.delete(Arc::clone(&record.key))
                });
                self.store.commit(batch).await.unwrap();
            }
        }

        async fn derived(&self) -> HashMap<Arc<str>, Bytes> {
            let records = self.store.list(keys::DERIVED, At::Newest).await.unwrap().records;
            records.into_iter().map(|record| (record.key, record.value)).collect()
        }
    }

    fn service_with_provider(node: &str) -> Value {
        json!({"provider": {"virtualNode": {"virtualNodeName": node}}})
    }

    #[tokio::test]
    async fn a_large_mesh_comes_and_goes() {
        let mut setup = Setup::new();
        setup.define(ResourceId::mesh("m"), json!({})).await;
        let count = 2 * setup.store.limits().changes + 1;
        for number in 0..count {
            setup.define(ResourceId::virtual_node("m", number.to_string()), json!({})).await;
        }
        setup.passes.pass().await.unwrap();
        assert_eq!(setup.derived().await.len(), count + 1, "the fragments and the mark");
        setup.delete_mesh().await;
        setup.passes.pass().await.unwrap();
        assert_eq!(setup.derived().await, HashMap::new());
    }

    #[tokio::test]
    async fn a_pass_that_changes_nothing_writes_nothing() {
        let mut setup = Setup::new();
        setup.define(ResourceId::mesh("m"), json!({})).await;
        setup.define(ResourceId::virtual_node("m", "n"), json!({})).await;
        setup.passes.pass().await.unwrap();
        let (_, mut watch) = setup.store.list_and_watch(keys::DERIVED).await.unwrap();
        setup.passes.pass().await.unwrap();
        let event = tokio::time::timeout(Duration::from_millis(100), watch.next()).await;
        assert!(event.is_err(), "{event:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_made_keeps_its_last_good_fragment() {
        let mut setup = Setup::new();
        setup.define(ResourceId::mesh("m"), json!({})).await;
        let listener = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
        setup.define(ResourceId::virtual_node("m", "n"), listener).await;
        setup.define(ResourceId::virtual_service("m", "good"), service_with_provider("n")).await;
        setup.define(ResourceId::virtual_service("m", "bad"), service_with_provider("n")).await;
        setup.passes.pass().await.unwrap();
        let before = setup.derived().await;

        setup.define(ResourceId::virtual_service("m", "bad"), service_with_provider("gone")).await;
        setup.define(ResourceId::mesh("m"), json!({"egressFilter": {"type": "ALLOW_ALL"}})).await;
        setup.passes.pass().await.unwrap();
        let after = setup.derived().await;
        let key = |name| Arc::from(keys::fragment(&FragmentKey::virtual_service(&"m".into(), name)));
        assert_eq!(before.get(&key("bad")), after.get(&key("bad")));
        assert!(after.contains_key(&key("bad")));
        assert_ne!(before.get(&key("good")), after.get(&key("good")), "the others go on");
        assert_eq!(setup.passes.reported.len(), 1, "{:?}", setup.passes.reported);
    }
}
