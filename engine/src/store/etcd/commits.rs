//! Commits: what a batch needs is read at one revision and judged here, and etcd makes the changes if nothing of it has
//! changed since. Where it has, all of that starts over.
//!
//! Every commit of definitions takes the next number of the journal, so two of them never succeed on the same state,
//! and none of several hosts needs to know what the preconditions of the others were.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use etcd_client::{Compare, Error, PutOptions, Txn, TxnOp, TxnResponse};
use legation_proto::v1::{Change as Changed, JournalEntry};
use legation_proto::version::Transaction;
use prost::Message;
use tokio::sync::Mutex;
use tonic::Code;

use super::ask::{Tries, code, storage, within};
use super::leases::RememberedLeases;
use super::preconditions::{first_conflict, guards, keys_of};
use super::reads::{Reader, Seen};
use super::stored::{ChangedKeys, Head, StoredEntry, derived_value, transaction};
use crate::store::batch::{Batch, Change, Kind};
use crate::store::error::{CommitError, StoreError};
use crate::store::lease::LeaseId;
use crate::store::limits::InvalidBatch;

/// Largest request that etcd takes unless it is told otherwise, in bytes.
const REQUEST_BYTES_MAX: usize = 1536 * 1024;

/// Bytes of a request besides keys and values, of each operation.
const OPERATION_BYTES: usize = 32;

/// Makes commits.
pub(super) struct Committer {
    pub(super) reader: Reader,
    /// Those of one process wait for each other here, which is cheaper than to be in each other's way.
    turn: Mutex<()>,
    remembered: RememberedLeases,
}

/// What a commit of definitions would change.
struct Staged {
    operations: Vec<TxnOp>,
    nonce: u64,
}

impl Committer {
    pub(super) fn new(reader: Reader, remembered: RememberedLeases) -> Self {
        Self { reader, turn: Mutex::default(), remembered }
    }

    pub(super) async fn commit(&self, batch: &Batch) -> Result<Transaction, CommitError> {
        match &batch.kind {
            Kind::Derived => self.commit_derived(batch).await,
            Kind::Definitions { author, operation } => {
                let _turn = self.turn.lock().await;
                self.commit_definitions(batch, author, operation).await
            }
        }
    }

    async fn commit_definitions(
        &self,
        batch: &Batch,
        author: &str,
        operation: &str,
    ) -> Result<Transaction, CommitError> {
        let wanted: Vec<Arc<str>> =
            keys_of(batch).chain(batch.changes.iter().map(Change::key)).cloned().collect();
        let mut tries = Tries::begin();
        loop {
            let seen = self.reader.see(&wanted).await?;
            if let Some(precondition) = first_conflict(&self.reader, &seen, &batch.preconditions).await? {
                return Err(CommitError::Conflict { precondition });
            }
            let Some(staged) = self.stage(batch, &seen, author, operation).await? else {
                return Ok(seen.head.transaction);
            };
            let guards = guards(&self.reader, &seen, batch, true);
            match self.make(tries.left(), guards, staged.operations).await {
                Ok(answer) if answer.succeeded() => return Ok(revision_of(&answer)),
                Ok(_) => {
                    if tries.left().is_zero() {
                        return Err(storage(Error::GRpcStatus(contended())).into());
                    }
                }
                Err(error) => {
                    tries.again(error).await?;
                    // it may have been made, and only the answer was lost
                    if let Some(transaction) = self.was_made(seen.head.number + 1, staged.nonce).await? {
                        return Ok(transaction);
                    }
                }
            }
        }
    }

    /// The transaction of the entry `number`, if it is that of the commit with this nonce.
    async fn was_made(&self, number: u64, nonce: u64) -> Result<Option<Transaction>, StoreError> {
        let entries = self.reader.stored_entries(number..number + 1).await?;
        let ours = entries.into_iter().find(|(_, stored)| stored.nonce == nonce);
        Ok(ours.map(|(entry, _)| entry.transaction))
    }

