//! How hosts, Envoys and their balancer behave: what is known of them, and what is assumed.

use std::time::Duration;

use super::agenda::Micros;

/// Connections that a host opens at a time; the others wait in its backlog (`OPENING_MAX` of the server).
pub(super) const OPENING_MAX: usize = 64;
/// Connections that wait to be accepted by a host (`BACKLOG` of the server).
pub(super) const BACKLOG: usize = 4096;
/// A host that is so full is not ready for more, in percent (`SOFT_LIMIT_PERCENT` of admission).
pub(super) const SOFT_LIMIT_PERCENT: usize = 95;

/// What of `--drain-timeout` connections are told to end in, and the pauses between them (`drain` of the server).
pub(super) const DRAIN: Micros = 20_000_000 / 5 * 4;
pub(super) const DRAIN_PAUSE_MAX: Micros = 20_000;

/// What it takes a host to bring an Envoy up to date, and to refuse one: docs/performance.md, `connect-storm` (188 ms for 1000 on
/// one CPU) and "More Envoys than places".
pub(super) const OPENING_CPU: Micros = 188;
pub(super) const REFUSAL_CPU: Micros = 13;

/// From one end to the other, the balancer between included. An assumption.
pub(super) const LATENCY: Micros = 1_000;
/// HTTP/2's preface, clusters, endpoints and routes: there and back.
pub(super) const OPENING_LATENCY: Micros = 8 * LATENCY;

/// From the start of a process until it takes Envoys. An assumption.
pub(super) const STARTING: Micros = 10_000_000;

/// How often a balancer asks a host whether it is ready, and how many times it must not be before it counts as that: the
/// balancer of docs/operating.md.
pub(super) const CHECK_INTERVAL: Micros = 1_000_000;
pub(super) const CHECKS_FAILED_MAX: u8 = 2;
/// How long a connection to a host may take that does not answer, how many hosts are tried for one, and for how long one
/// that failed is left alone.
pub(super) const CONNECT_TIMEOUT: Micros = 1_000_000;
pub(super) const CONNECT_ATTEMPTS: u8 = 3;
pub(super) const EJECTION: Micros = 2_000_000;
/// How often it chooses among other hosts because some have become ready, or no longer are. An assumption.
pub(super) const UPDATE_INTERVAL: Micros = 10_000;

/// How long an Envoy waits for its connection to the balancer: `legation bootstrap`.
pub(super) const ENVOY_CONNECT_TIMEOUT: Micros = 5_000_000;

/// What can be chosen of a fleet.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many hosts there are.
    pub hosts: usize,
    /// How many Envoys there are.
    pub envoys: usize,
    /// Most Envoys on a host, `--max-envoys`.
    pub envoys_per_host: usize,
    /// How long a connection lives, more or less, `--reconnect-interval`.
    pub reconnect_interval: Duration,
    /// How much more or less, in parts of it.
    pub jitter: f64,
    /// Most connections that a host ends in a second because they have lived their time, `--reconnects-per-second`.
    pub reconnects_per_second: u32,
    /// How Envoys wait.
    pub retry: Retry,
    /// How a host is chosen.
    pub balancing: Balancing,
    /// Connections that the balancer, or all of them together, can establish in a second.
    pub balancer_rate: u32,
    /// Decides everything that is left to chance.
    pub seed: u64,
}

impl Settings {
    /// The interval, in the simulation's time.
    pub(super) fn interval(&self) -> Micros {
        micros(self.reconnect_interval)
    }
}

/// How an Envoy waits before it tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Envoy's own back-off: random below a limit that doubles.
    BackOff,
    /// Always half a second, for contrast.
    Constant,
}

/// How a balancer chooses among hosts that are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Balancing {
    /// That with the fewest connections (`FULL_SCAN` of Envoy's least request)
    Least,
    /// The same by a view of the hosts that is up to a second old
    LeastStale,
    /// Of two by chance that with fewer connections (Envoy's least request by itself)
    TwoChoices,
    /// The same by a view of the hosts that is up to a second old
    TwoChoicesStale,
    /// One after the other
    RoundRobin,
    /// By chance
    Random,
}

impl Balancing {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Least,
        Self::LeastStale,
        Self::TwoChoices,
        Self::TwoChoicesStale,
        Self::RoundRobin,
        Self::Random,
    ];

    /// How it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Least => "least",
            Self::LeastStale => "least, stale",
            Self::TwoChoices => "two choices",
            Self::TwoChoicesStale => "two choices, stale",
            Self::RoundRobin => "round robin",
            Self::Random => "random",
        }
    }

    /// How often it takes a look at the hosts, if it does not see them all the time.
    pub(super) fn staleness(self) -> Option<Micros> {
        matches!(self, Self::LeastStale | Self::TwoChoicesStale).then_some(1_000_000)
    }

    /// Whether it may be used for a fleet: not where all go to the same host until it is looked at again.
    pub(super) fn is_sound(self) -> bool {
        self != Self::LeastStale
    }

    /// Whether it goes by connections.
    pub(super) fn counts(self) -> bool {
        !matches!(self, Self::RoundRobin | Self::Random)
    }
}

/// A duration in the simulation's time.
pub(super) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
