//! How long a commit takes to its last consumer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::metrics;

/// A commit on its way. Every consumer holds on to it until it has accepted what came of the commit, or has gone; when the
/// last lets go, the time since the commit is measured.
#[derive(Debug)]
pub struct Propagation {
    /// Whether it was anything new to any consumer.
    reached: AtomicBool,
    known: Arc<Mutex<Known>>,
}

/// Where it is told when the commit was made: what came of it does not wait for that.
#[derive(Debug)]
pub struct CommitTime(Arc<Mutex<Known>>);

/// What is known of a propagation; who knows the second measures it.
#[derive(Debug, Default)]
struct Known {
    committed_at: Option<SystemTime>,
    ended_at: Option<SystemTime>,
}

impl Propagation {
    /// Of a commit of which it is told when it was made, by the clock of the host that made it. One of which that is not told is
    /// not measured.
    pub fn begin() -> (Self, CommitTime) {
        let known = Arc::<Mutex<Known>>::default();
        (Self { reached: AtomicBool::new(false), known: Arc::clone(&known) }, CommitTime(known))
    }

    /// A consumer was sent something because of it.
    pub(crate) fn reach(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }
}

impl Drop for Propagation {
    fn drop(&mut self) {
        if self.reached.load(Ordering::Relaxed) {
            let mut known = lock(&self.known);
            known.ended_at = Some(SystemTime::now());
            known.measure();
        }
    }
}

impl CommitTime {
    /// The commit was made then.
    pub fn tell(self, committed_at: SystemTime) {
        let mut known = lock(&self.0);
        known.committed_at = Some(committed_at);
        known.measure();
    }
}

impl Known {
    fn measure(&self) {
        if let Some(took) = self.took() {
            metrics::propagated(took);
        }
    }

    fn took(&self) -> Option<Duration> {
        // clocks of hosts may differ: a commit of the future has just been made
        Some(self.ended_at?.duration_since(self.committed_at?).unwrap_or_default())
    }
}

/// No code panics while it holds this lock, so a poisoned one is still whole.
fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_comes_last_the_end_or_the_time_of_the_commit() {
        let begin = || {
            let (propagation, time) = Propagation::begin();
            let known = Arc::clone(&propagation.known);
            (propagation, time, move || lock(&known).took())
        };
        let long_ago = SystemTime::now() - Duration::from_secs(100);
        let is_measured = |took: Option<Duration>| took.is_some_and(|took| took >= Duration::from_secs(100));

        let (propagation, time, took) = begin();
        propagation.reach();
        drop(propagation);
        assert_eq!(took(), None);
        time.tell(long_ago);
        assert!(is_measured(took()));

        let (propagation, time, took) = begin();
        propagation.reach();
        time.tell(long_ago);
        assert_eq!(took(), None);
        drop(propagation);
        assert!(is_measured(took()));

        let (propagation, time, took) = begin();
        drop(propagation);
        time.tell(long_ago);
        assert_eq!(took(), None, "it was nothing new to anybody");
    }
}
