//! What a fleet counts.
//!
//! A response is *misdirected* if it carries a change of a service that the Envoy does not consume. It is *redundant* if it
//! has resources of which none is new to the Envoy: no version or content that it did not have, and no change that it had
//! not seen; only Envoys that were synced once count. A change is *lost* for a consumer that has not received it in the
//! time of [`Fleet::wait_for`](super::Fleet::wait_for); one that comes later is a receipt all the same, with its latency.

use std::time::Duration;

use hdrhistogram::Histogram;
use legation_proto::resource_type::ResourceType;

use crate::run::Received;

/// What was counted since the last reset. Times are in nanoseconds.
#[derive(Clone, Debug)]
pub struct Tally {
    /// What the Envoys received.
    pub received: Received,
    /// The responses of each type, by [`ResourceType::index`].
    pub pushes_of: [u64; ResourceType::COUNT],
    /// From the start of a change to the receipt of it, or of a later one, by each consumer.
    pub receipt: Histogram<u64>,
    /// From the start of a change to its receipt by the last of its consumers.
    pub last_receipt: Histogram<u64>,
    /// From the start of a change to the ACK of the last of its consumers.
    pub last_ack: Histogram<u64>,
    /// From the start of a connection until its Envoy was synced.
    pub sync: Histogram<u64>,
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
    /// Connections that were begun.
    pub connections: u64,
    /// CPU time of the fleet's thread.
    pub cpu: Duration,
}
