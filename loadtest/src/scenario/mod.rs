//! The scenarios, a subcommand each.

pub mod backends;
pub mod churn;
pub mod connect_storm;
pub mod etcd_change;
pub mod full_pass;
pub mod hot_change;
pub mod irrelevant_envoys;
pub mod irrelevant_services;
pub mod mass_reconnect;
pub mod nackers;
pub mod size;
pub mod soak;
pub mod spread_change;
pub mod stalled_readers;

use crate::lab::Lab;
use crate::run::Run;

/// Something that is done to a server, to see what it costs.
pub trait Scenario {
    /// Does it once.
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run>;
}
