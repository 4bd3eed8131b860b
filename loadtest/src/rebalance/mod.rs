//! Reconnect waves over many hosts behind a balancer, simulated: no network, no clock, and the same seed gives the same
//! to the byte.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | how hosts, Envoys and their balancer behave: what is known of them, and what is assumed |
//! | `agenda` | what is to happen, in the order of time |
//! | `host`, `balancer`, `ranking` | a host; a balancer, and how it finds the host with the fewest connections |
//! | `world` | hosts, Envoys and a balancer, and what happens among them |
//! | `tally` | what is seen of it |
//! | [`scenario`] | what happens to a fleet, and what must hold of it |
//! | [`outcome`] | what it has shown |

mod agenda;
mod balancer;
mod host;
pub mod outcome;
mod ranking;
pub mod scenario;
pub mod settings;
mod tally;
#[cfg(test)]
mod tests;
mod world;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use anyhow::ensure;

use self::outcome::Outcome;
use self::scenario::Scenario;
use self::settings::{Balancing, Retry, Settings};
use crate::progress::Progress;

/// Simulate how a fleet reconnects over many hosts behind a balancer: steadily, after losses, and in storms
///
/// Nothing is started and nothing is connected: it is arithmetic with a seed, which has the hosts of docs/operating.md with their
/// caps, lives and pauses, and Envoys with their back-off. The exit code is 0 if all that must hold of each scenario does, that no
/// retry storm forms among it; 1 if not.
#[derive(Clone, Debug, clap::Args)]
pub struct Rebalance {
    /// Scenarios; all if none are given
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    scenarios: Vec<Scenario>,

    /// How the balancer chooses; what is of interest for each scenario if none is given
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    balancing: Vec<Balancing>,

    /// Hosts
    #[arg(long, default_value_t = 1000)]
    hosts: usize,

    /// Envoys on a host on average: 85 % of its places, so that with a tenth of the hosts lost the others are below their soft limit
    #[arg(long, default_value_t = 850)]
    envoys: usize,

    /// Most Envoys on a host
    #[arg(long, default_value_t = 1000)]
    max_envoys: usize,

    /// How long a connection lives, give or take a fifth
    #[arg(long, default_value = "30m", value_parser = humantime::parse_duration)]
    reconnect_interval: Duration,

    /// How many connections a host ends in a second because they have lived their time
    #[arg(long, default_value_t = 50)]
    reconnects_per_second: u32,

    /// Connections that all balancers together establish in a second; an assumption
    #[arg(long, default_value_t = 50_000)]
    balancer_rate: u32,

    /// Decides all that is left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

impl Rebalance {
    /// Runs the scenarios, as many at a time as there are CPUs: they know nothing of each other.
    pub fn run(&self) -> anyhow::Result<Vec<Outcome>> {
        ensure!(self.hosts >= 10, "--hosts: give at least 10");
        ensure!(
            (1..=self.max_envoys).contains(&self.envoys),
            "--envoys: give at least 1, and no more than --max-envoys"
        );
        ensure!(
            self.reconnect_interval >= Duration::from_secs(60),
            "--reconnect-interval: give at least 1m, which is what reconnects are counted by"
        );
        ensure!(self.hosts <= 100_000 && self.hosts * self.max_envoys <= 20_000_000, "that is too many");
        let runs = self.runs();
        let progress = Progress::new(!self.quiet, "simulating", runs.len() as u64);
        let next = AtomicUsize::new(0);
        let outcomes: Vec<OnceLock<Outcome>> = runs.iter().map(|_| OnceLock::new()).collect();
        let work = || {
            while let Some((number, &(scenario, balancing))) = Some(next.fetch_add(1, Ordering::Relaxed))
                .and_then(|number| Some((number, runs.get(number)?)))
            {
                outcomes[number].get_or_init(|| scenario.run(&self.settings(balancing)));
                progress.step();
            }
        };
        let threads = available_parallelism().map_or(1, usize::from).min(runs.len());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        Ok(outcomes.into_iter().filter_map(OnceLock::into_inner).collect())
    }

    /// The command that repeats it.
    pub fn command(&self) -> String {
        format!(
            "legation-loadtest rebalance --hosts {} --envoys {} --seed {}",
            self.hosts, self.envoys, self.seed
        )
    }

    fn runs(&self) -> Vec<(Scenario, Balancing)> {
        let scenarios = if self.scenarios.is_empty() { &Scenario::ALL[..] } else { &self.scenarios };
        let of = |scenario: Scenario| {
            let balancings = if self.balancing.is_empty() { scenario.balancings() } else { &self.balancing };
            balancings.iter().map(move |balancing| (scenario, *balancing)).collect::<Vec<_>>()
        };
        scenarios.iter().copied().flat_map(of).collect()
    }

    fn settings(&self, balancing: Balancing) -> Settings {
        Settings {
            hosts: self.hosts,
            envoys: self.hosts * self.envoys,
            envoys_per_host: self.max_envoys,
            reconnect_interval: self.reconnect_interval,
            jitter: 0.2,
            reconnects_per_second: self.reconnects_per_second,
            retry: Retry::BackOff,
            balancing,
            balancer_rate: self.balancer_rate,
            seed: self.seed,
        }
    }
}
