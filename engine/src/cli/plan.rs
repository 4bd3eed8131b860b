//! `legation plan`: what applying files would do, before it is done.

mod render;

use std::io::IsTerminal;

use serde_json::Value;
use ureq::http::Method;

use self::render::Render;
use super::apply;
use super::changes::Renderer;
use super::client::{ApiArgs, Client};
use super::failure::{Failure, print};
use crate::frontend::path;

/// The flag that makes the exit code tell whether anything would change.
const EXIT_CODE: &str = "--exit-code";

/// The exit code that tells that something would change, with that flag.
const CHANGE: u8 = 2;

/// Show what applying files would do to resources and to Envoys
///
/// Reads files as `legation apply` does and asks the control plane what would come of them: which resources would change, which
/// virtual nodes that concerns, how many Envoys of those are connected, what each of them would be sent, and how their
/// configuration would differ. Nothing is changed. The control plane runs what it runs for a real change, up to the bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  legation plan -f mesh.yaml
  legation plan -f definitions/ --prune --summary
  legation plan -f mesh.yaml --node mesh/bookshop/virtualNode/checkout
  legation plan -f definitions/ --prune -o json --exit-code

Exit codes:
  0  the plan was made
  1  something would be refused, or the endpoint was not reached
  2  wrong usage, or something in the files cannot be read
Exit codes with --exit-code, which are those of terraform plan -detailed-exitcode:
  0  nothing would change
  1  there is no plan, for whatever reason; wrong usage and files that cannot be read are among them
  2  something would change")]
pub(super) struct PlanArgs {
    /// A file, a directory (its *.yaml, *.yml and *.json files, and those below it), or - for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", required = true, num_args = 1..)]
    files: Vec<String>,

    /// Plan as for apply --prune: delete what is in the meshes that the files name and in none of the files
    #[arg(long)]
    prune: bool,

    /// Plan as for apply --atomic. It is what is planned in any case; without, apply makes a transaction of each resource, and an
    /// Envoy may be sent more than once what one transaction sends it once
    #[arg(long)]
    atomic: bool,

    /// Only what becomes of the Envoys of this virtual node or gateway: mesh/<mesh>/virtualNode/<name>, or its ARN
    #[arg(long, value_name = "NODE")]
    node: Option<String>,

    /// Do not show how the configuration of Envoys would differ
    #[arg(long)]
    no_diff: bool,

    /// Show only the last line, the sum
    #[arg(long, conflicts_with = "output")]
    summary: bool,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    /// Tell by the exit code whether anything would change: 0 no, 2 yes, 1 there is no plan
    #[arg(long)]
    exit_code: bool,

    #[command(flatten)]
    api: ApiArgs,
}

/// How to show the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// What the API answers, for programs
    Json,
}

/// Asks for the plan and shows it. The answer is the exit code.
pub(super) fn run(args: &PlanArgs) -> Result<u8, Failure> {
    plan(args).map_err(|failure| match args.exit_code {
        true => Failure { exit_code: 1, ..failure },
        false => failure,
    })
}

/// The exit code for arguments that make no sense: with the flag, 2 means something else.
pub(super) fn usage_code(arguments: impl Iterator<Item = std::ffi::OsString>, code: i32) -> u8 {
    let mut arguments = arguments;
    if code == 2 && arguments.any(|argument| argument == EXIT_CODE) {
        return 1;
    }
    u8::try_from(code).unwrap_or(1)
}

fn plan(args: &PlanArgs) -> Result<u8, Failure> {
    let client = Client::new(&args.api).map_err(|error| Failure::usage(&error))?;
    let set = apply::set(&args.files, args.prune, &client)?;
    let with_configuration = !args.no_diff && !args.summary;
    let mut query = vec![("configuration", if with_configuration { "true" } else { "false" })];
    query.extend(args.node.as_deref().map(|node| ("node", node)));
    let plan = client
        .request(Method::POST, path::PLAN, &query, Some(&set))
        .map_err(|error| Failure::failed(&error))?;
    match args.output {
        Output::Json => print(&format!("{plan:#}\n"))?,
        Output::Text if args.summary => print(&render::summary(&plan))?,
        Output::Text => {
            let is_coloured = std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal();
            let (renderer, node) = (Renderer::new(is_coloured), args.node.as_deref());
            let render = Render { renderer, node, is_atomic: args.atomic };
            print(&render.plan(&plan))?;
        }
    }
    Ok(if args.exit_code && changes_something(&plan) { CHANGE } else { 0 })
}

fn changes_something(plan: &Value) -> bool {
    plan["changes"].as_array().is_some_and(|changes| !changes.is_empty())
}

#[cfg(test)]
mod tests;