    /// What is to be put and deleted; nothing where no change is left.
    async fn stage(
        &self,
        batch: &Batch,
        seen: &Seen,
        author: &str,
        operation: &str,
    ) -> Result<Option<Staged>, CommitError> {
        let keys = &self.reader.keys;
        let mut operations = Vec::new();
        let mut changes = Vec::new();
        let mut before_transactions = Vec::new();
        let mut bytes = 0;
        for change in &batch.changes {
            let key = change.key();
            let before = seen.get(key);
            let after = match change {
                Change::Put { value, .. } => Some(value.clone()),
                Change::Delete { .. } if before.is_some() => None,
                Change::Delete { .. } | Change::Remember { .. } => continue,
            };
            let name = keys.data(key);
            bytes += name.len() + after.as_ref().map_or(0, bytes::Bytes::len) + OPERATION_BYTES;
            operations.push(match &after {
                Some(value) => TxnOp::put(name, value.to_vec(), None),
                None => TxnOp::delete(name, None),
            });
            before_transactions.push(before.map_or(0, |record| record.transaction));
            let before = before.map(|record| record.value.clone());
            changes.push(Changed { key: key.to_string(), before, after });
        }
        if changes.is_empty() {
            return Ok(None);
        }
        for change in &batch.changes {
            let Change::Remember { key, value, time_to_live } = change else { continue };
            let lease = self.remembered.lease(*time_to_live).await?;
            let options = PutOptions::new().with_lease(lease);
            operations.push(TxnOp::put(keys.data(key), value.to_vec(), Some(options)));
            bytes += key.len() + value.len() + OPERATION_BYTES;
        }
        let changed = ChangedKeys { keys: changes.iter().map(|change| change.key.clone()).collect() };
        let nonce = fastrand::u64(..);
        let entry = JournalEntry {
            transaction: 0, // etcd tells
            committed_at_ms: now_ms(),
            author: author.to_owned(),
            operation: operation.to_owned(),
            changes,
        };
        let entry = StoredEntry { entry: Some(entry), before_transactions, nonce };
        let number = seen.head.number + 1;
        let (entry, changed) = (entry.encode_to_vec(), changed.encode_to_vec());
        bytes += entry.len() + changed.len() + OPERATION_BYTES * (3 + batch.preconditions.len());
        if bytes > REQUEST_BYTES_MAX {
            return Err(InvalidBatch::BatchTooLarge { bytes, limit: REQUEST_BYTES_MAX }.into());
        }
        operations.push(TxnOp::put(keys.journal(number), entry, None));
        operations.push(TxnOp::put(keys.changed(number), changed, None));
        operations.push(TxnOp::put(keys.head(), Head::value(number), None));
        Ok(Some(Staged { operations, nonce }))
    }

    async fn commit_derived(&self, batch: &Batch) -> Result<Transaction, CommitError> {
        let wanted: Vec<Arc<str>> = keys_of(batch).cloned().collect();
        let mut tries = Tries::begin();
        loop {
            let seen = self.reader.see(&wanted).await?;
            if let Some(precondition) = first_conflict(&self.reader, &seen, &batch.preconditions).await? {
                return Err(CommitError::Conflict { precondition });
            }
            let reached = seen.head.transaction;
            let operations = batch.changes.iter().filter_map(|change| match change {
                Change::Put { key, value, lease } => {
                    let options = lease.map(|lease| PutOptions::new().with_lease(lease.0.cast_signed()));
                    let value = derived_value(reached, value);
                    Some(TxnOp::put(self.reader.keys.data(key), value, options))
                }
                Change::Delete { key } => Some(TxnOp::delete(self.reader.keys.data(key), None)),
                Change::Remember { .. } => None,
            });
            let guards = guards(&self.reader, &seen, batch, false);
            match self.make(tries.left(), guards, operations.collect()).await {
                Ok(answer) if answer.succeeded() => return Ok(reached),
                Ok(_) => {
                    if tries.left().is_zero() {
                        return Err(storage(Error::GRpcStatus(contended())).into());
                    }
                }
                Err(error) if code(&error) == Some(Code::NotFound) => {
                    let lease = leases_of(batch).next().unwrap_or(LeaseId(0));
                    return Err(StoreError::UnknownLease { lease }.into());
                }
                // whether it was made is not known, and to make it twice is the same unless it depends on what it changes
                Err(error) if batch.preconditions.is_empty() => tries.again(error).await?,
                Err(error) => return Err(storage(error).into()),
            }
        }
    }

    async fn make(
        &self,
        time: std::time::Duration,
        guards: Vec<Compare>,
        operations: Vec<TxnOp>,
    ) -> Result<TxnResponse, Error> {
        let mut client = self.reader.client.clone();
        within(time, client.txn(Txn::new().when(guards).and_then(operations))).await
    }
}

fn contended() -> tonic::Status {
    tonic::Status::aborted("others commit all the time")
}

fn leases_of(batch: &Batch) -> impl Iterator<Item = LeaseId> {
    batch.changes.iter().filter_map(|change| match change {
        Change::Put { lease, .. } => *lease,
        _ => None,
    })
}

fn revision_of(answer: &TxnResponse) -> Transaction {
    answer.header().map_or(0, |header| transaction(header.revision()))
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
