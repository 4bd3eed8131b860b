//! The reading end of a watch, and the queue behind it.
//!
//! A queue holds the latest event of each key that changed, so a watcher that does not read costs memory in
//! proportion to the keys under its prefix, however often they change: messages are state, not events.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::error::StoreError;
use super::record::Event;

/// A stream of changes under a prefix. Dropping it ends the watch.
pub struct Watch {
    /// Events from before the queue was registered.
    past: Vec<Event>,
    queue: Arc<Queue>,
    /// Ends what feeds the queue when it is dropped.
    _registration: Box<dyn Any + Send + Sync>,
}

impl Watch {
    /// A watch that gives `past` and then what arrives in `queue`; dropping it drops `registration`.
    pub(super) fn new(past: Vec<Event>, queue: Arc<Queue>, registration: impl Any + Send + Sync) -> Self {
        Self { past, queue, _registration: Box::new(registration) }
    }

    /// Waits for changes and gives the latest state of every key that changed since the last call, in the order
    /// of their last changes; never an empty list, never a part of a transaction.
    ///
    /// A key that changed several times in between is given once. Cancel safe: a call that is dropped before it
    /// answers loses nothing. After an error, which [`StoreError::Closed`] is one of, the watch has ended.
    pub async fn next(&mut self) -> Result<Vec<Event>, StoreError> {
        if !self.past.is_empty() {
            return Ok(mem::take(&mut self.past));
        }
        loop {
            if let Some(answer) = self.queue.take() {
                return answer;
            }
            self.queue.changed.notified().await;
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// What a watcher has not read yet.
#[derive(Default)]
pub(super) struct Queue {
    pending: Mutex<Pending>,
    changed: Notify,
}

#[derive(Default)]
struct Pending {
    /// The latest event of each key, with its place in the order of arrival.
    latest: HashMap<Arc<str>, (u64, Event)>,
    arrived: u64,
    end: Option<StoreError>,
}

impl Queue {
    /// Adds the events of one commit, which the reader gets together once it is woken.
    pub(super) fn push(&self, events: Vec<Event>) {
        let mut pending = self.lock();
        for event in events {
            pending.arrived += 1;
            let place = pending.arrived;
            pending.latest.insert(Arc::clone(&event.key), (place, event));
        }
    }

    /// Wakes the reader.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Ends the watch: the reader gets what is pending, and then `reason`.
    pub(super) fn end(&self, reason: StoreError) {
        self.lock().end = Some(reason);
        self.wake();
    }

    fn take(&self) -> Option<Result<Vec<Event>, StoreError>> {
        let mut pending = self.lock();
        if pending.latest.is_empty() {
            return pending.end.clone().map(Err);
        }
        let latest = mem::take(&mut pending.latest);
        drop(pending);
        let mut events: Vec<(u64, Event)> = latest.into_values().collect();
        events.sort_unstable_by_key(|(place, _)| *place);
        Some(Ok(events.into_iter().map(|(_, event)| event).collect()))
    }

    /// No code panics while it holds this lock, so a poisoned one is still whole.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
