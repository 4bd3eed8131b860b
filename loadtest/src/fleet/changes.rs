//! Who has received and accepted which change.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::tally::Counts;
use super::{Change, Propagation};

/// Changes that every consumer has accepted are remembered up to so many, for those who ask late.
const FINISHED_MAX: usize = 10_000;

/// The changes that are under way, and those that lately were.
#[derive(Debug, Default)]
pub(super) struct Changes {
    underway: HashMap<u32, Vec<Underway>>,
    finished: HashMap<(u32, u64), Propagation>,
    finished_order: VecDeque<(u32, u64)>,
    outstanding: u64,
    /// Whether markers are the numbers of changes modulo two.
    alternating: bool,
    /// The newest change of each service, where markers alternate.
    newest: HashMap<u32, u64>,
}

#[derive(Debug)]
struct Underway {
    number: u64,
    started: Instant,
    /// Sorted by Envoy.
    consumers: Vec<(usize, Stage)>,
    propagation: Propagation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Missing,
    Lost,
    Received,
    Accepted,
}

impl Changes {
    /// Without changes yet; markers tell their numbers, or alternate.
    pub(super) fn new(alternating: bool) -> Self {
        Self { alternating, ..Self::default() }
    }

    /// The number of the change that a marker tells: where markers alternate, that of the newest change that has it.
    pub(super) fn number(&self, service: u32, marker: u64) -> u64 {
        if !self.alternating {
            return marker;
        }
        let newest = self.newest.get(&service).copied().unwrap_or_default();
        if newest % 2 == marker % 2 { newest } else { newest.saturating_sub(1) }
    }

    /// Changes that some consumer lacks.
    pub(super) const fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// A change is about to be made; `consumers` in ascending order.
    pub(super) fn expect(&mut self, change: Change, consumers: impl Iterator<Item = usize>) {
        let Change { service, number, started } = change;
        if self.alternating {
            self.newest.insert(service, number);
        }
        let consumers: Vec<_> = consumers.map(|envoy| (envoy, Stage::Missing)).collect();
        let propagation = Propagation { consumers: consumers.len(), ..Default::default() };
        if consumers.is_empty() {
            return self.finish(service, number, propagation);
        }
        self.outstanding += 1;
        self.underway.entry(service).or_default().push(Underway { number, started, consumers, propagation });
    }

    /// An Envoy has received a change and with it all that came before.
    pub(super) fn receive(
        &mut self,
        envoy: usize,
        service: u32,
        number: u64,
        at: Instant,
        counts: &mut Counts,
    ) {
        for underway in self.underway.get_mut(&service).into_iter().flatten() {
            let Some(stage) = underway.stage(envoy, number) else { continue };
            if *stage >= Stage::Received {
                continue;
            }
            *stage = Stage::Received;
            counts.receipt(at - underway.started);
            underway.propagation.received += 1;
            underway.propagation.last_receipt = Some(at);
            if underway.is_received() {
                self.outstanding -= 1;
                counts.last_receipt(at - underway.started);
            }
        }
    }

    /// An Envoy has ACKed a change and with it all that came before.
    pub(super) fn accept(
        &mut self,
        envoy: usize,
        service: u32,
        number: u64,
        at: Instant,
        counts: &mut Counts,
    ) {
        let mut is_complete = false;
        for underway in self.underway.get_mut(&service).into_iter().flatten() {
            let Some(stage) = underway.stage(envoy, number) else { continue };
            if *stage != Stage::Received {
                continue;
            }
            *stage = Stage::Accepted;
            underway.propagation.accepted += 1;
            underway.propagation.last_ack = Some(at);
            if underway.propagation.is_complete() {
                counts.last_ack(at - underway.started);
                is_complete = true;
            }
        }
        if is_complete {
            self.finish_complete(service);
        }
    }

    /// An Envoy is no consumer any more: changes are not waited for on its behalf.
    pub(super) fn leave(&mut self, envoy: usize, service: u32) {
        for underway in self.underway.get_mut(&service).into_iter().flatten() {
            let Ok(position) = underway.consumers.binary_search_by_key(&envoy, |consumer| consumer.0) else {
                continue;
            };
            let was_outstanding = !underway.is_received();
            let (_, stage) = underway.consumers.remove(position);
            underway.propagation.consumers -= 1;
            underway.propagation.received -= usize::from(stage >= Stage::Received);
            underway.propagation.accepted -= usize::from(stage == Stage::Accepted);
            self.outstanding -= u64::from(was_outstanding && underway.is_received());
        }
        self.finish_complete(service);
    }

    /// Nobody waits any longer: the consumers that lack it have lost it, unless they were counted before. How many.
    pub(super) fn give_up(&mut self, service: u32, number: u64) -> u64 {
        let underway = self.underway.get_mut(&service).into_iter().flatten();
        underway.filter(|underway| underway.number == number).map(Underway::give_up).sum()
    }

