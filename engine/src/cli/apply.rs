//! `legation apply`: make the definitions what files say.
//!
//! | module | holds |
//! |---|---|
//! | `document` | what a document is about, and what is wrong with it |
//! | `upsert` | making one resource what its document says |
//! | `prune` | what the files no longer have |
//! | `transaction` | everything as one transaction |
//! | `report` | what is printed |

mod document;
mod prune;
mod report;
mod transaction;
mod upsert;

use std::collections::HashMap;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use self::document::{Document, Malformed, Place};
use self::report::{NOTHING_FOUND, Report};
use self::upsert::{Change, upsert};
use super::client::{ApiArgs, Client, ClientError};
use super::confirm::{self, Consent};
use super::failure::Failure;
use super::files::{self, Unreadable};
use super::lint;
use crate::model::ResourceId;

/// The endings of the files that are taken from a directory.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

const EXAMPLES: &str = "\
Examples:
  legation apply -f mesh.yaml
  legation apply -f definitions/ -f extra.json
  render-definitions | legation apply -f - --endpoint http://10.0.0.5:8080
  legation apply -f definitions/ --prune --atomic --yes

A document is what the App Mesh API takes, and its name keys say what it is:
  meshName: shop
  virtualNodeName: cart
  spec: {listeners: [{portMapping: {port: 8080, protocol: http}}]}

Exit codes:
  0  everything is as the files say
  1  something was refused, or the endpoint was not reached; the rest was applied, with --atomic nothing. Apply again
     to go on: what is as it should be is left alone
  2  wrong usage, or something in the files cannot be read; nothing was applied";

/// What to do when some of it failed.
const GO_ON: &str = "what is above as created, updated or deleted stays; correct the rest and apply again, which goes on from there";
const ALL_OR_NONE: &str = "nothing was applied: it is one transaction, all of it or none";
const UNANSWERED: &str =
    "it was applied as a whole or not at all; apply again, which changes nothing where it was";

/// Create or update what files define.
///
/// Reads documents in YAML or JSON, several in a file if need be, and applies them in the order in which they depend
/// on each other. What is already as defined is left alone. Where something cannot be read nothing is applied; where the
/// API refuses something the others are still applied. With --prune, what is in the meshes of the files and in no file is
/// deleted afterwards, if all could be applied.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ApplyArgs {
    /// A file, a directory (its *.yaml, *.yml and *.json files, and those below it), or - for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", required = true, num_args = 1..)]
    files: Vec<String>,

    /// Delete what is in the meshes that the files name and in none of the files. A mesh itself is never deleted
    #[arg(long)]
    prune: bool,

    /// Do not ask before something is deleted
    #[arg(long, requires = "prune")]
    yes: bool,

    /// Apply everything as one transaction, or nothing
    #[arg(long)]
    atomic: bool,

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
    ExitCode::from(apply(args, report, &mut Report::new(&mut errors, are_errors_coloured), confirm::ask))
}

/// Reports to `errors` where nothing can be applied, and how to go on. `ask` is asked before something is deleted.
fn apply<W: Write, E: Write>(
    args: &ApplyArgs,
    report: &mut Report<'_, W>,
    errors: &mut Report<'_, E>,
    ask: impl FnOnce(&str) -> Consent,
) -> u8 {
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
    let client = match Client::new(&args.api) {
        Ok(client) => client,
        Err(error) => {
            errors.unusable(&Failure::usage(&error).message);
            return 2;
        }
    };
    let surplus = match args.prune.then(|| prune::surplus(&client, &documents)).transpose() {
        Ok(surplus) => surplus.unwrap_or_default(),
        Err(error) => {
            errors.unusable(&Failure::failed(&error).message);
            return 1;
        }
    };
    if !surplus.is_empty() && !args.yes {
        errors.surplus(&surplus);
        match ask(&format!("Delete these {} resources?", surplus.len())) {
            Consent::Given => {}
            Consent::Refused => {
                errors.unusable("it was not agreed to");
                return 1;
            }
            Consent::NobodyToAsk => {
                errors.unusable("there is no terminal to ask at; say --yes");
                return 2;
            }
        }
    }
    let failed = if args.atomic {
        apply_atomically(&documents, &surplus, &client, report).err()
    } else {
        let is_all_applied = apply_one_by_one(&documents, &surplus, &client, report);
        (!is_all_applied).then_some(GO_ON)
    };
    let warned = if failed.is_none() { warn(&documents, &surplus, &client, errors) } else { Ok(()) };
    report.summary(args.prune);
    if let Err(error) = warned {
        errors.hint(&format!("it is not known what there is to warn of: {error}"));
    }
    if let Some(hint) = failed {
        errors.hint(hint);
    }
    u8::from(failed.is_some())
}

