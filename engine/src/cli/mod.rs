//! The command line: one module a command.

pub mod apply;
pub mod bootstrap;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command line of `legation`.
#[derive(Debug, Parser)]
#[command(
    name = "legation",
    version,
    about = "A self-hosted control plane for fleets of Envoy that speaks the App Mesh API",
    propagate_version = true,
    max_term_width = 110
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Apply(apply::ApplyArgs),
    Bootstrap(bootstrap::BootstrapArgs),
}

/// Does what the arguments of this process say. Arguments that make no sense end the process with code 2.
pub fn run() -> ExitCode {
    Cli::parse().run()
}

impl Cli {
    /// Does what was asked.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Apply(args) => apply::run(&args),
            Command::Bootstrap(args) => bootstrap::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
