//! Everything for a long time: whether memory stays.

use std::time::Duration;

use super::Scenario;
use super::churn::{Pace, churn};
use super::size::Size;
use super::spread_change::SpreadSize;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::{Run, Sample};

/// What memory may grow by after the first tenth of the time.
const GROWTH_MAX: f64 = 1.1;

/// Change services at a rate for a long time, while Envoys connect again now and then: nobody may fall behind, and memory has to stay
#[derive(Clone, Debug, clap::Args)]
pub struct Soak {
    #[command(flatten)]
    size: SpreadSize,

    /// Changes a second; with fewer, the buffers of connections are still being filled for the first time after minutes
    #[arg(long, default_value_t = 200)]
    rate: u32,

    /// For how long, in seconds; in less than some minutes memory tells nothing
    #[arg(long, default_value_t = 600)]
    seconds: u64,

    /// Envoys that connect again each second
    #[arg(long, default_value_t = 1)]
    reconnects: usize,

    /// Decides which services change
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Scenario for Soak {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let size = Size::from(&self.size);
        let mut parameters = size.parameters();
        parameters.push(("rate", self.rate.to_string()));
        parameters.push(("seconds", self.seconds.to_string()));
        parameters.push(("reconnects", self.reconnects.to_string()));
        let mut run = lab.run("soak", &parameters);
        let mesh = Mesh::with_spread_services(lab.mesh_name(), size.envoys, size.services, size.backends);
        let mut site = lab.open(mesh, &[])?;
        site.api()?;
        let all = site.connect(0..size.envoys, Behaviour::Accept);
        site.settle()?;
        let pace = Pace { rate: self.rate, duration: Duration::from_secs(self.seconds), seed: self.seed };
        let mut reconnected = 0;
        churn(&mut site, &mut run, lab, &pace, |site, since| {
            let due = usize::try_from(since.as_secs()).unwrap_or(usize::MAX).saturating_mul(self.reconnects);
            for envoy in (reconnected..due).map(|number| all.start + number % all.len()) {
                site.fleet.reconnect(envoy..envoy + 1);
            }
            reconnected = due;
        })?;
        if let Some(growth) = run.phases.last().and_then(|phase| growth(&phase.samples))
            && growth > GROWTH_MAX
        {
            site.fail(format!(
                "memory was {growth:.2} times as much in the end as after a tenth of the time"
            ));
        }
        run.failures = site.take_failures();
        Ok(run)
    }
}

/// Resident memory in the last tenth of the time by that in the second: the first is for warming up.
fn growth(samples: &[Sample]) -> Option<f64> {
    let tenth = samples.len() / 10;
    let mean = |samples: &[Sample]| {
        let resident: Vec<u64> = samples.iter().filter_map(|sample| sample.resident).collect();
        (!resident.is_empty()).then(|| resident.iter().sum::<u64>() as f64 / resident.len() as f64)
    };
    let before = mean(samples.get(tenth..2 * tenth)?)?;
    let after = mean(samples.get(samples.len() - tenth..)?)?;
    (before > 0.0).then(|| after / before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_what_memory_grows_by() {
        let samples = |resident: fn(u64) -> u64| -> Vec<Sample> {
            (0..100).map(|at| Sample { resident: Some(resident(at)), ..Sample::default() }).collect()
        };
        assert_eq!(growth(&samples(|_| 100)), Some(1.0));
        assert_eq!(growth(&samples(|at| if at < 10 { 1 } else { 100 })), Some(1.0), "warming up is left out");
        assert!(growth(&samples(|at| 100 + at)).is_some_and(|growth| growth > 1.6 && growth < 1.8));
        assert_eq!(growth(&[]), None);
        assert_eq!(growth(&vec![Sample::default(); 100]), None);
    }
}
