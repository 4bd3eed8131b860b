//! The command line: one module a command.

mod address;
mod admin;
mod age;
pub mod apply;
mod authorisation;
pub mod bootstrap;
mod changes;
pub mod client;
mod config;
mod confirm;
mod drain;
mod failure;
mod files;
mod history;
mod hosts;
pub mod import;
mod lint;
mod plan;
mod rollback;
mod serve;
mod status;
mod store;
mod text;
mod wait;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// The command line of `legation`.
#[derive(Debug, Parser)]
#[command(
    name = "legation",
    version,
    about = "A self-hosted control plane for fleets of Envoy that speaks the App Mesh API",
    after_help = "Exit codes: 0 done, 1 something failed, 2 the command or its settings cannot be used.",
    propagate_version = true,
    max_term_width = 110
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Apply(apply::ApplyArgs),
    Plan(plan::PlanArgs),
    Lint(lint::LintArgs),
    History(history::HistoryArgs),
    Rollback(rollback::RollbackArgs),
    Import(Box<import::ImportArgs>),
    Authorisation(authorisation::AuthorisationArgs),
    Bootstrap(bootstrap::BootstrapArgs),
    Status(status::StatusArgs),
    Hosts(hosts::HostsArgs),
    Drain(drain::DrainArgs),
    Store(Box<store::StoreArgs>),
    Config(config::ConfigArgs),
    Wait(wait::WaitArgs),
}

/// Does what the arguments of this process say. Arguments that make no sense end the process with code 2, unless they say
/// that this code means something else.
pub fn run() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => {
            let _ = error.print(); // whoever closed the output has read enough
            ExitCode::from(plan::usage_code(std::env::args_os(), error.exit_code()))
        }
    }
}

impl Cli {
    /// Does what was asked.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Serve(args) => exit_code(serve::run(*args)),
            Command::Apply(args) => apply::run(&args),
            Command::Plan(args) => match plan::run(&args) {
                Ok(code) => ExitCode::from(code),
                Err(failure) => exit_code(Err(failure)),
            },
            Command::Lint(args) => lint::run(&args),
            Command::History(args) => exit_code(history::run(&args)),
            Command::Rollback(args) => exit_code(rollback::run(&args)),
            Command::Import(args) => import::run(&args),
            Command::Authorisation(args) => exit_code(authorisation::run(&args)),
            Command::Bootstrap(args) => bootstrap::run(&args),
            Command::Status(args) => exit_code(status::run(&args)),
            Command::Hosts(args) => exit_code(hosts::run(&args)),
            Command::Drain(args) => exit_code(drain::run(&args)),
            Command::Store(args) => exit_code(store::run(*args)),
            Command::Config(args) => exit_code(config::run(&args)),
            Command::Wait(args) => exit_code(wait::run(&args)),
        }
    }
}

/// Tells on standard error what failed.
fn exit_code(outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("legation: {}", failure.message);
    ExitCode::from(failure.exit_code)
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
