//! What a commit asks for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use legation_proto::version::Transaction;

use super::family::Family;
use super::lease::LeaseId;

/// Preconditions and changes that are committed together or not at all.
///
/// ```
/// # use legation::store::Batch;
/// let create = Batch::definitions("anonymous", "CreateMesh")
///     .if_absent("definitions/mesh/demo")
///     .put("definitions/mesh/demo", "{}");
/// ```
#[derive(Clone, Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    pub(super) kind: Kind,
    pub(super) preconditions: Vec<Precondition>,
    pub(super) changes: Vec<Change>,
}

/// Which kind of data a batch changes.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Durable and journaled.
    Definitions {
        author: String,
        operation: String,
        /// When it was committed first, if this is a copy.
        committed_at_ms: Option<i64>,
    },
    /// Recomputable.
    Derived,
}

/// One change of a batch.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put { key: Arc<str>, value: Bytes, lease: Option<LeaseId> },
    Remember { key: Arc<str>, value: Bytes, time_to_live: Duration },
    Delete { key: Arc<str> },
}

/// What must be true for a batch to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key does not exist.
    Absent {
        /// The key.
        key: Arc<str>,
    },
    /// The key exists.
    Present {
        /// The key.
        key: Arc<str>,
    },
    /// The key exists and was last changed at exactly this transaction. For definitions only: derived data can
    /// change several times at one transaction.
    Unchanged {
        /// The key.
        key: Arc<str>,
        /// The transaction of the record that the caller has seen.
        transaction: Transaction,
    },
    /// The key exists and has exactly this value.
    Equal {
        /// The key.
        key: Arc<str>,
        /// The value that the caller has seen.
        value: Bytes,
    },
    /// No key begins with the prefix.
    Empty {
        /// The prefix.
        prefix: Arc<str>,
    },
    /// There are fewer keys of the family than this. Of batches that require it and put one such key each, only so many
    /// are committed, however many come at the same time.
    Fewer {
        /// The keys that are counted.
        family: Family,
        /// How many are too many.
        than: usize,
    },
    /// Nothing under the prefix was created, changed or deleted after this transaction. For definitions only. A
    /// transaction that is not recent may conflict although nothing was: list again, and ask with that number.
    Untouched {
        /// The prefix.
        prefix: Arc<str>,
        /// The transaction of the listing that the caller has seen.
        since: Transaction,
    },
}

impl Precondition {
    /// The key or the prefix that this is about.
    pub fn key(&self) -> &Arc<str> {
        match self {
            Self::Absent { key }
            | Self::Present { key }
            | Self::Unchanged { key, .. }
            | Self::Equal { key, .. }
            | Self::Empty { prefix: key }
            | Self::Fewer { family: Family { before: key, .. }, .. }
            | Self::Untouched { prefix: key, .. } => key,
        }
    }
}

impl fmt::Display for Precondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { key } => write!(f, "{key} must not exist"),
            Self::Present { key } => write!(f, "{key} must exist"),
            Self::Unchanged { key, transaction } => {
                write!(f, "{key} must be unchanged since transaction {transaction}")
            }
            Self::Equal { key, .. } => write!(f, "{key} must have the expected value"),
            Self::Empty { prefix } => write!(f, "nothing may exist under {prefix}"),
            Self::Fewer { family, than } => write!(f, "there must be fewer than {than} {family}"),
            Self::Untouched { prefix, since } => {
                write!(f, "nothing under {prefix} may have changed since transaction {since}")
            }
        }
    }
}

impl Change {
    pub(super) fn key(&self) -> &Arc<str> {
        match self {
            Self::Put { key, .. } | Self::Remember { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl Batch {
    /// A batch of definitions; `author` and `operation` go into its journal entry.
    pub fn definitions(author: impl Into<String>, operation: impl Into<String>) -> Self {
        let (author, operation) = (author.into(), operation.into());
        Self::new(Kind::Definitions { author, operation, committed_at_ms: None })
    }

    /// This batch of definitions as the copy of one that was committed at this time, in milliseconds since the Unix epoch.
    pub(super) fn committed_at(mut self, at_ms: i64) -> Self {
        if let Kind::Definitions { committed_at_ms, .. } = &mut self.kind {
            *committed_at_ms = Some(at_ms);
        }
        self
    }

    /// A batch of derived data.
    pub fn derived() -> Self {
        Self::new(Kind::Derived)
    }

    fn new(kind: Kind) -> Self {
        Self { kind, preconditions: Vec::new(), changes: Vec::new() }
    }

    /// Requires that `key` does not exist.
    pub fn if_absent(self, key: impl Into<Arc<str>>) -> Self {
        self.require(Precondition::Absent { key: key.into() })
    }

    /// Requires that `key` exists.
    pub fn if_present(self, key: impl Into<Arc<str>>) -> Self {
        self.require(Precondition::Present { key: key.into() })
    }

    /// Requires that the definition `key` was last changed at exactly `transaction`.
    pub fn if_unchanged(self, key: impl Into<Arc<str>>, transaction: Transaction) -> Self {
        self.require(Precondition::Unchanged { key: key.into(), transaction })
    }

    /// Requires that `key` has exactly this value.
    pub fn if_equal(self, key: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        self.require(Precondition::Equal { key: key.into(), value: value.into() })
    }

    /// Requires that no key begins with `prefix`.
    pub fn if_empty(self, prefix: impl Into<Arc<str>>) -> Self {
        self.require(Precondition::Empty { prefix: prefix.into() })
    }

    /// Requires that there are fewer than `than` keys of `family`.
    pub fn if_fewer(self, family: Family, than: usize) -> Self {
        self.require(Precondition::Fewer { family, than })
    }

    /// Requires that nothing under the `prefix` of definitions was created, changed or deleted after `since`.
    pub fn if_untouched(self, prefix: impl Into<Arc<str>>, since: Transaction) -> Self {
        self.require(Precondition::Untouched { prefix: prefix.into(), since })
    }

    /// Requires `precondition`.
    pub fn require(mut self, precondition: Precondition) -> Self {
        self.preconditions.push(precondition);
        self
    }

    /// Creates or replaces `key`.
    pub fn put(self, key: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        self.change(Change::Put { key: key.into(), value: value.into(), lease: None })
    }

    /// Creates or replaces the derived `key`, which is deleted when `lease` ends.
    pub fn put_with_lease(self, key: impl Into<Arc<str>>, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        self.change(Change::Put { key: key.into(), value: value.into(), lease: Some(lease) })
    }

    /// Remembers the `value` of `key` with this commit of definitions. It stays for `time_to_live` at least, unless far too
    /// many are remembered, and is gone some time after that. A batch that changes no definition remembers nothing.
    pub fn remember(self, key: impl Into<Arc<str>>, value: impl Into<Bytes>, time_to_live: Duration) -> Self {
        self.change(Change::Remember { key: key.into(), value: value.into(), time_to_live })
    }

    /// Deletes `key` if it exists.
    pub fn delete(self, key: impl Into<Arc<str>>) -> Self {
        self.change(Change::Delete { key: key.into() })
    }

    fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }
}
