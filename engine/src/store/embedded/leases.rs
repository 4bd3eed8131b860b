//! The table of leases. It knows nothing of clocks: the time is given to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::error::StoreError;
use crate::store::lease::LeaseId;

/// Longer times to live are cut to this, far from the end of the clock.
const TIME_TO_LIVE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The leases that are alive, and the keys they hold.
#[derive(Default)]
pub(super) struct Leases {
    alive: BTreeMap<LeaseId, Lease>,
    holders: HashMap<Arc<str>, LeaseId>,
    granted: u64,
}

struct Lease {
    time_to_live: Duration,
    deadline: Instant,
    keys: BTreeSet<Arc<str>>,
}

impl Leases {
    pub(super) fn grant(&mut self, time_to_live: Duration, now: Instant) -> LeaseId {
        self.granted += 1;
        let id = LeaseId(self.granted);
        let time_to_live = time_to_live.min(TIME_TO_LIVE_MAX);
        let lease = Lease { time_to_live, deadline: now + time_to_live, keys: BTreeSet::new() };
        self.alive.insert(id, lease);
        id
    }

    /// An error if the lease has ended; one whose time is over has, even if nobody has noticed yet.
    pub(super) fn check(&self, id: LeaseId, now: Instant) -> Result<(), StoreError> {
        match self.alive.get(&id) {
            Some(lease) if now < lease.deadline => Ok(()),
            _ => Err(StoreError::UnknownLease { lease: id }),
        }
    }

    pub(super) fn keep_alive(&mut self, id: LeaseId, now: Instant) -> Result<(), StoreError> {
        self.check(id, now)?;
        if let Some(lease) = self.alive.get_mut(&id) {
            lease.deadline = now + lease.time_to_live;
        }
        Ok(())
    }

    /// Notes that `key` now belongs to `lease`, or to none.
    pub(super) fn hold(&mut self, key: Arc<str>, lease: Option<LeaseId>) {
        if let Some(former) = self.holders.remove(&key)
            && let Some(former) = self.alive.get_mut(&former)
        {
            former.keys.remove(&key);
        }
        let Some(id) = lease else {
            return;
        };
        if let Some(lease) = self.alive.get_mut(&id) {
            lease.keys.insert(Arc::clone(&key));
            self.holders.insert(key, id);
        }
    }

    /// Ends a lease and gives the keys it held.
    pub(super) fn end(&mut self, id: LeaseId) -> BTreeSet<Arc<str>> {
        let Some(lease) = self.alive.remove(&id) else {
            return BTreeSet::new();
        };
        for key in &lease.keys {
            self.holders.remove(key);
        }
        lease.keys
    }

    /// The leases whose time is over. A look at each: they belong to hosts, which are few.
    pub(super) fn expired(&self, now: Instant) -> Vec<LeaseId> {
        let expired = self.alive.iter().filter(|(_, lease)| lease.deadline <= now);
        expired.map(|(id, _)| *id).collect()
    }

    /// When the next lease ends if it is not kept alive.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.alive.values().map(|lease| lease.deadline).min()
    }
}
