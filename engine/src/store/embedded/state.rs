//! Everything current, in memory under one short lock.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use legation_proto::version::Transaction;

use super::deletions::Deletions;
use super::families::Families;
use super::leases::Leases;
use super::memory::{Memory, Remembered};
use super::view::{Records, Staged, View, segments, under};
use super::watchers::{Wakeups, Watchers};
use crate::store::batch::{Batch, Change, Precondition};
use crate::store::error::{CommitError, StoreError};
use crate::store::lease::LeaseId;
use crate::store::record::{Event, Listing, Record};

/// Commits whose time is remembered: it is asked for soon after them, if at all.
const TIMES_MAX: usize = 1024;

/// The state and what wakes the thread that ends leases.
///
/// The lock is held for work in memory only, never across a sync of the disk or an await. A listing holds it
/// while it copies handles.
pub(super) struct Shared {
    state: Mutex<State>,
    lease_granted: Condvar,
}

/// What the store holds now. Definitions in it are durable.
pub(super) struct State {
    transaction: Transaction,
    /// The oldest transaction whose state is known.
    oldest: Transaction,
    /// When the last commits were made, in milliseconds since the Unix epoch, oldest first.
    times: VecDeque<(Transaction, i64)>,
    records: Records,
    deletions: Deletions,
    families: Families,
    memory: Memory,
    watchers: Watchers,
    leases: Leases,
    closed: bool,
}

impl Shared {
    pub(super) fn new(transaction: Transaction, oldest: Transaction, records: Records) -> Self {
        let state = State {
            transaction,
            oldest,
            times: VecDeque::new(),
            records,
            deletions: Deletions::after(transaction),
            families: Families::default(),
            memory: Memory::default(),
            watchers: Watchers::default(),
            leases: Leases::default(),
            closed: false,
        };
        Self { state: Mutex::new(state), lease_granted: Condvar::new() }
    }

