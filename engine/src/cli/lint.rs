//! `legation lint`: what files define that black-holes traffic.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use ureq::http::Method;

use super::address;
use super::apply::{self, Written};
use super::client::{ApiArgs, Client, ClientError};
use super::failure::Failure;
use crate::frontend::path;
use crate::lint::{Code, lint};
use crate::model::{Definition, Metadata, Spec};
use crate::transformer::definitions::MeshDefinitions;

/// Show what files define that black-holes traffic, or will
///
/// Reads documents as legation apply does, and finds what is allowed and yet leads nowhere: a route to a port that nobody
/// listens on, a backend that does not exist, a route that another one hides. Without --endpoint the documents are taken for
/// all that there is; with it they are looked at on top of what the control plane has. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  legation lint -f mesh.yaml
  legation lint -f definitions/ --endpoint http://10.0.0.5:8080 -o json
  legation lint -f definitions/ --allow no-service-discovery

Exit codes:
  0  nothing was found
  1  something was found
  2  wrong usage, or something in the files cannot be read or is not valid, or the endpoint does not answer")]
pub(super) struct LintArgs {
    /// A file, a directory (its *.yaml, *.yml and *.json files, and those below it), or - for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", required = true, num_args = 1..)]
    files: Vec<String>,

    /// Look at the documents on top of what the API here has
    #[arg(long, value_name = "URL", value_parser = address::parse)]
    endpoint: Option<String>,

    /// PEM file with the certificates of the authorities to trust, instead of those of this system [default:
    /// AWS_CA_BUNDLE]
    #[arg(long, env = "LEGATION_CA_CERTIFICATE", value_name = "FILE")]
    ca_certificate: Option<PathBuf>,

    /// Leave out what has this code; may be given several times
    #[arg(long, value_name = "CODE", value_parser = PossibleValuesParser::new(Code::ALL.iter().map(|code| code.as_str())))]
    allow: Vec<String>,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// How to show what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A line each
    Text,
    /// For programs
    Json,
}

/// Shows what is found, and says in the exit code whether anything is.
pub(super) fn run(args: &LintArgs) -> ExitCode {
    let (out, errors) = (&mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    ExitCode::from(show(args, out, errors))
}

/// What cannot be printed is not printed: the exit code tells.
fn show(args: &LintArgs, out: &mut impl Write, errors: &mut impl Write) -> u8 {
    let found = apply::documents(&args.files).and_then(|documents| {
        let findings = match &args.endpoint {
            Some(endpoint) => on_top(&documents, endpoint, args.ca_certificate.clone())?,
            None => (alone(&documents)?, 0),
        };
        Ok((findings, documents))
    });
    let ((mut findings, untold), documents) = match found {
        Ok(found) => found,
        Err(problems) => {
            for problem in problems {
                let _ = writeln!(errors, "{problem}");
            }
            return 2;
        }
    };
    findings.retain(|finding| !args.allow.iter().any(|code| finding["code"] == code.as_str()));
    let _ = match args.output {
        Output::Json => {
            writeln!(out, "{:#}", json!({"count": findings.len() + untold, "findings": findings}))
        }
        Output::Text => out.write_all(render(&findings, untold, &documents).as_bytes()),
    };
    // what is not told may be what is not allowed
    u8::from(!findings.is_empty() || untold > 0)
}

/// What is found in the documents alone.
fn alone(documents: &[Written]) -> Result<Vec<Value>, Vec<String>> {
    let mut meshes: BTreeMap<String, MeshDefinitions> = BTreeMap::new();
    let mut problems = Vec::new();
    for Written { id, place, json } in documents {
        match Spec::parse(id.kind(), &json["spec"]) {
            Ok(spec) => {
                let mesh = meshes
                    .entry(id.mesh_name().to_owned())
                    .or_insert_with(|| MeshDefinitions::new(id.mesh_name().into()));
                let metadata = Metadata::created(String::new(), "", 0);
                mesh.insert(0, Definition { id: id.clone(), spec, metadata });
            }
            Err(errors) => problems.extend(errors.iter().map(|error| format!("{place}: {id}: {error}"))),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(meshes.values().flat_map(lint).map(|finding| finding.to_json()).collect())
}

/// What is found once the documents were applied, and how much more there is that is not told.
fn on_top(
    documents: &[Written],
    endpoint: &str,
    ca_certificate: Option<PathBuf>,
) -> Result<(Vec<Value>, usize), Vec<String>> {
    let args = ApiArgs { endpoint: endpoint.to_owned(), ca_certificate };
    let apply: Vec<&Value> = documents.iter().map(|document| &document.json).collect();
    let asked = Client::new(&args).and_then(|client| ask(&client, &json!({"apply": apply})));
    let answer = asked.map_err(|error| vec![Failure::failed(&error).message])?;
    let findings = answer["findings"].as_array().cloned().unwrap_or_default();
    let count = answer["count"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    let untold = count.saturating_sub(findings.len());
    Ok((findings, untold))
}

/// What the API finds once these changes were made.
pub(super) fn ask(client: &Client, changes: &Value) -> Result<Value, ClientError> {
    client.request(Method::POST, path::LINT, &[], Some(changes))
}

fn render(findings: &[Value], untold: usize, documents: &[Written]) -> String {
    if findings.is_empty() && untold == 0 {
        return format!("nothing was found in {} documents\n", documents.len());
    }
    let places: HashMap<String, &str> =
        documents.iter().map(|document| (document.id.path(), document.place.as_str())).collect();
    let mut text = String::new();
    for finding in findings {
        if let Some(place) = finding["resource"].as_str().and_then(|resource| places.get(resource)) {
            text += &format!("{place}: ");
        }
        text += &format!("{}\n", finding_line(finding));
    }
    if untold > 0 {
        text += &format!("{untold} more are not told; correct these, or lint fewer documents\n");
    }
    text + &format!("{} found in {} documents\n", findings.len() + untold, documents.len())
}

/// A finding in one line, of what is told for programs.
pub(super) fn finding_line(finding: &Value) -> String {
    let word = |member: &str| finding[member].as_str().unwrap_or("-");
    format!("{}: {}: {}: {}", word("code"), word("resource"), word("path"), word("message"))
}

#[cfg(test)]
mod tests;
