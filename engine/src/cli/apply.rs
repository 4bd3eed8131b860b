//! `legation apply`: create or update what files define.
//!
//! | module | holds |
//! |---|---|
//! | `source` | finding and reading the files |
//! | `document` | what a document is about, and what is wrong with it |
//! | `upsert` | making one resource what its document says |
//! | `report` | what is printed |

mod document;
mod report;
mod source;
mod upsert;

use std::collections::HashMap;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

use clap::Args;

use self::document::{Document, Malformed, Place};
use self::report::Report;
use self::upsert::upsert;
use super::client::{ApiArgs, Client, ClientError};
use crate::model::ResourceId;

const EXAMPLES: &str = "\
Examples:
  legation apply -f mesh.yaml
  legation apply -f definitions/ -f extra.json
  render-definitions | legation apply -f - --endpoint http://10.0.0.5:8080

A document is what the App Mesh API takes, and its name keys say what it is:
  meshName: shop
  virtualNodeName: cart
  spec: {listeners: [{portMapping: {port: 8080, protocol: http}}]}

Exit codes:
  0  everything is as the files say
  1  something was refused, or the endpoint was not reached; the rest was applied
  2  wrong usage, or something in the files cannot be read; nothing was applied";

/// Create or update what files define.
///
/// Reads documents in YAML or JSON, several in a file if need be, and applies them in the order in which they depend
/// on each other. What is already as defined is left alone. Where something cannot be read nothing is applied; where the
/// API refuses something the others are still applied.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ApplyArgs {
    /// A file, a directory (its *.yaml, *.yml and *.json files, and those below it), or - for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", required = true, num_args = 1..)]
    files: Vec<String>,

    #[command(flatten)]
    api: ApiArgs,
}

/// Applies what `args` name, prints what became of it, and says so in the exit code.
pub fn run(args: &ApplyArgs) -> ExitCode {
    let (mut out, mut errors) = (stdout().lock(), stderr().lock());
    let wants_colour = std::env::var_os("NO_COLOR").is_none();
    let is_coloured = wants_colour && out.is_terminal();
    let are_errors_coloured = wants_colour && errors.is_terminal();
    let report = &mut Report::new(&mut out, is_coloured);
    ExitCode::from(apply(args, report, &mut Report::new(&mut errors, are_errors_coloured)))
}

/// Reports to `errors` where nothing can be applied.
fn apply<W: Write, E: Write>(args: &ApplyArgs, report: &mut Report<'_, W>, errors: &mut Report<'_, E>) -> u8 {
    let (documents, malformed) = read(&args.files);
    if documents.is_empty() && malformed.is_empty() {
        errors.nothing_found();
        return 2;
    }
    if !malformed.is_empty() {
        for Malformed { place, problem } in &malformed {
            errors.failed(place, problem);
        }
        errors.nothing_applied(documents.len());
        return 2;
    }
    let is_all_applied = apply_all(&documents, &Client::new(&args.api), report);
    report.summary();
    u8::from(!is_all_applied)
}

/// Every document of the files, in the order in which they are to be applied, and what is no document.
fn read(files: &[String]) -> (Vec<Document>, Vec<Malformed>) {
    let mut documents = Vec::new();
    let mut malformed = Vec::new();
    for source in source::read_all(files) {
        let parsed = match source {
            Ok(source) => document::parse_all(&source),
            Err(unreadable) => vec![Err(unreadable)],
        };
        for document in parsed {
            match document {
                Ok(document) => documents.push(document),
                Err(error) => malformed.push(error),
            }
        }
    }
    let (mut documents, repeated) = without_repeats(documents);
    malformed.extend(repeated);
    // kinds are ordered so that what one may need comes before it; within a kind the order stays
    documents.sort_by_key(|document| document.id.kind());
    (documents, malformed)
}

/// The first document of each resource; a second one would undo it with every run.
fn without_repeats(documents: Vec<Document>) -> (Vec<Document>, Vec<Malformed>) {
    let mut first_places: HashMap<ResourceId, Place> = HashMap::new();
    let mut first = Vec::new();
    let mut repeated = Vec::new();
    for document in documents {
        match first_places.get(&document.id) {
            Some(first) => repeated.push(Malformed {
                place: document.place,
                problem: format!("{} is defined already by {first}", document.id),
            }),
            None => {
                first_places.insert(document.id.clone(), document.place.clone());
                first.push(document);
            }
        }
    }
    (first, repeated)
}

/// Whether every document could be applied.
fn apply_all<W: Write>(documents: &[Document], client: &Client, report: &mut Report<'_, W>) -> bool {
    let mut is_all_applied = true;
    let mut is_reachable = true;
    for document in documents {
        if !is_reachable {
            report.failed(&document.id, "not tried, since the endpoint was not reached");
            continue;
        }
        match upsert(client, document) {
            Ok(change) => report.applied(change, &document.id),
            Err(failure) => {
                is_all_applied = false;
                is_reachable = !matches!(failure, ClientError::Unreachable { .. });
                report.failed(&document.id, &failure.to_string());
            }
        }
    }
    is_all_applied
}

#[cfg(test)]
mod tests;
