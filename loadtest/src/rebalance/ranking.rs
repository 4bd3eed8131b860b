//! Which of the hosts have the fewest connections, found without a look at all of them.

use fastrand::Rng;

/// Hosts by their number of connections.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    /// The hosts of each count.
    by_count: Vec<Vec<usize>>,
    /// The count of each host, and its place among those of the same.
    places: Vec<Option<(usize, usize)>>,
    /// No host has fewer.
    least: usize,
}

impl Ranking {
    /// Ranks these hosts and no others, of so many that there are. It takes no new memory but the first time: a balancer may
    /// do this a hundred times a second.
    pub(super) fn rank(&mut self, hosts: &[usize], all: usize, count: impl Fn(usize) -> u32) {
        self.by_count.iter_mut().for_each(Vec::clear);
        self.places.clear();
        self.places.resize(all, None);
        self.least = 0;
        hosts.iter().for_each(|&host| self.put(host, count(host) as usize));
    }

    /// One of the hosts has another number of connections. Those that are not ranked are passed over.
    pub(super) fn set(&mut self, host: usize, count: u32) {
        let Some((before, place)) = self.places.get(host).copied().flatten() else { return };
        self.by_count[before].swap_remove(place);
        if let Some(&moved) = self.by_count[before].get(place) {
            self.places[moved] = Some((before, place));
        }
        self.put(host, count as usize);
    }

    /// One of those with the fewest.
    pub(super) fn least(&mut self, chance: &mut Rng) -> Option<usize> {
        while self.by_count.get(self.least)?.is_empty() {
            self.least += 1;
        }
        chance.choice(&self.by_count[self.least]).copied()
    }

    fn put(&mut self, host: usize, count: usize) {
        if self.by_count.len() <= count {
            self.by_count.resize_with(count + 1, Vec::new);
        }
        self.places[host] = Some((count, self.by_count[count].len()));
        self.by_count[count].push(host);
        self.least = self.least.min(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_that_of_a_look_at_all() {
        let mut chance = Rng::with_seed(1);
        let mut counts: Vec<u32> = (0..50).map(|_| chance.u32(0..100)).collect();
        let ranked: Vec<usize> = (0..50).filter(|host| host % 3 != 0).collect();
        let mut ranking = Ranking::default();
        ranking.rank(&[0, 3], 50, |_| 7);
        ranking.rank(&ranked, 50, |host| counts[host]);
        for _ in 0..10_000 {
            let host = chance.usize(..50);
            counts[host] = chance.u32(0..100);
            ranking.set(host, counts[host]);
            let found = ranking.least(&mut chance).unwrap();
            assert!(ranked.contains(&found));
            assert_eq!(Some(counts[found]), ranked.iter().map(|host| counts[*host]).min());
        }
        ranking.rank(&[], 50, |host| counts[host]);
        assert_eq!(ranking.least(&mut chance), None);
    }
}
