//! `legation-loadtest`: simulated fleets of Envoys, and what they see of a control plane.

use clap::{Parser, Subcommand};
use legation_loadtest::floor::Floor;

/// Simulated fleets of Envoys against any xDS server
#[derive(Debug, Parser)]
#[command(name = "legation-loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Floor(Floor),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Floor(floor) => floor.run(),
    }
}
