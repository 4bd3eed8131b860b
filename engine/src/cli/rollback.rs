//! `legation rollback`: makes the definitions what they were.

use std::io::IsTerminal;

use serde_json::{Value, json};
use ureq::http::Method;

use super::changes::Renderer;
use super::client::{ApiArgs, Client, ClientError};
use super::confirm::{Consent, ask};
use super::failure::{Failure, print};
use crate::frontend::path;

/// Make the definitions what they were after a transaction
///
/// Shows what would change, asks, and then restores specifications and tags as one new transaction: all of them or none. What
/// was deleted since comes back as a new resource of the same name, what was created since is deleted. If anything changes
/// between the question and the answer, nothing is done. With --yes nothing is asked, and what was done is shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  legation rollback --to 1041 --mesh bookshop
  legation rollback --to 1041 --yes

What the transactions were: legation history")]
pub(super) struct RollbackArgs {
    /// The transaction after which everything was as it should be
    #[arg(long, value_name = "TRANSACTION")]
    to: u64,

    /// Only this mesh and what is in it
    #[arg(long, value_name = "MESH")]
    mesh: Option<String>,

    /// Do not ask, and do it whatever others are changing
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    api: ApiArgs,
}

/// Shows what would change, asks, and rolls back. Where nobody is asked it is done at once: others who write between two
/// requests cannot keep it from being done.
pub(super) fn run(args: &RollbackArgs) -> Result<(), Failure> {
    let client = Client::new(&args.api).map_err(|error| Failure::usage(&error))?;
    let failed = |error: ClientError| Failure::failed(&error);
    let how = if args.yes { How::AtOnce } else { How::DryRun };
    let told = request(&client, args, how).map_err(failed)?;
    let changes = told["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let to = args.to;
    if changes.is_empty() {
        return print(&format!("everything is as it was after transaction {to} already\n"));
    }
    let is_coloured = std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal();
    let renderer = Renderer::new(is_coloured);
    print(&changes.iter().map(|change| renderer.change(change)).collect::<String>())?;
    let rolled_back = |transaction: &Value| {
        print(&format!("rolled back to transaction {to}, as transaction {transaction}\n"))
    };
    if args.yes {
        return rolled_back(&told["transaction"]);
    }
    match ask(&format!("Roll back these {} resources to transaction {to}?", changes.len())) {
        Consent::Given => {}
        Consent::Refused => return Err(Failure::message("nothing was changed".to_owned())),
        Consent::NobodyToAsk => {
            let message = "nothing was changed: there is no terminal to ask at; say --yes".to_owned();
            return Err(Failure { message, exit_code: 2 });
        }
    }
    let Some(seen) = told["transaction"].as_u64() else {
        return Err(Failure::message("nothing was changed: the answer names no transaction".to_owned()));
    };
    let how = How::IfNothingChanged(seen);
    let done = request(&client, args, how).map_err(failed)?;
    rolled_back(&done["transaction"])
}

/// How to roll back.
#[derive(Clone, Copy)]
enum How {
    /// Only tell what would change.
    DryRun,
    /// If nothing changed since this transaction.
    IfNothingChanged(u64),
    /// Whatever there is now.
    AtOnce,
}

/// Asks what would change, or for the change.
fn request(client: &Client, args: &RollbackArgs, how: How) -> Result<Value, ClientError> {
    let mut body = json!({"to": args.to});
    if let Some(mesh) = &args.mesh {
        body["mesh"] = json!(mesh);
    }
    match how {
        How::DryRun => body["dryRun"] = json!(true),
        How::IfNothingChanged(seen) => body["ifTransaction"] = json!(seen),
        How::AtOnce => {}
    }
    client.request(Method::POST, path::ROLLBACK, &[], Some(&body))
}
