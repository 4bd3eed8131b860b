//! `legation serve`: runs the control plane.

use std::path::PathBuf;

use super::failure::Failure;
use crate::serve::serve;
use crate::settings::ServeOptions;
use crate::telemetry;

/// Run the control plane
///
/// Serves the App Mesh API, transforms definitions and serves Envoys, until it is told to end by SIGTERM or SIGINT. It
/// is ready when it writes the line "legation is ready" with its addresses to standard error; port 0 lets the system
/// choose a port, which that line tells.
///
/// Every flag may stand in the configuration file under its own name, for example xds-addr = "127.0.0.1:18000", or in a
/// variable, for example LEGATION_XDS_ADDR. Flags win over variables, variables over the file. LEGATION_LOG selects what
/// is logged: error, warn, info (the default), debug, trace.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Example:\n  legation serve --data-dir /var/lib/legation --max-envoys 500"
)]
pub(super) struct ServeArgs {
    /// TOML file with any of the settings below
    #[arg(long, env = "LEGATION_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    options: ServeOptions,
}

/// Serves until the process is told to end.
pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    let options = match args.config {
        Some(path) => {
            args.options.or(ServeOptions::from_file(&path).map_err(|error| Failure::usage(&error))?)
        }
        None => args.options,
    };
    let settings = options.into_settings().map_err(|error| Failure::usage(&error))?;
    telemetry::log_to_stderr().map_err(|error| Failure::usage(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(&error))?;
    runtime.block_on(serve(settings)).map_err(|error| Failure::failed(&error))
}
