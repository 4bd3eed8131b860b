//! Comparisons as Markdown, written between two comments of a page whose other parts are somebody else's.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use thiserror::Error;

use super::check::{Verdict, Verdicts};
use super::figures::{capitalised, digits, label, machine, quantity, question, range};
use super::groups::{Group, Row, groups};
use super::numbers::{BESIDE_ETCD, PARTS};
use super::plots::PlotFile;
use crate::run::Run;

/// The part of a page that comparisons are written into.
pub const COMPARE: Part<'_> = Part("compare");

/// The main figures of a scenario, of which less is better.
const COLUMNS: [&str; 7] = [
    "last_sync_ms.p50",
    "sync_ms.p99",
    "last_ack_ms.p50",
    "last_ack_ms.p99",
    "receipt_ms.p99",
    "server_cpu_us_per_push",
    "resident_kib_per_envoy",
];
/// Those of a scenario in which nothing should be sent.
const RECONNECT_COLUMNS: [&str; 6] = [
    "resources_received",
    "resources_but_endpoints",
    "bytes_received",
    "last_sync_ms.p50",
    "sync_ms.p99",
    "server_cpu_seconds",
];
/// Those of a change over etcd, before what it takes by a put's time, and its parts.
const ETCD_ROWS: [&str; 12] = [
    "etcd_put_ms.p50",
    "etcd_put_ms.p90",
    "etcd_put_ms.p99",
    "call_ms.p50",
    "call_ms.p90",
    "call_ms.p99",
    "last_receipt_ms.p50",
    "last_receipt_ms.p90",
    "last_receipt_ms.p99",
    "last_ack_ms.p50",
    "last_ack_ms.p90",
    "last_ack_ms.p99",
];
/// What the fleet takes a push: no merit of a server.
const FLEET_CPU: &str = "fleet_cpu_us_per_push";
/// Where the fleet takes more than this part of what the server takes, the server may not be what is waited for.
const FLEET_BY_SERVER_MAX: f64 = 0.8;
/// The server that others are better than.
const OURS: &str = "legation";

/// Why a page cannot be written.
#[derive(Debug, Error)]
pub enum MarkdownError {
    /// It cannot be read or written.
    #[error("cannot update the page: {0}")]
    Io(#[from] io::Error),
    /// It has not exactly one part that is ours.
    #[error("the page needs the lines `{begin}` and `{end}`, once each and in this order")]
    Markers {
        /// The first of them.
        begin: String,
        /// The other.
        end: String,
    },
}

/// A part of a page, by its name, which stands in the comments around it. What is outside is somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a>(pub &'a str);

impl Part<'_> {
    /// The comment before it.
    pub fn begin(self) -> String {
        format!("<!-- begin {} -->", self.0)
    }

    /// The comment after it.
    pub fn end(self) -> String {
        format!("<!-- end {} -->", self.0)
    }

    /// The page with another text in this part.
    pub fn replace(self, page: &str, text: &str) -> Result<String, MarkdownError> {
        let (begin, end) = (self.begin(), self.end());
        let missing = || MarkdownError::Markers { begin: begin.clone(), end: end.clone() };
        let once = |marker: &str| {
            let mut places = page.match_indices(marker);
            let place = places.next().map(|(place, _)| place).ok_or_else(missing)?;
            if places.next().is_some() { Err(missing()) } else { Ok(place) }
        };
        let (from, to) = (once(&begin)? + begin.len(), once(&end)?);
        if from > to {
            return Err(missing());
        }
        Ok(format!("{}\n\n{}\n\n{}", &page[..from], text.trim(), &page[to..]))
    }
}

/// Writes runs into a page: those of one scenario into the part of its name, if the page has that, and else into [`COMPARE`].
pub fn write(
    page: &Path,
    runs: &[Run],
    verdicts: Option<&Verdicts>,
    plots: &[PlotFile],
) -> Result<(), MarkdownError> {
    let directory = page.parent().unwrap_or(Path::new(""));
    let text = comparison(runs, verdicts, plots, directory);
    let before = fs::read_to_string(page)?;
    fs::write(page, part_for(runs, &before).replace(&before, &text)?)?;
    Ok(())
}

