//! How much of the past is kept.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use legation_proto::version::Transaction;
use tokio::time::sleep;

use super::Store;
use super::error::StoreError;

/// How often the journal is looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// How much longer than a piece of pruning the pause after it is: commits wait for a piece, and get most of the time.
const PAUSES: u32 = 4;

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

/// Prunes the journal of `store` for as long as the process runs, a piece at a time. What fails is tried again.
pub async fn keep(store: Arc<dyn Store>, retention: Retention) -> Infallible {
    if retention == Retention::default() {
        return pending().await;
    }
    loop {
        match prune_all(store.as_ref(), retention).await {
            Ok(0) => {}
            Ok(transactions) => {
                tracing::info!(transactions, "the journal was pruned");
            }
            Err(error) => tracing::warn!(%error, "the journal could not be pruned"),
        }
        sleep(INTERVAL).await;
    }
}

/// Prunes what is to be pruned now; the answer is by how many transactions the known past is shorter.
async fn prune_all(store: &dyn Store, retention: Retention) -> Result<u64, StoreError> {
    let before = store.oldest().await?;
    let kept = retention.kept_now();
    loop {
        let started = Instant::now();
        let Pruned { oldest, has_more } = store.prune(kept).await?;
        if !has_more {
            return Ok(oldest.saturating_sub(before));
        }
        sleep(started.elapsed() * PAUSES).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unlimited_is_kept() {
        let kept = Retention::default().kept_now();
        assert_eq!(kept, Kept { entries_max: u64::MAX, since_ms: i64::MIN });
        let retention = Retention { age_max: Some(Duration::from_secs(60)), entries_max: Some(3) };
        let kept = retention.kept_now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let age = i64::try_from(now).unwrap() - kept.since_ms;
        assert_eq!(kept.entries_max, 3);
        assert!((60_000..70_000).contains(&age), "{age} ms");
    }
}
