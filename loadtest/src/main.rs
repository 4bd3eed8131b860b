//! `legation-loadtest`: simulated fleets of Envoys, and what they see of a control plane.

use clap::Parser;

/// Simulated fleets of Envoys against any xDS server
#[derive(Debug, Parser)]
#[command(name = "legation-loadtest", version)]
struct Cli {}

fn main() -> anyhow::Result<()> {
    Cli::parse();
    Ok(())
}