fn part_for<'a>(runs: &'a [Run], page: &str) -> Part<'a> {
    match runs {
        [first, others @ ..] if others.iter().all(|run| run.scenario == first.scenario) => {
            let own = Part(&first.scenario);
            if page.contains(&own.begin()) { own } else { COMPARE }
        }
        _ => COMPARE,
    }
}

/// Budgets, then a section for each scenario. Links to plots are relative to the directory of the page.
pub fn comparison(runs: &[Run], verdicts: Option<&Verdicts>, plots: &[PlotFile], directory: &Path) -> String {
    let mut text = String::new();
    if let Some(verdicts) = verdicts {
        budgets(&mut text, verdicts);
    }
    for group in &groups(runs) {
        scenario(&mut text, group);
        for plot in plots.iter().filter(|plot| plot.scenario == group.scenario) {
            let path = plot.path.strip_prefix(directory).unwrap_or(&plot.path);
            paragraph(
                &mut text,
                &format!("![{}: {}](<{}>)", escaped(group.scenario), escaped(&plot.title), path.display()),
            );
        }
    }
    text
}

fn budgets(text: &mut String, verdicts: &Verdicts) {
    paragraph(text, "### Budgets");
    line(text, "| budget | at most | minimum | median | maximum | |");
    line(text, "|---|---|---|---|---|---|");
    for verdict in &verdicts.verdicts {
        let Verdict { budget, ratio } = verdict;
        let figures = match ratio {
            Ok(ratio) => [ratio.minimum, ratio.median, ratio.maximum].map(digits),
            Err(_) => Default::default(),
        };
        let told = match ratio {
            Ok(_) if verdict.within() => verdict.word().to_owned(),
            Ok(_) => format!("**{}**", verdict.word()),
            Err(reason) => format!("**{}**: {}", verdict.word(), escaped(&reason.to_string())),
        };
        let (name, limit) = (escaped(&budget.name), budget.at_most);
        line(text, &format!("| {name} | {limit} | {} | {told} |", figures.join(" | ")));
    }
    text.push('\n');
}

fn scenario(text: &mut String, group: &Group<'_>) {
    let numbers = match group.scenario {
        "mass-reconnect" => RECONNECT_COLUMNS.to_vec(),
        "etcd-change" => [&ETCD_ROWS[..], &BESIDE_ETCD, &PARTS].concat(),
        _ => COLUMNS.to_vec(),
    };
    let numbers: Vec<&str> = numbers.into_iter().filter(|number| group.has(number)).collect();

    paragraph(text, &format!("### {}", escaped(group.scenario)));
    paragraph(text, question(group.scenario));
    if group.scenario == "etcd-change" {
        numbers_by_row(text, group, &numbers);
    } else {
        let fleet = group.has("server_cpu_us_per_push").then_some(FLEET_CPU);
        rows_by_number(text, group, &numbers.iter().copied().chain(fleet).collect::<Vec<_>>());
    }
    better(text, group, &numbers);
    paragraph(text, &busy_fleet(group));
    for failure in &group.failures {
        let (server, sentence) = (escaped(failure.server), escaped(failure.sentence));
        line(text, &format!("* Failed: {server}, repetition {}: {sentence}", failure.repetition));
    }
    if !group.failures.is_empty() {
        text.push('\n');
    }
    paragraph(text, &escaped(&facts(group)));
}

/// A column for each server and phase.
fn numbers_by_row(text: &mut String, group: &Group<'_>, numbers: &[&str]) {
    let told = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    line(text, &format!("| {}", told(group.rows.iter().map(|row| row_name(group, row)).collect())));
    line(text, &format!("|---{}|", "|---".repeat(group.rows.len())));
    for number in numbers {
        let cells = group.rows.iter().map(|row| cell(group, row, number)).collect();
        line(text, &format!("| {} {}", label(number), told(cells)));
    }
    text.push('\n');
}

/// A row for each server and phase.
fn rows_by_number(text: &mut String, group: &Group<'_>, columns: &[&str]) {
    line(
        text,
        &format!("| | {} |", columns.iter().map(|number| label(number)).collect::<Vec<_>>().join(" | ")),
    );
    line(text, &format!("|---{}|", "|---".repeat(columns.len())));
    for row in &group.rows {
        let mut cells = vec![row_name(group, row)];
        cells.extend(columns.iter().map(|number| cell(group, row, number)));
        line(text, &format!("| {} |", cells.join(" | ")));
    }
    text.push('\n');
}

