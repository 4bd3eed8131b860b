//! The thread that makes definitions durable, in groups.
//!
//! While one group is being synced the next gathers in the queue, so the rate of commits is not bound by the
//! latency of the disk:
//!
//! ```text
//!  queue    a | b c d | e ...
//!  writer     [stage a, sync][stage b c d, sync][stage e ...
//!  answers                  a                b c d
//! ```

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use legation_proto::v1::JournalEntry;
use legation_proto::version::Transaction;
use tokio::sync::{mpsc, oneshot};

use super::disk::Disk;
use super::memory::Remembered;
use super::state::{Shared, State};
use super::view::Staged;
use super::watchers::Wakeups;
use crate::store::batch::{Batch, Change, Kind};
use crate::store::error::{CommitError, StoreError};
use crate::store::metrics;
use crate::store::record::{Event, Record};
use crate::store::retention::{Kept, Pruned};

/// Batches that may wait; more wait in their callers.
const QUEUE_BATCHES_MAX: usize = 256;

/// Batches that share one sync.
const GROUP_BATCHES_MAX: usize = 256;

/// The writing end of the queue, and the thread at its other end.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

enum Request {
    Commit { batch: Batch, answer: oneshot::Sender<Answer> },
    Prune { kept: Kept, answer: oneshot::Sender<Result<Pruned, StoreError>> },
}

type Answer = Result<Transaction, CommitError>;

/// One batch of a group, ready for the disk.
pub(super) struct Commit {
    pub(super) entry: JournalEntry,
    pub(super) events: Vec<Event>,
    pub(super) remembered: Vec<Remembered>,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>, disk: Arc<Disk>) -> io::Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE_BATCHES_MAX);
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(requests, &shared, &disk))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Commits a batch of definitions that is within the limits.
    pub(super) async fn commit(&self, batch: Batch) -> Answer {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        let sent = queue.send(Request::Commit { batch, answer }).await;
        sent.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Prunes a part of the journal, between two groups.
    pub(super) async fn prune(&self, kept: Kept) -> Result<Pruned, StoreError> {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        let sent = queue.send(Request::Prune { kept, answer }).await;
        sent.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // the thread ends when the queue is closed and empty
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the store panicked");
        }
    }
}

fn run(mut requests: mpsc::Receiver<Request>, shared: &Shared, disk: &Disk) {
    let mut waiting = Vec::with_capacity(GROUP_BATCHES_MAX);
    while requests.blocking_recv_many(&mut waiting, GROUP_BATCHES_MAX) > 0 {
        let mut batches = Vec::with_capacity(waiting.len());
        let mut prunings = Vec::new();
        for request in waiting.drain(..) {
            match request {
                Request::Commit { batch, answer } => batches.push((batch, answer)),
                Request::Prune { kept, answer } => prunings.push((kept, answer)),
            }
        }
        if !batches.is_empty() {
            commit_group(batches, shared, disk);
        }
        for (kept, answer) in prunings {
            let _ = answer.send(prune(kept, shared, disk));
        }
    }
}

fn prune(kept: Kept, shared: &Shared, disk: &Disk) -> Result<Pruned, StoreError> {
    let newest = shared.lock().transaction();
    let pruned = disk.prune(kept, newest)?;
    shared.lock().set_oldest(pruned.oldest);
    metrics::oldest(pruned.oldest);
    Ok(pruned)
}

