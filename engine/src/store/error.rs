//! What can go wrong in a store.

use std::error::Error;
use std::sync::Arc;

use legation_proto::version::Transaction;
use thiserror::Error;

use super::batch::Precondition;
use super::lease::LeaseId;
use super::limits::InvalidBatch;

/// A store that cannot answer. Cheap to clone, because one failure may answer many commits.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// A transaction that no commit has reached yet was asked for.
    #[error("transaction {asked} is in the future, the newest is {newest}")]
    InFuture {
        /// What was asked for.
        asked: Transaction,
        /// The newest there is.
        newest: Transaction,
    },
    /// A transaction that the store no longer remembers was asked for.
    #[error("transaction {asked} is too old, the oldest known is {oldest}")]
    TooOld {
        /// What was asked for.
        asked: Transaction,
        /// The oldest that can be asked for.
        oldest: Transaction,
    },
    /// The past of something that is not a definition was asked for.
    #[error("{prefix:?} is not a prefix of definitions, and only they have a history")]
    NoHistory {
        /// The prefix that was asked for.
        prefix: String,
    },
    /// The lease expired, was revoked, or never was.
    #[error("lease {lease} is not alive")]
    UnknownLease {
        /// The lease.
        lease: LeaseId,
    },
    /// What was read is not what was once written.
    #[error("the store is damaged: {detail}")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// The storage beneath failed, for example because the disk is full.
    #[error("the storage failed: {0}")]
    Storage(Arc<dyn Error + Send + Sync>),
    /// The store has been shut down. Whether a commit that got this answer was made is not known.
    #[error("the store is closed")]
    Closed,
}

/// A batch that was not committed.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// A precondition does not hold: the first such one in the batch's order.
    #[error("conflict: {precondition}")]
    Conflict {
        /// What does not hold.
        precondition: Precondition,
    },
    /// The batch can never be committed.
    #[error(transparent)]
    Invalid(#[from] InvalidBatch),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
