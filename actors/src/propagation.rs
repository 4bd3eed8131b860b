//! How long a commit takes to its last consumer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::metrics;

/// A commit on its way. Every consumer holds on to it until it has accepted what came of the commit, or has gone; when the
/// last lets go, the time since the commit is measured.
#[derive(Debug)]
pub struct Propagation {
    committed_at: SystemTime,
    /// Whether it was anything new to any consumer.
    reached: AtomicBool,
}

impl Propagation {
    /// Of a commit that was made at this time, by the clock of the host that made it.
    pub fn since(committed_at: SystemTime) -> Self {
        Self { committed_at, reached: AtomicBool::new(false) }
    }

    /// A consumer was sent something because of it.
    pub(crate) fn reach(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }
}

impl Drop for Propagation {
    fn drop(&mut self) {
        if self.reached.load(Ordering::Relaxed) {
            // clocks of hosts may differ: a commit of the future has just been made
            metrics::propagated(self.committed_at.elapsed().unwrap_or_default());
        }
    }
}
