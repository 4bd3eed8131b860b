//! Runs that nobody has run, for tests.

use std::collections::BTreeMap;

use crate::run::{Latency, Machine, Measure, Phase, Received, Run, Sample, ServerCost};

/// A run of such phases that did not fail.
pub(super) fn run(scenario: &str, server: &str, repetition: usize, phases: Vec<Phase>) -> Run {
    Run {
        scenario: scenario.to_owned(),
        server: server.to_owned(),
        repetition,
        parameters: BTreeMap::from([
            ("envoys".to_owned(), "1000".to_owned()),
            ("changes".to_owned(), "200".to_owned()),
        ]),
        machine: Machine {
            processor: "Imagined CPU at 3 GHz".to_owned(),
            cpus: 2,
            memory_mib: 8192,
            system: "Linux 6.1".to_owned(),
            pinned: Some((0, 1)),
        },
        phases,
        failures: Vec::new(),
    }
}

/// A phase of 1000 Envoys and 200 changes, everything of which can be set.
pub(super) fn phase(name: &str) -> Builder {
    Builder(Phase {
        name: name.to_owned(),
        seconds: 10.0,
        envoys: 1000,
        new_envoys: 0,
        changes: 200,
        latencies: BTreeMap::new(),
        received: Received { pushes: 200_000, resources: 200_000, bytes: 100_000_000, ..Received::default() },
        server: Some(ServerCost { cpu_seconds: 2.0, resident_before: 20 << 20, resident_after: 70 << 20 }),
        fleet_cpu_seconds: 1.0,
        samples: Vec::new(),
        parts: BTreeMap::new(),
    })
}

/// See [`phase`].
pub(super) struct Builder(Phase);

impl Builder {
    /// What was timed, in milliseconds.
    pub(super) fn latency(mut self, measure: Measure, times: &[f64]) -> Self {
        self.0.latencies.insert(measure, latency(times));
        self
    }

    /// All Envoys have connected for the first time.
    pub(super) fn new_envoys(mut self) -> Self {
        self.0.new_envoys = self.0.envoys;
        self
    }

    /// What the server used for all pushes, in seconds.
    pub(super) fn cpu_seconds(mut self, seconds: f64) -> Self {
        if let Some(server) = &mut self.0.server {
            server.cpu_seconds = seconds;
        }
        self
    }

    /// Ten samples of a process that grows.
    pub(super) fn samples(mut self) -> Self {
        self.0.samples = (0..10)
            .map(|second: u32| Sample {
                at: f64::from(second),
                resident: Some((70 << 20) + (u64::from(second) << 16)),
                cpu_seconds: Some(f64::from(second) * 0.2),
                pushes: u64::from(second) * 20_000,
                envoys: 1000,
                outstanding: u64::from(second % 3),
                behind: 0.001,
            })
            .collect();
        self
    }

    pub(super) fn phase(self) -> Phase {
        self.0
    }
}

fn latency(times: &[f64]) -> Latency {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    if sorted.is_empty() {
        return Latency::default();
    }
    let count = sorted.len() as f64;
    let at = |quantile: f64| {
        let rank = (1..sorted.len()).take_while(|&rank| (rank as f64) < quantile * count).count();
        sorted[rank]
    };
    Latency {
        count: sorted.len() as u64,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        max: at(1.0),
        quantiles: [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0]
            .into_iter()
            .map(|quantile| (quantile, at(quantile)))
            .collect(),
    }
}
