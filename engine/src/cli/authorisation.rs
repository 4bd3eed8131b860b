//! `legation authorisation`: what policies can speak of, and whether some are sound.

use std::path::PathBuf;

use super::failure::{Failure, print};
use crate::frontend::authorisation::{Policies, SCHEMA};

/// Look at what policies can say, and check some
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  legation authorisation schema > legation.cedarschema
  legation authorisation check policies/")]
pub(super) struct AuthorisationArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the schema of policies, in Cedar's notation
    Schema,
    /// Check policies as the control plane does when it loads them
    Check {
        /// File with policies, or directory with such files, *.cedar
        #[arg(value_name = "FILE|DIR")]
        policies: PathBuf,
    },
}

/// Shows or checks what was asked for.
pub(super) fn run(args: &AuthorisationArgs) -> Result<(), Failure> {
    match &args.command {
        Command::Schema => print(SCHEMA),
        Command::Check { policies } => {
            let read = Policies::read(policies).map_err(|error| Failure::failed(&error))?;
            print(&format!("{} policies, which fit the schema\n", read.len()))
        }
    }
}
