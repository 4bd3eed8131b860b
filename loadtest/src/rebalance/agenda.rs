//! What is to happen, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A time of the simulation, or a part of one, in microseconds.
pub(super) type Micros = u64;

/// A second.
pub(super) const SECOND: Micros = 1_000_000;

/// What is sorted at a time.
const SLOT: Micros = SECOND / 16;

/// Events by time; those of the same time in the order in which they were added.
///
/// Nearly a million ends of lives wait at a time, most of them far away: they lie unsorted in the sixteenth of a second that
/// they belong to until it begins, and are sorted then. What is added to a slot that has begun is soon: of that there is
/// little at a time, so that a heap of it is small.
#[derive(Debug)]
pub(super) struct Agenda<E> {
    slot: usize,
    /// What was added before the slot began, the next one last.
    near: Vec<Entry<E>>,
    soon: BinaryHeap<Reverse<Entry<E>>>,
    far: Vec<Vec<Entry<E>>>,
    added: u64,
}

#[derive(Debug)]
struct Entry<E> {
    key: (Micros, u64),
    event: E,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self { slot: 0, near: Vec::new(), soon: BinaryHeap::new(), far: Vec::new(), added: 0 }
    }
}

impl<E> Agenda<E> {
    /// Adds an event; one of the past is next.
    pub(super) fn add(&mut self, at: Micros, event: E) {
        let entry = Entry { key: (at, self.added), event };
        self.added += 1;
        let slot = slot_of(at);
        if slot <= self.slot {
            self.soon.push(Reverse(entry));
            return;
        }
        if self.far.len() <= slot {
            self.far.resize_with(slot + 1, Vec::new);
        }
        self.far[slot].push(entry);
    }

    /// Takes the next event that is before `end`.
    pub(super) fn next(&mut self, end: Micros) -> Option<(Micros, E)> {
        while self.near.is_empty() && self.soon.is_empty() && self.slot < slot_of(end) {
            self.slot += 1;
            self.near = self.far.get_mut(self.slot).map(std::mem::take).unwrap_or_default();
            self.near.sort_unstable_by_key(|entry| Reverse(entry.key));
        }
        let near = self.near.last().map(|entry| entry.key);
        let soon = self.soon.peek().map(|Reverse(entry)| entry.key);
        let is_soon = soon.is_some_and(|soon| near.is_none_or(|near| soon < near));
        if (if is_soon { soon } else { near })?.0 >= end {
            return None;
        }
        let next = if is_soon { self.soon.pop().map(|Reverse(entry)| entry) } else { self.near.pop() };
        next.map(|entry| (entry.key.0, entry.event))
    }
}

fn slot_of(at: Micros) -> usize {
    usize::try_from(at / SLOT).unwrap_or(usize::MAX)
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_then_of_addition() {
        let mut chance = fastrand::Rng::with_seed(1);
        let mut agenda = Agenda::default();
        let mut expected = Vec::new();
        for number in 0..1000_u64 {
            let at = chance.u64(0..20) * SECOND / 4;
            agenda.add(at, number);
            expected.push((at, number));
        }
        expected.sort_unstable();
        let mut found: Vec<_> = std::iter::from_fn(|| agenda.next(3 * SECOND)).collect();
        assert!(found.iter().all(|(at, _)| *at < 3 * SECOND));
        found.extend(std::iter::from_fn(|| agenda.next(5 * SECOND)));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_added_to_a_slot_that_has_begun_comes_between_what_was_there() {
        let mut agenda = Agenda::default();
        [30, 10, 20].into_iter().for_each(|at| agenda.add(SLOT + at, "before"));
        assert_eq!(agenda.next(SECOND), Some((SLOT + 10, "before")));
        [30, 15, 25].into_iter().for_each(|at| agenda.add(SLOT + at, "after"));
        let rest: Vec<_> = std::iter::from_fn(|| agenda.next(SECOND)).collect();
        let expected = [(15, "after"), (20, "before"), (25, "after"), (30, "before"), (30, "after")];
        assert_eq!(rest, expected.map(|(at, what)| (SLOT + at, what)));
    }

    #[test]
    fn what_is_added_meanwhile_is_not_passed_over() {
        let mut agenda = Agenda::default();
        agenda.add(10 * SECOND, "late");
        assert_eq!(agenda.next(5 * SECOND), None);
        agenda.add(2 * SECOND, "past");
        agenda.add(7 * SECOND, "between");
        let rest: Vec<_> = std::iter::from_fn(|| agenda.next(11 * SECOND)).collect();
        assert_eq!(rest, [(2 * SECOND, "past"), (7 * SECOND, "between"), (10 * SECOND, "late")]);
    }
}
