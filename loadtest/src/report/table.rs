//! The table at the end of a run, for a terminal: phases side by side, failures below.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use super::figures::{digits, label, machine, measure_label, quantity};
use super::numbers::{BESIDE_ETCD, PARTS, measure_name, phase_numbers};
use crate::run::Run;

/// Numbers below the latencies, in their order. What a run has not measured has no row.
const ROWS: [&str; 20] = [
    "seconds",
    "envoys",
    "changes",
    "pushes",
    "pushes_per_change",
    "pushes_per_second",
    "resources_received",
    "bytes_received",
    "bytes_per_push",
    "server_cpu_seconds",
    "server_cpu_us_per_push",
    "fleet_cpu_seconds",
    "fleet_cpu_us_per_push",
    "resident_mib",
    "resident_kib_per_envoy",
    "lost",
    "redundant",
    "misdirected",
    "rejected",
    "disconnects",
];

/// Lines above, below and under the header, and no others.
pub(super) const LINES: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// A run as text, a line break at its end.
pub fn table(run: &Run) -> String {
    let mut table = Table::new();
    table.load_style(LINES);
    let mut header = vec![format!("{} of {}", run.scenario, run.server)];
    header.extend(run.phases.iter().map(|phase| phase.name.clone()));
    table.set_header(header);

    let mut measures: Vec<_> = run.phases.iter().flat_map(|phase| phase.latencies.keys().copied()).collect();
    measures.sort_unstable();
    measures.dedup();
    for measure in measures {
        let mut row = vec![format!("{}, p50 / p90 / p99 / max", measure_label(measure_name(measure)))];
        for phase in &run.phases {
            let latency = phase.latencies.get(&measure).filter(|latency| latency.count > 0);
            row.push(latency.map_or_else(String::new, |latency| {
                let times = [latency.p50, latency.p90, latency.p99, latency.max].map(digits);
                format!("{} ms", times.join(" / "))
            }));
        }
        table.add_row(row);
    }
    let numbers: Vec<BTreeMap<String, f64>> = run.phases.iter().map(phase_numbers).collect();
    for name in BESIDE_ETCD.into_iter().chain(PARTS).chain(ROWS) {
        if numbers.iter().all(|numbers| !numbers.contains_key(name)) {
            continue;
        }
        let mut row = vec![label(name)];
        for numbers in &numbers {
            row.push(numbers.get(name).map(|&value| quantity(name, value)).unwrap_or_default());
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }

    let mut text = format!("{table}\n{}\n", machine(&run.machine));
    for failure in &run.failures {
        // writing to a string cannot fail
        let _ = writeln!(text, "failed: {failure}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{phase, run};
    use super::*;
    use crate::run::Measure;

    /// The cells of the line that begins with a label.
    #[track_caller]
    fn check(text: &str, label: &str, expected: &[&str]) {
        let line = text.lines().find(|line| line.trim().starts_with(label));
        let line = line.unwrap_or_else(|| panic!("no {label} in\n{text}")).trim();
        let cells: Vec<_> =
            line[label.len()..].split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells, expected, "{text}");
    }

    #[test]
    fn phases_stand_side_by_side() {
        let few = phase("100 envoys")
            .new_envoys()
            .latency(Measure::LastAck, &[1.25; 10])
            .latency(Measure::Call, &[])
            .phase();
        let mut many = phase("1000 envoys")
            .new_envoys()
            .latency(Measure::LastAck, &[2.5, 1234.0])
            .latency(Measure::Call, &[0.5])
            .phase();
        many.server = None;
        let mut run = run("irrelevant-envoys", "legation", 0, vec![few, many]);
        run.failures.push("node-3 never received change 7".to_owned());
        let text = table(&run);
        check(&text, "irrelevant-envoys of legation", &["100 envoys", "1000 envoys"]);
        check(
            &text,
            "last ACK, p50 / p90 / p99 / max",
            &["1.25 / 1.25 / 1.25 / 1.25 ms", "2.50 / 1,234 / 1,234 / 1,234 ms"],
        );
        // what was timed never is not 0 ms
        check(&text, "API call, p50 / p90 / p99 / max", &["0.500 / 0.500 / 0.500 / 0.500 ms"]);
        check(&text, "server CPU  ", &["2 s"]);
        check(&text, "server CPU a push", &["10 µs"]);
        check(&text, "fleet CPU  ", &["1 s", "1 s"]);
        check(&text, "fleet CPU a push", &["5 µs", "5 µs"]);
        check(&text, "memory an Envoy", &["51.2 KiB"]);
        check(&text, "lost", &["0", "0"]);
        check(&text, "failed: node-3 never received change 7", &[]);
    }
}
