//! What records, journal and head are in etcd.

use bytes::Bytes;
use etcd_client::KeyValue;
use legation_proto::v1::JournalEntry;
use legation_proto::version::Transaction;
use prost::Message;

use super::keys::{Keys, Number};
use crate::store::error::StoreError;
use crate::store::metrics;
use crate::store::record::{Record, is_definition, is_remembered};

/// Bytes before the value of a derived record: the transaction that the store had reached when it was written. Its revision
/// says more than that, because derived data has revisions as well.
const REACHED_BYTES: usize = 8;

/// The newest entry of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Its number; 0 if there has never been one.
    pub(super) number: Number,
    /// Its transaction.
    pub(super) transaction: Transaction,
}

/// An entry of the journal, and what is to be known of it besides.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredEntry {
    #[prost(message, optional, tag = "1")]
    pub(super) entry: Option<JournalEntry>,
    /// The transactions of what was before, 0 where nothing was, in the order of the changes.
    #[prost(uint64, repeated, tag = "2")]
    pub(super) before_transactions: Vec<Transaction>,
    /// Tells this commit from others of which the answer was lost.
    #[prost(uint64, tag = "3")]
    pub(super) nonce: u64,
}

/// The keys that an entry is about.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ChangedKeys {
    #[prost(string, repeated, tag = "1")]
    pub(super) keys: Vec<String>,
}

/// The newest entry that was pruned.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Horizon {
    #[prost(uint64, tag = "1")]
    pub(super) number: Number,
    #[prost(uint64, tag = "2")]
    pub(super) transaction: Transaction,
}

/// A revision as the transaction that it is.
#[allow(clippy::cast_sign_loss)] // etcd counts up from 1
pub(super) fn transaction(revision: i64) -> Transaction {
    revision.max(0) as Transaction
}

/// A transaction as the revision that it is.
pub(super) fn revision(transaction: Transaction) -> i64 {
    i64::try_from(transaction).unwrap_or(i64::MAX)
}

impl Head {
    pub(super) fn read(found: Option<&KeyValue>) -> Result<Self, StoreError> {
        let Some(found) = found else {
            return Ok(Self::default());
        };
        let number = found.value_str().ok().and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| damaged(found.key(), "is not a number"))?;
        Ok(Self { number, transaction: transaction(found.mod_revision()) })
    }

    pub(super) fn value(number: Number) -> String {
        number.to_string()
    }
}

impl StoredEntry {
    /// The entry, with the transaction that etcd gave it.
    pub(super) fn read(found: &KeyValue) -> Result<(JournalEntry, Self), StoreError> {
        let mut stored: Self = decode(found)?;
        let mut entry = stored.entry.take().ok_or_else(|| damaged(found.key(), "has no entry"))?;
        entry.transaction = transaction(found.mod_revision());
        Ok((entry, stored))
    }
}

/// A message out of the value of a key.
pub(super) fn decode<M: Message + Default>(found: &KeyValue) -> Result<M, StoreError> {
    M::decode(found.value()).map_err(|error| damaged(found.key(), &error.to_string()))
}

/// The record that stands in etcd so.
pub(super) fn record(keys: &Keys, found: &KeyValue) -> Result<Record, StoreError> {
    let key = keys.of_data(found.key()).ok_or_else(|| damaged(found.key(), "is not a key of a record"))?;
    if is_definition(key) || is_remembered(key) {
        let value = Bytes::copy_from_slice(found.value());
        return Ok(Record { key: key.into(), value, transaction: transaction(found.mod_revision()) });
    }
    let (reached, value) = found
        .value()
        .split_first_chunk::<REACHED_BYTES>()
        .ok_or_else(|| damaged(found.key(), "has no transaction"))?;
    let value = Bytes::copy_from_slice(value);
    Ok(Record { key: key.into(), value, transaction: Transaction::from_be_bytes(*reached) })
}

/// The same, where one that is damaged is passed over: it harms nobody but who needs it.
pub(super) fn undamaged(keys: &Keys, found: &KeyValue) -> Option<Record> {
    record(keys, found).inspect_err(pass_over).ok()
}

/// Tells of a record that is passed over.
pub(super) fn pass_over(error: &StoreError) {
    tracing::error!(%error, "a record in etcd is passed over");
    metrics::damaged();
}

/// How the value of a derived record stands in etcd.
pub(super) fn derived_value(reached: Transaction, value: &[u8]) -> Vec<u8> {
    [&reached.to_be_bytes(), value].concat()
}

fn damaged(key: &[u8], what: &str) -> StoreError {
    StoreError::Damaged { detail: format!("{} in etcd {what}", String::from_utf8_lossy(key)) }
}
