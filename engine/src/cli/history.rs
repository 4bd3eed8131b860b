//! `legation history`: who changed what, and when.

use std::io::IsTerminal;

use serde_json::{Value, json};
use ureq::http::Method;

use super::changes::Renderer;
use super::client::{ApiArgs, Client};
use super::failure::{Failure, print};
use crate::frontend::authorisation::DENIALS_MAX;
use crate::frontend::path;

/// How many transactions the API gives at once.
const PAGE_MAX: usize = 100;

/// Show who changed what, and when
///
/// Shows the transactions that changed definitions, newest first, each with its author, its time, its operation, and the
/// difference that it made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  legation history
  legation history mesh/bookshop/virtualRouter/books/route/split
  legation history --mesh bookshop --limit 100 -o json
  legation history --denied")]
pub(super) struct HistoryArgs {
    /// Only of this resource: its path, such as mesh/<mesh>/virtualNode/<name>, or its ARN
    #[arg(value_name = "RESOURCE")]
    resource: Option<String>,

    /// Only of what is in this mesh, and of the mesh itself
    #[arg(long, value_name = "MESH")]
    mesh: Option<String>,

    /// Show who was denied what instead, the newest first
    #[arg(long, conflicts_with = "resource")]
    denied: bool,

    /// How many transactions, or denials
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    #[command(flatten)]
    api: ApiArgs,
}

/// How to show the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Asks for the history and shows it.
pub(super) fn run(args: &HistoryArgs) -> Result<(), Failure> {
    let client = Client::new(&args.api).map_err(|error| Failure::usage(&error))?;
    if args.denied {
        return show_denials(&client, args);
    }
    let history = read(&client, args)?;
    if args.output == Output::Json {
        let text = serde_json::to_string_pretty(&history).map_err(|error| Failure::failed(&error))?;
        return print(&(text + "\n"));
    }
    let is_coloured = std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal();
    let about = args.resource.clone().or_else(|| args.mesh.as_ref().map(|mesh| format!("mesh/{mesh}")));
    print(&render(&history, about.as_deref(), Renderer::new(is_coloured)))
}

/// Asks who was denied what and shows it.
fn show_denials(client: &Client, args: &HistoryArgs) -> Result<(), Failure> {
    let limit = args.limit.min(u32::try_from(DENIALS_MAX).unwrap_or(u32::MAX)).to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(args.mesh.as_deref().map(|mesh| ("mesh", mesh)));
    let answer =
        client.request(Method::GET, path::DENIALS, &query, None).map_err(|error| Failure::failed(&error))?;
    if args.output == Output::Json {
        let text = serde_json::to_string_pretty(&answer).map_err(|error| Failure::failed(&error))?;
        return print(&(text + "\n"));
    }
    print(&render_denials(&answer))
}

fn render_denials(answer: &Value) -> String {
    let denials = answer["denials"].as_array().map(Vec::as_slice).unwrap_or_default();
    if denials.is_empty() {
        return "nobody was denied anything\n".to_owned();
    }
    let line = |denial: &Value| {
        let word = |member: &str| denial[member].as_str().unwrap_or("-").to_owned();
        let times = match denial["count"].as_u64() {
            Some(count @ 2..) => format!("  {count} times since {}", word("firstAt")),
            _ => String::new(),
        };
        let (at, user, action, resource) = (word("lastAt"), word("user"), word("action"), word("resource"));
        format!("denied  {at}  {user}  {action}  {resource}{times}\n")
    };
    denials.iter().map(line).collect()
}

/// As many transactions as were asked for, if there are so many, from as many answers as that takes.
fn read(client: &Client, args: &HistoryArgs) -> Result<Value, Failure> {
    let wanted = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut transactions: Vec<Value> = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let limit = (wanted - transactions.len()).min(PAGE_MAX).to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(args.resource.as_deref().map(|resource| ("resource", resource)));
        query.extend(args.mesh.as_deref().map(|mesh| ("mesh", mesh)));
        query.extend(before.as_deref().map(|before| ("before", before)));
        let answer = client
            .request(Method::GET, path::HISTORY, &query, None)
            .map_err(|error| Failure::failed(&error))?;
        transactions.extend(answer["transactions"].as_array().into_iter().flatten().cloned());
        before = answer["nextBefore"].as_u64().map(|before| before.to_string());
        if before.is_none() || transactions.len() >= wanted {
            let (oldest, newest) = (&answer["oldest"], &answer["newest"]);
            return Ok(json!({"transactions": transactions, "oldest": oldest, "newest": newest}));
        }
    }
}