    /// The same of all changes that began before.
    pub(super) fn give_up_before(&mut self, before: Instant) -> u64 {
        let underway = self.underway.values_mut().flatten();
        underway.filter(|underway| underway.started < before).map(Underway::give_up).sum()
    }

    /// When the oldest change began that some consumer lacks.
    pub(super) fn oldest_outstanding(&self) -> Option<Instant> {
        let underway = self.underway.values().flatten();
        underway.filter(|underway| !underway.is_received()).map(|underway| underway.started).min()
    }

    /// Whether every consumer has accepted it, or nothing is known of it.
    pub(super) fn is_complete(&self, service: u32, number: u64) -> bool {
        self.find(service, number).is_none()
    }

    /// How far a change has come. Of one that is unknown, or forgotten, nothing.
    pub(super) fn propagation(&self, service: u32, number: u64) -> Propagation {
        let Some(underway) = self.find(service, number) else {
            return self.finished.get(&(service, number)).cloned().unwrap_or_default();
        };
        let missing = underway.consumers.iter().filter(|(_, stage)| *stage < Stage::Received);
        Propagation { missing: missing.map(|(envoy, _)| *envoy).collect(), ..underway.propagation.clone() }
    }

    fn find(&self, service: u32, number: u64) -> Option<&Underway> {
        self.underway.get(&service)?.iter().find(|underway| underway.number == number)
    }

    fn finish_complete(&mut self, service: u32) {
        let Some(underway) = self.underway.get_mut(&service) else { return };
        let complete: Vec<_> =
            underway.extract_if(.., |underway| underway.propagation.is_complete()).collect();
        for Underway { number, propagation, .. } in complete {
            self.finish(service, number, propagation);
        }
    }

    fn finish(&mut self, service: u32, number: u64, propagation: Propagation) {
        if self.finished_order.len() == FINISHED_MAX
            && let Some(oldest) = self.finished_order.pop_front()
        {
            self.finished.remove(&oldest);
        }
        if self.finished.insert((service, number), propagation).is_none() {
            self.finished_order.push_back((service, number));
        }
    }
}

impl Underway {
    const fn is_received(&self) -> bool {
        self.propagation.received == self.propagation.consumers
    }

    fn give_up(&mut self) -> u64 {
        let missing = self.consumers.iter_mut().filter(|(_, stage)| *stage == Stage::Missing);
        missing.map(|(_, stage)| *stage = Stage::Lost).count() as u64
    }

