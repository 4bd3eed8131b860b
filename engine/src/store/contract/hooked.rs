//! A store that others are tested with: it refuses, or takes long, where it is told to.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use legation_proto::v1::JournalEntry;
use tokio::sync::watch;

use super::super::batch::Kind;
use super::super::{At, EmbeddedStore, Kept, KeysWatch, LeaseId, Limits, Pruned, Reach, Record, StoreError};
use super::*;

/// What can be made to take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slow {
    Nothing,
    Segments,
    CommitTime,
}

/// A store with hooks.
pub(crate) struct Hooked {
    store: EmbeddedStore,
    /// How many batches of derived data it takes before it refuses one.
    pub(crate) takes: AtomicUsize,
    /// What has no answer until it is told otherwise.
    pub(crate) slow: watch::Sender<Slow>,
    /// The keys of every batch that was committed, in that order.
    pub(crate) commits: Mutex<Vec<Vec<String>>>,
    /// What is committed right after the next commit.
    pub(crate) commits_next: Mutex<Option<Batch>>,
}

impl Hooked {
    pub(crate) fn new(store: EmbeddedStore) -> Self {
        Self {
            store,
            takes: AtomicUsize::new(usize::MAX),
            slow: watch::Sender::new(Slow::Nothing),
            commits: Mutex::default(),
            commits_next: Mutex::default(),
        }
    }

    async fn until_told(&self, slow: Slow) {
        self.slow.subscribe().wait_for(|now| *now != slow).await.unwrap();
    }
}

#[async_trait]
impl Store for Hooked {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn reach(&self) -> Reach {
        self.store.reach()
    }

    async fn newest(&self) -> Result<Transaction, StoreError> {
        self.store.newest().await
    }

    async fn list(&self, prefix: &str, at: At) -> Result<Listing, StoreError> {
        self.store.list(prefix, at).await
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        self.store.get(key).await
    }

    async fn get_all(&self, keys: &[Arc<str>]) -> Result<HashMap<Arc<str>, Record>, StoreError> {
        self.store.get_all(keys).await
    }

    async fn commit(&self, batch: Batch) -> Result<Transaction, CommitError> {
        let keys = batch.changes.iter().map(|change| change.key().to_string()).collect();
        if matches!(batch.kind, Kind::Derived) && self.takes.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(CommitError::Store(StoreError::Closed));
        }
        let outcome = self.store.commit(batch).await;
        self.commits.lock().unwrap().push(keys);
        let next = self.commits_next.lock().unwrap().take();
        if let Some(next) = next {
            self.store.commit(next).await?;
        }
        outcome
    }

    async fn list_and_watch(&self, prefix: &str) -> Result<(Listing, Watch), StoreError> {
        self.store.list_and_watch(prefix).await
    }

    async fn watch(&self, prefix: &str, after: Transaction) -> Result<Watch, StoreError> {
        self.store.watch(prefix, after).await
    }

    fn watch_keys(&self) -> KeysWatch {
        self.store.watch_keys()
    }

    async fn segments(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.until_told(Slow::Segments).await;
        self.store.segments(prefix).await
    }

    async fn journal(&self, after: Transaction, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        self.store.journal(after, limit).await
    }

    async fn journal_before(
        &self,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.store.journal_before(before, limit).await
    }

    async fn journal_of(
        &self,
        key: &str,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.store.journal_of(key, before, limit).await
    }

    async fn oldest(&self) -> Result<Transaction, StoreError> {
        self.store.oldest().await
    }

    async fn prune(&self, kept: Kept) -> Result<Pruned, StoreError> {
        self.store.prune(kept).await
    }

    async fn committed_at_ms(&self, transaction: Transaction) -> Result<Option<i64>, StoreError> {
        self.until_told(Slow::CommitTime).await;
        self.store.committed_at_ms(transaction).await
    }

    async fn grant_lease(&self, time_to_live: Duration) -> Result<LeaseId, StoreError> {
        self.store.grant_lease(time_to_live).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.keep_alive(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.revoke(lease).await
    }
}
