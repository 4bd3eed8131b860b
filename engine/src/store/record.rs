//! What is stored, and how it is read.

use std::sync::Arc;

use bytes::Bytes;
use legation_proto::version::Transaction;

/// The prefix of the keys of all definitions.
pub const DEFINITIONS: &str = "definitions/";

/// The prefix of the keys of all that is remembered; every key that is neither is derived data.
pub const REMEMBERED: &str = "remembered/";

/// Whether `key` (or every key under it, if it is a prefix) belongs to a definition.
pub fn is_definition(key: &str) -> bool {
    key.starts_with(DEFINITIONS)
}

/// Whether `key` is one of those that are remembered for a time.
pub fn is_remembered(key: &str) -> bool {
    key.starts_with(REMEMBERED)
}

/// A key with its value. Cheap to clone: both are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key, unique in the store.
    pub key: Arc<str>,
    /// The value, opaque to the store.
    pub value: Bytes,
    /// The last change of this key; of a derived one, the transaction that the store had reached then.
    pub transaction: Transaction,
}

/// Everything under a prefix, as it was at one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The transaction that this is the state of.
    pub transaction: Transaction,
    /// The records, sorted by key.
    pub records: Vec<Record>,
}

/// Which state to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The newest that is durable.
    Newest,
    /// As it was right after this transaction; 0 is the empty store.
    Transaction(Transaction),
}

/// The state of a key after it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key that changed.
    pub key: Arc<str>,
    /// Its value now; absent where the key was deleted.
    pub value: Option<Bytes>,
    /// The transaction of the change; of a derived key, the one that the store had reached then.
    pub transaction: Transaction,
}
