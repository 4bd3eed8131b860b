//! The default store: one process, one redb file, everything current in memory.
//!
//! ```text
//!  commit (definitions) --> queue --> writer thread --> redb, one sync a group --+
//!                                                                                v
//!  commit (derived), leases ---------------------------------------------> state in memory --> watches
//!                                                                                |
//!  list, get <-------------------------------------------------------------------+
//!  journal, list in the past <-- redb
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `state` | everything current, under one short lock |
//! | `view` | what a batch means for the records it would change |
//! | `deletions` | which definitions were deleted lately |
//! | `watchers` | who is told about a change of which key |
//! | `families` | how many keys there are of some kinds |
//! | `memory` | which keys are remembered, and until when |
//! | `leases`, `expiry` | the table of leases, the thread that ends them |
//! | `writer` | the thread that makes definitions durable, in groups |
//! | `disk`, `open` | the redb file |
//!
//! **Invariant:** the state in memory changes only after the change is durable, so nobody is ever shown a
//! definition that a crash could take back. Reads of the present never wait for the disk.

mod deletions;
mod disk;
mod expiry;
mod families;
mod leases;
mod memory;
mod open;
mod state;
mod view;
mod watchers;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use legation_proto::v1::JournalEntry;
use legation_proto::version::Transaction;

use self::disk::{Disk, Loaded, OpenDatabase};
use self::expiry::Expiry;
pub use self::open::OpenError;
use self::state::Shared;
use self::watchers::{RegisteredKeys, Registration};
use self::writer::Writer;
use super::batch::{Batch, Kind};
use super::error::{CommitError, StoreError};
use super::lease::LeaseId;
use super::limits::Limits;
use super::reach::Reach;
use super::record::{At, Listing, Record, is_definition};
use super::retention::{Kept, Pruned};
use super::watch::{KeysWatch, Queue, Watch};
use super::{Store, metrics};

/// Definitions that are changed together are written together, whatever their number: the bound is on how long others
/// wait for it.
const LIMITS: Limits = Limits {
    key_bytes: 10 * 1024,
    value_bytes: 1024 * 1024,
    changes: 100,
    definition_changes: 10_000,
    definition_preconditions: 40_000,
    batch_bytes: 64 * 1024 * 1024,
};

/// The store of one process, in a directory of its own.
///
/// Dropping it commits what is queued, ends its watches and waits for its threads. Derived data and leases end
/// with it.
pub struct EmbeddedStore {
    // dropped in this order: no commit comes after the watches have ended
    writer: Writer,
    _expiry: Expiry,
    shared: Arc<Shared>,
    disk: Arc<Disk>,
    limits: Limits,
}

impl EmbeddedStore {
    /// Whether there is a store in `dir`.
    pub fn is_in(dir: &Path) -> bool {
        open::path(dir).is_file()
    }