fn row_name(group: &Group<'_>, row: &Row<'_>) -> String {
    let name = escaped(&group.row_label(row));
    if failed(group, row) { format!("{name} (failed)") } else { name }
}

fn cell(group: &Group<'_>, row: &Row<'_>, number: &str) -> String {
    let Some(spread) = row.spread(number) else { return String::new() };
    let mut text = quantity(number, spread.median);
    let rivals = group.rows.iter().filter(|other| other.phase == row.phase && !failed(group, other));
    let best = rivals
        .filter_map(|other| other.spread(number))
        .map(|other| other.median)
        .fold(f64::INFINITY, f64::min);
    if !failed(group, row) && spread.median <= best && group.servers.len() > 1 && number != FLEET_CPU {
        text = format!("**{text}**");
    }
    if spread.is_spread() {
        let _ = write!(text, " ({})", range(number, spread.minimum, spread.maximum));
    }
    text
}

/// What of a server that went wrong was measured says nothing.
fn failed(group: &Group<'_>, row: &Row<'_>) -> bool {
    group.failures.iter().any(|failure| failure.server == row.server)
}

/// Who is better than we are, and at what.
fn better(text: &mut String, group: &Group<'_>, columns: &[&str]) {
    let mut told = Vec::new();
    for row in group.rows.iter().filter(|row| row.server != OURS && !failed(group, row)) {
        let ours = group.rows.iter().find(|ours| ours.server == OURS && ours.phase == row.phase);
        let wins = columns.iter().filter(|number| {
            let median = |row: &Row<'_>| row.spread(number).map(|spread| spread.median);
            let (theirs, ours) = (median(row), ours.and_then(median));
            theirs.zip(ours).is_some_and(|(theirs, ours)| theirs < ours)
        });
        let wins: Vec<String> = wins.map(|number| label(number)).collect();
        if !wins.is_empty() {
            told.push(format!("* {}: {}", escaped(&group.row_label(row)), wins.join(", ")));
        }
    }
    if !told.is_empty() {
        paragraph(text, "Better than Legation:");
        paragraph(text, &told.join("\n"));
    }
}

/// Where the fleet may have been what was waited for.
fn busy_fleet(group: &Group<'_>) -> String {
    let share = |row: &&Row<'_>| row.spread("fleet_by_server_cpu").map(|spread| spread.median);
    let busy = group.rows.iter().filter(|row| share(row).is_some_and(|share| share > FLEET_BY_SERVER_MAX));
    let names: Vec<String> = busy.map(|row| escaped(&group.row_label(row))).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "The fleet took more than {FLEET_BY_SERVER_MAX} of the server's CPU time, so that the times of these are in part its own: {}.",
        names.join("; ")
    )
}

fn facts(group: &Group<'_>) -> String {
    let repetitions = group.repetitions();
    let mut text = if repetitions > 1 {
        format!("Median (range) of {repetitions} runs. ")
    } else {
        "One run. ".to_owned()
    };
    let told: Vec<String> = group.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if !told.is_empty() {
        let _ = write!(text, "{}. ", capitalised(&told.join(", ")));
    }
    let machines: Vec<String> = group.machines.iter().map(|one| machine(one)).collect();
    text.push_str(&machines.join("; "));
    text.push('.');
    text
}

pub(super) fn paragraph(text: &mut String, paragraph: &str) {
    if !paragraph.is_empty() {
        line(text, paragraph);
        text.push('\n');
    }
}

