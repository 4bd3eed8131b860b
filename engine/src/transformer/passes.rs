//! Passes: from definitions to fragments, again and again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use legation_proto::version::Transaction;
use metrics::{describe_gauge, describe_histogram, gauge, histogram};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::keys;
use super::linter::{Changed, Linter, Question};
use super::looking::{Look, look};
use super::mesh::{Delivery, FragmentChange, Made, Mesh, Order, make};
use super::schedule::Schedule;
use super::workers::Workers;
use crate::membership::Sharing;
use crate::model::ResourceId;
use crate::model::key::{is_beside, mesh_of_key, unescape};
use crate::store::{Batch, CommitError, DEFINITIONS, Event, Limits, Store, StoreError, Watch};

const PASS_SECONDS: &str = "legation_transform_pass_seconds";
const FRAGMENTS_FAILED: &str = "legation_fragments_failed";
const MESHES_OWNED: &str = "legation_meshes_owned";

/// How often it is found out which meshes there are. That of a new one is told as it comes.
const SURVEY_INTERVAL: Duration = Duration::from_secs(30);

/// How long after a survey that failed the next one comes.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Meshes that are read from the store at once, and of those that are due the most before changes have their turn.
const LOOKS_AT_ONCE: usize = 16;

/// How many fragments a thread makes at once.
const CHUNK: usize = 256;

/// Most bytes of a claim and its key, which go with every batch of fragments.
const CLAIM_BYTES_MAX: usize = 8 * 1024;

/// What is made where the pass runs, in bytes as the store has it: so little is made sooner than a thread is woken.
const MADE_HERE_BYTES_MAX: usize = 16 * 1024;

/// Keeps the fragments in the store what the definitions in the store give: of all meshes, or of those of one host's share.
///
/// A pass over a mesh reads all its definitions and all its fragments, makes every fragment anew and writes what differs. One
/// comes at the start, on a schedule that spreads them evenly, and after whatever went wrong. In between, a change leads to a
/// pass over the fragments that are made of it. What that gives must be what a pass over all would: it is the same work, on
/// less.
pub struct Passes {
    store: Arc<dyn Store>,
    workers: Workers,
    /// Where there are other hosts, what of the meshes is this one's.
    share: Option<Sharing>,
    meshes: BTreeMap<Arc<str>, Mesh>,
    schedule: Schedule,
    /// Finds out which meshes there are.
    survey: JoinSet<Result<Names, StoreError>>,
    /// Whether it is known which meshes there are in this share.
    is_surveyed: bool,
    /// The newest change that was told of.
    seen: Transaction,
    /// The meshes that changed since the linter asked last.
    unlinted: Names,
    questions: (mpsc::Sender<Question>, mpsc::Receiver<Question>),
    done: watch::Sender<Transaction>,
}

