//! How much of the past is kept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use legation_proto::version::Transaction;

/// How much of the journal the operator wants to keep; nothing is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// For how long.
    pub age_max: Option<Duration>,
    /// How many entries at most.
    pub entries_max: Option<u64>,
}

/// Which entries of the journal are kept: those that are neither too many nor too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many of the newest entries.
    pub entries_max: u64,
    /// Those that were committed at this time or later, in milliseconds since the Unix epoch.
    pub since_ms: i64,
}

/// What is left of the journal after a part of it was pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// The oldest transaction whose state is known.
    pub oldest: Transaction,
    /// Whether there may be more to prune.
    pub has_more: bool,
}

impl Retention {
    /// What is kept of a journal now.
    pub fn kept_now(&self) -> Kept {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = self.age_max.map(|age| now.saturating_sub(age).as_millis());
        Kept {
            entries_max: self.entries_max.unwrap_or(u64::MAX),
            since_ms: since.map_or(i64::MIN, |since| i64::try_from(since).unwrap_or(i64::MAX)),
        }
    }
}
