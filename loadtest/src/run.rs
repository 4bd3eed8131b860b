//! What a run has measured: the one thing that scenarios make and reports, comparisons and checks take.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A scenario, run once against one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The name of the scenario, as its subcommand is called: `hot-change`.
    pub scenario: String,
    /// The server under test: `legation`, `floor-tonic`, `floor-h2`, or the name that was given.
    pub server: String,
    /// Counts from 0 where the same is run several times, to take the noise of the machine out.
    pub repetition: usize,
    /// What the scenario was told, by the names of its flags.
    pub parameters: BTreeMap<String, String>,
    /// The machine that it ran on.
    pub machine: Machine,
    /// Its parts, in the order in which they ran: most scenarios have one, those that compare have two.
    pub phases: Vec<Phase>,
    /// What went wrong, a sentence each. None means that every consumer received and accepted every change.
    pub failures: Vec<String>,
}

/// The machine of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Of the processor, as the kernel tells it.
    pub processor: String,
    /// CPUs that may be used.
    pub cpus: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// The operating system and its version.
    pub system: String,
    /// The CPU of the server and that of the fleet, where each has its own.
    pub pinned: Option<(usize, usize)>,
}

/// A part of a run, during which everything is counted together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Tells it from the others of its run: `1000 envoys`.
    pub name: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Envoys that were connected at its end.
    pub envoys: usize,
    /// Envoys that have connected for the first time.
    #[serde(default)]
    pub new_envoys: usize,
    /// Changes that were made.
    pub changes: u64,
    /// How long things took.
    pub latencies: BTreeMap<Measure, Latency>,
    /// What the Envoys received.
    pub received: Received,
    /// What the server's process used; nothing of a server whose process is not known.
    pub server: Option<ServerCost>,
    /// CPU time of the fleet, in seconds: what the harness itself costs.
    pub fleet_cpu_seconds: f64,
    /// Things as they went, one after the other, where they are of interest.
    pub samples: Vec<Sample>,
    /// What parts of a change took on average by Legation's own metrics, in milliseconds, where they were asked for.
    #[serde(default)]
    pub parts: BTreeMap<Part, f64>,
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// A put of etcd's by itself, until it is answered.
    EtcdPut,
    /// From the call that makes a change until it is answered.
    Call,
    /// From the call that makes a change until a consumer has received it, for each consumer.
    Receipt,
    /// From the call that makes a change until the last of its consumers has received it.
    LastReceipt,
    /// From the call that makes a change until the ACK of the last of its consumers is written.
    LastAck,
    /// From the answer to the call until the ACK of the last of its consumers is written.
    LastAckAfterCall,
    /// From the start of a connection until its Envoy has everything that it asked for.
    Sync,
    /// A pass of the transformer over everything.
    FullPass,
    /// From the first connection of many until the last of their Envoys has everything that it asked for.
    LastSync,
}

/// A part of a change that Legation's metrics time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The request to the API, with its reads, its checks and its commit.
    Request,
    /// The commit of the definition, with the reads that it takes.
    Commit,
    /// The pass of the transformer, with the commit of what it has made.
    Pass,
    /// From a response to the ACK of an Envoy, for each Envoy.
    PushToAck,
    /// From the commit to the ACK of the last consumer.
    Propagation,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Request, Self::Commit, Self::Pass, Self::PushToAck, Self::Propagation];
}

/// How long something took each time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How often it was timed.
    pub count: u64,
    /// In milliseconds, as all below.
    pub p50: f64,
    /// Nine of ten took at most so long.
    pub p90: f64,
    /// 99 of a hundred took at most so long.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// Quantiles from 0 to 1 with their times, in ascending order: the whole distribution, for plots.
    pub quantiles: Vec<(f64, f64)>,
}

/// What the Envoys received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Responses.
    pub pushes: u64,
    /// Resources in them.
    pub resources: u64,
    /// Of these, endpoints.
    #[serde(default)]
    pub endpoints: u64,
    /// Bytes on their connections, HTTP/2 included.
    pub bytes: u64,
    /// Changes that a consumer did not receive in time.
    pub lost: u64,
    /// Responses with resources of which none was new to the Envoy.
    pub redundant: u64,
    /// Responses that told an Envoy of changes of services that it does not consume.
    pub misdirected: u64,
    /// Responses that were rejected, as the scenario wants it.
    pub rejected: u64,
    /// Connections that could not be opened, and streams that the server has ended.
    pub disconnects: u64,
    /// Of these, streams on connections on which the server had announced it, with GOAWAY.
    #[serde(default)]
    pub sent_away: u64,
}

/// What the server's process used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerCost {
    /// CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory before the phase, in bytes.
    pub resident_before: u64,
    /// Resident memory at its end, in bytes.
    pub resident_after: u64,
}

/// One of the samples of a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the start of the phase.
    pub at: f64,
    /// Resident memory of the server, in bytes, where it is known.
    pub resident: Option<u64>,
    /// CPU time of the server since the start of the phase, in seconds, where it is known.
    pub cpu_seconds: Option<f64>,
    /// Responses since the start of the phase.
    pub pushes: u64,
    /// Envoys that are connected.
    pub envoys: usize,
    /// Changes that some consumer has not received yet.
    pub outstanding: u64,
    /// Seconds since the oldest of these was due.
    #[serde(default)]
    pub behind: f64,
}