    /// Locks the state. A poisoned lock is taken as it is: a panic under it would be a bug of ours in one request,
    /// and to refuse every later one would not repair it.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_locked(&self) -> bool {
        self.state.try_lock().is_err()
    }

    pub(super) fn grant_lease(&self, time_to_live: Duration) -> LeaseId {
        let lease = self.lock().leases.grant(time_to_live, Instant::now());
        self.lease_granted.notify_one();
        lease
    }

    /// Ends leases as their time comes, until the store is closed.
    pub(super) fn end_leases(&self) {
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            for lease in state.leases.expired(now) {
                drop(state.end_lease(lease));
            }
            state = match state.leases.next_deadline() {
                None => self.lease_granted.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let wait = deadline.saturating_duration_since(now);
                    let woken = self.lease_granted.wait_timeout(state, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Ends the watches and the thread that ends leases.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.watchers.end(&StoreError::Closed);
        drop(state);
        self.lease_granted.notify_one();
    }
}

impl State {
    pub(super) fn transaction(&self) -> Transaction {
        self.transaction
    }

    /// Counts what these preconditions are about, which is to be done before they are checked.
    pub(super) fn count(&mut self, preconditions: &[Precondition]) {
        for precondition in preconditions {
            if let Precondition::Fewer { family, .. } = precondition {
                self.families.count(family, &self.records);
            }
        }
    }

    /// The definitions as they will be after what is staged.
    pub(super) fn view<'a>(&'a self, staged: &'a Staged) -> View<'a> {
        View::new(&self.records, staged, &self.deletions, &self.families)
    }

    /// Remembers what was committed so.
    pub(super) fn remember(&mut self, remembered: impl IntoIterator<Item = Remembered>) {
        for Remembered { record, until_ms } in remembered {
            self.memory.remember(&record.key, until_ms);
            self.records.insert(Arc::clone(&record.key), record);
        }
    }

    /// Some of the remembered keys that should be forgotten at `now_ms`.
    pub(super) fn to_forget(&self, now_ms: i64) -> Vec<Arc<str>> {
        self.memory.due(now_ms)
    }

    /// Forgets remembered keys.
    pub(super) fn forget(&mut self, keys: &[Arc<str>]) {
        for key in keys {
            self.memory.forget(key);
            self.records.remove(key);
        }
    }

    pub(super) fn oldest(&self) -> Transaction {
        self.oldest
    }

    pub(super) fn set_oldest(&mut self, oldest: Transaction) {
        self.oldest = oldest;
    }

    pub(super) fn watchers(&mut self) -> &mut Watchers {
        &mut self.watchers
    }

    pub(super) fn get(&self, key: &str) -> Option<Record> {
        self.records.get(key).cloned()
    }

    pub(super) fn list(&self, prefix: &str) -> Listing {
        Listing { transaction: self.transaction, records: under(&self.records, prefix).cloned().collect() }
    }

    pub(super) fn segments(&self, prefix: &str) -> Vec<String> {
        segments(&self.records, prefix)
    }

    /// Takes over a durable commit of definitions.
    pub(super) fn apply_definitions(
        &mut self,
        transaction: Transaction,
        committed_at_ms: i64,
        events: &[Event],
    ) -> Wakeups {
        self.transaction = transaction;
        if self.times.len() == TIMES_MAX {
            self.times.pop_front();
        }
        self.times.push_back((transaction, committed_at_ms));
        for event in events.iter().filter(|event| event.value.is_none()) {
            self.deletions.push(transaction, Arc::clone(&event.key));
        }
        self.apply(events)
    }

    /// When a transaction was committed, if that was lately, in milliseconds since the Unix epoch.
    pub(super) fn committed_at_ms(&self, transaction: Transaction) -> Option<i64> {
        let position = self.times.binary_search_by_key(&transaction, |(number, _)| *number).ok()?;
        self.times.get(position).map(|(_, at)| *at)
    }

    /// Commits a batch of derived data, which exists here only.
    pub(super) fn commit_derived(&mut self, batch: Batch) -> Result<(Transaction, Wakeups), CommitError> {
        let staged = Staged::new();
        self.count(&batch.preconditions);
        let view = self.view(&staged);
        if let Some(precondition) = view.first_conflict(batch.preconditions) {
            return Err(CommitError::Conflict { precondition });
        }
        for change in &batch.changes {
            if let Change::Put { lease: Some(lease), .. } = change {
                self.leases.check(*lease, Instant::now())?;
            }
        }
        let events = view.events(&batch.changes, self.transaction);
        for change in batch.changes {
            match change {
                Change::Put { key, lease, .. } => self.leases.hold(key, lease),
                Change::Remember { key, .. } | Change::Delete { key } => self.leases.hold(key, None),
            }
        }
        let wakeups = self.apply(&events);
        Ok((self.transaction, wakeups))
    }

    pub(super) fn keep_alive(&mut self, lease: LeaseId) -> Result<(), StoreError> {
        self.leases.keep_alive(lease, Instant::now())
    }

    pub(super) fn revoke(&mut self, lease: LeaseId) -> Result<Wakeups, StoreError> {
        self.leases.check(lease, Instant::now())?;
        Ok(self.end_lease(lease))
    }

    fn end_lease(&mut self, lease: LeaseId) -> Wakeups {
        let deleted = |key| Event { key, value: None, transaction: self.transaction };
        let events: Vec<Event> = self.leases.end(lease).into_iter().map(deleted).collect();
        self.apply(&events)
    }

    fn apply(&mut self, events: &[Event]) -> Wakeups {
        for event in events {
            let Some(value) = &event.value else {
                if self.records.remove(&event.key).is_some() {
                    self.families.remove(&event.key);
                }
                continue;
            };
            let record =
                Record { key: Arc::clone(&event.key), value: value.clone(), transaction: event.transaction };
            if self.records.insert(Arc::clone(&event.key), record).is_none() {
                self.families.add(&event.key);
            }
        }
        self.watchers.publish(events)
    }
}