    /// Opens the store in `dir`, and creates both if needed.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let path = open::path(dir);
        let dir = dir.to_owned();
        Self::with_database(Box::new(move || open::database(&dir)), &path)
    }

    /// The store on a database that `path` names in errors.
    fn with_database(open: OpenDatabase, path: &Path) -> Result<Self, OpenError> {
        metrics::describe();
        let disk = Arc::new(Disk::prepare(open, path)?);
        let Loaded { transaction, oldest, records, remembered } =
            disk.load().map_err(|error| OpenError::Unreadable { path: path.to_owned(), error })?;
        metrics::transaction(transaction);
        metrics::oldest(oldest);
        let shared = Arc::new(Shared::new(transaction, oldest, records));
        shared.lock().remember(remembered);
        let expiry = Expiry::start(Arc::clone(&shared)).map_err(OpenError::Thread)?;
        let writer = Writer::start(Arc::clone(&shared), Arc::clone(&disk)).map_err(OpenError::Thread)?;
        Ok(Self { writer, _expiry: expiry, shared, disk, limits: LIMITS })
    }

    async fn commit_checked(&self, batch: Batch) -> Result<Transaction, CommitError> {
        self.limits.check(&batch)?;
        if matches!(batch.kind, Kind::Derived) {
            let committed = self.shared.lock().commit_derived(batch);
            return committed.map(|(transaction, _)| transaction);
        }
        let asked = Instant::now();
        let transaction = self.writer.commit(batch).await?;
        metrics::durable(asked.elapsed());
        Ok(transaction)
    }

    /// The newest transaction, if there is a history of `prefix` and it may reach `asked`. Whether it does is certain only
    /// when it is read.
    fn newest_with_history(&self, prefix: &str, asked: Transaction) -> Result<Transaction, StoreError> {
        if !is_definition(prefix) {
            let prefix = prefix.to_owned();
            return Err(StoreError::NoHistory { prefix });
        }
        let state = self.shared.lock();
        let (oldest, newest) = (state.oldest(), state.transaction());
        drop(state);
        if asked > newest {
            return Err(StoreError::InFuture { asked, newest });
        }
        if asked < oldest {
            return Err(StoreError::TooOld { asked, oldest });
        }
        Ok(newest)
    }

    /// A queue of every change under `prefix` that is newer than the transaction beside it.
    fn register(&self, prefix: &str) -> (Transaction, Arc<Queue>, Registration) {
        let mut state = self.shared.lock();
        let newest = state.transaction();
        let (id, queue) = state.watchers().register(prefix);
        drop(state);
        (newest, queue, Registration::new(Arc::clone(&self.shared), id))
    }

    /// Reads from the disk on a thread that may wait for it.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Disk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || read(&disk))
            .await
            .map_err(|error| StoreError::Storage(Arc::new(error)))?
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn reach(&self) -> Reach {
        Reach { transaction: self.shared.lock().transaction(), ..Reach::default() }
    }

    async fn newest(&self) -> Result<Transaction, StoreError> {
        Ok(self.shared.lock().transaction())
    }

    async fn list(&self, prefix: &str, at: At) -> Result<Listing, StoreError> {
        let At::Transaction(transaction) = at else {
            return Ok(self.shared.lock().list(prefix));
        };
        self.newest_with_history(prefix, transaction)?;
        let prefix = prefix.to_owned();
        let records = self.read(move |disk| disk.past(&prefix, transaction)).await?;
        Ok(Listing { transaction, records })
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.shared.lock().get(key))
    }

    async fn get_all(&self, keys: &[Arc<str>]) -> Result<HashMap<Arc<str>, Record>, StoreError> {
        let shared = self.shared.lock();
        Ok(keys.iter().filter_map(|key| Some((Arc::clone(key), shared.get(key)?))).collect())
    }

    async fn commit(&self, batch: Batch) -> Result<Transaction, CommitError> {
        let outcome = self.commit_checked(batch).await;
        metrics::answered(&outcome);
        outcome
    }

    async fn list_and_watch(&self, prefix: &str) -> Result<(Listing, Watch), StoreError> {
        let mut state = self.shared.lock();
        let listing = state.list(prefix);
        let (id, queue) = state.watchers().register(prefix);
        drop(state);
        let registration = Registration::new(Arc::clone(&self.shared), id);
        Ok((listing, Watch::new(Vec::new(), queue, registration)))
    }

    async fn watch(&self, prefix: &str, after: Transaction) -> Result<Watch, StoreError> {
        self.newest_with_history(prefix, after)?;
        let (newest, queue, registration) = self.register(prefix);
        if after == newest {
            return Ok(Watch::new(Vec::new(), queue, registration));
        }
        // the queue gets what is newer than `newest`, the journal has the rest
        let prefix = prefix.to_owned();
        let past = self.read(move |disk| disk.changes(&prefix, after, newest)).await?;
        Ok(Watch::new(past, queue, registration))
    }

    fn watch_keys(&self) -> KeysWatch {
        let queue = Arc::<Queue>::default();
        let keys = RegisteredKeys::new(Arc::clone(&self.shared), Arc::clone(&queue));
        KeysWatch::new(queue, Arc::new(keys))
    }

    async fn segments(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.shared.lock().segments(prefix))
    }

    async fn journal(&self, after: Transaction, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        let newest = self.shared.lock().transaction();
        if after >= newest {
            return Ok(Vec::new());
        }
        self.read(move |disk| disk.journal(after, newest, limit)).await
    }

    async fn journal_before(
        &self,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let before = before.min(self.shared.lock().transaction() + 1);
        self.read(move |disk| disk.journal_before(before, limit)).await
    }

    async fn journal_of(
        &self,
        key: &str,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let before = before.min(self.shared.lock().transaction() + 1);
        let key = key.to_owned();
        self.read(move |disk| disk.journal_of(&key, before, limit)).await
    }

    async fn oldest(&self) -> Result<Transaction, StoreError> {
        Ok(self.shared.lock().oldest())
    }

    async fn prune(&self, kept: Kept) -> Result<Pruned, StoreError> {
        self.writer.prune(kept).await
    }

    async fn committed_at_ms(&self, transaction: Transaction) -> Result<Option<i64>, StoreError> {
        if let Some(at) = self.shared.lock().committed_at_ms(transaction) {
            return Ok(Some(at));
        }
        let entries = self.journal(transaction.saturating_sub(1), 1).await?;
        let entry = entries.into_iter().find(|entry| entry.transaction == transaction);
        Ok(entry.map(|entry| entry.committed_at_ms))
    }

    async fn grant_lease(&self, time_to_live: Duration) -> Result<LeaseId, StoreError> {
        Ok(self.shared.grant_lease(time_to_live))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.shared.lock().keep_alive(lease)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        let revoked = self.shared.lock().revoke(lease);
        revoked.map(drop)
    }
}
