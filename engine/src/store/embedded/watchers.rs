//! Who is told about a change of which key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::state::Shared;
use crate::store::error::StoreError;
use crate::store::record::Event;
use crate::store::watch::Queue;

/// The watchers, found by the prefix they watch.
///
/// A change looks up one prefix of its key for each *length* of prefix that is watched, so its cost grows with its
/// own watchers and the few dozen lengths in use, not with the number of watchers.
#[derive(Default)]
pub(super) struct Watchers {
    by_prefix: HashMap<Arc<str>, BTreeMap<u64, Arc<Queue>>>,
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

    /// Gives the events of one commit to those who watch them.
    pub(super) fn publish(&self, events: &[Event]) -> Wakeups {
        let mut deliveries: BTreeMap<u64, (&Arc<Queue>, Vec<Event>)> = BTreeMap::new();
        for event in events {
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
        for queue in self.by_prefix.values().flat_map(BTreeMap::values) {
            queue.end(reason.clone());
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_prefix.is_empty() && self.lengths.is_empty()
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
