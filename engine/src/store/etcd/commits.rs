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
use tokio::time::timeout;
use tonic::Code;

use super::ask::Tries;
use super::failure::{EtcdFailure, code};
use super::keys::Number;
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

impl Committer {
    pub(super) fn new(reader: Reader, remembered: RememberedLeases) -> Self {
        Self { reader, turn: Mutex::default(), remembered }
    }

    pub(super) async fn commit(&self, batch: &Batch) -> Result<Transaction, CommitError> {
        if matches!(batch.kind, Kind::Derived) {
            return self.commit_derived(batch).await;
        }
        let tries = Tries::begin();
        // where etcd does not answer, those behind the first wait no longer than that one
        let turn = timeout(tries.left(), self.turn.lock()).await;
        let _turn = turn.map_err(|_| EtcdFailure::NoAnswer("commits before this one still wait".into()))?;
        self.commit_definitions(batch, tries).await
    }

    async fn commit_definitions(&self, batch: &Batch, mut tries: Tries) -> Result<Transaction, CommitError> {
        let wanted: Vec<Arc<str>> =
            keys_of(batch).chain(batch.changes.iter().map(Change::key)).cloned().collect();
        let nonce = fastrand::u64(..);
        // the number that a try was to take, of which it is not known whether it was made
        let mut unsure: Option<Number> = None;
        loop {
            let seen = self.reader.see(&wanted).await?;
            // it will not be made any more once somebody has that number: the head has changed
            if let Some(number) = unsure.take_if(|number| *number <= seen.head.number)
                && let Some(transaction) = self.was_made(number, nonce).await?
            {
                return Ok(transaction);
            }
            if let Some(precondition) = first_conflict(&self.reader, &seen, &batch.preconditions).await? {
                return Err(match unsure {
                    None => CommitError::Conflict { precondition },
                    Some(_) => unknown().into(),
                });
            }
            let Some(operations) = self.stage(batch, &seen, nonce).await? else {
                return Ok(seen.head.transaction);
            };
            let guards = guards(&self.reader, &seen, batch, true);
            match self.make(&tries, guards, operations).await {
                Ok(answer) if answer.succeeded() => return Ok(revision_of(&answer)),
                Ok(_) if tries.left().is_zero() => return Err(EtcdFailure::Contended.into()),
                Ok(_) => {}
                // somebody revoked what remembered keys are put with
                Err(error) if code(&error) == Some(Code::NotFound) && self.remembered.forget().await => {}
                Err(error) => {
                    unsure = Some(seen.head.number + 1);
                    tries.again(error).await?;
                }
            }
        }
    }

    /// The transaction of the entry `number`, if it is that of the commit with this nonce.
    async fn was_made(&self, number: Number, nonce: u64) -> Result<Option<Transaction>, StoreError> {
        let entries = self.reader.stored_entries(number..number + 1).await?;
        let (entry, stored) = entries.first().ok_or_else(unknown)?; // pruned since
        Ok((stored.nonce == nonce).then_some(entry.transaction))
    }

    /// What is to be put and deleted; nothing where no change is left.
    async fn stage(&self, batch: &Batch, seen: &Seen, nonce: u64) -> Result<Option<Vec<TxnOp>>, CommitError> {
        let Kind::Definitions { author, operation, committed_at_ms } = &batch.kind else {
            return Ok(None);
        };
        let keys = &self.reader.keys;
        let mut operations = Vec::new();
        let mut changes = Vec::new();
        let mut before_transactions = Vec::new();
        let mut bytes = 0;
        for change in &batch.changes {
            let key = change.key();
            let before = seen.get(key)?;
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
            let name = keys.data(key);
            bytes += name.len() + value.len() + OPERATION_BYTES;
            operations.push(TxnOp::put(name, value.to_vec(), Some(options)));
        }
        let changed = ChangedKeys { keys: changes.iter().map(|change| change.key.clone()).collect() };
        let entry = JournalEntry {
            transaction: 0, // etcd tells
            committed_at_ms: committed_at_ms.unwrap_or_else(now_ms),
            author: author.clone(),
            operation: operation.clone(),
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
        Ok(Some(operations))
    }

    async fn commit_derived(&self, batch: &Batch) -> Result<Transaction, CommitError> {
        let mut wanted: Vec<Arc<str>> = keys_of(batch).cloned().collect();
        // the revision of which on a try may have been made
        let mut unsure: Option<i64> = None;
        let mut tries = Tries::begin();
        loop {
            let seen = self.reader.see(&wanted).await?;
            if let Some(since) = unsure
                && is_made(batch, &seen, since)?
            {
                return Ok(seen.head.transaction);
            }
            if let Some(precondition) = first_conflict(&self.reader, &seen, &batch.preconditions).await? {
                return Err(match unsure {
                    None => CommitError::Conflict { precondition },
                    // made and overwritten, or not made: nobody knows
                    Some(_) => unknown().into(),
                });
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
            match self.make(&tries, guards, operations.collect()).await {
                Ok(answer) if answer.succeeded() => return Ok(reached),
                Ok(_) if tries.left().is_zero() => return Err(EtcdFailure::Contended.into()),
                Ok(_) => {}
                Err(error) if code(&error) == Some(Code::NotFound) => {
                    let lease = leases_of(batch).next().unwrap_or(LeaseId(0));
                    return Err(StoreError::UnknownLease { lease }.into());
                }
                // what is put without a condition may as well be put twice
                Err(error) if batch.preconditions.is_empty() => tries.again(error).await?,
                Err(error) => {
                    if unsure.is_none() {
                        unsure = Some(seen.revision);
                        wanted.extend(batch.changes.iter().map(Change::key).cloned());
                    }
                    tries.again(error).await?;
                }
            }
        }
    }

    async fn make(
        &self,
        tries: &Tries,
        guards: Vec<Compare>,
        operations: Vec<TxnOp>,
    ) -> Result<TxnResponse, Error> {
        let mut client = self.reader.client.clone();
        tries.one(client.txn(Txn::new().when(guards).and_then(operations))).await
    }
}

/// Whether all that a batch puts was put at one revision after `since`, and what it deletes is not there. Whoever puts the
/// same values on the same conditions cannot be told from it, and need not be. What only deletes cannot be told at all.
fn is_made(batch: &Batch, seen: &Seen, since: i64) -> Result<bool, StoreError> {
    let mut revision = None;
    for change in &batch.changes {
        let is_there = match change {
            Change::Put { key, value, lease } => {
                let put = seen.mod_revision(key);
                let is_the_same = seen.get(key)?.is_some_and(|record| record.value == *value)
                    && seen.lease(key) == lease.map_or(0, |lease| lease.0.cast_signed());
                is_the_same && put > since && *revision.get_or_insert(put) == put
            }
            Change::Delete { key } => seen.get(key)?.is_none(),
            Change::Remember { .. } => true,
        };
        if !is_there {
            return Ok(false);
        }
    }
    Ok(revision.is_some())
}

/// Whether a commit was made cannot be found out.
fn unknown() -> StoreError {
    EtcdFailure::NoAnswer("the answer to a commit was lost, and whether it was made is not known".into())
        .into()
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
