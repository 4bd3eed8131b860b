//! A page to look at.

mod tables;

use std::fs;
use std::io;
use std::path::Path;

use maud::{Markup, html};

use super::drawings::{Course, PLOTTED, bar_chart, course, latency};
use super::figures::{label, machine, quantity, question};
use super::groups::{Failure, Group, groups};
use super::page::{self, Link, failures, links, plots};
use crate::run::Run;

/// Numbers that are drawn as bars. A last sync happens once a run, so it has no percentiles to plot.
const BARS: [&str; 5] = [
    "last_sync_ms.p50",
    "server_cpu_us_per_push",
    "resident_kib_per_envoy",
    "resident_mib",
    "resources_received",
];
/// Numbers that stand in large type where one server was measured.
const HEADLINES: [&str; 9] = [
    "last_sync_ms.p50",
    "last_ack_ms.p50",
    "last_ack_ms.p99",
    "receipt_ms.p99",
    "sync_ms.p99",
    "server_cpu_us_per_push",
    "resident_kib_per_envoy",
    "resources_received",
    "lost",
];

/// Writes the page of runs to a file.
pub fn write(runs: &[Run], path: &Path) -> io::Result<()> {
    fs::write(path, page(runs))
}

/// The page of runs.
pub fn page(runs: &[Run]) -> String {
    let groups = groups(runs);
    let title = match groups.as_slice() {
        [group] => format!("{}: {}", group.scenario, list(&group.servers)),
        _ => "Load test".to_owned(),
    };
    let failed = runs.iter().filter(|run| !run.failures.is_empty()).count();
    let heading = html! {
        p class="lead" {
            (runs.len()) " runs of " (groups.len()) " scenarios. "
            @if failed > 0 { strong class="bad" { (failed) " of them failed." } } @else { "None failed." }
        }
        (links(groups.iter().enumerate().map(|(position, group)| link(group, position))))
    };
    let sections = html! {
        @for (position, group) in groups.iter().enumerate() { (section(group, position)) }
        @if groups.is_empty() { p class="lead" { "There are no runs." } }
    };
    page::page(&title, (groups.len() > 1).then_some(&heading), &sections)
}

fn link<'a>(group: &Group<'a>, position: usize) -> Link<'a> {
    Link { id: id(position), name: group.scenario, bad: (!group.failures.is_empty()).then_some("failed") }
}

fn id(position: usize) -> String {
    format!("scenario-{position}")
}

fn section(group: &Group<'_>, position: usize) -> Markup {
    let latencies = PLOTTED.into_iter().flat_map(|measure| latency(group, measure));
    let bars =
        BARS.into_iter().filter(|number| shown(group, number)).filter_map(|number| bar_chart(group, number));
    let compared: Vec<_> = latencies.chain(bars).collect();
    let courses: Vec<_> = Course::ALL.into_iter().flat_map(|kind| course(group, kind)).collect();
    let failed = |failure: &Failure<'_>| {
        html! {
            b { (failure.server) }
            @if group.repetitions() > 1 { ", repetition " (failure.repetition) }
            ": " (failure.sentence)
        }
    };
    html! {
        section id=(id(position)) {
            h2 { (group.scenario) }
            p class="lead" { (question(group.scenario)) }
            p class="facts" { (facts(group)) }
            (failures(&group.failures.iter().map(failed).collect::<Vec<_>>()))
            @if group.servers.len() == 1 { (headlines(group)) }
            (plots(compared.iter()))
            (plots(courses.iter()))
            (tables::tables(group))
        }
    }
}

/// Resources are of interest where there should be none.
fn shown(group: &Group<'_>, number: &str) -> bool {
    number != "resources_received" || group.scenario == "mass-reconnect"
}

/// The sentence below a heading: of what it was measured, and on what.
fn facts(group: &Group<'_>) -> Markup {
    let told: Vec<String> = group.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
    html! {
        (list(&group.servers))
        @if group.repetitions() > 1 { ", median of " (group.repetitions()) " repetitions each" }
        ". "
        @if !told.is_empty() { (told.join(" · ")) ". " }
        @for machine_of_runs in &group.machines { (machine(machine_of_runs)) ". " }
    }
}

/// The numbers that matter, large; phases one after the other.
fn headlines(group: &Group<'_>) -> Markup {
    html! {
        dl class="headlines" {
            @for number in HEADLINES.into_iter().filter(|number| group.has(number) && shown(group, number)) {
                @let values = group.rows.iter().map(|row| row.spread(number).map(|spread| spread.median));
                @let texts: Vec<String> =
                    values.clone().map(|value| value.map_or("–".to_owned(), |value| quantity(number, value))).collect();
                @let bad = number == "lost" && values.flatten().any(|lost| lost > 0.0);
                div {
                    dt { (label(number)) }
                    dd class=[bad.then_some("bad")] { (texts.join(" → ")) }
                }
            }
        }
        @if group.rows.len() > 1 {
            p class="order" { (list(&group.rows.iter().map(|row| group.row_label(row)).collect::<Vec<_>>())) ", in this order" }
        }
    }
}