/// What apply would do with these files, as the body of one transaction.
pub(super) fn set(files: &[String], prune: bool, client: &Client) -> Result<Value, Failure> {
    let (documents, malformed) = read(files);
    if !malformed.is_empty() {
        let lines: Vec<String> =
            malformed.iter().map(|Malformed { place, problem }| format!("{place}: {problem}")).collect();
        return Err(Failure { message: lines.join("\n"), exit_code: 2 });
    }
    if documents.is_empty() {
        return Err(Failure { message: NOTHING_FOUND.to_owned(), exit_code: 2 });
    }
    let surplus = prune.then(|| prune::surplus(client, &documents)).transpose();
    let surplus = surplus.map_err(|error| Failure::failed(&error))?.unwrap_or_default();
    Ok(transaction::body(&documents, &surplus))
}

/// Warns of what was applied and black-holes traffic now that all of it was. A control plane that cannot tell, or may not
/// tell this caller, is not asked for more.
fn warn<W: Write>(
    documents: &[Document],
    surplus: &[ResourceId],
    client: &Client,
    report: &mut Report<'_, W>,
) -> Result<(), ClientError> {
    let apply: Vec<Value> = documents.iter().map(Document::to_json).collect();
    let delete: Vec<String> = surplus.iter().map(ResourceId::path).collect();
    match lint::ask(client, &json!({"apply": apply, "delete": delete})) {
        Ok(answer) => {
            report.warnings(&answer);
            Ok(())
        }
        Err(error) if error.is_not_found() || error.is_denied() => Ok(()),
        Err(error) => Err(error),
    }
}

/// A document as others than this command need it.
#[derive(Debug)]
pub(super) struct Written {
    /// What it is about.
    pub(super) id: ResourceId,
    /// Where it stands, for people.
    pub(super) place: String,
    /// What it says.
    pub(super) json: Value,
}

/// Every document of the files, or what is wrong with them, a line each.
pub(super) fn documents(files: &[String]) -> Result<Vec<Written>, Vec<String>> {
    let (documents, malformed) = read(files);
    if !malformed.is_empty() {
        return Err(malformed
            .iter()
            .map(|Malformed { place, problem }| format!("{place}: {problem}"))
            .collect());
    }
    if documents.is_empty() {
        return Err(vec![NOTHING_FOUND.to_owned()]);
    }
    let written = |document: &Document| Written {
        id: document.id.clone(),
        place: document.place.to_string(),
        json: document.to_json(),
    };
    Ok(documents.iter().map(written).collect())
}

/// Every document of the files, in the order in which they are to be applied, and what is no document.
fn read(files: &[String]) -> (Vec<Document>, Vec<Malformed>) {
    let mut documents = Vec::new();
    let mut malformed = Vec::new();
    for text in files::read_all(files, &ENDINGS) {
        let parsed = match text {
            Ok(text) => document::parse_all(&text),
            Err(Unreadable { name, problem }) => {
                vec![Err(Malformed { place: Place::file(&name), problem })]
            }
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

/// Whether everything could be applied and deleted. Deletions come last, as what is updated may need something no longer,
/// and only if everything else could be applied.
fn apply_one_by_one<W: Write>(
    documents: &[Document],
    surplus: &[ResourceId],
    client: &Client,
    report: &mut Report<'_, W>,
) -> bool {
    let mut progress = Progress { report, is_all_applied: true, is_reachable: true };
    for document in documents {
        progress.make(&document.id, Some(&document.place), || upsert(client, document));
    }
    let is_all_applied = progress.is_all_applied;
    for id in surplus {
        if is_all_applied {
            progress.make(id, None, || prune::delete(client, id).map(|()| Change::Deleted));
        } else {
            progress.report.failed(id, "not deleted, since not everything could be applied");
        }
    }
    progress.is_all_applied
}

/// How far it has come.
struct Progress<'r, 'w, W: Write> {
    report: &'r mut Report<'w, W>,
    is_all_applied: bool,
    is_reachable: bool,
}

impl<W: Write> Progress<'_, '_, W> {
    /// Makes one change, which stands at `place` if a file asks for it, unless the endpoint was not reached for an earlier one.
    fn make(
        &mut self,
        id: &ResourceId,
        place: Option<&Place>,
        change: impl FnOnce() -> Result<Change, ClientError>,
    ) {
        if !self.is_reachable {
            return self.report.failed(id, "not tried, since the endpoint was not reached");
        }
        match change() {
            Ok(change) => self.report.applied(change, id),
            Err(failure) => {
                self.is_all_applied = false;
                self.is_reachable = !matches!(failure, ClientError::Unreachable { .. });
                let what = place.map_or_else(|| id.to_string(), |place| format!("{id} ({place})"));
                self.report.failed(&what, &failure.to_string());
            }
        }
    }
}

/// Makes everything as one transaction; the error is how to go on.
fn apply_atomically<W: Write>(
    documents: &[Document],
    surplus: &[ResourceId],
    client: &Client,
    report: &mut Report<'_, W>,
) -> Result<(), &'static str> {
    match transaction::apply(client, documents, surplus) {
        Ok(changes) => {
            for (change, id) in changes {
                report.applied(change, &id);
            }
            Ok(())
        }
        Err(failure) => {
            report.failed(&"the transaction", &failure.to_string());
            let is_unanswered = matches!(failure, ClientError::Unreachable { .. });
            Err(if is_unanswered { UNANSWERED } else { ALL_OR_NONE })
        }
    }
}

#[cfg(test)]
mod tests;
