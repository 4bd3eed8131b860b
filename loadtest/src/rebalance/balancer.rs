//! A layer-4 balancer: which hosts it takes for ready, and which of them it chooses.

use fastrand::Rng;

use super::agenda::Micros;
use super::ranking::Ranking;
use super::settings::{Balancing, CHECKS_FAILED_MAX, EJECTION, UPDATE_INTERVAL};

/// What a balancer knows of its hosts. It counts the connections that it has established itself.
#[derive(Debug)]
pub(super) struct Balancer {
    balancing: Balancing,
    hosts: Vec<Seen>,
    known: usize,
    ejected: usize,
    /// Those that may be chosen, in the order of their numbers.
    candidates: Vec<usize>,
    candidates_changed: bool,
    candidates_found_at: Option<Micros>,
    ranking: Ranking,
    last: usize,
}

/// A host, as a balancer sees it.
#[derive(Clone, Debug, Default)]
struct Seen {
    connections: u32,
    /// What choices go by: the connections, or what they were some time ago.
    view: u32,
    is_known: bool,
    is_ready: bool,
    checks_failed: u8,
    ejected_until: Option<Micros>,
}

impl Balancer {
    pub(super) fn new(balancing: Balancing, hosts: usize) -> Self {
        Self {
            balancing,
            hosts: vec![Seen::default(); hosts],
            known: 0,
            ejected: 0,
            candidates: Vec::new(),
            candidates_changed: true,
            candidates_found_at: None,
            ranking: Ranking::default(),
            last: 0,
        }
    }

    /// A host becomes known; it is not ready before a check has said so.
    pub(super) fn add(&mut self, host: usize) {
        if !self.hosts[host].is_known {
            self.hosts[host].is_known = true;
            self.known += 1;
            self.candidates_changed = true;
        }
    }

    /// A host is no more.
    pub(super) fn remove(&mut self, host: usize) {
        let seen = &mut self.hosts[host];
        if seen.is_known {
            self.known -= 1;
            self.ejected -= usize::from(seen.ejected_until.is_some());
            *seen = Seen { connections: seen.connections, view: seen.view, ..Seen::default() };
            self.candidates_changed = true;
        }
    }

    /// A connection was established to a host, or one more has ended.
    pub(super) fn count(&mut self, host: usize, established: bool) {
        let seen = &mut self.hosts[host];
        seen.connections =
            if established { seen.connections + 1 } else { seen.connections.saturating_sub(1) };
        if self.balancing.staleness().is_none() {
            self.take_view(host);
        }
    }

    /// Takes a look at all hosts.
    pub(super) fn look(&mut self) {
        (0..self.hosts.len()).for_each(|host| self.take_view(host));
    }

    fn take_view(&mut self, host: usize) {
        let seen = &mut self.hosts[host];
        if seen.view != seen.connections {
            seen.view = seen.connections;
            self.ranking.set(host, seen.view);
        }
    }

    /// What a check of a host has found.
    pub(super) fn checked(&mut self, host: usize, answered_ready: bool, now: Micros) {
        let seen = &mut self.hosts[host];
        if !seen.is_known {
            return;
        }
        let was_ready = seen.is_ready;
        if answered_ready {
            seen.checks_failed = 0;
            seen.is_ready = true;
        } else {
            seen.checks_failed = seen.checks_failed.saturating_add(1);
            seen.is_ready &= seen.checks_failed < CHECKS_FAILED_MAX;
        }
        self.candidates_changed |= seen.is_ready != was_ready;
        if seen.ejected_until.is_some_and(|until| until <= now) {
            seen.ejected_until = None;
            self.ejected -= 1;
            self.candidates_changed = true;
        }
    }

    /// A connection to a host has failed: no other goes there for a while, unless half of the hosts are left alone already.
    pub(super) fn failed(&mut self, host: usize, now: Micros) {
        let seen = &mut self.hosts[host];
        if seen.ejected_until.is_some() || self.ejected * 2 >= self.known {
            return;
        }
        seen.ejected_until = Some(now + EJECTION);
        self.ejected += 1;
        self.candidates_changed = true;
    }

