//! When each mesh is looked at again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// How long after a pass over a mesh the next one comes.
const INTERVAL: Duration = Duration::from_secs(30);

/// How long after one that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The next pass over each mesh.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    in_order: BTreeSet<(Instant, Arc<str>)>,
    due: HashMap<Arc<str>, Instant>,
}

impl Schedule {
    /// When the next pass is due, if there are meshes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(at, _)| *at)
    }

    /// Meshes whose passes are due, the first `most` of them, which are in the schedule no longer.
    pub(super) fn take_due(&mut self, now: Instant, most: usize) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        while due.len() < most
            && let Some((at, mesh)) = self.in_order.pop_first()
        {
            if at > now {
                self.in_order.insert((at, mesh));
                break;
            }
            self.due.remove(&mesh);
            due.push(mesh);
        }
        due
    }

    /// Looks at a mesh at once.
    pub(super) fn at_once(&mut self, mesh: &Arc<str>, now: Instant) {
        self.set(mesh, now);
    }

    /// Looks at a mesh soon: the last pass over it failed.
    pub(super) fn again(&mut self, mesh: &Arc<str>, now: Instant) {
        self.set(mesh, now + RETRY_INTERVAL);
    }

    /// Looks at a mesh in time. Those that were looked at together the first time are spread over the interval, each at a
    /// point of its own.
    pub(super) fn in_time(&mut self, mesh: &Arc<str>, is_first: bool, now: Instant) {
        let part = if is_first { phase(mesh) } else { 1.0 };
        self.set(mesh, now + INTERVAL.mul_f64(part));
    }

    pub(super) fn remove(&mut self, mesh: &Arc<str>) {
        if let Some(at) = self.due.remove(mesh) {
            self.in_order.remove(&(at, Arc::clone(mesh)));
        }
    }

    fn set(&mut self, mesh: &Arc<str>, at: Instant) {
        self.remove(mesh);
        self.due.insert(Arc::clone(mesh), at);
        self.in_order.insert((at, Arc::clone(mesh)));
    }
}

/// A part of the interval, more than 0 and at most 1, which is the same for the same mesh everywhere.
fn phase(mesh: &str) -> f64 {
    const STEPS: u64 = 1000;
    #[allow(clippy::cast_precision_loss)] // small numbers
    let step = |number: u64| number as f64;
    step(xxh3_64(mesh.as_bytes()) % STEPS + 1) / step(STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_spread_and_come_in_time() {
        let mut schedule = Schedule::default();
        let start = Instant::now();
        let meshes: Vec<Arc<str>> = (0..300).map(|number| format!("mesh-{number}").into()).collect();
        for mesh in &meshes {
            schedule.at_once(mesh, start);
        }
        assert_eq!(schedule.take_due(start, 200).len(), 200);
        assert_eq!(schedule.next(), Some(start));
        assert_eq!(schedule.take_due(start, 200).len(), 100);
        assert_eq!(schedule.next(), None);
        for mesh in &meshes {
            schedule.in_time(mesh, true, start);
        }
        for round in 0..2 {
            for second in 1..=30 {
                let now = start + INTERVAL * round + Duration::from_secs(second);
                let due = schedule.take_due(now, usize::MAX);
                assert!((1..25).contains(&due.len()), "{} of 300 in second {second}", due.len());
                for mesh in due {
                    schedule.in_time(&mesh, false, now);
                }
            }
        }
    }

    #[test]
    fn a_mesh_is_in_the_schedule_once() {
        let mut schedule = Schedule::default();
        let (start, mesh) = (Instant::now(), Arc::from("m"));
        schedule.in_time(&mesh, false, start);
        schedule.again(&mesh, start);
        assert_eq!(schedule.next(), Some(start + RETRY_INTERVAL));
        schedule.at_once(&mesh, start);
        assert_eq!(schedule.take_due(start + INTERVAL * 2, usize::MAX), std::slice::from_ref(&mesh));
        schedule.again(&mesh, start);
        schedule.remove(&mesh);
        assert_eq!(schedule.take_due(start + INTERVAL * 2, usize::MAX), [] as [Arc<str>; 0]);
    }
}
