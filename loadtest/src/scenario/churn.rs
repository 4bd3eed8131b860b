//! Services change all the time, at a rate.

use std::thread;
use std::time::{Duration, Instant};

use super::Scenario;
use super::size::Size;
use super::spread_change::SpreadSize;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::{Measure, Run, Sample};
use crate::server::callers::Callers;
use crate::site::Site;

/// How often things are looked at over time.
const SAMPLES: u32 = 200;

/// How late the last changes may be made.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Change services at random, at a rate, whether those before have reached their consumers or not
#[derive(Clone, Debug, clap::Args)]
pub struct Churn {
    #[command(flatten)]
    size: SpreadSize,

    /// Changes a second
    #[arg(long, default_value_t = 100)]
    rate: u32,

    /// For how long, in seconds
    #[arg(long, default_value_t = 30)]
    seconds: u64,

    /// Decides which services change
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Scenario for Churn {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let size = Size::from(&self.size);
        let mut parameters = size.parameters();
        parameters.push(("rate", self.rate.to_string()));
        parameters.push(("seconds", self.seconds.to_string()));
        let mut run = lab.run("churn", &parameters);
        let mesh = Mesh::with_spread_services(lab.mesh_name(), size.envoys, size.services, size.backends);
        let mut site = lab.open(mesh, &[])?;
        site.api()?;
        site.connect(0..size.envoys, Behaviour::Accept);
        site.settle()?;
        let pace = Pace { rate: self.rate, duration: Duration::from_secs(self.seconds), seed: self.seed };
        churn(&mut site, &mut run, lab, &pace, |_, _| {})?;
        run.failures = site.take_failures();
        Ok(run)
    }
}

/// How fast, and for how long.
pub(super) struct Pace {
    /// Changes a second.
    pub(super) rate: u32,
    pub(super) duration: Duration,
    pub(super) seed: u64,
}

/// A phase of changes at a rate; `meanwhile` is told the time since its start before each change. Changes are due at moments that do
/// not depend on those before, and all times count from then: one that has to wait for its turn takes longer for it. Calls are made side by side.
pub(super) fn churn(
    site: &mut Site,
    run: &mut Run,
    lab: &Lab,
    pace: &Pace,
    mut meanwhile: impl FnMut(&mut Site, Duration),
) -> anyhow::Result<()> {
    let changes = pace.changes();
    let mut random = fastrand::Rng::with_seed(pace.seed);
    let progress = lab.progress(&run.scenario, changes.into());
    let start = site.begin()?;
    let started = Instant::now();
    let callers = Callers::new(site.api()?, started + pace.duration + CATCH_UP);
    let mut samples: Vec<Sample> = vec![site.sample(&start)?];
    for change in 0..changes {
        if callers.have_failed() {
            break;
        }
        let due = Duration::from_secs(1) * change / pace.rate.max(1);
        thread::sleep(due.saturating_sub(started.elapsed()));
        meanwhile(site, started.elapsed());
        let service = random.u32(0..site.mesh.services);
        let number = site.expect(service, started + due);
        callers.make(service, site.mesh.change(service, number), started + due);
        progress.step();
        if started.elapsed() > pace.duration / SAMPLES * u32::try_from(samples.len()).unwrap_or(u32::MAX) {
            site.give_up();
            samples.push(site.sample(&start)?);
        }
    }
    let calls = callers.finish()?;
    site.count_calls(&calls)?;
    if calls.len() < changes.into() {
        site.fail(format!(
            "only {} of {changes} changes could be made: the server does not keep up with the rate",
            calls.len()
        ));
    }
    site.wait_received();
    samples.push(site.sample(&start)?);
    let mut phase = site.end(&start, "", samples)?;
    // of Envoys that connect again one by one, the last has no meaning
    phase.latencies.remove(&Measure::LastSync);
    let lost = phase.received.lost;
    if lost > 0 {
        site.fail(format!(
            "{lost} times a consumer had to wait too long for a change, or has not received it"
        ));
    }
    run.phases.push(phase);
    Ok(())
}

impl Pace {
    fn changes(&self) -> u32 {
        u32::try_from(self.duration.as_secs() * u64::from(self.rate)).unwrap_or(u32::MAX)
    }
}
