//! Which keys are remembered for a time, and until when.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use legation_proto::version::Transaction;

use crate::store::record::Record;

/// Keys that are remembered at once; over it the first to go would go sooner.
pub(super) const REMEMBERED_MAX: usize = 65_536;

/// Keys that are forgotten with one group of commits.
const FORGOTTEN_MAX: usize = 1024;

/// A record that is remembered for a time.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) record: Record,
    /// Until when, in milliseconds since the Unix epoch.
    pub(super) until_ms: i64,
}

impl Remembered {
    pub(super) fn new(
        key: &Arc<str>,
        value: &Bytes,
        transaction: Transaction,
        now_ms: i64,
        time_to_live: Duration,
    ) -> Self {
        let record = Record { key: Arc::clone(key), value: value.clone(), transaction };
        let time_to_live_ms = i64::try_from(time_to_live.as_millis()).unwrap_or(i64::MAX);
        Self { record, until_ms: now_ms.saturating_add(time_to_live_ms) }
    }
}

/// The remembered keys in the order in which they go.
#[derive(Default)]
pub(super) struct Memory {
    in_order: BTreeSet<(i64, Arc<str>)>,
    until_ms: HashMap<Arc<str>, i64>,
}

impl Memory {
    pub(super) fn remember(&mut self, key: &Arc<str>, until_ms: i64) {
        self.forget(key);
        self.until_ms.insert(Arc::clone(key), until_ms);
        self.in_order.insert((until_ms, Arc::clone(key)));
    }

    pub(super) fn forget(&mut self, key: &Arc<str>) {
        if let Some(until_ms) = self.until_ms.remove(key) {
            self.in_order.remove(&(until_ms, Arc::clone(key)));
        }
    }

    /// Some of the keys that should be forgotten at `now_ms`: their time is over, or there are too many.
    pub(super) fn due(&self, now_ms: i64) -> Vec<Arc<str>> {
        let excess = self.in_order.len().saturating_sub(REMEMBERED_MAX);
        let in_order = self.in_order.iter().enumerate().take(FORGOTTEN_MAX);
        let due = in_order.take_while(|(index, (until_ms, _))| *index < excess || *until_ms <= now_ms);
        due.map(|(_, (_, key))| Arc::clone(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_when_their_time_is_over_or_when_there_are_too_many() {
        let mut memory = Memory::default();
        let key = |number: usize| Arc::<str>::from(number.to_string());
        for (number, until_ms) in [(1, 30), (2, 10), (3, 20)] {
            memory.remember(&key(number), until_ms);
        }
        assert_eq!(memory.due(9), Vec::<Arc<str>>::new());
        assert_eq!(memory.due(20), [key(2), key(3)]);
        memory.remember(&key(2), 40);
        assert_eq!(memory.due(20), [key(3)], "its time started anew");
        memory.forget(&key(3));
        memory.forget(&key(3));
        assert_eq!(memory.due(100), [key(1), key(2)]);
        assert_eq!((memory.in_order.len(), memory.until_ms.len()), (2, 2));

        for number in 1..=REMEMBERED_MAX + 3 {
            memory.remember(&key(number), 100 + i64::try_from(number).unwrap());
        }
        assert_eq!(memory.due(0), [key(1), key(2), key(3)]);
        assert_eq!(memory.due(i64::MAX).len(), FORGOTTEN_MAX);
    }
}
