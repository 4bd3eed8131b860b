//! Since when there is something to watch and no stream that tells of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::store::metrics;

/// How long a stream may take to be opened before this is told: as long as an election takes, many times over.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Told once, however often opening a stream is tried.
#[derive(Clone, Default)]
pub(super) struct Interruption(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    since: Option<SystemTime>,
    is_told: bool,
}

impl Interruption {
    /// No code panics while it holds this lock, so a poisoned one is still whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to watch, and it is not told of yet.
    pub(super) fn begin(&self) {
        self.state().since.get_or_insert_with(SystemTime::now);
    }

    /// It is still not told of, for this reason.
    pub(super) fn go_on(&self, reason: &str) {
        let mut state = self.state();
        if state.is_told || overdue(&state).is_none() {
            tracing::debug!(reason, "etcd cannot be watched");
            return;
        }
        state.is_told = true;
        tracing::warn!(reason, "etcd cannot be watched: this host does not learn of changes");
        metrics::watched(false);
    }

    /// All is told of, or there is nothing to watch.
    pub(super) fn end(&self) {
        let mut state = self.state();
        if state.is_told {
            tracing::info!("etcd tells of changes again");
            metrics::watched(true);
        }
        *state = State::default();
    }

    /// Since when, if it is for longer than it may be.
    pub(super) fn since(&self) -> Option<SystemTime> {
        overdue(&self.state())
    }
}

fn overdue(state: &State) -> Option<SystemTime> {
    state.since.filter(|since| since.elapsed().is_ok_and(|elapsed| elapsed >= PATIENCE))
}
