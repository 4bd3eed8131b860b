//! Who is told about a change of which key.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::state::Shared;
use crate::store::error::StoreError;
use crate::store::record::Event;
use crate::store::watch::{Queue, WatchedKeys};

/// The watchers, found by the prefix they watch.
///
/// A change looks up one prefix of its key for each *length* of prefix that is watched, so its cost grows with its
/// own watchers and the few dozen lengths in use, not with the number of watchers.
#[derive(Default)]
pub(super) struct Watchers {
    by_prefix: HashMap<Arc<str>, BTreeMap<u64, Arc<Queue>>>,
    /// Those who watch single keys.
    by_key: HashMap<Arc<str>, BTreeMap<u64, Arc<Queue>>>,
    /// How many watched prefixes have a length.
    lengths: BTreeMap<usize, usize>,
    registered: u64,
}

/// Watchers that have something to read. They are woken when this is dropped, which should be when the state is no longer
/// locked: who is woken may run at once, and wants it.
#[must_use = "watchers are woken when this is dropped"]
pub(super) struct Wakeups(Vec<Arc<Queue>>);

impl Drop for Wakeups {
    fn drop(&mut self) {
        for queue in &self.0 {
            queue.wake();
        }
    }
}

/// A watcher's place in the table.
#[derive(Clone)]
pub(super) struct WatcherId {
    prefix: Arc<str>,
    number: u64,
}

impl Watchers {
    /// A queue that gets every event under `prefix` from now on.
    pub(super) fn register(&mut self, prefix: &str) -> (WatcherId, Arc<Queue>) {
        self.registered += 1;
        let id = WatcherId { prefix: prefix.into(), number: self.registered };
        let queue = Arc::new(Queue::default());
        let queues = self.by_prefix.entry(Arc::clone(&id.prefix)).or_default();
        if queues.is_empty() {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        queues.insert(id.number, Arc::clone(&queue));
        (id, queue)
    }

    fn unregister(&mut self, id: &WatcherId) {
        let Some(queues) = self.by_prefix.get_mut(&id.prefix) else {
            return;
        };
        queues.remove(&id.number);
        if !queues.is_empty() {
            return;
        }
        self.by_prefix.remove(&id.prefix);
        let length = id.prefix.len();
        let Some(count) = self.lengths.get_mut(&length) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.lengths.remove(&length);
        }
    }

    /// The number of a watcher of single keys.
    pub(super) fn number(&mut self) -> u64 {
        self.registered += 1;
        self.registered
    }

    /// Gives `queue` every event of `key` from now on.
    pub(super) fn register_key(&mut self, key: Arc<str>, number: u64, queue: &Arc<Queue>) {
        self.by_key.entry(key).or_default().insert(number, Arc::clone(queue));
    }

    pub(super) fn unregister_key(&mut self, key: &str, number: u64) {
        if let Some(queues) = self.by_key.get_mut(key) {
            queues.remove(&number);
            if queues.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    /// Gives the events of one commit to those who watch them.
    pub(super) fn publish(&self, events: &[Event]) -> Wakeups {
        let mut deliveries: BTreeMap<u64, (&Arc<Queue>, Vec<Event>)> = BTreeMap::new();
        for event in events {
            for (number, queue) in self.by_key.get(&event.key).into_iter().flatten() {
                let (_, delivery) = deliveries.entry(*number).or_insert((queue, Vec::new()));
                delivery.push(event.clone());
            }
            for length in self.lengths.keys() {
                // a length within a character, or past the end, is no prefix of this key
                let Some(prefix) = event.key.get(..*length) else {
                    continue;
                };
                for (number, queue) in self.by_prefix.get(prefix).into_iter().flatten() {
                    let (_, delivery) = deliveries.entry(*number).or_insert((queue, Vec::new()));
                    delivery.push(event.clone());
                }
            }
        }
        let push = |(queue, delivery): (&Arc<Queue>, Vec<Event>)| {
            queue.push(delivery);
            Arc::clone(queue)
        };
        Wakeups(deliveries.into_values().map(push).collect())
    }

    /// Ends every watch.
    pub(super) fn end(&mut self, reason: &StoreError) {
        for queue in self.by_prefix.values().chain(self.by_key.values()).flat_map(BTreeMap::values) {
            queue.end(reason.clone());
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_prefix.is_empty() && self.lengths.is_empty() && self.by_key.is_empty()
    }
}

/// The keys that one watcher watches, which are watched no longer when this is dropped.
pub(super) struct RegisteredKeys {
    shared: Arc<Shared>,
    number: u64,
    queue: Arc<Queue>,
    keys: Mutex<HashSet<Arc<str>>>,
}

impl RegisteredKeys {
    pub(super) fn new(shared: Arc<Shared>, queue: Arc<Queue>) -> Self {
        let number = shared.lock().watchers().number();
        Self { shared, number, queue, keys: Mutex::default() }
    }

    /// No code panics while it holds this lock, so a poisoned one is still whole.
    fn keys(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl WatchedKeys for RegisteredKeys {
    fn add(&self, key: Arc<str>) {
        self.keys().insert(Arc::clone(&key));
        let mut state = self.shared.lock();
        state.watchers().register_key(Arc::clone(&key), self.number, &self.queue);
        let event = match state.get(&key) {
            Some(record) => Event { key, value: Some(record.value), transaction: record.transaction },
            None => Event { key, value: None, transaction: state.transaction() },
        };
        self.queue.push(vec![event]);
        drop(state);
        self.queue.wake();
    }

    fn remove(&self, key: &str) {
        self.keys().remove(key);
        self.shared.lock().watchers().unregister_key(key, self.number);
    }

    async fn settle(&self) -> Result<(), StoreError> {
        Ok(()) // what changes is in the queue before anybody can know of it
    }
}

impl Drop for RegisteredKeys {
    fn drop(&mut self) {
        let keys = std::mem::take(&mut *self.keys());
        let mut state = self.shared.lock();
        for key in keys {
            state.watchers().unregister_key(&key, self.number);
        }
    }
}

/// Unregisters a watcher when it is dropped.
pub(super) struct Registration {
    shared: Arc<Shared>,
    id: WatcherId,
}

impl Registration {
    pub(super) fn new(shared: Arc<Shared>, id: WatcherId) -> Self {
        Self { shared, id }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.lock().watchers().unregister(&self.id);
    }
}