    /// The host of the next connection.
    pub(super) fn choose(&mut self, chance: &mut Rng, now: Micros) -> Option<usize> {
        if self.candidates_changed && self.candidates_found_at.is_none_or(|at| now >= at + UPDATE_INTERVAL) {
            self.find_candidates();
            self.candidates_found_at = Some(now);
        }
        let count = self.candidates.len();
        if count == 0 {
            return None;
        }
        match self.balancing {
            Balancing::Least | Balancing::LeastStale => self.ranking.least(chance),
            Balancing::TwoChoices | Balancing::TwoChoicesStale => {
                let [one, other] = [(); 2].map(|()| self.candidates[chance.usize(..count)]);
                Some(if self.hosts[other].view < self.hosts[one].view { other } else { one })
            }
            Balancing::RoundRobin => {
                let after = self.candidates.partition_point(|&host| host <= self.last);
                self.last = self.candidates[after % count];
                Some(self.last)
            }
            Balancing::Random => Some(self.candidates[chance.usize(..count)]),
        }
    }

    /// Those that are ready, or all if that is less than one in a hundred (`healthy_panic_threshold`).
    fn find_candidates(&mut self) {
        self.candidates_changed = false;
        let known = || self.hosts.iter().enumerate().filter(|(_, seen)| seen.is_known);
        let fit: Vec<usize> = known()
            .filter(|(_, seen)| seen.is_ready && seen.ejected_until.is_none())
            .map(|(host, _)| host)
            .collect();
        self.candidates =
            if fit.len() * 100 < self.known { known().map(|(host, _)| host).collect() } else { fit };
        if matches!(self.balancing, Balancing::Least | Balancing::LeastStale) {
            self.ranking.rank(&self.candidates, self.hosts.len(), |host| self.hosts[host].view);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hosts with so many connections, all ready.
    fn balancer(balancing: Balancing, connections: &[u32]) -> Balancer {
        let mut balancer = Balancer::new(balancing, connections.len());
        for (host, &count) in connections.iter().enumerate() {
            balancer.add(host);
            balancer.checked(host, true, 0);
            (0..count).for_each(|_| balancer.count(host, true));
        }
        balancer
    }

    fn chosen(balancer: &mut Balancer, times: usize) -> Vec<usize> {
        let mut chance = Rng::with_seed(1);
        balancer.candidates_found_at = None;
        (0..times).filter_map(|_| balancer.choose(&mut chance, 0)).collect()
    }

    #[test]
    fn the_one_with_the_fewest_is_chosen_as_far_as_it_is_seen() {
        let mut exact = balancer(Balancing::Least, &[3, 1, 2]);
        assert_eq!(chosen(&mut exact, 2), [1, 1]);
        (0..2).for_each(|_| exact.count(1, true));
        assert_eq!(chosen(&mut exact, 2), [2, 2]);

        let mut stale = balancer(Balancing::LeastStale, &[3, 1, 2]);
        stale.look();
        (0..9).for_each(|_| stale.count(1, true));
        assert_eq!(chosen(&mut stale, 2), [1, 1]);
        stale.look();
        assert_eq!(chosen(&mut stale, 2), [2, 2]);
    }

    #[test]
    fn others_take_turns_or_leave_it_to_chance() {
        assert_eq!(chosen(&mut balancer(Balancing::RoundRobin, &[9, 0, 0]), 5), [1, 2, 0, 1, 2]);
        let random = chosen(&mut balancer(Balancing::Random, &[0, 0, 9]), 900);
        let of_two = chosen(&mut balancer(Balancing::TwoChoices, &[0, 0, 9]), 900);
        let third = |chosen: &[usize]| chosen.iter().filter(|host| **host == 2).count();
        assert!((200..400).contains(&third(&random)), "{}", third(&random));
        // only where both are the same
        assert!((50..150).contains(&third(&of_two)), "{}", third(&of_two));
    }

    #[test]
    fn hosts_that_are_not_ready_are_left_alone_unless_nearly_all_are() {
        let mut balancer = balancer(Balancing::RoundRobin, &[0, 0, 0]);
        balancer.checked(1, false, 0);
        assert_eq!(chosen(&mut balancer, 3), [1, 2, 0], "once is not enough");
        balancer.checked(1, false, 0);
        assert_eq!(chosen(&mut balancer, 2), [2, 0]);
        balancer.failed(2, 0);
        assert_eq!(chosen(&mut balancer, 2), [0, 0]);
        balancer.checked(2, true, EJECTION);
        balancer.checked(1, true, EJECTION);
        assert_eq!(chosen(&mut balancer, 3), [1, 2, 0]);
        for host in 0..3 {
            (0..2).for_each(|_| balancer.checked(host, false, 0));
        }
        assert_eq!(chosen(&mut balancer, 3), [1, 2, 0], "none is ready");
        balancer.remove(2);
        assert_eq!(chosen(&mut balancer, 3), [1, 0, 1], "it is not known");
        (0..2).for_each(|host| balancer.remove(host));
        assert_eq!(chosen(&mut balancer, 3), Vec::<usize>::new());
    }
}
