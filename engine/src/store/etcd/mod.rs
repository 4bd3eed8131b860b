//! The store of several hosts: an etcd cluster.
//!
//! ```text
//!  commit --> read what it needs at one revision --> judge --> etcd's transaction, if that is the state still
//!  list, get --> ranges at one revision
//!  journal, the past --> entries, by number
//!  watches --> one stream of etcd's for all of a process
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | where the cluster is |
//! | `keys`, `stored` | where things stand in etcd, and in which form |
//! | [`failure`] | what its errors mean |
//! | `ask` | asking, and again where etcd could not answer |
//! | `reads` | many keys and prefixes at one revision |
//! | `preconditions`, `commits` | what may be committed, and how |
//! | `journal` | the entries, the past, and pruning |
//! | `leases`, `watches` | those of etcd, as the trait has them |
//! | `interruption` | since when nothing could be watched |
//!
//! **A transaction is the revision** that etcd gave a commit of definitions. Derived data and leases take revisions as well, so that
//! transactions have gaps here.

mod ask;
mod commits;
pub mod failure;
mod followed;
mod interruption;
mod journal;
mod keys;
mod leases;
mod preconditions;
mod probe;
mod reads;
pub mod settings;
mod stored;
mod watches;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use etcd_client::{Client, LeaseClient};
use legation_proto::v1::JournalEntry;
use legation_proto::version::Transaction;

use self::ask::Tries;
use self::commits::Committer;
pub use self::failure::EtcdFailure;
use self::failure::{is_no_answer, storage};
use self::journal::Extent;
use self::keys::Keys;
use self::leases::RememberedLeases;
use self::probe::Probe;
use self::reads::{Listed, Reader};
pub use self::settings::{EtcdError, EtcdSettings, EtcdTls};
use self::watches::{Beginning, Watches};
use super::batch::{Batch, Kind};
use super::error::{CommitError, StoreError};
use super::lease::LeaseId;
use super::limits::Limits;
use super::reach::Reach;
use super::record::{At, Listing, Record, is_definition};
use super::retention::{Kept, Pruned};
use super::watch::{KeysWatch, Watch};
use super::{Store, metrics};

/// Most bytes of one answer of etcd's, which has no limit of its own: a page of a listing may be large.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// How long etcd is waited for when a store is opened, and between two tries.
const OPEN_PATIENCE: Duration = Duration::from_secs(60);
const OPEN_PAUSE: Duration = Duration::from_secs(1);

/// A store in an etcd cluster, which others use as well.
pub struct EtcdStore {
    reader: Reader,
    committer: Committer,
    leases: LeaseClient,
    watches: Watches,
    probe: Probe,
    limits: Limits,
}

impl EtcdStore {
    /// The store that `settings` say, once one of its members has answered; what nobody answers is tried again for a minute.
    pub async fn open(settings: &EtcdSettings) -> Result<Self, EtcdError> {
        Self::open_within(settings, OPEN_PATIENCE).await
    }

    async fn open_within(settings: &EtcdSettings, patience: Duration) -> Result<Self, EtcdError> {
        metrics::describe();
        let endpoints = settings.endpoints.join(",");
        let until = Instant::now() + patience;
        let (client, reader, extent) = loop {
            let failure = match Self::reach(settings).await? {
                Ok(reached) => break reached,
                Err(failure) => failure,
            };
            let may_change = is_no_answer(&failure) && Instant::now() < until;
            if !may_change {
                return Err(EtcdError::Failed { endpoints, failure });
            }
            tracing::warn!(endpoints, %failure, "waiting for etcd");
            tokio::time::sleep(OPEN_PAUSE).await;
        };
        tracing::info!(endpoints, root = settings.root, "the store is in etcd");
        metrics::transaction(extent.head.transaction);
        metrics::oldest(extent.oldest());
        let leases = client.lease_client();
        Ok(Self {
            committer: Committer::new(reader.clone(), RememberedLeases::new(leases.clone())),
            watches: Watches::start(client, reader.clone()),
            leases,
            probe: Probe::start(reader.clone(), extent.head.transaction),
            reader,
            limits: Limits::default(),
        })
    }

    /// One try; the failures of the first kind are those of the settings.
    async fn reach(
        settings: &EtcdSettings,
    ) -> Result<Result<(Client, Reader, Extent), StoreError>, EtcdError> {
        let options = settings.connect_options()?;
        // with credentials, this asks for a token
        let connecting = Client::connect(&settings.endpoints, Some(options));
        let client = match Tries::begin().one(connecting).await {
            Ok(client) => client,
            Err(error) => return Ok(Err(storage(error))),
        };
        let reader = Reader {
            client: client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX),
            keys: Keys::new(&settings.root),
        };
        // once only: another try may fail in a way that tells less
        let mut probe = reader.client.clone();
        if let Err(error) = Tries::begin().one(probe.get(reader.keys.head(), None)).await {
            return Ok(Err(storage(error)));
        }
        match reader.extent().await {
            Ok((_, extent)) => Ok(Ok((client, reader, extent))),
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// The entries that there are, and the revision of that, if there is a history of `prefix` that reaches `asked`.
    async fn extent_of(&self, prefix: &str, asked: Transaction) -> Result<(i64, Extent), StoreError> {
        if !is_definition(prefix) {
            let prefix = prefix.to_owned();
            return Err(StoreError::NoHistory { prefix });
        }
        let (revision, extent) = self.reader.extent().await?;
        extent.check(asked)?;
        Ok((revision, extent))
    }

    async fn commit_checked(&self, batch: &Batch) -> Result<Transaction, CommitError> {
        self.limits.check(batch)?;
        let asked = Instant::now();
        let transaction = self.committer.commit(batch).await?;
        if matches!(batch.kind, Kind::Definitions { .. }) {
            metrics::durable(asked.elapsed());
            metrics::transaction(transaction);
        }
        Ok(transaction)
    }
}

#[async_trait]
impl Store for EtcdStore {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn reach(&self) -> Reach {
        Reach { unwatched_since: self.watches.interrupted_since(), ..self.probe.reach() }
    }

