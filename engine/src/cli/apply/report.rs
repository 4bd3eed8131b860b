//! What is printed: a line for each document, and the sum.

use std::fmt::Display;
use std::io::Write;

use serde_json::Value;

use super::upsert::Change;
use crate::cli::lint::finding_line;
use crate::model::ResourceId;

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// How many warnings are printed.
const WARNINGS_MAX: usize = 20;

/// What is said where files hold no document.
pub(super) const NOTHING_FOUND: &str = "there is no document in what -f names";

/// The printer. What cannot be printed is not printed: it is no reason not to apply the rest.
pub(super) struct Report<'a, W: Write> {
    out: &'a mut W,
    is_coloured: bool,
    created: usize,
    updated: usize,
    unchanged: usize,
    deleted: usize,
    failed: usize,
}

impl<'a, W: Write> Report<'a, W> {
    /// A printer to `out`.
    pub(super) fn new(out: &'a mut W, is_coloured: bool) -> Self {
        Self { out, is_coloured, created: 0, updated: 0, unchanged: 0, deleted: 0, failed: 0 }
    }

    /// `what` was applied.
    pub(super) fn applied(&mut self, change: Change, what: &dyn Display) {
        let (word, colour, count) = match change {
            Change::Created => ("created", GREEN, &mut self.created),
            Change::Updated => ("updated", YELLOW, &mut self.updated),
            Change::Unchanged => ("unchanged", DIM, &mut self.unchanged),
            Change::Deleted => ("deleted", RED, &mut self.deleted),
        };
        *count += 1;
        self.line(word, colour, &what.to_string());
    }

    /// `what` was not applied. A reason of several lines stands below, indented.
    pub(super) fn failed(&mut self, what: &dyn Display, reason: &str) {
        self.failed += 1;
        if !reason.contains('\n') {
            return self.line("failed", RED, &format!("{what}: {reason}"));
        }
        self.line("failed", RED, &format!("{what}:"));
        for line in reason.lines() {
            let _ = writeln!(self.out, "            {line}");
        }
    }

    /// Something could not be read, so nothing else was tried.
    pub(super) fn nothing_applied(&mut self, others: usize) {
        let _ =
            writeln!(self.out, "nothing was applied; {others} other documents wait for this to be corrected");
    }

    /// There was nothing to apply.
    pub(super) fn nothing_found(&mut self) {
        let _ = writeln!(self.out, "{NOTHING_FOUND}");
    }

    /// The API cannot be called.
    pub(super) fn unusable(&mut self, reason: &str) {
        let _ = writeln!(self.out, "nothing was applied: {reason}");
    }

    /// These are to be deleted, once somebody says so.
    pub(super) fn surplus(&mut self, surplus: &[ResourceId]) {
        let _ = writeln!(self.out, "in no file, and to be deleted:");
        for id in surplus {
            let _ = writeln!(self.out, "  {id}");
        }
    }

    /// What the API found, a line each.
    pub(super) fn warnings(&mut self, found: &Value) {
        let findings = found["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
        for finding in findings.iter().take(WARNINGS_MAX) {
            self.line("warning", YELLOW, &finding_line(finding));
        }
        let count = found["count"].as_u64().unwrap_or_default();
        let more = count.saturating_sub(findings.len().min(WARNINGS_MAX) as u64);
        if more > 0 {
            let _ = writeln!(self.out, "{more} more warnings; legation lint tells all");
        }
    }

    /// How to go on.
    pub(super) fn hint(&mut self, hint: &str) {
        let _ = writeln!(self.out, "{hint}");
    }

    /// The sum of it all; what was deleted is told where something could be.
    pub(super) fn summary(&mut self, prunes: bool) {
        let (created, updated, unchanged, failed) = (self.created, self.updated, self.unchanged, self.failed);
        let deleted = if prunes { format!("{} deleted, ", self.deleted) } else { String::new() };
        let _ = writeln!(
            self.out,
            "{created} created, {updated} updated, {deleted}{unchanged} unchanged, {failed} failed"
        );
    }

    fn line(&mut self, word: &str, colour: &str, text: &str) {
        let _ = if self.is_coloured {
            writeln!(self.out, "{colour}{word:<9}{PLAIN} {text}")
        } else {
            writeln!(self.out, "{word:<9} {text}")
        };
    }
}
