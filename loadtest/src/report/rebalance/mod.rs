//! What simulations of `rebalance` have shown: a table, a page, a part of the documentation.

mod drawings;
mod figures;
mod html;
mod markdown;
mod table;

pub use html::page;
pub use markdown::{REBALANCE, write};
pub use table::table;

use crate::rebalance::outcome::Outcome;

/// Outcomes of the same scenario, beside each other.
fn by_scenario(outcomes: &[Outcome]) -> Vec<Vec<&Outcome>> {
    let mut groups: Vec<Vec<&Outcome>> = Vec::new();
    for outcome in outcomes {
        match groups.iter_mut().find(|group| group[0].scenario == outcome.scenario) {
            Some(group) => group.push(outcome),
            None => groups.push(vec![outcome]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebalance::outcome::{Bound, Point, Recovery, Statement};

    fn outcome(scenario: &str, balancing: &str, found: f64) -> Outcome {
        Outcome {
            scenario: scenario.to_owned(),
            question: "What <then>?".to_owned(),
            balancing: balancing.to_owned(),
            hosts: 10,
            envoys: 1000,
            reconnects_per_second: 0.5,
            seconds: 100,
            attempts: 1234,
            refused: 5,
            failed: 6,
            attempts_a_second_max: 7,
            attempts_an_instant_max: 3,
            came_to_a_host_a_second_max: 2,
            fewest: 90,
            median: 100,
            most: 110,
            away_at_the_end: 1,
            recovery: Some(Recovery {
                cut: 100,
                p50: Some(0.25),
                p90: Some(0.5),
                p99: Some(1.0),
                all: None,
                attempts: 1.5,
                attempts_max: 9,
            }),
            fair_share_after: None,
            moves: 0.1,
            echoes: vec![1.0, 1.5],
            statements: vec![Statement { what: "a | b".to_owned(), found, bound: Bound::AtMost(1.0) }],
            failures: Vec::new(),
            course: (0..100)
                .map(|step: u32| Point {
                    at: f64::from(step) * 10.0 - 50.0,
                    attempts: step,
                    opened: 1.0,
                    refused: 0.0,
                    away: 100 - step,
                    fewest: 90,
                    p1: 91,
                    median: 100,
                    p99: 109,
                    most: 110,
                })
                .collect(),
        }
    }

    #[test]
    fn what_does_not_hold_is_told() {
        let told = table(&[outcome("steady", "least", 0.5), outcome("steady", "random", 1.5)]);
        let lines: Vec<&str> = told.lines().filter(|line| line.contains("does not hold")).collect();
        assert_eq!(lines, ["does not hold: random: a | b: 1.50, at most 1"]);
        assert!(told.contains("not all"), "{told}");
        assert!(!table(&[outcome("steady", "least", 0.5)]).contains("does not hold"));
    }

    #[test]
    fn outcomes_of_a_scenario_stand_together() {
        let outcomes = [outcome("a", "least", 1.0), outcome("b", "least", 1.0), outcome("a", "random", 1.0)];
        let found: Vec<Vec<&str>> = by_scenario(&outcomes)
            .iter()
            .map(|group| group.iter().map(|outcome| outcome.balancing.as_str()).collect())
            .collect();
        assert_eq!(found, [vec!["least", "random"], vec!["least"]]);
    }

    #[test]
    fn pages_hold_all_and_no_markup_of_strangers() {
        let outcomes = [outcome("a", "least", 1.0), outcome("b", "least", 2.0)];
        let page = page(&outcomes, "legation-loadtest rebalance");
        assert!(page.contains("What &lt;then&gt;?"));
        assert!(page.contains("does not hold"));

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scaling.md");
        let (begin, end) = (REBALANCE.begin(), REBALANCE.end());
        std::fs::write(&path, format!("before\n{begin}\nyesterday\n{end}\nafter\n")).unwrap();
        for _ in 0..2 {
            write(&path, &outcomes, "the command").unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("before\n") && text.ends_with("after\n") && !text.contains("yesterday"));
            assert!(text.contains("### a") && text.contains("### b") && text.contains("a \\| b"));
            assert!(text.contains("the command"));
            assert!(text.contains("**does not hold**"));
            for line in text.lines().filter(|line| line.starts_with("![")) {
                let file = line.split('<').nth(1).unwrap().trim_end_matches(">)");
                let plot = std::fs::read_to_string(directory.path().join(file)).unwrap();
                roxmltree::Document::parse(&plot).unwrap();
            }
            assert!(text.contains("!["));
        }
    }
}
