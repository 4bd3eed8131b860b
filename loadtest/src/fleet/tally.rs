//! What a fleet counts.
//!
//! A response is *misdirected* if it carries a change of a service that the Envoy does not consume. It is *redundant* if it
//! has resources of which none is new to the Envoy: no version or content that it did not have, and no change that it had
//! not seen; only Envoys that were synced once count, and no endpoints that a new stream asked for. A change is *lost* for a consumer that has not received it in the
//! time of [`Fleet::wait_for`](super::Fleet::wait_for) or [`Fleet::give_up`](super::Fleet::give_up); one that comes later is a
//! receipt all the same, with its latency.

use std::time::{Duration, Instant};

use legation_proto::resource_type::ResourceType;

use crate::histogram::{self, Histogram};
use crate::run::Received;

/// What was counted since the last reset. Times are in nanoseconds.
#[derive(Clone, Debug)]
pub struct Tally {
    /// What the Envoys received.
    pub received: Received,
    /// The responses of each type, by [`ResourceType::index`].
    pub pushes_of: [u64; ResourceType::COUNT],
    /// From the start of a change to the receipt of it, or of a later one, by each consumer.
    pub receipt: Histogram,
    /// From the start of a change to its receipt by the last of its consumers.
    pub last_receipt: Histogram,
    /// From the start of a change to the ACK of the last of its consumers.
    pub last_ack: Histogram,
    /// From the start of a connection until its Envoy was synced.
    pub sync: Histogram,
    /// From the start of the first connection until the last Envoy was synced.
    pub last_sync: Option<Duration>,
    /// Envoys there are now: those that were added and not removed.
    pub envoys: usize,
    /// Of these, Envoys whose stream the server has accepted.
    pub connected: usize,
    /// Of these, Envoys that have everything that they ask for.
    pub synced: usize,
    /// Changes that some consumer lacks now.
    pub outstanding: u64,
    /// How long ago the oldest of these began.
    pub behind: Duration,
    /// Connections that were begun.
    pub connections: u64,
    /// CPU time of the fleet's thread.
    pub cpu: Duration,
}

/// Counts.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) tally: Tally,
    /// The start of the first connection.
    first_start: Option<Instant>,
    /// When the last response was received, whether or not it was before a reset.
    pub(super) last_push: Option<Instant>,
}

impl Default for Counts {
    fn default() -> Self {
        let tally = Tally {
            received: Received::default(),
            pushes_of: [0; ResourceType::COUNT],
            receipt: histogram::new(),
            last_receipt: histogram::new(),
            last_ack: histogram::new(),
            sync: histogram::new(),
            last_sync: None,
            envoys: 0,
            connected: 0,
            synced: 0,
            outstanding: 0,
            behind: Duration::ZERO,
            connections: 0,
            cpu: Duration::ZERO,
        };
        Self { tally, first_start: None, last_push: None }
    }
}

impl Counts {
    pub(super) fn reset(&mut self) {
        *self = Self { last_push: self.last_push, ..Self::default() };
    }

    pub(super) fn receipt(&mut self, time: Duration) {
        histogram::record(&mut self.tally.receipt, time);
    }

    pub(super) fn last_receipt(&mut self, time: Duration) {
        histogram::record(&mut self.tally.last_receipt, time);
    }

    pub(super) fn last_ack(&mut self, time: Duration) {
        histogram::record(&mut self.tally.last_ack, time);
    }

    pub(super) fn push(&mut self, at: Instant, resource_type: Option<ResourceType>) {
        self.last_push = Some(at);
        self.tally.received.pushes += 1;
        if let Some(resource_type) = resource_type {
            self.tally.pushes_of[resource_type.index()] += 1;
        }
    }

    pub(super) fn connection_begins(&mut self, at: Instant) {
        self.tally.connections += 1;
        self.first_start.get_or_insert(at);
    }

    /// An Envoy, whose connection was begun at `started`, is synced.
    pub(super) fn synced(&mut self, started: Instant, at: Instant) {
        histogram::record(&mut self.tally.sync, at - started);
        let first_start = *self.first_start.get_or_insert(started);
        self.tally.last_sync = Some(at - first_start);
    }
}
