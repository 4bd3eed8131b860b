//! A page to look at: one file that needs nothing else.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::by_scenario;
use super::drawings::plots;
use super::figures::{bound, facts, statement, statements, told};
use crate::rebalance::outcome::Outcome;
use crate::report::chart::STYLE;
use crate::report::figures::digits;

/// The page of outcomes, which this command repeats.
pub fn page(outcomes: &[Outcome], command: &str) -> String {
    let groups = by_scenario(outcomes);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Reconnect waves" }
                style { (PreEscaped(STYLE)) (PreEscaped(include_str!("../html/page.css"))) }
            }
            body {
                header {
                    h1 { "Reconnect waves" }
                    p class="lead" { "A simulation: " code { (command) } }
                    nav {
                        ul {
                            @for group in &groups {
                                li {
                                    a href=(format!("#{}", group[0].scenario)) { (group[0].scenario) }
                                    @if !group.iter().all(|outcome| outcome.holds()) { " " span class="bad" { "does not hold" } }
                                }
                            }
                        }
                    }
                }
                main { @for group in &groups { (section(group)) } }
            }
        }
    }
    .into_string()
}

fn section(group: &[&Outcome]) -> Markup {
    html! {
        section id=(group[0].scenario) {
            h2 { (group[0].scenario) }
            p class="lead" { (group[0].question) }
            p class="facts" { (facts(group)) }
            @for failure in group.iter().flat_map(|outcome| &outcome.failures) {
                div class="failures" { h3 { "Failed" } ul { li { (failure) } } }
            }
            div class="plots" { @for plot in plots(group) { figure { (plot.svg.inline()) } } }
            div class="scroll" {
                table {
                    thead { (header("figures", group)) }
                    tbody {
                        @for (name, figure) in told(group) {
                            tr { th class="name" { (name) } @for outcome in group { td { (figure(outcome)) } } }
                        }
                    }
                }
            }
            div class="scroll" {
                table {
                    thead { (header("must hold", group)) }
                    tbody {
                        @for what in statements(group) {
                            tr {
                                th class="name" { (what) }
                                @for outcome in group {
                                    @if let Some(found) = statement(outcome, what) {
                                        td class=[(!found.holds()).then_some("bad")] {
                                            (digits(found.found)) small { (bound(found)) }
                                        }
                                    } @else { td {} }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn header(name: &str, group: &[&Outcome]) -> Markup {
    html! { tr { th class="name" { (name) } @for outcome in group { th { (outcome.balancing) } } } }
}
