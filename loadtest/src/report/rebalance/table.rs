//! Tables for a terminal: balancers side by side, what does not hold below.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table};

use super::by_scenario;
use super::figures::{facts, found, told};
use crate::rebalance::outcome::{Outcome, Statement};
use crate::report::table::LINES;

/// Outcomes as text, a line break at its end.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for group in by_scenario(outcomes) {
        let mut table = Table::new();
        table.load_style(LINES);
        let names = group.iter().map(|outcome| outcome.balancing.clone());
        table.set_header([vec![group[0].scenario.clone()], names.collect()].concat());
        for (name, figure) in told(&group) {
            let cells = group.iter().map(|outcome| figure(outcome));
            table.add_row([vec![(*name).to_owned()], cells.collect()].concat());
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        // writing to a string cannot fail
        let _ = writeln!(text, "{table}\n{}", facts(&group));
        for outcome in group {
            let name = &outcome.balancing;
            for statement in outcome.statements.iter().filter(|statement| !Statement::holds(statement)) {
                let _ = writeln!(text, "does not hold: {name}: {}: {}", statement.what, found(statement));
            }
            for failure in &outcome.failures {
                let _ = writeln!(text, "failed: {name}: {failure}");
            }
        }
        text.push('\n');
    }
    text
}