/// The history of everything, or that of what it is `about`.
fn render(history: &Value, about: Option<&str>, renderer: Renderer) -> String {
    let entries = history["transactions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut shown: Vec<String> = Vec::with_capacity(entries.len());
    for entry in entries {
        let word = |member: &str| entry[member].as_str().unwrap_or("-").to_owned();
        let heading = format!(
            "transaction {}  {}  {}  by {}",
            entry["transaction"],
            word("committedAt"),
            word("operation"),
            word("author")
        );
        let changes = entry["changes"].as_array().into_iter().flatten();
        shown.push(
            renderer.heading(&heading) + &changes.map(|change| renderer.change(change)).collect::<String>(),
        );
    }
    if shown.is_empty() {
        let of = about.map(|about| format!(" of {about}")).unwrap_or_default();
        return match history["oldest"].as_u64() {
            Some(oldest @ 1..) => {
                format!("nothing{of} was changed after transaction {oldest}; what was before is not kept\n")
            }
            _ => format!("nothing{of} was changed yet\n"),
        };
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_transaction_has_a_heading() {
        let entry = |number: u64, operation: &str, change: Value| {
            let committed_at = "2026-10-01T12:00:00.500Z";
            json!({"transaction": number, "committedAt": committed_at, "author": "ann", "operation": operation, "changes": [change]})
        };
        let history = json!({"transactions": [
            entry(8, "DeleteMesh", json!({"change": "deleted", "resource": "mesh/m", "before": {"spec": {}, "metadata": {"version": 1}}})),
            entry(7, "CreateMesh", json!({"change": "created", "resource": "mesh/m", "after": {"spec": {}, "metadata": {"version": 1}}})),
        ]});
        expect![[r#"
            transaction 8  2026-10-01T12:00:00.500Z  DeleteMesh  by ann
              deleted mesh/m, version 1
                @@ -1 +0,0 @@
                -spec: {}

            transaction 7  2026-10-01T12:00:00.500Z  CreateMesh  by ann
              created mesh/m, version 1
                @@ -0,0 +1 @@
                +spec: {}
        "#]]
        .assert_eq(&render(&history, None, Renderer::new(false)));
        let empty = |oldest: u64, about: Option<&str>| {
            render(&json!({"transactions": [], "oldest": oldest}), about, Renderer::new(false))
        };
        assert_eq!(empty(0, None), "nothing was changed yet\n");
        assert_eq!(empty(5, None), "nothing was changed after transaction 5; what was before is not kept\n");
        assert_eq!(empty(0, Some("mesh/typo")), "nothing of mesh/typo was changed yet\n");
        assert_eq!(
            empty(5, Some("mesh/typo")),
            "nothing of mesh/typo was changed after transaction 5; what was before is not kept\n"
        );
    }

    #[test]
    fn each_denial_has_a_line() {
        let denial = |count: u64| {
            let (first, last) = ("2026-10-01T12:00:00.500Z", "2026-10-01T12:00:09.500Z");
            json!({"user": "ann", "action": "appmesh:DeleteMesh", "resource": "arn:m", "count": count, "firstAt": first, "lastAt": last})
        };
        expect![[r#"
            denied  2026-10-01T12:00:09.500Z  ann  appmesh:DeleteMesh  arn:m  3 times since 2026-10-01T12:00:00.500Z
            denied  2026-10-01T12:00:09.500Z  ann  appmesh:DeleteMesh  arn:m
        "#]]
        .assert_eq(&render_denials(&json!({"denials": [denial(3), denial(1)]})));
        assert_eq!(render_denials(&json!({"denials": []})), "nobody was denied anything\n");
    }
}
