//! Outcomes as a part of a page of the documentation, with plots in the directory of its name.

use std::fs;
use std::path::Path;

use super::by_scenario;
use super::drawings::plots;
use super::figures::{bound, facts, statement, statements, told};
use crate::rebalance::outcome::{Outcome, Statement};
use crate::report::figures::digits;
use crate::report::markdown::{MarkdownError, Part, escaped, line, paragraph};

/// The part of a page that outcomes are written into.
pub const REBALANCE: Part<'_> = Part("rebalance");

/// Writes outcomes into [`REBALANCE`] of a page, and their plots into the directory of its name.
pub fn write(page: &Path, outcomes: &[Outcome], command: &str) -> Result<(), MarkdownError> {
    let directory = page.with_extension("");
    fs::create_dir_all(&directory)?;
    let mut text = String::new();
    paragraph(&mut text, &format!("`{command}`"));
    for group in by_scenario(outcomes) {
        scenario(&mut text, &group);
        for plot in plots(&group) {
            let path = directory.join(format!("{}-{}.svg", group[0].scenario, plot.kind));
            fs::write(&path, plot.svg.file())?;
            let shown = path.strip_prefix(page.parent().unwrap_or(Path::new(""))).unwrap_or(&path);
            let title = format!("{}: {}", escaped(&group[0].scenario), escaped(&plot.svg.title));
            paragraph(&mut text, &format!("![{title}](<{}>)", shown.display()));
        }
    }
    fs::write(page, REBALANCE.replace(&fs::read_to_string(page)?, &text)?)?;
    Ok(())
}

fn scenario(text: &mut String, group: &[&Outcome]) {
    paragraph(text, &format!("### {}", escaped(&group[0].scenario)));
    paragraph(text, &escaped(&format!("{} {}", group[0].question, facts(group))));
    let row = |name: &str, cells: Vec<String>| format!("| {name} | {} |", cells.join(" | "));
    let names = group.iter().map(|outcome| escaped(&outcome.balancing)).collect();
    line(text, &row("", names));
    line(text, &format!("|---{}|", "|---".repeat(group.len())));
    for (name, figure) in told(group) {
        line(text, &row(name, group.iter().map(|outcome| figure(outcome)).collect()));
    }
    text.push('\n');

    line(text, &row("must hold", group.iter().map(|outcome| escaped(&outcome.balancing)).collect()));
    line(text, &format!("|---{}|", "|---".repeat(group.len())));
    for what in statements(group) {
        let of = |outcome: &&Outcome| statement(outcome, what).map_or_else(String::new, verdict);
        line(text, &row(&escaped(what), group.iter().map(of).collect()));
    }
    text.push('\n');
    for failure in group.iter().flat_map(|outcome| &outcome.failures) {
        paragraph(text, &format!("**Failed**: {}", escaped(failure)));
    }
}

fn verdict(statement: &Statement) -> String {
    let text = format!("{} ({})", digits(statement.found), bound(statement));
    if statement.holds() { text } else { format!("{text} **does not hold**") }
}
