//! The figures of an outcome, as rows of any table.

use crate::rebalance::outcome::{Bound, Outcome, Recovery, Statement};
use crate::report::figures::{digits, quantity};

/// What a row is called, and its text for an outcome; an empty one where there is nothing to tell.
pub(super) type Figure = (&'static str, fn(&Outcome) -> String);

/// All rows, in their order.
pub(super) const FIGURES: [Figure; 17] = [
    ("Envoys cut off or sent away", |one| recovery(one, |recovery| digits(recovery.cut as f64))),
    ("half of them back after", |one| back(one, |recovery| recovery.p50)),
    ("90 %", |one| back(one, |recovery| recovery.p90)),
    ("99 %", |one| back(one, |recovery| recovery.p99)),
    ("all", |one| back(one, |recovery| recovery.all)),
    ("attempts of one that is back: mean, most", |one| {
        recovery(one, |recovery| format!("{}, {}", digits(recovery.attempts), recovery.attempts_max))
    }),
    ("no host below its share after", |one| one.fair_share_after.map_or_else(String::new, seconds)),
    ("attempts a second: mean", |one| digits(one.attempts as f64 / one.seconds.max(1) as f64)),
    ("in the busiest second", |one| digits(f64::from(one.attempts_a_second_max))),
    ("in the busiest 10 ms", |one| digits(f64::from(one.attempts_an_instant_max))),
    ("to one host in its busiest second", |one| digits(f64::from(one.came_to_a_host_a_second_max))),
    ("refused by full hosts", |one| digits(one.refused as f64)),
    ("failed at hosts that were not there", |one| digits(one.failed as f64)),
    ("busiest minute one, two, three intervals later, by the mean", |one| {
        one.echoes.iter().map(|&echo| digits(echo)).collect::<Vec<_>>().join(", ")
    }),
    ("Envoys on a host at the end: fewest, median, most", |one| {
        format!("{}, {}, {}", one.fewest, one.median, one.most)
    }),
    ("Envoys without a stream at the end", |one| digits(f64::from(one.away_at_the_end))),
    ("all that must hold does", |one| {
        let for_contrast =
            one.statements.iter().any(|statement| matches!(statement.bound, Bound::AtLeast(_)));
        match (one.holds(), for_contrast) {
            (true, true) => "a storm, for contrast",
            (true, false) => "yes",
            (false, _) => "no",
        }
        .to_owned()
    }),
];

/// The figures of which any outcome has something to tell.
pub(super) fn told<'a>(outcomes: &'a [&Outcome]) -> impl Iterator<Item = &'static Figure> + 'a {
    FIGURES.iter().filter(|(_, text)| outcomes.iter().any(|outcome| !text(outcome).is_empty()))
}

/// What must hold of any of the outcomes, each once, in the order in which it is told first.
pub(super) fn statements<'a>(outcomes: &[&'a Outcome]) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::new();
    for statement in outcomes.iter().flat_map(|outcome| &outcome.statements) {
        if !all.contains(&statement.what.as_str()) {
            all.push(&statement.what);
        }
    }
    all
}

/// A statement of an outcome, if it is told of it.
pub(super) fn statement<'a>(outcome: &'a Outcome, what: &str) -> Option<&'a Statement> {
    outcome.statements.iter().find(|statement| statement.what == what)
}

/// A statement in a few words, with what was found.
pub(super) fn found(statement: &Statement) -> String {
    format!("{}, {}", digits(statement.found), bound(statement))
}

/// What a statement allows.
pub(super) fn bound(statement: &Statement) -> String {
    match statement.bound {
        Bound::AtMost(most) => format!("at most {}", digits(most)),
        Bound::AtLeast(least) => format!("at least {}", digits(least)),
    }
}

/// What the outcomes of a group have in common.
pub(super) fn facts(outcomes: &[&Outcome]) -> String {
    outcomes.first().map_or_else(String::new, |one| {
        format!(
            "{} hosts, {} Envoys, {} reconnects a second where nothing happens.",
            digits(one.hosts as f64),
            digits(one.envoys as f64),
            digits(one.reconnects_per_second)
        )
    })
}

fn recovery(outcome: &Outcome, text: impl Fn(&Recovery) -> String) -> String {
    outcome.recovery.as_ref().map_or_else(String::new, text)
}

fn back(outcome: &Outcome, after: impl Fn(&Recovery) -> Option<f64>) -> String {
    recovery(outcome, |recovery| after(recovery).map_or_else(|| "not all".to_owned(), seconds))
}

fn seconds(seconds: f64) -> String {
    quantity("seconds", seconds)
}
