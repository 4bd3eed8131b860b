//! Every metric of the management service that is not the fleet's. Labels come from closed sets.

use metrics::{counter, describe_counter};

const RECONNECTS_FORCED: &str = "legation_reconnects_forced_total";
const CONNECTIONS_REFUSED: &str = "legation_connections_refused_total";
const REQUESTS_IGNORED: &str = "legation_requests_ignored_total";
const FRAGMENTS_DAMAGED: &str = "legation_fragments_damaged_total";

/// Why a connection is refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    /// This host holds as many Envoys as it may.
    HostFull,
    /// So many Envoys of the node are connected as may be.
    NodeFull,
    /// This host is being emptied.
    Draining,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::HostFull, Self::NodeFull, Self::Draining];

    fn label(self) -> &'static str {
        match self {
            Self::HostFull => "host_full",
            Self::NodeFull => "node_full",
            Self::Draining => "draining",
        }
    }
}

/// Tells the recorder what there is, and starts every counter at zero.
pub(super) fn describe() {
    describe_counter!(RECONNECTS_FORCED, "Connections ended so that their Envoys connect again");
    describe_counter!(CONNECTIONS_REFUSED, "Connections that were refused");
    describe_counter!(REQUESTS_IGNORED, "Requests for types that are not served");
    describe_counter!(FRAGMENTS_DAMAGED, "Fragments that cannot be read, each time that one was passed over");
    counter!(RECONNECTS_FORCED).absolute(0);
    counter!(FRAGMENTS_DAMAGED).absolute(0);
    counter!(REQUESTS_IGNORED).absolute(0);
    for refusal in Refusal::ALL {
        counter!(CONNECTIONS_REFUSED, "reason" => refusal.label()).absolute(0);
    }
}

pub(super) fn reconnect_forced() {
    counter!(RECONNECTS_FORCED).increment(1);
}

pub(super) fn connection_refused(refusal: Refusal) {
    counter!(CONNECTIONS_REFUSED, "reason" => refusal.label()).increment(1);
}

pub(super) fn fragment_damaged() {
    counter!(FRAGMENTS_DAMAGED).increment(1);
}

pub(super) fn request_ignored() {
    counter!(REQUESTS_IGNORED).increment(1);
}