fn commit_group(batches: Vec<(Batch, oneshot::Sender<Answer>)>, shared: &Shared, disk: &Disk) {
    if disk.has_failed()
        && let Err(error) = recover(shared, disk)
    {
        tracing::error!(%error, "the store cannot be opened again after a failed write");
        for (_, answer) in batches {
            let _ = answer.send(Err(error.clone().into()));
        }
        return;
    }
    let mut answers = Vec::new();
    let mut state = shared.lock();
    let mut group = Group::after(&state, now_ms());
    for (batch, caller) in batches {
        let answer = group.stage(&mut state, batch);
        answers.push((caller, answer));
    }
    drop(state);

    if let Err(error) = disk.commit(&group.commits, &group.forgotten) {
        tracing::error!(%error, "definitions could not be written");
        // an answer may rest on a batch of this group that was not written, so none of them is given
        for (caller, _) in answers {
            let _ = caller.send(Err(error.clone().into()));
        }
        return;
    }

    let mut state = shared.lock();
    if !group.commits.is_empty() {
        state.forget(&group.forgotten);
    }
    let apply = |Commit { entry, events, remembered }: Commit| {
        state.remember(remembered);
        state.apply_definitions(entry.transaction, entry.committed_at_ms, &events)
    };
    let wakeups: Vec<Wakeups> = group.commits.into_iter().map(apply).collect();
    drop(state);
    metrics::transaction(group.transaction);
    for (caller, answer) in answers {
        // a caller that no longer waits has no use for the answer
        let _ = caller.send(answer);
    }
    // after the answers: the pass over what has changed takes longer than to send them
    drop(wakeups);
}

/// Opens the database again after a failed write, and takes in what of that write reached the disk nevertheless.
fn recover(shared: &Shared, disk: &Disk) -> Result<(), StoreError> {
    disk.reopen()?;
    let newest = shared.lock().transaction();
    let missed = disk.journal(newest, Transaction::MAX, usize::MAX)?;
    let remembered = disk.remembered()?;
    let mut state = shared.lock();
    state.remember(remembered);
    for entry in missed {
        let JournalEntry { transaction, committed_at_ms, .. } = entry;
        let events = entry.changes.into_iter().map(|change| Event {
            key: change.key.into(),
            value: change.after,
            transaction,
        });
        drop(state.apply_definitions(transaction, committed_at_ms, &events.collect::<Vec<_>>()));
    }
    tracing::info!("the store can be written again");
    Ok(())
}

/// Batches that go to the disk together, each on top of those before it.
struct Group {
    transaction: Transaction,
    staged: Staged,
    commits: Vec<Commit>,
    /// What was remembered long enough. It goes with the commits, if there are any.
    forgotten: Vec<Arc<str>>,
    now_ms: i64,
}

impl Group {
    fn after(state: &State, now_ms: i64) -> Self {
        let forgotten = state.to_forget(now_ms);
        let staged = forgotten.iter().map(|key| (Arc::clone(key), None)).collect();
        Self { transaction: state.transaction(), staged, commits: Vec::new(), forgotten, now_ms }
    }

    /// Adds a batch if its preconditions hold; one that conflicts leaves no trace.
    fn stage(&mut self, state: &mut State, batch: Batch) -> Answer {
        state.count(&batch.preconditions);
        let view = state.view(&self.staged);
        if let Some(precondition) = view.first_conflict(batch.preconditions) {
            return Err(CommitError::Conflict { precondition });
        }
        let transaction = self.transaction + 1;
        let events = view.events(&batch.changes, transaction);
        if events.is_empty() {
            return Ok(self.transaction);
        }
        let changes = events.iter().map(|event| view.journaled(event)).collect();
        for event in &events {
            self.staged.insert(Arc::clone(&event.key), record(event));
        }
        let mut remembered = Vec::new();
        for change in &batch.changes {
            if let Change::Remember { key, value, time_to_live } = change {
                let new = Remembered::new(key, value, transaction, self.now_ms, *time_to_live);
                self.staged.insert(Arc::clone(key), Some(new.record.clone()));
                remembered.push(new);
            }
        }
        let (author, operation, committed_at_ms) = match batch.kind {
            Kind::Definitions { author, operation, committed_at_ms } => (author, operation, committed_at_ms),
            Kind::Derived => (String::new(), String::new(), None),
        };
        let committed_at_ms = committed_at_ms.unwrap_or(self.now_ms);
        let entry = JournalEntry { transaction, committed_at_ms, author, operation, changes };
        self.commits.push(Commit { entry, events, remembered });
        self.transaction = transaction;
        Ok(transaction)
    }
}

fn record(event: &Event) -> Option<Record> {
    event.value.as_ref().map(|value| Record {
        key: Arc::clone(&event.key),
        value: value.clone(),
        transaction: event.transaction,
    })
}

/// Milliseconds since the Unix epoch; 0 if the clock stands before it.
fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
