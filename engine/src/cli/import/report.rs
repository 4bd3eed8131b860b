//! What is said on standard error: a line for each thing, and the sum.

use std::collections::BTreeMap;
use std::io::Write;

use super::Outcome;
use super::findings::Weight;

/// Says what became of an import, and of its output. What cannot be printed is not printed.
pub(super) fn print(out: &mut impl Write, outcome: &Outcome, written: Result<(), String>) {
    let findings = &outcome.findings;
    let mut counts: BTreeMap<Weight, usize> = BTreeMap::new();
    let mut said: Vec<_> = findings.said.iter().collect();
    said.sort_by_key(|finding| finding.weight); // the order stays otherwise
    for finding in said {
        *counts.entry(finding.weight).or_default() += 1;
        let _ = writeln!(out, "{:<8} {}: {}", finding.weight.word(), finding.place, finding.what);
    }
    if !findings.passed_over.is_empty() {
        let types = findings.passed_over.iter().map(|(name, count)| match count {
            1 => name.clone(),
            _ => format!("{name} ({count})"),
        });
        let types = types.collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "{:<8} passed over, being of other types: {types}", Weight::Note.word());
    }
    for error in &outcome.errors {
        let _ = writeln!(out, "error: {error}");
    }
    let Some(documents) = &outcome.documents else {
        let _ = writeln!(out, "nothing was written");
        return;
    };
    if let Err(problem) = written {
        let _ = writeln!(out, "error: {problem}");
        return;
    }
    let count = |weight| counts.get(&weight).copied().unwrap_or_default();
    let _ = writeln!(
        out,
        "{} written, {} left out, {} that the API would refuse",
        documents.len(),
        count(Weight::LeftOut),
        count(Weight::Refused)
    );
}