pub(super) fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Text that is no markup, and ends no cell and no part of the page.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' | '|' | '*' | '`' | '[' | ']' => escaped.extend(['\\', character]),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::check::Budgets;
    use super::super::made_up::{phase, run};
    use super::*;
    use crate::run::Measure;

    fn timed(server: &str, repetition: usize, ms: f64) -> Run {
        let mut phase = phase("").latency(Measure::LastAck, &[ms; 10]).phase();
        phase.server = None;
        run("hot-change", server, repetition, vec![phase])
    }

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        #[track_caller]
        fn check(page: &str, expected: Option<&str>) {
            assert_eq!(COMPARE.replace(page, "new\n").ok().as_deref(), expected);
        }
        let (begin, end) = (COMPARE.begin(), COMPARE.end());
        check(
            &format!("before\n{begin}\nold\n{end}\nafter\n"),
            Some(&format!("before\n{begin}\n\nnew\n\n{end}\nafter\n")),
        );
        check(&format!("{begin}{end}"), Some(&format!("{begin}\n\nnew\n\n{end}")));
        check("nothing", None);
        check(&begin, None);
        check(&end, None);
        check(&format!("{end}{begin}"), None);
        check(&format!("{begin}{end}{begin}{end}"), None);
        check(&format!("{begin}{begin}{end}"), None);
    }

    #[test]
    fn twice_is_once() {
        let (begin, end) = (COMPARE.begin(), COMPARE.end());
        let page = format!("a\n{begin}\n{end}\nb");
        let mut bad = timed("legation", 0, 1.0);
        bad.failures.push(format!("{end} | {begin}"));
        let part = comparison(&[bad], None, &[], Path::new(""));
        let once = COMPARE.replace(&page, &part).unwrap();
        assert_eq!(COMPARE.replace(&once, &part).unwrap(), once);
    }

    #[test]
    fn a_page_is_written_and_others_parts_stay() {
        let directory = tempfile::tempdir().unwrap();
        let page = directory.path().join("page.md");
        let (begin, end) = (COMPARE.begin(), COMPARE.end());
        fs::write(&page, format!("# Ours\n{begin}\n{end}\nTheirs\n")).unwrap();
        let runs = [timed("legation", 0, 1.0)];
        let path = directory.path().join("plots/x y.svg");
        let plots = [PlotFile { scenario: "hot-change".to_owned(), title: "Last ACK".to_owned(), path }];
        write(&page, &runs, None, &plots).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.starts_with(&format!("# Ours\n{begin}\n\n### hot-change\n")), "{text}");
        assert!(text.ends_with(&format!("{end}\nTheirs\n")), "{text}");
        assert!(text.contains("![hot-change: Last ACK](<plots/x y.svg>)"), "{text}");
        assert!(write(&directory.path().join("none.md"), &runs, None, &plots).is_err());
    }

    #[test]
    fn runs_of_one_scenario_go_to_its_own_part() {
        let part = |runs: &[Run], page: &str| part_for(runs, page).0.to_owned();
        let (one, other) = (timed("legation", 0, 1.0), run("churn", "legation", 0, vec![]));
        let page = Part("hot-change").begin() + &COMPARE.begin();
        assert_eq!(part(&[one.clone(), one.clone()], &page), "hot-change");
        assert_eq!(part(&[one.clone(), other.clone()], &page), "compare");
        assert_eq!(part(&[other], &page), "compare");
        assert_eq!(part(&[], &page), "compare");
    }

    #[test]
    fn numbers_over_etcd_stand_below_each_other_with_their_ratio() {
        let timed = |name, put: &[f64], ack: f64| {
            let mut phase =
                phase(name).latency(Measure::EtcdPut, put).latency(Measure::LastAck, &[ack; 10]).phase();
            phase.server = None;
            phase
        };
        let phases = vec![
            timed("embedded store", &[], 1.5),
            timed("etcd, 1 member", &[2.0], 9.0),
            timed("etcd, 3 members", &[4.0], 10.0),
        ];
        check(
            &[run("etcd-change", "legation", 0, phases)],
            &[
                "| | embedded store | etcd, 1 member | etcd, 3 members |",
                "|---|---|---|---|",
                "| etcd put p50 |  | 2 ms | 4 ms |",
                "| last ACK p99 | 1.50 ms | 9 ms | 10 ms |",
                "| last ACK p50, divided by etcd put p50 |  | 4.50 | 2.50 |",
            ],
        );
    }

    #[track_caller]
    fn check(runs: &[Run], lines: &[&str]) {
        let text = comparison(runs, None, &[], Path::new(""));
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn the_best_is_bold_and_who_is_better_is_named() {
        let ours = [timed("legation", 0, 2.0), timed("legation", 1, 4.0), timed("legation", 2, 3.0)];
        let mut runs = ours.to_vec();
        runs.push(timed("go-control-plane-mix", 0, 9.0));
        check(
            &runs,
            &[
                "| | last ACK p50 | last ACK p99 |",
                "| legation | **3 ms** (2 to 4 ms) | **3 ms** (2 to 4 ms) |",
                "| go-control-plane-mix | 9 ms | 9 ms |",
            ],
        );
        assert!(!comparison(&runs, None, &[], Path::new("")).contains("Better than"));
        runs.push(timed("floor-h2", 0, 2.5));
        check(
            &runs,
            &[
                "| legation | 3 ms (2 to 4 ms) | 3 ms (2 to 4 ms) |",
                "| floor-h2 | **2.50 ms** | **2.50 ms** |",
                "Better than Legation:",
                "* floor-h2: last ACK p50, last ACK p99",
            ],
        );
    }

    #[test]
    fn what_the_fleet_takes_is_told_and_wins_nothing() {
        let taken = |server, fleet, cpu| {
            let mut phase = phase("").latency(Measure::LastAck, &[1.0; 10]).cpu_seconds(cpu).phase();
            phase.fleet_cpu_seconds = fleet;
            run("hot-change", server, 0, vec![phase])
        };
        let runs = [taken("legation", 1.0, 4.0), taken("floor-h2", 0.9, 1.0), taken("floor-tonic", 0.8, 1.0)];
        check(
            &runs,
            &[
                "| | last ACK p50 | last ACK p99 | server CPU a push | fleet CPU a push |",
                "| legation | **1 ms** | **1 ms** | 20 µs | 5 µs |",
                "| floor-h2 | **1 ms** | **1 ms** | **5 µs** | 4.50 µs |",
                "The fleet took more than 0.8 of the server's CPU time, so that the times of these are in part its own: floor-h2.",
            ],
        );
    }

    #[test]
    fn who_failed_is_not_best() {
        let mut quick = timed("quick|<b>", 0, 1.0);
        quick.failures.push("lost *everything*".to_owned());
        check(
            &[timed("legation", 0, 2.0), quick],
            &[
                "| legation | **2 ms** | **2 ms** |",
                "| quick\\|&lt;b> (failed) | 1 ms | 1 ms |",
                "* Failed: quick\\|&lt;b>, repetition 0: lost \\*everything\\*",
            ],
        );
    }

    #[test]
    fn phases_are_compared_with_the_same_phase() {
        let both = |few, many| {
            [("few", few), ("many", many)].map(|(name, ms)| {
                let mut phase = phase(name).latency(Measure::LastAck, &[ms; 10]).phase();
                phase.server = None;
                phase
            })
        };
        check(
            &[
                run("backends", "legation", 0, both(1.0, 8.0).into()),
                run("backends", "floor-h2", 0, both(2.0, 4.0).into()),
            ],
            &[
                "| legation, few | **1 ms** | **1 ms** |",
                "| legation, many | 8 ms | 8 ms |",
                "| floor-h2, few | 2 ms | 2 ms |",
                "| floor-h2, many | **4 ms** | **4 ms** |",
                "Better than Legation:",
                "* floor-h2, many: last ACK p50, last ACK p99",
            ],
        );
    }

    #[test]
    fn budgets_come_first_with_what_is_over() {
        let reference = |server| {
            format!(r#"{{ scenario = "hot-change", server = "{server}", number = "last_ack_ms.p50" }}"#)
        };
        let budget = |name, value, limit| {
            let (value, of) = (reference(value), reference("floor-tonic"));
            format!("[[budget]]\nname = \"{name}\"\nvalue = {value}\nof = {of}\nat_most = {limit}\n")
        };
        let budgets =
            [budget("a", "legation", 2.0), budget("b | c", "legation", 1.1), budget("d", "nobody", 1.1)]
                .concat();
        let runs: Vec<Run> = [2.0, 3.0, 8.0]
            .into_iter()
            .enumerate()
            .flat_map(|(repetition, ms)| {
                [timed("legation", repetition, ms), timed("floor-tonic", repetition, 2.0)]
            })
            .collect();
        let verdicts = Budgets::parse(&budgets).unwrap().check(&runs);
        let text = comparison(&runs, Some(&verdicts), &[], Path::new(""));
        let expected = "### Budgets\n\n\
             | budget | at most | minimum | median | maximum | |\n\
             |---|---|---|---|---|---|\n\
             | a | 2 | 1 | 1.50 | 4 | within |\n\
             | b \\| c | 1.1 | 1 | 1.50 | 4 | **over** |\n\
             | d | 1.1 |  |  |  | **cannot be checked**: no run of hot-change with nobody |\n";
        assert!(text.starts_with(expected), "{text}");
    }
}
