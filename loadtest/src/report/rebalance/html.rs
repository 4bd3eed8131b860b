//! A page to look at.

use maud::{Markup, html};

use super::by_scenario;
use super::drawings::plots;
use super::figures::{bound, facts, statement, statements, told};
use crate::rebalance::outcome::Outcome;
use crate::report::figures::digits;
use crate::report::page::{self, Link, failures, links, table};

/// The page of outcomes, which this command repeats.
pub fn page(outcomes: &[Outcome], command: &str) -> String {
    let groups = by_scenario(outcomes);
    let heading = html! {
        p class="lead" { "A simulation: " code { (command) } }
        (links(groups.iter().map(|group| link(group))))
    };
    let sections = html! { @for group in &groups { (section(group)) } };
    page::page("Reconnect waves", Some(&heading), &sections)
}

fn link<'a>(group: &[&'a Outcome]) -> Link<'a> {
    Link {
        id: group[0].scenario.clone(),
        name: &group[0].scenario,
        bad: (!group.iter().all(|outcome| outcome.holds())).then_some("does not hold"),
    }
}

fn section(group: &[&Outcome]) -> Markup {
    let failed = group.iter().flat_map(|outcome| &outcome.failures).map(|failure| html! { (failure) });
    let plots = plots(group);
    let figures = html! {
        @for (name, figure) in told(group) {
            tr { th class="name" { (name) } @for outcome in group { td { (figure(outcome)) } } }
        }
    };
    let statements = html! {
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
    };
    html! {
        section id=(group[0].scenario) {
            h2 { (group[0].scenario) }
            p class="lead" { (group[0].question) }
            p class="facts" { (facts(group)) }
            (failures(&failed.collect::<Vec<_>>()))
            (page::plots(plots.iter().map(|plot| &plot.svg)))
            (table(&header("figures", group), &figures))
            (table(&header("must hold", group), &statements))
        }
    }
}

fn header(name: &str, group: &[&Outcome]) -> Markup {
    html! { tr { th class="name" { (name) } @for outcome in group { th { (outcome.balancing) } } } }
}
