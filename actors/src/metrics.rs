//! Every metric of this crate. Labels come from closed sets.

use std::time::Duration;

use legation_proto::resource_type::ResourceType;
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const ENVOYS_CONNECTED: &str = "legation_envoys_connected";
const FRAGMENTS_IN_USE: &str = "legation_fragments_in_use";
const PUSHES: &str = "legation_pushes_total";
const ACKS: &str = "legation_acks_total";
const NACKS: &str = "legation_nacks_total";
const STALLED: &str = "legation_envoys_stalled_total";
const PUSH_ACK: &str = "legation_push_ack_seconds";
const PROPAGATION: &str = "legation_propagation_seconds";

/// Tells the recorder what there is, and starts every counter at zero.
pub(crate) fn describe() {
    describe_gauge!(ENVOYS_CONNECTED, "Envoys that are connected to this host");
    describe_gauge!(
        FRAGMENTS_IN_USE,
        "Virtual services, nodes and gateways that Envoys of this host depend on"
    );
    describe_counter!(PUSHES, "Responses sent to Envoys");
    describe_counter!(ACKS, "Responses that Envoys accepted");
    describe_counter!(NACKS, "Responses that Envoys rejected");
    describe_counter!(STALLED, "Streams ended because responses stayed unread or unanswered");
    describe_histogram!(PUSH_ACK, "Seconds from a response to its ACK");
    describe_histogram!(PROPAGATION, "Seconds from a commit to the ACK of its last consumer on this host");
    gauge!(ENVOYS_CONNECTED).set(0.0);
    gauge!(FRAGMENTS_IN_USE).set(0.0);
    counter!(STALLED).absolute(0);
    for resource_type in ResourceType::ALL {
        for name in [PUSHES, ACKS, NACKS] {
            counter!(name, "type" => resource_type.label()).absolute(0);
        }
    }
}

/// Counts an Envoy that comes, or goes. They do so on several threads: a number that one of them has set may be older than another's.
pub(crate) fn envoys_connected(change: i8) {
    gauge!(ENVOYS_CONNECTED).increment(change);
}

/// Counts one more, or one less.
pub(crate) fn fragments_in_use(change: i8) {
    gauge!(FRAGMENTS_IN_USE).increment(change);
}

pub(crate) fn stalled() {
    counter!(STALLED).increment(1);
}

/// Counts responses and answers, by type. It holds what it counts with: to look that up takes longer than to count.
pub(crate) struct ResponseMetrics([OfType; ResourceType::COUNT]);

struct OfType {
    pushes: Counter,
    acks: Counter,
    nacks: Counter,
    push_ack: Histogram,
}

impl ResponseMetrics {
    /// Counts with the recorder that there is now.
    pub(crate) fn new() -> Self {
        Self(ResourceType::ALL.map(|resource_type| OfType {
            pushes: counter!(PUSHES, "type" => resource_type.label()),
            acks: counter!(ACKS, "type" => resource_type.label()),
            nacks: counter!(NACKS, "type" => resource_type.label()),
            push_ack: histogram!(PUSH_ACK, "type" => resource_type.label()),
        }))
    }

    pub(crate) fn pushed(&self, resource_type: ResourceType) {
        self.0[resource_type.index()].pushes.increment(1);
    }

    pub(crate) fn acked(&self, resource_type: ResourceType, after: Option<Duration>) {
        let of_type = &self.0[resource_type.index()];
        of_type.acks.increment(1);
        if let Some(after) = after {
            of_type.push_ack.record(after);
        }
    }

    pub(crate) fn nacked(&self, resource_type: ResourceType) {
        self.0[resource_type.index()].nacks.increment(1);
    }
}

pub(crate) fn propagated(after: Duration) {
    histogram!(PROPAGATION).record(after);
}
