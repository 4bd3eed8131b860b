//! The reading end of a watch, and the queue behind it.
//!
//! A queue holds the latest event of each key that changed, so a watcher that does not read costs memory in
//! proportion to the keys under its prefix, however often they change: messages are state, not events.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
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
        self.queue.next().await
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// A watch of single keys, to which they are added one by one. Dropping it ends the watch.
///
/// The state of a key that was added comes first, absence included, and every change of it after that.
pub struct KeysWatch {
    queue: Arc<Queue>,
    keys: Arc<dyn WatchedKeys>,
}

/// The keys of a [`KeysWatch`], where they are watched.
#[async_trait]
pub(super) trait WatchedKeys: Send + Sync {
    /// Watches a key from now on.
    fn add(&self, key: Arc<str>);

    /// Watches it no longer.
    fn remove(&self, key: &str);

    /// Waits until everything that the store has of these keys now is in the queue.
    async fn settle(&self) -> Result<(), StoreError>;
}

impl KeysWatch {
    pub(super) fn new(queue: Arc<Queue>, keys: Arc<dyn WatchedKeys>) -> Self {
        Self { queue, keys }
    }

    /// Watches `key`, which is not watched yet: its state is among what comes next.
    pub fn add(&self, key: impl Into<Arc<str>>) {
        self.keys.add(key.into());
    }

    /// Watches `key` no longer. What is pending of it may still come.
    pub fn remove(&self, key: &str) {
        self.keys.remove(key);
    }

    /// Waits for states and changes, as [`Watch::next`] does; but what is one transaction to the store may come in parts.
    pub async fn next(&mut self) -> Result<Vec<Event>, StoreError> {
        self.queue.next().await
    }

    /// Whatever there is to read now, without waiting.
    pub fn pending(&mut self) -> Result<Vec<Event>, StoreError> {
        self.queue.take().unwrap_or_else(|| Ok(Vec::new()))
    }

    /// What waits until all that the store has of these keys now can be read without waiting.
    pub fn settled(&self) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let keys = Arc::clone(&self.keys);
        async move { keys.settle().await }
    }
}

impl fmt::Debug for KeysWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysWatch").finish_non_exhaustive()
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

    async fn next(&self) -> Result<Vec<Event>, StoreError> {
        loop {
            if let Some(answer) = self.take() {
                return answer;
            }
            self.changed.notified().await;
        }
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