/// A pass over a mesh that could not be finished. The next one is over all of it.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The store cannot be read.
    #[error("cannot read definitions or fragments")]
    Read(#[from] StoreError),
    /// The store takes no fragments.
    #[error("cannot write fragments")]
    Write(#[from] CommitError),
}

/// The names of meshes.
type Names = BTreeSet<Arc<str>>;

/// The definitions of each mesh that changed.
type ChangedIds = BTreeMap<Arc<str>, Vec<ResourceId>>;

/// The fragments of each mesh that a pass makes.
type Work = BTreeMap<Arc<str>, Vec<Order>>;

/// What a mesh had, of which nothing has changed.
type Settled = HashMap<Arc<str>, Made>;

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
        describe_gauge!(MESHES_OWNED, "Meshes that this host transforms");
        gauge!(FRAGMENTS_FAILED).set(0.0);
        let (done, last) = watch::channel(0);
        let passes = Self {
            store,
            workers,
            share: None,
            meshes: BTreeMap::new(),
            schedule: Schedule::default(),
            survey: JoinSet::new(),
            is_surveyed: false,
            seen: 0,
            unlinted: Names::new(),
            questions: mpsc::channel(1),
            done,
        };
        (passes, last)
    }

    /// These passes, over the meshes of this share.
    #[must_use]
    pub fn with_share(mut self, share: Sharing) -> Self {
        self.share = Some(share);
        self
    }

    /// What looks at the meshes behind these passes.
    pub fn linter(&self) -> Linter {
        Linter::new(self.questions.0.clone())
    }

    /// Runs until the store ends.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let mut changes = self.watch().await?;
        self.survey_after(Duration::ZERO);
        loop {
            tokio::select! {
                biased; // however often something changes, everything is looked at in time
                () = has_moved(&mut self.share) => {
                    self.is_surveyed = false;
                    // one under way may be older than what came to this share
                    self.survey_after(Duration::ZERO);
                    // of meshes that come it is not known what was done
                    self.done.send_replace(0);
                }
                Some(names) = self.survey.join_next() => {
                    self.take_in_survey(names.unwrap_or_else(|error| Err(StoreError::Storage(Arc::new(error)))));
                }
                () = is_due(self.schedule.next()) => {
                    let due = self.schedule.take_due(Instant::now(), LOOKS_AT_ONCE);
                    self.pass_over(due).await;
                    // however much is due, a change waits for no more than this
                    if let Some(events) = changes.next().now_or_never() {
                        self.pass_after(events?).await;
                    }
                }
                Some(question) = self.questions.1.recv() => {
                    let _ = question.send(self.take_unlinted()); // who asked may have ended
                    continue;
                }
                events = changes.next() => self.pass_after(events?).await,
            }
            self.tell_what_is_done();
        }
    }

    /// A watch of all definitions, from now on.
    async fn watch(&mut self) -> Result<Watch, StoreError> {
        loop {
            let watch = match self.store.newest().await {
                Ok(newest) => {
                    self.seen = newest;
                    self.store.watch(DEFINITIONS, newest).await
                }
                Err(error) => Err(error),
            };
            match watch {
                Err(error) if !matches!(error, StoreError::Closed) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "definitions cannot be watched yet"
                    );
                    sleep(RETRY_INTERVAL).await;
                }
                watch => return watch,
            }
        }
    }

    /// Everything that was told of is done, unless of a mesh it is not known.
    fn tell_what_is_done(&self) {
        if self.is_surveyed && self.meshes.values().all(|mesh| !mesh.is_behind) {
            let seen = self.seen;
            self.done.send_if_modified(|done| seen > std::mem::replace(done, seen.max(*done)));
        }
    }

    /// Has it found out after a `pause` which meshes there are, beside whatever else is done: where there are many it takes long.
    fn survey_after(&mut self, pause: Duration) {
        let store = Arc::clone(&self.store);
        self.survey = JoinSet::new(); // which ends one that is under way
        self.survey.spawn(async move {
            sleep(pause).await;
            meshes_in(store.as_ref()).await
        });
    }

    /// Takes in which meshes there are, and has that found out again in time.
    fn take_in_survey(&mut self, names: Result<Names, StoreError>) {
        let pause = match names {
            Ok(names) => {
                self.know(names);
                SURVEY_INTERVAL
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot tell which meshes there are"
                );
                RETRY_INTERVAL
            }
        };
        self.survey_after(pause);
    }

    /// Has those of all these meshes looked at that are new, and leaves those that are not of this share.
    fn know(&mut self, names: Names) {
        let lost: Vec<_> = self.meshes.keys().filter(|name| !has(&self.share, name)).cloned().collect();
        lost.iter().for_each(|name| self.leave(name));
        for name in names.into_iter().filter(|name| has(&self.share, name)) {
            if !self.meshes.contains_key(&name) {
                self.schedule.at_once(&name, Instant::now());
                self.meshes.insert(Arc::clone(&name), Mesh::new(name));
            }
        }
        self.is_surveyed = true;
    }

    /// Leaves a mesh that is not of this share any more.
    fn leave(&mut self, name: &Arc<str>) {
        tracing::info!(mesh = %name, "left to another host");
        self.meshes.remove(name);
        self.schedule.remove(name);
        self.unlinted.insert(Arc::clone(name));
    }

    /// Makes every fragment of these meshes anew. What was remembered decides only which definitions need not be decoded
    /// again.
    async fn pass_over(&mut self, names: Vec<Arc<str>>) {
        let started = Instant::now();
        let (store, share) = (&self.store, self.share.as_ref());
        let looks = names.into_iter().map(|name| {
            let claim = self.meshes.get(&name).and_then(|mesh| mesh.claim.clone());
            async move {
                // another host may have come since these were chosen, and have claimed what is its own
                if share.is_some_and(|share| !share.has(&name)) {
                    return (name, None);
                }
                let look = look(store.as_ref(), share, claim, &name).await;
                (name, Some(look))
            }
        });
        let looks: Vec<_> = stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE).collect().await;
        let (mut work, mut settled) = (Work::new(), Settled::new());
        for (name, look) in looks {
            match look {
                None => self.leave(&name),
                Some(Ok(look)) => {
                    if let Some(remembered) = self.take_in(&name, look) {
                        settled.insert(Arc::clone(&name), remembered);
                    }
                    work.insert(Arc::clone(&name), self.mesh(&name).all());
                }
                Some(Err(error)) => self.fail(&name, &error),
            }
        }
        let names: Vec<_> = work.keys().cloned().collect();
        self.pass(work, &settled).await;
        for name in names {
            if let Some(mesh) = self.meshes.get_mut(&name).filter(|mesh| !mesh.is_behind) {
                let is_first = !std::mem::replace(&mut mesh.was_looked_at, true);
                self.schedule.in_time(&name, is_first, Instant::now());
            }
        }
        histogram!(PASS_SECONDS).record(started.elapsed());
        // of a large mesh this takes long, and nobody waits for it there
        drop(self.workers.run(move || drop(settled)));
    }

    /// Takes in what the store has of a mesh; the answer is what it had before, if nothing of the definitions has changed.
    fn take_in(&mut self, name: &Arc<str>, look: Look) -> Option<Made> {
        let Look { claim, made, definitions } = look;
        let mesh = self.mesh(name);
        let has_changed = mesh.list(&definitions.records, definitions.transaction);
        // what was deleted before this host looked at the mesh the first time is in no definition of it
        if claim != mesh.claim || has_changed && mesh.was_looked_at {
            mesh.reach(definitions.transaction);
        }
        mesh.claim = claim;
        let remembered = mesh.made.replace(made);
        if has_changed || remembered.is_none() {
            self.unlinted.insert(Arc::clone(name));
        }
        remembered.filter(|_| !has_changed)
    }

    /// Makes the fragments that are made of what changed.
    async fn pass_after(&mut self, events: Vec<Event>) {
        let started = Instant::now();
        let mut changed = ChangedIds::new();
        for event in events {
            self.seen = self.seen.max(event.transaction);
            let Some(name) = mesh_of_key(&event.key).filter(|name| has(&self.share, name)) else {
                continue;
            };
            if is_beside(&event.key) {
                continue;
            }
            let name: Arc<str> = name.into();
            let id = self.mesh(&name).change(event);
            changed.entry(Arc::clone(&name)).or_default().extend(id);
            self.unlinted.insert(name);
        }
        let is_known = |mesh: &Mesh| mesh.made.is_some() && !mesh.is_behind;
        let (known, unknown): (ChangedIds, ChangedIds) =
            changed.into_iter().partition(|(name, _)| self.meshes.get(name).is_some_and(is_known));
        let of_mesh = |(name, ids): (Arc<str>, Vec<ResourceId>)| {
            let dependents = self.meshes.get(&name)?.dependents(&ids);
            Some((name, dependents))
        };
        let work = known.into_iter().filter_map(of_mesh).collect();
        self.pass(work, &Settled::new()).await;
        histogram!(PASS_SECONDS).record(started.elapsed());
        if !unknown.is_empty() {
            self.pass_over(unknown.into_keys().collect()).await;
        }
    }

    /// Makes these fragments and writes what differs from the store. None may differ from those of `settled` meshes.
    async fn pass(&mut self, work: Work, settled: &Settled) {
        let start = |(name, orders): (Arc<str>, Vec<Order>)| {
            let parts = self.start(self.meshes.get(&name)?, orders);
            Some((name, parts))
        };
        let making: Vec<_> = work.into_iter().filter_map(start).collect();
        for (name, parts) in making {
            let Ok(made) = self.receive(&name, parts).await else {
                tracing::error!(mesh = %name, "transforming this mesh failed; its fragments stay as they are");
                self.mesh(&name).is_behind = false;
                continue;
            };
            let Some((made, changes)) = made else { continue };
            match self.finish(&name, made, changes, settled.get(&name)).await {
                Ok(()) => {}
                Err(error) => self.fail(&name, &error),
            }
        }
        let problems: usize = self.meshes.values().map(|mesh| mesh.problems().len()).sum();
        gauge!(FRAGMENTS_FAILED).set(problems as f64);
        gauge!(MESHES_OWNED).set(self.meshes.len() as f64);
    }

    /// The pass over this mesh may be half done: nothing that is remembered of it can be relied on.
    fn fail(&mut self, name: &Arc<str>, error: &PassError) {
        if let PassError::Write(CommitError::Conflict { .. }) = error {
            tracing::info!(mesh = %name, "another host has claimed this mesh");
        } else {
            let error: &dyn std::error::Error = error;
            tracing::error!(mesh = %name, error, "transform pass failed");
        }
        if let PassError::Read(_) = error {
            self.mesh(name).is_behind = true; // nothing was done
        } else {
            self.meshes.insert(Arc::clone(name), Mesh::new(Arc::clone(name)));
            self.unlinted.insert(Arc::clone(name));
        }
        self.schedule.again(name, Instant::now());
    }

    /// Makes fragments, or lets the workers do it.
    fn start(&self, mesh: &Mesh, orders: Vec<Order>) -> Vec<oneshot::Receiver<Vec<Delivery>>> {
        if are_made_here(&orders) {
            return vec![Workers::run_here(|| make(mesh.definitions(), orders))];
        }
        let mut orders = orders.into_iter();
        let next_part =
            || Some(orders.by_ref().take(CHUNK).collect::<Vec<_>>()).filter(|part| !part.is_empty());
        let parts = iter::from_fn(next_part).map(|part| {
            let definitions = Arc::clone(mesh.definitions());
            self.workers.run(move || make(&definitions, part))
        });
        parts.collect()
    }

    /// Takes in what is made of a mesh, each part when it is there: what the mesh has then, and what is to be written for that.
    /// If a worker has failed, nothing is remembered of the mesh.
    async fn receive(
        &mut self,
        name: &Arc<str>,
        parts: Vec<oneshot::Receiver<Vec<Delivery>>>,
    ) -> Result<Option<(Made, Vec<FragmentChange>)>, oneshot::error::RecvError> {
        let bytes_max = self.store.limits().value_bytes;
        let mesh = self.mesh(name);
        let Some(mut made) = mesh.made.take() else {
            return Ok(None);
        };
        let mut changes = Vec::new();
        for part in parts {
            changes.extend(mesh.take_in(&mut made, part.await?, bytes_max));
        }
        Ok(Some((made, changes)))
    }

    /// Writes what was made of a mesh. If that fails, what the store has is not known any more.
    async fn finish(
        &mut self,
        name: &Arc<str>,
        mut made: Made,
        changes: Vec<FragmentChange>,
        settled: Option<&Made>,
    ) -> Result<(), PassError> {
        if let Some(settled) = settled {
            for (key, _) in changes.iter().filter(|(key, value)| settled.differs(key, value.as_deref())) {
                tracing::error!(%key, "a fragment was not what its definitions give; it is now");
            }
        }
        let mesh = self.mesh(name);
        let mut changes: Vec<Change> =
            changes.into_iter().map(|(key, value)| (keys::fragment(&key).into(), value)).collect();
        let newest = mesh.definitions().is_defined().then(|| mesh.newest());
        // the mark comes last: whoever sees it can rely on the fragments being there
        match newest {
            Some(newest) if made.mark.is_none_or(|mark| mark < newest) => {
                made.mark = Some(newest);
                changes.push((keys::transformed(name).into(), Some(newest.to_string().into())));
            }
            None if made.mark.take().is_some() => changes.push((keys::transformed(name).into(), None)),
            _ => {}
        }
        let is_gone = mesh.is_gone();
        let claim = mesh.claim.clone().map(|claim| (Arc::<str>::from(keys::owner(name)), claim));
        if let (true, Some((owner, _))) = (is_gone, &claim) {
            changes.push((Arc::clone(owner), None));
        }
        self.write(claim.as_ref(), changes).await?;
        if is_gone {
            self.meshes.remove(name);
            self.schedule.remove(name);
        } else {
            let mesh = self.mesh(name);
            (mesh.made, mesh.is_behind) = (Some(made), false);
        }
        Ok(())
    }

    /// The mesh `name`, which may be a new one.
    fn mesh(&mut self, name: &Arc<str>) -> &mut Mesh {
        self.meshes.entry(Arc::clone(name)).or_insert_with(|| Mesh::new(Arc::clone(name)))
    }

    /// The meshes that changed since the last call, as they are.
    fn take_unlinted(&mut self) -> Changed {
        let names = std::mem::take(&mut self.unlinted);
        let definitions = |name: &Arc<str>| Some(Arc::clone(self.meshes.get(name)?.definitions()));
        names.into_iter().map(|name| (Arc::clone(&name), definitions(&name))).collect()
    }

    /// Writes in parts that the store takes, each if the claim is there still.
    async fn write(
        &self,
        claim: Option<&(Arc<str>, Bytes)>,
        changes: Vec<Change>,
    ) -> Result<(), CommitError> {
        for part in parts(changes, &self.store.limits()) {
            let mut batch = Batch::derived();
            if let Some((owner, claim)) = claim {
                batch = batch.if_equal(Arc::clone(owner), claim.clone());
            }
            let batch = part.into_iter().fold(batch, |batch, (key, value)| match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            });
            self.store.commit(batch).await?;
        }
        Ok(())
    }
}

