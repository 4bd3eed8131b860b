//! The `legation` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    legation::cli::run()
}
