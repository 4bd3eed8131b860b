//! Nothing changes: how long the transformer takes for everything.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::Scenario;
use crate::histogram;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::{Measure, Part, Run};
use crate::server::timings::Timings;
use crate::site::Site;

/// How often the server is asked.
const PAUSE: Duration = Duration::from_millis(500);
/// What a change leads to is over when there was no pass for so long.
const QUIET: Duration = Duration::from_secs(3);
/// No pass comes later after another: they come every half minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// Let a large mesh be as it is, and time the passes over everything of it that come every half minute
#[derive(Clone, Debug, clap::Args)]
pub struct FullPass {
    /// Virtual services, each with a router and a route
    #[arg(long, default_value_t = 10_000)]
    services: u32,

    /// Virtual nodes, of which services take turns [default: as many as services]
    #[arg(long)]
    nodes: Option<usize>,

    /// Backends of each node
    #[arg(long, default_value_t = 10)]
    backends: usize,

    /// Passes that are timed
    #[arg(long, default_value_t = 5)]
    passes: usize,
}

impl Scenario for FullPass {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let nodes = self.nodes.unwrap_or(self.services as usize);
        let parameters = [
            ("services", self.services.to_string()),
            ("nodes", nodes.to_string()),
            ("backends", self.backends.to_string()),
        ];
        let mut run = lab.run("full-pass", &parameters);
        let mesh = Mesh::with_spread_services(lab.mesh_name(), nodes, self.services, self.backends);
        let mut site = lab.open(mesh, &[])?;
        site.api()?;
        let mut passes = Passes::begin(&site)?;
        while passes.next(&site, QUIET)?.is_some() {}
        let progress = lab.progress(&run.scenario, self.passes as u64);
        let start = site.begin()?;
        let mut took = histogram::new();
        while took.len() < self.passes as u64 {
            let Some((count, mean)) = passes.next(&site, PATIENCE)? else {
                bail!("there was no pass in {} s", PATIENCE.as_secs());
            };
            (0..count).for_each(|_| histogram::record(&mut took, mean));
            progress.step();
        }
        let mut phase = site.end(&start, "", Vec::new())?;
        phase.latencies.insert(Measure::FullPass, histogram::latency(&took));
        run.phases.push(phase);
        run.failures = site.take_failures();
        Ok(run)
    }
}

/// The passes that the server tells of.
struct Passes(Timings);

impl Passes {
    fn begin(site: &Site) -> anyhow::Result<Self> {
        Ok(Self(site.timings()?))
    }

    /// How many there were when there were any, most often one, and what they took on average; none if there was none for so long.
    fn next(&mut self, site: &Site, patience: Duration) -> anyhow::Result<Option<(u64, Duration)>> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            thread::sleep(PAUSE);
            let now = site.timings()?;
            if let Some(passes) = now.since(&self.0, Part::Pass) {
                self.0 = now;
                return Ok(Some(passes));
            }
        }
        Ok(None)
    }
}