/// One, two and three.
fn list(names: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{phase, run};
    use super::*;
    use crate::run::Measure;

    /// What a parser of XML, which is stricter than one of HTML, makes of the page.
    #[track_caller]
    fn check(page: &str, look: impl FnOnce(&roxmltree::Document<'_>)) {
        let body = page.strip_prefix("<!DOCTYPE html>").unwrap();
        // the one element that HTML does not close
        let mut closed = String::new();
        for part in body.split_inclusive('>') {
            match part.strip_suffix('>') {
                Some(open) if open.starts_with("<meta ") => closed.push_str(&format!("{open}/>")),
                _ => closed.push_str(part),
            }
        }
        look(&roxmltree::Document::parse(&closed).unwrap());
    }

    fn text(document: &roxmltree::Document<'_>) -> String {
        document
            .descendants()
            .filter(roxmltree::Node::is_text)
            .filter_map(|node| node.text())
            .collect::<Vec<_>>()
            .join("|")
    }

    fn everything(name: &str) -> Vec<Run> {
        let mut runs = Vec::new();
        for scenario in ["hot-change", name] {
            for server in ["legation", name, "floor-tonic"] {
                for repetition in 0..2 {
                    let phases = ["few", name].map(|name| {
                        let timed = [1.0, 2.0, 3.0 + repetition as f64];
                        phase(name)
                            .latency(Measure::LastAck, &timed)
                            .latency(Measure::LastSync, &[3.0])
                            .new_envoys()
                            .samples()
                            .phase()
                    });
                    let mut run = run(scenario, server, repetition, phases.into());
                    run.parameters.insert(name.to_owned(), name.to_owned());
                    run.machine.processor = name.to_owned();
                    run.failures.push(name.to_owned());
                    runs.push(run);
                }
            }
        }
        runs
    }

    #[test]
    fn it_is_well_formed_whatever_there_is() {
        check(&page(&[]), |document| assert!(text(document).contains("There are no runs")));
        check(&page(&[run("hot-change", "legation", 0, vec![])]), |_| ());
        check(&page(&[run("churn", "legation", 0, vec![phase("").samples().phase()])]), |_| ());
        check(&page(&everything("plain")), |document| {
            let plots = document
                .descendants()
                .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "svg")));
            // for each scenario: last ACK of two phases; last sync, CPU and twice memory; three courses of two phases
            assert_eq!(plots.count(), 2 * (2 + 4 + 6));
        });
    }

    #[test]
    fn names_are_escaped() {
        let name = r#"<script>alert("&amp;")</script>"#;
        check(&page(&everything(name)), |document| {
            assert!(document.descendants().all(|node| node.tag_name().name() != "script"));
            assert!(text(document).contains(name));
        });
        // one scenario alone is the title
        check(&page(&[run(name, name, 0, vec![])]), |document| {
            let title = document.descendants().find(|node| node.has_tag_name("title")).unwrap();
            assert_eq!(title.text(), Some(format!("{name}: {name}").as_str()));
        });
    }

    #[test]
    fn nothing_else_is_fetched() {
        let page = page(&everything("plain"));
        for other in ["src=", "href=\"http", "url(", "@import", "<link", "<script"] {
            assert!(!page.contains(other), "{other}");
        }
    }

    #[test]
    fn the_numbers_are_in_the_tables() {
        let timed = |repetition, ms: f64| {
            let mut phase = phase("").latency(Measure::LastAck, &[ms; 10]).phase();
            phase.received.lost = 7;
            run("hot-change", "legation", repetition, vec![phase])
        };
        check(&page(&[timed(0, 2.5), timed(1, 4.5), timed(2, 3.25)]), |document| {
            let cells = |node: roxmltree::Node<'_, '_>| {
                let text = |cell: roxmltree::Node<'_, '_>| {
                    cell.descendants()
                        .filter(roxmltree::Node::is_text)
                        .filter_map(|node| node.text())
                        .collect()
                };
                let cells = node.children().filter(roxmltree::Node::is_element);
                cells
                    .map(|cell| (text(cell), cell.attribute("class") == Some("bad")))
                    .collect::<Vec<(String, bool)>>()
            };
            let rows: Vec<_> =
                document.descendants().filter(|node| node.has_tag_name("tr")).map(cells).collect();
            let latency = "3.25 ms2.50 to 4.50 ms".to_owned();
            let first = [("legation".to_owned(), false), (latency.clone(), false)];
            assert!(rows.iter().any(|row| row.starts_with(&first)), "{rows:#?}");
            // what was lost is red
            let first = [("legation".to_owned(), false), ("7".to_owned(), true), ("0".to_owned(), false)];
            assert!(rows.iter().any(|row| row.starts_with(&first)), "{rows:#?}");

            let headlines =
                document.descendants().find(|node| node.attribute("class") == Some("headlines")).unwrap();
            let headlines: Vec<_> = headlines.children().map(cells).collect();
            let of = |label: &str, value: &str, bad| vec![(label.to_owned(), false), (value.to_owned(), bad)];
            assert!(headlines.contains(&of("last ACK p50", "3.25 ms", false)), "{headlines:?}");
            assert!(headlines.contains(&of("lost", "7", true)), "{headlines:?}");
        });
    }

    #[test]
    fn failures_and_facts_are_told() {
        let mut bad =
            run("hot-change", "legation", 3, vec![phase("").latency(Measure::LastAck, &[1.0, 9.0]).phase()]);
        bad.failures.push("node-3 never received change 7".to_owned());
        let good = run("hot-change", "legation", 1, bad.phases.clone());
        check(&page(&[bad, good.clone()]), |document| {
            let failures =
                document.descendants().find(|node| node.attribute("class") == Some("failures")).unwrap();
            let told: String = failures.descendants().filter_map(|node| node.text()).collect();
            assert!(
                told.contains("node-3 never received change 7") && told.contains("repetition 3"),
                "{told}"
            );
            let all = text(document);
            for fact in [
                "envoys 1000",
                "Imagined CPU at 3 GHz",
                "8 GiB",
                "server on CPU 0",
                "when has the last of them",
            ] {
                assert!(all.contains(fact), "no {fact} in {all}");
            }
        });
        check(&page(&[good]), |document| {
            assert!(document.descendants().all(|node| node.attribute("class") != Some("failures")));
        });
    }
}
