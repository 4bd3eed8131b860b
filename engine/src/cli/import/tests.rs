//! Tables: what is imported, and what becomes of it.

mod app_mesh;
mod cloudformation;
mod inputs;
mod kubernetes;
mod live;
mod round_trip;
mod terraform;

use clap::Parser;
use expect_test::Expect;

use super::{ImportArgs, Outcome, import_inputs, report};
use crate::cli::text::Text;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    import: ImportArgs,
}

/// What becomes of the texts of files.
fn imported(options: &[&str], files: &[(&str, &str)]) -> Outcome {
    let words = ["import", "any"].iter().chain(options);
    let args = CommandLine::try_parse_from(words).unwrap().import;
    let inputs: Vec<Text> = files
        .iter()
        .map(|(name, text)| Text { name: (*name).to_owned(), text: (*text).to_owned() })
        .collect();
    import_inputs(&inputs, &args)
}

/// What is written, what is said, and the exit code.
fn shown(outcome: &Outcome) -> String {
    let written = outcome.documents.as_ref().map(super::Documents::to_yaml).unwrap_or_default();
    let mut said = Vec::new();
    report::print(&mut said, outcome, Ok(()));
    let said: String = String::from_utf8(said).unwrap().lines().map(|line| format!("! {line}\n")).collect();
    format!("{written}{said}exit code {}\n", outcome.exit_code())
}

fn check(options: &[&str], files: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&shown(&imported(options, files)));
}

#[test]
fn what_was_not_written_is_not_counted() {
    let outcome = imported(&[], &[("a.yaml", "{meshName: m, spec: {}}")]);
    let said = |written: Result<(), String>| {
        let mut said = Vec::new();
        report::print(&mut said, &outcome, written);
        String::from_utf8(said).unwrap()
    };
    assert_eq!(said(Ok(())), "1 written, 0 left out, 0 that the API would refuse\n");
    assert_eq!(said(Err("the disk is full".to_owned())), "error: the disk is full\n");
}
