//! Where definitions and everything computed from them live: one trait, several implementations.
//!
//! | module | holds |
//! |---|---|
//! | [`record`] | what is stored and how it is read: records, listings, events, the two kinds of data |
//! | [`batch`] | what a commit asks for: preconditions and changes |
//! | [`limits`] | the bounds on a batch, checked before anything is written |
//! | [`family`] | keys that can be counted |
//! | [`lease`] | keys that live only as long as somebody keeps them alive |
//! | [`retention`] | how much of the past is kept |
//! | [`watch`] | the reading end of a watch, and the queue behind it |
//! | [`reach`] | how far a host has come with the store |
//! | [`mod@copy`] | carries definitions and journal from one store to another |
//! | [`error`] | what can go wrong |
//! | [`embedded`] | the default implementation: one process, one redb file |
//! | [`etcd`] | the implementation of several hosts: an etcd cluster |
//!
//! There are three kinds of data, told apart by their keys (see [`is_definition`], [`is_remembered`]):
//!
//! * **Definitions** are what users wrote. A commit of definitions is durable before it is acknowledged, takes the
//!   next [`Transaction`] number and writes one journal entry.
//! * **Derived** data (fragments, membership) can be computed again. It takes no number of its own: its records
//!   carry the transaction that the store had reached. It has no past, and may be lost at a restart.
//! * **Remembered** data is about commits of definitions: it is committed with them and as durable, is in no journal and no
//!   past, and goes by itself after a time.

pub mod batch;
pub mod copy;
pub mod embedded;
pub mod error;
pub mod etcd;
pub mod family;
pub mod lease;
pub mod limits;
pub mod reach;
pub mod record;
pub mod retention;
pub mod watch;

mod metrics;

#[cfg(test)]
pub(crate) mod contract;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use legation_proto::v1::JournalEntry;
use legation_proto::version::Transaction;

pub use self::batch::{Batch, Precondition};
pub use self::embedded::{EmbeddedStore, OpenError};
pub use self::error::{CommitError, StoreError};
pub use self::etcd::{EtcdError, EtcdFailure, EtcdSettings, EtcdStore, EtcdTls};
pub use self::family::Family;
pub use self::lease::LeaseId;
pub use self::limits::{InvalidBatch, Limits};
pub use self::reach::Reach;
pub use self::record::{At, DEFINITIONS, Event, Listing, REMEMBERED, Record, is_definition, is_remembered};
pub use self::retention::{Kept, Pruned, Retention};
pub use self::watch::{KeysWatch, Watch};

/// A consistent, watchable map of keys to values with transactions.
///
/// A prefix selects every key that begins with it, `""` selects all. A prefix that is a whole key selects its
/// longer siblings as well (`a/web` selects `a/web-2`): end keys with a character that no name contains where one
/// key alone is to be watched.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The bounds that every batch must keep.
    fn limits(&self) -> Limits;

    /// How far this host has come with the store. It is known at once, whether the store answers or not.
    fn reach(&self) -> Reach;

    /// The newest transaction that is durable; 0 of an empty store.
    async fn newest(&self) -> Result<Transaction, StoreError>;

    /// Everything under `prefix`, sorted by key, consistent at one transaction.
    ///
    /// The past is known of definitions only: with [`At::Transaction`] any other prefix is
    /// [`StoreError::NoHistory`], and a number that is too old or not reached yet is an error of its own.
    ///
    /// A derived record that is damaged is in no listing, and no watch tells of it before it is mended: an error in the log names
    /// it. Who asks for it by its key is told, with [`StoreError::Damaged`]; a put without a condition mends it.
    async fn list(&self, prefix: &str, at: At) -> Result<Listing, StoreError>;

    /// The newest record of `key`, if there is one.
    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError>;

    /// Those of `keys` that there are, as [`Store::get`] gives them: at one transaction, with one request for a hundred of them.
    async fn get_all(&self, keys: &[Arc<str>]) -> Result<HashMap<Arc<str>, Record>, StoreError>;

    /// Makes all changes of `batch` if all its preconditions hold, or none; the answer is its transaction.
    ///
    /// Definitions are durable when this returns. To delete a key that is not there is no change, and a batch
    /// without any change left takes no number: it answers the transaction that the store had reached. A future
    /// that is dropped before its answer leaves open whether the batch was committed.
    async fn commit(&self, batch: Batch) -> Result<Transaction, CommitError>;

    /// The newest listing of `prefix` and a watch of everything that changes afterwards, with nothing between.
    async fn list_and_watch(&self, prefix: &str) -> Result<(Listing, Watch), StoreError>;

    /// The changes of the definitions under `prefix` after the transaction `after`, past ones first.
    ///
    /// Derived data has no past to resume from: a prefix that is not one of definitions is
    /// [`StoreError::NoHistory`], for it there is [`Store::list_and_watch`].
    async fn watch(&self, prefix: &str, after: Transaction) -> Result<Watch, StoreError>;

    /// A watch of single keys, none at first.
    fn watch_keys(&self) -> KeysWatch;

    /// The segments that follow `prefix` in keys, up to the next `/`, each once and sorted: of `definitions/`, the meshes.
    async fn segments(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Up to `limit` journal entries after the transaction `after`, oldest first; those that were pruned are not there.
    async fn journal(&self, after: Transaction, limit: usize) -> Result<Vec<JournalEntry>, StoreError>;

    /// Up to `limit` journal entries before the transaction `before`, newest first; those that were pruned are not there.
    async fn journal_before(
        &self,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError>;

    /// Of the entries that [`Store::journal_before`] gives, their transactions and the keys that they changed. It may cost much
    /// less.
    async fn changed_before(
        &self,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<(Transaction, Vec<String>)>, StoreError> {
        let entries = self.journal_before(before, limit).await?.into_iter();
        let changed = |entry: JournalEntry| {
            let keys = entry.changes.into_iter().map(|change| change.key);
            (entry.transaction, keys.collect())
        };
        Ok(entries.map(changed).collect())
    }

    /// As [`Store::journal_before`], of the entries that changed the definition `key`.
    async fn journal_of(
        &self,
        key: &str,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError>;

    /// The oldest transaction whose state is known: that before the oldest entry of the journal.
    async fn oldest(&self) -> Result<Transaction, StoreError>;

    /// Forgets the oldest entries of the journal that are not `kept`, and what the state before them was, a bounded
    /// number of them: it is to be called until there is no more. The newest entry always stays.
    ///
    /// It need not be durable when this returns: after a crash some of it may have to be pruned again.
    async fn prune(&self, kept: Kept) -> Result<Pruned, StoreError>;

    /// When a transaction was committed, in milliseconds since the Unix epoch; `None` for one that is not in the journal.
    async fn committed_at_ms(&self, transaction: Transaction) -> Result<Option<i64>, StoreError>;

    /// A lease: keys put with it are deleted once it was not kept alive for `time_to_live`, or is revoked.
    async fn grant_lease(&self, time_to_live: Duration) -> Result<LeaseId, StoreError>;

    /// Starts the lease's time to live again; [`StoreError::UnknownLease`] if it has ended.
    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Ends the lease and deletes its keys; [`StoreError::UnknownLease`] if it has ended already.
    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError>;
}
