//! How far a host has come with the store.

use std::time::SystemTime;

use legation_proto::version::Transaction;

/// How far a host has come with the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The newest transaction that this host knows of.
    pub transaction: Transaction,
    /// Since when the store has not answered, where it does not.
    pub cut_off_since: Option<SystemTime>,
    /// Since when the store has told of no changes, although it answers or because it does not.
    pub unwatched_since: Option<SystemTime>,
}