/// All meshes of which there is anything.
async fn meshes_in(store: &dyn Store) -> Result<Names, StoreError> {
    let mut names = Names::new();
    for prefix in [DEFINITIONS, keys::FRAGMENTS, keys::TRANSFORMED, keys::OWNERS] {
        let segments = store.segments(prefix).await?;
        names.extend(segments.iter().filter_map(|segment| unescape(segment)).map(Arc::<str>::from));
    }
    Ok(names)
}

/// Whether a mesh is one of this share, or of no share but all.
fn has(share: &Option<Sharing>, mesh: &str) -> bool {
    share.as_ref().is_none_or(|share| share.has(mesh))
}

/// Waits until hosts have come or gone.
async fn has_moved(share: &mut Option<Sharing>) {
    match share {
        Some(share) => share.changed().await,
        None => std::future::pending().await,
    }
}

async fn is_due(next: Option<Instant>) {
    match next {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A key, and its new value; `None` where it goes.
type Change = (Arc<str>, Option<Bytes>);

/// The changes in their order, in parts that a batch may have.
fn parts(changes: Vec<Change>, limits: &Limits) -> Vec<Vec<Change>> {
    let mut parts: Vec<Vec<Change>> = Vec::new();
    let mut bytes = 0;
    for change in changes {
        let (key, value) = &change;
        let size = key.len() + value.as_ref().map_or(0, Bytes::len);
        bytes += size;
        match parts.last_mut() {
            Some(part) if part.len() < limits.changes && bytes <= limits.batch_bytes - CLAIM_BYTES_MAX => {
                part.push(change);
            }
            _ => {
                bytes = size;
                parts.push(vec![change]);
            }
        }
    }
    parts
}

/// Whether these are few and small. How large one becomes that the store does not have yet is not known.
fn are_made_here(orders: &[Order]) -> bool {
    let bytes: Option<usize> = orders.iter().map(|(_, stored)| stored.map(|stored| stored.bytes)).sum();
    bytes.is_some_and(|bytes| bytes <= MADE_HERE_BYTES_MAX)
}

#[cfg(test)]
mod tests;
