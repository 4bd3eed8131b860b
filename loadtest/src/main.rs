//! `legation-loadtest`: simulated fleets of Envoys, and what they see of a control plane.
//!
//! | module | holds |
//! |---|---|
//! | [`envoy`] | a simulated Envoy: one connection, one delta ADS stream, subscribing as an Envoy does |
//! | [`mesh`] | the definitions that a scenario needs, and calls of the API |
//! | [`process`] | memory of the server's process |
//! | [`scenario`] | the scenarios, a subcommand each |

mod envoy;
mod mesh;
mod process;
mod scenario;

use clap::{Parser, Subcommand};

/// Simulated fleets of Envoys against a Legation host
#[derive(Debug, Parser)]
#[command(name = "legation-loadtest", version)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    Change(scenario::change::Change),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().scenario {
        Scenario::Change(change) => change.run().await,
    }
}
