//! What is seen of a simulation: counts by the second, how hosts are filled, and who came back when.

use super::agenda::{Micros, SECOND};

/// Parts of a second in which attempts are counted, for peaks that a second would hide.
const INSTANT: Micros = SECOND / 100;

/// What happened in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Second {
    /// Envoys that tried to connect.
    pub(super) attempts: u32,
    /// Envoys that got a stream.
    pub(super) opened: u32,
    /// Connections that a full host refused.
    pub(super) refused: u32,
    /// Connections to hosts that are not there.
    pub(super) failed: u32,
    /// Connections that were ended because they had lived their time.
    pub(super) forced: u32,
    /// Most connections that came to one host.
    pub(super) came_to_a_host: u32,
    /// Most attempts in a hundredth of it.
    pub(super) attempts_in_an_instant: u32,
    /// Envoys without a stream, at its end.
    pub(super) away: u32,
    /// How hosts that serve were filled, at its end.
    pub(super) filled: Filled,
}

/// How hosts are filled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Filled {
    pub(super) fewest: u32,
    /// One in a hundred has fewer.
    pub(super) p1: u32,
    pub(super) median: u32,
    /// One in a hundred has more.
    pub(super) p99: u32,
    pub(super) most: u32,
    pub(super) mean: f64,
}

/// An Envoy that an incident had cut off, and is back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Return {
    /// How long it was without a stream.
    pub(super) after: Micros,
    /// How often it tried.
    pub(super) attempts: u32,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// From the beginning.
    pub(super) seconds: Vec<Second>,
    pub(super) returns: Vec<Return>,
    /// How often an Envoy was cut off by an incident.
    pub(super) cuts: u64,
    away: usize,
    instant: (Micros, u32),
}

impl Tally {
    pub(super) fn away(&self) -> usize {
        self.away
    }

    pub(super) fn attempt(&mut self, now: Micros) {
        let instant = now / INSTANT;
        if self.instant.0 != instant {
            self.instant = (instant, 0);
        }
        self.instant.1 += 1;
        let in_this = self.instant.1;
        let second = self.second(now);
        second.attempts += 1;
        second.attempts_in_an_instant = second.attempts_in_an_instant.max(in_this);
    }

    /// A connection came to a host to which so many came in this second.
    pub(super) fn came(&mut self, now: Micros, count: u32) {
        let second = self.second(now);
        second.came_to_a_host = second.came_to_a_host.max(count);
    }

    pub(super) fn refused(&mut self, now: Micros) {
        self.second(now).refused += 1;
    }

    pub(super) fn failed(&mut self, now: Micros) {
        self.second(now).failed += 1;
    }

    pub(super) fn forced(&mut self, now: Micros) {
        self.second(now).forced += 1;
    }

    pub(super) fn lost(&mut self) {
        self.away += 1;
    }

    pub(super) fn cut(&mut self) {
        self.cuts += 1;
    }

    pub(super) fn opened(&mut self, now: Micros, cut_for: Option<Micros>, attempts: u32) {
        self.away -= 1;
        self.second(now).opened += 1;
        self.returns.extend(cut_for.map(|after| Return { after, attempts }));
    }

    /// At the end of a second.
    pub(super) fn sample(&mut self, now: Micros, connections: impl Iterator<Item = usize>) {
        let mut counts: Vec<u32> =
            connections.map(|count| u32::try_from(count).unwrap_or(u32::MAX)).collect();
        counts.sort_unstable();
        let at = |share: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let place = (share * counts.len().saturating_sub(1) as f64).round() as usize;
            counts.get(place).copied().unwrap_or_default()
        };
        let sum: f64 = counts.iter().map(|&count| f64::from(count)).sum();
        let filled = Filled {
            fewest: at(0.0),
            p1: at(0.01),
            median: at(0.5),
            p99: at(0.99),
            most: at(1.0),
            mean: sum / counts.len().max(1) as f64,
        };
        let away = u32::try_from(self.away).unwrap_or(u32::MAX);
        let second = self.second(now.saturating_sub(1));
        second.filled = filled;
        second.away = away;
    }

    fn second(&mut self, now: Micros) -> &mut Second {
        let second = usize::try_from(now / SECOND).unwrap_or(usize::MAX);
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, Second::default());
        }
        &mut self.seconds[second]
    }
}
