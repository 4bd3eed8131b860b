//! The tables of a page: all numbers, for those who want to know exactly.

use maud::{Markup, html};

use crate::report::figures::{label, measure_label, quantity, range};
use crate::report::groups::{Group, Row};
use crate::report::numbers::{BESIDE_ETCD, PARTS, measure_name};
use crate::report::page::table;
use crate::run::Measure;

const QUANTILES: [&str; 4] = ["p50", "p90", "p99", "max"];
const COUNTS: [&str; 8] = [
    "envoys",
    "changes",
    "pushes",
    "pushes_per_change",
    "pushes_per_second",
    "resources_received",
    "bytes_received",
    "bytes_per_push",
];
const COSTS: [&str; 6] = [
    "seconds",
    "server_cpu_us_per_push",
    "fleet_cpu_us_per_push",
    "resident_mib",
    "resident_growth_mib",
    "resident_kib_per_envoy",
];
const FAULTS: [&str; 5] = ["lost", "misdirected", "redundant", "disconnects", "rejected"];
/// Of these there should be none at all.
const BAD: [&str; 2] = ["lost", "misdirected"];

/// All of a scenario.
pub(super) fn tables(group: &Group<'_>) -> Markup {
    let mut measures: Vec<Measure> = Vec::new();
    for phase in group.rows.iter().flat_map(|row| &row.repetitions) {
        measures.extend(
            phase.latencies.iter().filter(|(_, latency)| latency.count > 0).map(|(&measure, _)| measure),
        );
    }
    measures.sort_unstable();
    measures.dedup();
    html! {
        @if !measures.is_empty() {
            div class="scroll" { (latencies(group, &measures)) }
        }
        (flat(group, "Beside etcd", &BESIDE_ETCD))
        (flat(group, "By its metrics", &PARTS))
        (flat(group, "Received", &COUNTS))
        (flat(group, "Cost", &COSTS))
        (flat(group, "Faults", &FAULTS))
    }
}

/// Measures below each other, so that a table is never wider than its quantiles.
fn latencies(group: &Group<'_>, measures: &[Measure]) -> Markup {
    html! {
        table {
            thead { tr { th class="name" { "Latency" } @for quantile in QUANTILES { th { (quantile) } } } }
            @for &measure in measures {
                @let name = measure_name(measure);
                tbody {
                    tr class="part" { th class="name" colspan="5" { (measure_label(name)) } }
                    @for row in group.rows.iter().filter(|row| row.spread(&format!("{name}_ms.p50")).is_some()) {
                        tr {
                            th class="name" { (group.row_label(row)) }
                            @for quantile in QUANTILES { (cell(row, &format!("{name}_ms.{quantile}"))) }
                        }
                    }
                }
            }
        }
    }
}

fn flat(group: &Group<'_>, title: &str, numbers: &[&str]) -> Markup {
    let known: Vec<&str> = numbers.iter().copied().filter(|number| group.has(number)).collect();
    if known.is_empty() {
        return Markup::default();
    }
    let head = html! { tr { th class="name" { (title) } @for number in &known { th { (label(number)) } } } };
    let body = html! {
        @for row in &group.rows {
            tr {
                th class="name" { (group.row_label(row)) }
                @for number in &known { (cell(row, number)) }
            }
        }
    };
    table(&head, &body)
}

fn cell(row: &Row<'_>, number: &str) -> Markup {
    let spread = row.spread(number);
    let bad = BAD.contains(&number) && spread.is_some_and(|spread| spread.maximum > 0.0);
    html! {
        td class=[bad.then_some("bad")] {
            @if let Some(spread) = spread {
                (quantity(number, spread.median))
                @if spread.is_spread() {
                    small { (range(number, spread.minimum, spread.maximum)) }
                }
            }
        }
    }
}