    async fn newest(&self) -> Result<Transaction, StoreError> {
        Ok(self.reader.see(&[]).await?.head.transaction)
    }

    async fn list(&self, prefix: &str, at: At) -> Result<Listing, StoreError> {
        let At::Transaction(transaction) = at else {
            return Ok(self.reader.list(prefix).await?.listing);
        };
        self.extent_of(prefix, transaction).await?;
        let records = self.reader.past(prefix, transaction).await?;
        Ok(Listing { transaction, records })
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        let seen = self.reader.see(&[key.into()]).await?;
        Ok(seen.get(key)?.cloned())
    }

    async fn get_all(&self, keys: &[Arc<str>]) -> Result<HashMap<Arc<str>, Record>, StoreError> {
        let seen = self.reader.see(keys).await?;
        let mut records = HashMap::new();
        for key in keys {
            if let Some(record) = seen.get(key)? {
                records.insert(Arc::clone(key), record.clone());
            }
        }
        Ok(records)
    }

    async fn commit(&self, batch: Batch) -> Result<Transaction, CommitError> {
        let outcome = self.commit_checked(&batch).await;
        metrics::answered(&outcome);
        outcome
    }

    async fn list_and_watch(&self, prefix: &str) -> Result<(Listing, Watch), StoreError> {
        let Listed { revision, listing, revisions, .. } = self.reader.list(prefix).await?;
        let keys = listing.records.iter().map(|record| Arc::clone(&record.key));
        let watch = self.watches.begin(Beginning {
            prefix: prefix.into(),
            revision,
            reached: listing.transaction,
            known: keys.zip(revisions).collect(),
            past: Vec::new(),
        });
        Ok((listing, watch))
    }

    async fn watch(&self, prefix: &str, after: Transaction) -> Result<Watch, StoreError> {
        let (_, extent) = self.extent_of(prefix, after).await?;
        let Listed { revision, listing, revisions, .. } = self.reader.list(prefix).await?;
        let mut past = if after == extent.head.transaction && after == listing.transaction {
            Vec::new()
        } else {
            let (_, newest) = self.reader.extent().await?;
            let past = self.reader.changes(&newest, prefix, after).await?;
            let (_, still) = self.reader.extent().await?;
            still.check(after)?;
            past
        };
        // what is newer than the listing comes by itself
        past.retain(|event| event.transaction <= listing.transaction);
        let known: BTreeMap<Arc<str>, i64> =
            listing.records.into_iter().map(|record| record.key).zip(revisions).collect();
        let reached = listing.transaction;
        Ok(self.watches.begin(Beginning { prefix: prefix.into(), revision, reached, known, past }))
    }

    fn watch_keys(&self) -> KeysWatch {
        self.watches.begin_keys()
    }

    async fn segments(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.reader.segments(prefix).await
    }

    async fn journal(&self, after: Transaction, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        let (_, extent) = self.reader.extent().await?;
        let first = self.reader.first_after(&extent, after).await?;
        let end = (extent.head.number + 1).min(first.saturating_add(limit as u64));
        self.reader.entries(first..end).await
    }

    async fn journal_before(
        &self,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let numbers = self.reader.numbers_before(before, limit).await?;
        let mut entries = self.reader.entries(numbers).await?;
        entries.reverse();
        Ok(entries)
    }

    async fn changed_before(
        &self,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<(Transaction, Vec<String>)>, StoreError> {
        let numbers = self.reader.numbers_before(before, limit).await?;
        let changed = self.reader.changed(numbers).await?.into_iter().rev();
        Ok(changed.map(|(transaction, changed)| (transaction, changed.keys)).collect())
    }

    async fn journal_of(
        &self,
        key: &str,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let (_, extent) = self.reader.extent().await?;
        self.reader.entries_of(&extent, key, before, limit).await
    }

    async fn oldest(&self) -> Result<Transaction, StoreError> {
        Ok(self.reader.extent().await?.1.oldest())
    }

    async fn prune(&self, kept: Kept) -> Result<Pruned, StoreError> {
        let pruned = self.reader.prune(kept).await?;
        metrics::oldest(pruned.oldest);
        Ok(pruned)
    }

    async fn committed_at_ms(&self, transaction: Transaction) -> Result<Option<i64>, StoreError> {
        let entries = self.journal(transaction.saturating_sub(1), 1).await?;
        let entry = entries.into_iter().find(|entry| entry.transaction == transaction);
        Ok(entry.map(|entry| entry.committed_at_ms))
    }

    async fn grant_lease(&self, time_to_live: Duration) -> Result<LeaseId, StoreError> {
        leases::grant(&self.leases, time_to_live).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        leases::keep_alive(&self.leases, lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        leases::revoke(&self.leases, lease).await
    }
}