    /// Of an Envoy that has come to `number`, if that reaches this change and it consumes it.
    fn stage(&mut self, envoy: usize, number: u64) -> Option<&mut Stage> {
        if self.number > number {
            return None;
        }
        let position = self.consumers.binary_search_by_key(&envoy, |consumer| consumer.0).ok()?;
        Some(&mut self.consumers[position].1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A time, so many milliseconds after the first.
    struct Clock(Instant);

    impl Clock {
        fn at(&self, ms: u64) -> Instant {
            self.0 + Duration::from_millis(ms)
        }
    }

    fn setup() -> (Changes, Counts, Clock) {
        (Changes::default(), Counts::default(), Clock(Instant::now()))
    }

    fn ms(histogram: &hdrhistogram::Histogram<u64>) -> Vec<u64> {
        histogram.iter_recorded().map(|value| (value.value_iterated_to() + 500_000) / 1_000_000).collect()
    }

    #[test]
    fn a_change_is_complete_when_the_last_consumer_has_accepted() {
        let (mut changes, mut counts, clock) = setup();
        changes.expect(Change { service: 3, number: 7, started: clock.at(0) }, [1, 4].into_iter());
        assert_eq!(changes.outstanding(), 1);
        changes.receive(1, 3, 7, clock.at(10), &mut counts);
        changes.receive(1, 3, 7, clock.at(11), &mut counts); // again
        changes.receive(2, 3, 7, clock.at(12), &mut counts); // is no consumer
        changes.receive(4, 2, 7, clock.at(13), &mut counts); // another service
        changes.receive(4, 3, 6, clock.at(14), &mut counts); // an older one
        changes.accept(1, 3, 7, clock.at(20), &mut counts);
        let expected = Propagation {
            consumers: 2,
            received: 1,
            accepted: 1,
            last_receipt: Some(clock.at(10)),
            last_ack: Some(clock.at(20)),
            missing: vec![4],
        };
        assert_eq!(changes.propagation(3, 7), expected);
        assert!(!changes.is_complete(3, 7));
        changes.receive(4, 3, 7, clock.at(30), &mut counts);
        assert_eq!((changes.outstanding(), changes.is_complete(3, 7)), (0, false));
        changes.accept(4, 3, 7, clock.at(40), &mut counts);
        assert!(changes.is_complete(3, 7));
        assert_eq!(changes.propagation(3, 7).last_ack, Some(clock.at(40)));
        let tally = &counts.tally;
        assert_eq!(ms(&tally.receipt), [10, 30]);
        assert_eq!(ms(&tally.last_receipt), [30]);
        assert_eq!(ms(&tally.last_ack), [40]);
    }

    #[test]
    fn a_later_change_brings_those_before() {
        let (mut changes, mut counts, clock) = setup();
        for number in 5..=8 {
            let started = clock.at(number);
            changes.expect(Change { service: 0, number, started }, [0].into_iter());
        }
        changes.receive(0, 0, 7, clock.at(10), &mut counts);
        changes.accept(0, 0, 7, clock.at(11), &mut counts);
        assert_eq!(ms(&counts.tally.receipt), [3, 4, 5]);
        assert_eq!(changes.outstanding(), 1);
        assert_eq!(
            (5..=8).map(|number| changes.is_complete(0, number)).collect::<Vec<_>>(),
            [true, true, true, false]
        );
    }

    #[test]
    fn what_is_lost_is_counted_once_and_may_come_late() {
        let (mut changes, mut counts, clock) = setup();
        changes.expect(Change { service: 0, number: 1, started: clock.at(0) }, [0, 1].into_iter());
        changes.receive(0, 0, 1, clock.at(1), &mut counts);
        assert_eq!((changes.give_up(0, 1), changes.give_up(0, 1)), (1, 0));
        changes.receive(1, 0, 1, clock.at(500), &mut counts);
        assert_eq!(ms(&counts.tally.receipt), [1, 500]);
        assert_eq!(changes.propagation(0, 1).missing, Vec::<usize>::new());
    }

    #[test]
    fn what_began_long_ago_is_lost_for_those_who_lack_it() {
        let (mut changes, mut counts, clock) = setup();
        for service in 0..3 {
            let started = clock.at(u64::from(service) * 10);
            changes.expect(Change { service, number: 1, started }, [0, 1].into_iter());
        }
        assert_eq!(changes.oldest_outstanding(), Some(clock.at(0)));
        changes.receive(0, 0, 1, clock.at(30), &mut counts);
        assert_eq!(changes.oldest_outstanding(), Some(clock.at(0)));
        changes.receive(1, 0, 1, clock.at(31), &mut counts);
        changes.receive(0, 1, 1, clock.at(32), &mut counts);
        assert_eq!(changes.oldest_outstanding(), Some(clock.at(10)));
        assert_eq!(changes.give_up_before(clock.at(10)), 0);
        assert_eq!(changes.give_up_before(clock.at(20)), 1, "one of two lacks the second");
        assert_eq!(changes.give_up_before(clock.at(20)), 0, "and is counted once");
        assert_eq!(changes.give_up_before(clock.at(21)), 2);
        assert_eq!(changes.oldest_outstanding(), Some(clock.at(10)), "lost is not received");
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let (mut changes, mut counts, clock) = setup();
        changes.expect(Change { service: 0, number: 1, started: clock.at(0) }, [0, 1].into_iter());
        changes.receive(0, 0, 1, clock.at(1), &mut counts);
        changes.accept(0, 0, 1, clock.at(1), &mut counts);
        changes.leave(1, 0);
        assert_eq!((changes.outstanding(), changes.is_complete(0, 1)), (0, true));
        assert_eq!(changes.propagation(0, 1).consumers, 1);
        changes.expect(Change { service: 0, number: 2, started: clock.at(0) }, [0].into_iter());
        changes.receive(0, 0, 2, clock.at(2), &mut counts);
        changes.leave(0, 0);
        assert_eq!(changes.propagation(0, 2).received, 0);
    }

    #[test]
    fn markers_that_alternate_mean_the_newest_change_that_has_them() {
        let (mut changes, _, clock) = setup();
        assert_eq!(changes.number(3, 17), 17);
        changes.alternating = true;
        assert_eq!((changes.number(3, 0), changes.number(3, 1)), (0, 0));
        for (number, expected) in [(1, (0, 1)), (2, (2, 1)), (3, (2, 3))] {
            changes.expect(Change { service: 3, number, started: clock.at(0) }, [0].into_iter());
            assert_eq!((changes.number(3, 0), changes.number(3, 1)), expected);
        }
    }

    #[test]
    fn what_nobody_consumes_is_complete_at_once() {
        let (mut changes, _, clock) = setup();
        changes.expect(Change { service: 0, number: 1, started: clock.at(0) }, std::iter::empty());
        assert!(changes.is_complete(0, 1) && changes.outstanding() == 0);
        assert_eq!(changes.propagation(9, 9), Propagation::default());
    }
}
