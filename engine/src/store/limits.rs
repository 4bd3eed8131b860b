//! The bounds on a batch, checked before anything is written.

use std::collections::HashSet;

use thiserror::Error;

use super::batch::{Batch, Change, Kind, Precondition};
use super::record::{is_definition, is_remembered};

/// How large a batch may be. The defaults keep it one transaction of etcd's, which has at most 128 operations and 1.5 MiB
/// unless its operators say otherwise: besides the definitions, what they were and what they become is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest key, in bytes.
    pub key_bytes: usize,
    /// The largest value, in bytes.
    pub value_bytes: usize,
    /// The most changes in a batch of derived data, and the most preconditions.
    pub changes: usize,
    /// The most changes in a batch of definitions.
    pub definition_changes: usize,
    /// The most preconditions of a batch of definitions: more than changes, as some are about what does not change.
    pub definition_preconditions: usize,
    /// The largest batch, in bytes: the keys and values of its changes and preconditions. A change that requires that the
    /// value is what it was counts both, as its entry in the journal does.
    pub batch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 4 * 1024,
            value_bytes: 448 * 1024,
            changes: 100,
            definition_changes: 100,
            definition_preconditions: 1000,
            batch_bytes: 700 * 1024,
        }
    }
}

/// A batch that can never be committed, whatever the store holds.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidBatch {
    /// Nothing to commit.
    #[error("the batch has no changes")]
    NoChanges,
    /// More changes than a batch may have.
    #[error("the batch has {count} changes, more than {limit}; the first over the limit is {key}")]
    TooManyChanges {
        /// The first key that is over the limit.
        key: String,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// More preconditions than a batch may have.
    #[error(
        "the batch has {count} preconditions, more than {limit}; the first over the limit is about {key}"
    )]
    TooManyPreconditions {
        /// The key of the first that is over the limit.
        key: String,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// More bytes than a batch may have.
    #[error("the batch has {bytes} bytes, more than {limit}")]
    BatchTooLarge {
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A key without a character.
    #[error("a key is empty")]
    EmptyKey,
    /// A key that is too long.
    #[error("the key {key} has {bytes} bytes, more than {limit}")]
    KeyTooLong {
        /// The key.
        key: String,
        /// Its length in bytes.
        bytes: usize,
        /// The longest allowed, in bytes.
        limit: usize,
    },
    /// A value that is too large.
    #[error("the value of {key} has {bytes} bytes, more than {limit}")]
    ValueTooLarge {
        /// The key.
        key: String,
        /// The size of its value in bytes.
        bytes: usize,
        /// The largest allowed, in bytes.
        limit: usize,
    },
    /// A key that is changed twice.
    #[error("the batch changes {key} twice")]
    ChangedTwice {
        /// The key.
        key: String,
    },
    /// A key of the other kind than the batch.
    #[error("{key} is of the other kind: a batch changes either definitions or derived data")]
    MixedKinds {
        /// The key.
        key: String,
    },
    /// A remembered key that was to be put or deleted, another that was to be remembered, or one that was to be remembered
    /// with no definition.
    #[error("{key}: what is remembered is remembered with a change of definitions, and nothing else is")]
    NotRemembered {
        /// The key.
        key: String,
    },
    /// A definition that was to end with a lease.
    #[error("{key} is a definition, and definitions are never leased")]
    LeasedDefinition {
        /// The key.
        key: String,
    },
    /// A precondition of a batch of definitions on derived data, which may change at any moment.
    #[error("a batch of definitions cannot depend on {key}, which is derived")]
    DependsOnDerived {
        /// The key or prefix.
        key: String,
    },
    /// A derived key that was to be unchanged since a transaction, which says nothing about derived data.
    #[error("{key} is derived and has no transaction of its own to be unchanged since")]
    NoTransaction {
        /// The key.
        key: String,
    },
}

impl Limits {
    /// Checks a batch by itself, without a look at what is stored.
    pub fn check(&self, batch: &Batch) -> Result<(), InvalidBatch> {
        let count = batch.changes.len();
        if count == 0 {
            return Err(InvalidBatch::NoChanges);
        }
        let definitions = matches!(batch.kind, Kind::Definitions { .. });
        let limit = if definitions { self.definition_changes } else { self.changes };
        if let Some(excess) = batch.changes.get(limit) {
            let key = excess.key().to_string();
            return Err(InvalidBatch::TooManyChanges { key, count, limit });
        }
        let limit = if definitions { self.definition_preconditions } else { self.changes };
        if let Some(excess) = batch.preconditions.get(limit) {
            let key = excess.key().to_string();
            let count = batch.preconditions.len();
            return Err(InvalidBatch::TooManyPreconditions { key, count, limit });
        }
        for precondition in &batch.preconditions {
            self.check_precondition(precondition, definitions)?;
        }
        let mut seen = HashSet::with_capacity(count);
        for change in &batch.changes {
            self.check_change(change, definitions)?;
            if !seen.insert(change.key()) {
                let key = change.key().to_string();
                return Err(InvalidBatch::ChangedTwice { key });
            }
        }
        let bytes = bytes(batch);
        if bytes > self.batch_bytes {
            return Err(InvalidBatch::BatchTooLarge { bytes, limit: self.batch_bytes });
        }
        Ok(())
    }

    fn check_precondition(&self, precondition: &Precondition, definitions: bool) -> Result<(), InvalidBatch> {
        let key = precondition.key();
        let is_about_one_key = !matches!(
            precondition,
            Precondition::Empty { .. } | Precondition::Untouched { .. } | Precondition::Fewer { .. }
        );
        if is_about_one_key {
            self.check_key(key)?;
        }
        let is_durable = is_definition(key) || is_about_one_key && is_remembered(key);
        let is_counted = matches!(precondition, Precondition::Fewer { .. });
        if (definitions || is_counted) && !is_durable {
            return Err(InvalidBatch::DependsOnDerived { key: key.to_string() });
        }
        let names_transaction =
            matches!(precondition, Precondition::Unchanged { .. } | Precondition::Untouched { .. });
        if names_transaction && !is_definition(key) {
            return Err(InvalidBatch::NoTransaction { key: key.to_string() });
        }
        Ok(())
    }

    fn check_change(&self, change: &Change, definitions: bool) -> Result<(), InvalidBatch> {
        let key = change.key();
        self.check_key(key)?;
        let is_change_of_remembered = matches!(change, Change::Remember { .. });
        if is_remembered(key) != is_change_of_remembered || is_change_of_remembered && !definitions {
            return Err(InvalidBatch::NotRemembered { key: key.to_string() });
        }
        if is_definition(key) != definitions && !is_change_of_remembered {
            return Err(InvalidBatch::MixedKinds { key: key.to_string() });
        }
        let (value, lease) = match change {
            Change::Put { value, lease, .. } => (value, *lease),
            Change::Remember { value, .. } => (value, None),
            Change::Delete { .. } => return Ok(()),
        };
        if definitions && lease.is_some() {
            return Err(InvalidBatch::LeasedDefinition { key: key.to_string() });
        }
        if value.len() > self.value_bytes {
            return Err(InvalidBatch::ValueTooLarge {
                key: key.to_string(),
                bytes: value.len(),
                limit: self.value_bytes,
            });
        }
        Ok(())
    }

    fn check_key(&self, key: &str) -> Result<(), InvalidBatch> {
        if key.is_empty() {
            return Err(InvalidBatch::EmptyKey);
        }
        if key.len() > self.key_bytes {
            return Err(InvalidBatch::KeyTooLong {
                key: key.to_owned(),
                bytes: key.len(),
                limit: self.key_bytes,
            });
        }
        Ok(())
    }
}

/// How large a batch is.
fn bytes(batch: &Batch) -> usize {
    let changes = batch.changes.iter().map(|change| {
        let value = match change {
            Change::Put { value, .. } | Change::Remember { value, .. } => value.len(),
            Change::Delete { .. } => 0,
        };
        change.key().len() + value
    });
    let preconditions = batch.preconditions.iter().map(|precondition| {
        let value = if let Precondition::Equal { value, .. } = precondition { value.len() } else { 0 };
        precondition.key().len() + value
    });
    changes.chain(preconditions).sum()
}
