//! A host: what it accepts, and when it ends what it has accepted.

use std::collections::VecDeque;

use super::agenda::{Micros, SECOND};
use super::settings::SOFT_LIMIT_PERCENT;

/// What a host does with those who come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none: who tries to connect is told at once.
    #[default]
    Absent,
    /// It serves.
    Up,
    /// It accepts nobody any more, and sends away those it has.
    Leaving,
    /// The machine has died: who tries to connect is told nothing.
    Dead,
}

/// A host.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) standing: Standing,
    /// Those that were accepted and have not ended, opening ones included.
    pub(super) connections: usize,
    /// Those of them that are being opened.
    pub(super) opening: usize,
    /// Connections to Envoys that wait to be accepted.
    pub(super) backlog: VecDeque<(usize, u32)>,
    /// When its CPU has done all that it has to do.
    pub(super) busy_until: Micros,
    next_turn: Micros,
    /// Connections that came, refused ones included, in the second that has begun last.
    came: (Micros, u32),
}

impl Host {
    /// What it answers to a balancer that asks whether it is ready.
    pub(super) fn is_ready(&self, envoys_max: usize) -> bool {
        self.standing == Standing::Up && self.connections * 100 < envoys_max * SOFT_LIMIT_PERCENT
    }

    /// When a connection ends that has lived its time: at most so many a second do, and turns are not saved up.
    pub(super) fn turn(&mut self, now: Micros, per_second: u32) -> Micros {
        let turn = now.max(self.next_turn);
        self.next_turn = turn + SECOND / Micros::from(per_second.max(1));
        turn
    }

    /// Takes its CPU for a time; when that is over.
    pub(super) fn work(&mut self, now: Micros, time: Micros) -> Micros {
        self.busy_until = now.max(self.busy_until) + time;
        self.busy_until
    }

    /// Another has come: how many that are in this second.
    pub(super) fn came(&mut self, now: Micros) -> u32 {
        let second = now / SECOND;
        if self.came.0 != second {
            self.came = (second, 0);
        }
        self.came.1 += 1;
        self.came.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_and_not_saved_up() {
        let mut host = Host::default();
        let turns = |host: &mut Host, now| [(); 3].map(|()| host.turn(now, 10));
        assert_eq!(turns(&mut host, 60 * SECOND), [60_000_000, 60_100_000, 60_200_000]);
        assert_eq!(turns(&mut host, 60 * SECOND), [60_300_000, 60_400_000, 60_500_000]);
        assert_eq!(turns(&mut host, 70 * SECOND), [70_000_000, 70_100_000, 70_200_000]);
    }

    #[test]
    fn the_soft_limit_comes_before_the_hard_one() {
        let ready =
            |connections| Host { standing: Standing::Up, connections, ..Host::default() }.is_ready(20);
        assert_eq!([0, 18, 19, 20].map(ready), [true, true, false, false]);
        assert!(!Host { standing: Standing::Leaving, ..Host::default() }.is_ready(20));
    }
}
