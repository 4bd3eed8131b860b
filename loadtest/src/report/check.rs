//! Budgets, and whether runs are within them.
//!
//! A budget is a ratio of two numbers that were measured beside each other, so that it holds on any machine:
//!
//! ```toml
//! [[budget]]
//! name = "hot change, last ACK"
//! value = { scenario = "hot-change", server = "legation", number = "last_ack_ms.p50" }
//! of = { scenario = "hot-change", server = "floor-tonic", number = "last_ack_ms.p50" }
//! at_most = 1.2
//! ```
//!
//! The ratio is taken in each repetition; the median of them decides. What cannot be checked is not within a budget.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;

use comfy_table::{CellAlignment, Table};
use serde::Deserialize;
use thiserror::Error;

use super::figures::digits;
use super::numbers::numbers;
use super::spread::Spread;
use super::table::LINES;
use crate::run::Run;

/// A file of budgets.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// At least one.
    #[serde(rename = "budget")]
    budgets: Vec<Budget>,
}

/// How large one number may be, measured by another.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// For people.
    pub name: String,
    /// What is limited.
    pub value: Reference,
    /// What it is divided by.
    pub of: Reference,
    /// The greatest median of the ratios that is within the budget.
    pub at_most: f64,
}

/// Where a number is found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// [`Run::scenario`].
    pub scenario: String,
    /// [`Run::server`].
    pub server: String,
    /// A name that [`numbers()`] gives.
    pub number: String,
}

/// Why a file of budgets cannot be used.
#[derive(Debug, Error)]
pub enum BudgetsError {
    /// It cannot be read.
    #[error("cannot read budgets: {0}")]
    Read(#[from] io::Error),
    /// It is no TOML, or lacks keys, or has keys that mean nothing.
    #[error("budgets: {0}")]
    Parse(#[from] toml::de::Error),
    /// A limit that nothing, or everything, is within.
    #[error("budget `{name}`: at_most is {at_most}, but has to be a number greater than 0")]
    Limit {
        /// The budget's name.
        name: String,
        /// Its limit.
        at_most: f64,
    },
    /// There is nothing in it, and nothing would always be within budget.
    #[error("budgets: there is none in the file")]
    None,
}

/// Why a budget cannot be checked.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum CannotCheck {
    /// There is no run of a server in a scenario.
    #[error("no run of {scenario} with {server}")]
    NoRun {
        /// The scenario.
        scenario: String,
        /// The server.
        server: String,
    },
    /// The other side of the ratio has a repetition that this one lacks.
    #[error("{scenario} with {server} has no repetition {repetition}")]
    NoRepetition {
        /// The scenario.
        scenario: String,
        /// The server.
        server: String,
        /// The repetition.
        repetition: usize,
    },
    /// There are two runs where one is expected.
    #[error("{scenario} with {server} has repetition {repetition} more than once")]
    Twice {
        /// The scenario.
        scenario: String,
        /// The server.
        server: String,
        /// The repetition.
        repetition: usize,
    },
    /// A run went wrong, so that its numbers say nothing.
    #[error("{scenario} with {server} failed in repetition {repetition}: {failure}")]
    Failed {
        /// The scenario.
        scenario: String,
        /// The server.
        server: String,
        /// The repetition.
        repetition: usize,
        /// What went wrong first.
        failure: String,
    },
    /// The run has no number of that name.
    #[error("{scenario} with {server} has no number `{number}` in repetition {repetition}")]
    NoNumber {
        /// The scenario.
        scenario: String,
        /// The server.
        server: String,
        /// The repetition.
        repetition: usize,
        /// The number's name.
        number: String,
    },
    /// What is divided by is not above 0.
    #[error(
        "`{number}` of {scenario} with {server} is {value} in repetition {repetition}, nothing to divide by"
    )]
    Denominator {
        /// The scenario.
        scenario: String,
        /// The server.
        server: String,
        /// The repetition.
        repetition: usize,
        /// The number's name.
        number: String,
        /// The number.
        value: f64,
    },
}

/// What became of all budgets of a file. Written out, it is a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdicts {
    /// One for each budget, in the order of the file.
    pub verdicts: Vec<Verdict>,
}

/// What became of a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The budget.
    pub budget: Budget,
    /// The ratios of all repetitions.
    pub ratio: Result<Spread, CannotCheck>,
}

impl Budgets {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, BudgetsError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, BudgetsError> {
        let budgets: Self = toml::from_str(text)?;
        if budgets.budgets.is_empty() {
            return Err(BudgetsError::None);
        }
        for Budget { name, at_most, .. } in &budgets.budgets {
            if !at_most.is_finite() || *at_most <= 0.0 {
                return Err(BudgetsError::Limit { name: name.clone(), at_most: *at_most });
            }
        }
        Ok(budgets)
    }

    /// Compares runs with all budgets.
    pub fn check(&self, runs: &[Run]) -> Verdicts {
        let verdict = |budget: &Budget| Verdict { budget: budget.clone(), ratio: budget.ratio(runs) };
        Verdicts { verdicts: self.budgets.iter().map(verdict).collect() }
    }
}

impl Budget {
    fn ratio(&self, runs: &[Run]) -> Result<Spread, CannotCheck> {
        let values = self.value.runs(runs)?;
        let divisors = self.of.runs(runs)?;
        let repetitions: BTreeSet<usize> = values.keys().chain(divisors.keys()).copied().collect();
        let mut ratios = Vec::new();
        for repetition in repetitions {
            let value = self.value.number(&values, repetition)?;
            let divisor = self.of.number(&divisors, repetition)?;
            if divisor <= 0.0 {
                let Reference { scenario, server, number } = self.of.clone();
                return Err(CannotCheck::Denominator {
                    scenario,
                    server,
                    repetition,
                    number,
                    value: divisor,
                });
            }
            ratios.push(value / divisor);
        }
        Spread::of(ratios).ok_or_else(|| self.value.no_run())
    }
}

impl Reference {
    /// The runs that are meant, by repetition; at least one.
    fn runs<'a>(&self, runs: &'a [Run]) -> Result<BTreeMap<usize, &'a Run>, CannotCheck> {
        let mut found = BTreeMap::new();
        for run in runs.iter().filter(|run| run.scenario == self.scenario && run.server == self.server) {
            let Reference { scenario, server, .. } = self.clone();
            let repetition = run.repetition;
            if let Some(failure) = run.failures.first().cloned() {
                return Err(CannotCheck::Failed { scenario, server, repetition, failure });
            }
            if found.insert(repetition, run).is_some() {
                return Err(CannotCheck::Twice { scenario, server, repetition });
            }
        }
        if found.is_empty() { Err(self.no_run()) } else { Ok(found) }
    }

    fn number(&self, runs: &BTreeMap<usize, &Run>, repetition: usize) -> Result<f64, CannotCheck> {
        let Reference { scenario, server, number } = self.clone();
        let Some(run) = runs.get(&repetition) else {
            return Err(CannotCheck::NoRepetition { scenario, server, repetition });
        };
        let value = numbers(run).get(&number).copied();
        value.ok_or(CannotCheck::NoNumber { scenario, server, repetition, number })
    }

    fn no_run(&self) -> CannotCheck {
        CannotCheck::NoRun { scenario: self.scenario.clone(), server: self.server.clone() }
    }
}

impl Verdict {
    /// Whether it could be checked and the median is within the limit.
    pub fn within(&self) -> bool {
        self.ratio.as_ref().is_ok_and(|ratio| ratio.median <= self.budget.at_most)
    }

    /// The verdict in a word or two.
    pub fn word(&self) -> &'static str {
        match &self.ratio {
            Err(_) => "cannot be checked",
            Ok(_) if self.within() => "within",
            Ok(_) => "over",
        }
    }
}

impl Verdicts {
    /// Whether every budget could be checked and is kept.
    pub fn all_within(&self) -> bool {
        self.verdicts.iter().all(Verdict::within)
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(LINES);
        table.set_header(["budget", "at most", "minimum", "median", "maximum", "verdict"]);
        for verdict in &self.verdicts {
            let mut row = vec![verdict.budget.name.clone(), verdict.budget.at_most.to_string()];
            row.extend(match &verdict.ratio {
                Ok(ratio) => [ratio.minimum, ratio.median, ratio.maximum].map(digits),
                Err(_) => Default::default(),
            });
            row.push(verdict.word().to_owned());
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1).take(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        for verdict in &self.verdicts {
            if let Err(reason) = &verdict.ratio {
                writeln!(f, "cannot be checked: {}: {reason}", verdict.budget.name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{phase, run};
    use super::*;
    use crate::run::Measure;

    /// Of `legation`, measured by `floor-tonic`.
    const BUDGET: &str = r#"
[[budget]]
name = "hot change"
value = { scenario = "hot-change", server = "legation", number = "last_ack_ms.p50" }
of = { scenario = "hot-change", server = "floor-tonic", number = "last_ack_ms.p50" }
at_most = 1.2
"#;

    fn timed(server: &str, repetition: usize, ms: f64) -> Run {
        run("hot-change", server, repetition, vec![phase("").latency(Measure::LastAck, &[ms; 10]).phase()])
    }

    fn ratio(budgets: &str, runs: &[Run]) -> (Verdict, bool) {
        let verdicts = Budgets::parse(budgets).unwrap().check(runs);
        let within = verdicts.all_within();
        let [verdict] = verdicts.verdicts.try_into().unwrap();
        (verdict, within)
    }

    #[test]
    fn the_median_of_the_ratios_decides() {
        #[track_caller]
        fn check(times: &[(f64, f64)], expected: (f64, f64, f64), within: bool) {
            let mut runs = Vec::new();
            for (repetition, &(legation, floor)) in times.iter().enumerate() {
                runs.push(timed("legation", repetition, legation));
                runs.insert(0, timed("floor-tonic", repetition, floor));
            }
            let (verdict, all_within) = ratio(BUDGET, &runs);
            let found = verdict.ratio.clone().unwrap();
            assert_eq!((found.minimum, found.median, found.maximum), expected);
            assert_eq!((verdict.within(), all_within), (within, within));
            assert_eq!(verdict.word(), if within { "within" } else { "over" });
        }
        check(&[(10.0, 10.0)], (1.0, 1.0, 1.0), true);
        check(&[(12.0, 10.0)], (1.2, 1.2, 1.2), true);
        check(&[(12.5, 10.0)], (1.25, 1.25, 1.25), false);
        // the ratio of the medians would be 2
        check(&[(10.0, 10.0), (20.0, 20.0), (40.0, 5.0)], (1.0, 1.0, 8.0), true);
        check(&[(10.0, 10.0), (30.0, 20.0), (40.0, 5.0)], (1.0, 1.5, 8.0), false);
        check(&[(0.0, 10.0)], (0.0, 0.0, 0.0), true);
    }

    #[test]
    fn the_phases_of_one_run_can_be_compared() {
        let budget = BUDGET
            .replace("floor-tonic", "legation")
            .replacen("last_ack", "many/last_ack", 1)
            .replacen("\"last_ack", "\"few/last_ack", 1);
        let timed = |name, ms| phase(name).latency(Measure::LastAck, &[ms; 10]).phase();
        let runs = [run("hot-change", "legation", 0, vec![timed("few", 4.0), timed("many", 5.0)])];
        assert_eq!(ratio(&budget, &runs).0.ratio.unwrap().median, 1.25);
    }

    #[test]
    fn what_cannot_be_checked_is_not_within() {
        #[track_caller]
        fn check(runs: &[Run], expected: &str) {
            let (verdict, all_within) = ratio(BUDGET, runs);
            assert_eq!(verdict.ratio.clone().unwrap_err().to_string(), expected);
            assert_eq!((verdict.within(), all_within, verdict.word()), (false, false, "cannot be checked"));
        }
        let ours = || timed("legation", 0, 1.0);
        let floor = || timed("floor-tonic", 0, 1.0);
        check(&[], "no run of hot-change with legation");
        check(&[ours()], "no run of hot-change with floor-tonic");
        let mut other = ours();
        other.scenario = "churn".to_owned();
        check(&[other, floor()], "no run of hot-change with legation");
        check(
            &[ours(), floor(), timed("legation", 1, 1.0)],
            "hot-change with floor-tonic has no repetition 1",
        );
        check(
            &[ours(), floor(), timed("floor-tonic", 2, 1.0)],
            "hot-change with legation has no repetition 2",
        );
        check(&[ours(), floor(), ours()], "hot-change with legation has repetition 0 more than once");
        check(
            &[ours(), timed("floor-tonic", 0, 0.0)],
            "`last_ack_ms.p50` of hot-change with floor-tonic is 0 in repetition 0, nothing to divide by",
        );
        let nothing = run("hot-change", "legation", 0, vec![phase("").phase()]);
        check(
            &[nothing, floor()],
            "hot-change with legation has no number `last_ack_ms.p50` in repetition 0",
        );
        let mut failed = floor();
        failed.failures.push("nobody came".to_owned());
        check(&[ours(), failed], "hot-change with floor-tonic failed in repetition 0: nobody came");
    }

    #[test]
    fn one_that_is_over_is_enough() {
        let both = format!("{BUDGET}{}", BUDGET.replace("1.2", "0.9"));
        let runs = [timed("legation", 0, 1.0), timed("floor-tonic", 0, 1.0)];
        let verdicts = Budgets::parse(&both).unwrap().check(&runs);
        assert_eq!(verdicts.verdicts.iter().map(Verdict::within).collect::<Vec<_>>(), [true, false]);
        assert!(!verdicts.all_within());
    }

    #[test]
    fn a_bad_file_is_an_error_that_names_the_place() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let message = Budgets::parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        check("", "missing field `budget`");
        check("budget = []", "there is none");
        check(&format!("{BUDGET}at_mots = 1\n"), "unknown field `at_mots`");
        check(&BUDGET.replace("number =", "numbr ="), "unknown field `numbr`");
        check(&format!("limits = 1\n{BUDGET}"), "unknown field `limits`");
        check(&BUDGET.replace("at_most = 1.2", ""), "missing field `at_most`");
        check(&BUDGET.replace("1.2", "0"), "`hot change`: at_most is 0");
        check(&BUDGET.replace("1.2", "nan"), "at_most is NaN");
        check(&BUDGET.replace("1.2", "inf"), "at_most is inf");
        check("[[budget", "TOML parse error");
    }

    #[test]
    fn the_table_tells_everything() {
        let verdicts =
            Budgets::parse(&format!("{BUDGET}{}", BUDGET.replace("\"legation\"", "\"nobody\""))).unwrap();
        let runs: Vec<Run> = [2.0, 3.0, 8.0]
            .into_iter()
            .enumerate()
            .flat_map(|(repetition, ms)| {
                [timed("legation", repetition, ms), timed("floor-tonic", repetition, 2.0)]
            })
            .collect();
        let text = verdicts.check(&runs).to_string();
        let cells = |line: &str| {
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join("|")
        };
        let lines: Vec<String> = text.lines().map(cells).collect();
        assert!(lines.contains(&"hot change|1.2|1|1.50|4|over".to_owned()), "{text}");
        assert!(lines.contains(&"hot change|1.2|cannot be checked".to_owned()), "{text}");
        assert!(
            lines.contains(&"cannot be checked: hot change: no run of hot-change with nobody".to_owned()),
            "{text}"
        );
    }

    #[test]
    fn the_budgets_of_the_project_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("budgets.toml");
        let budgets = Budgets::read(&path).unwrap();
        for budget in &budgets.budgets {
            for reference in [&budget.value, &budget.of] {
                assert!(super::super::groups::SERVERS.contains(&reference.server.as_str()), "{reference:?}");
                assert_ne!(super::super::figures::question(&reference.scenario), "", "{reference:?}");
            }
        }
        // none of them is met by nothing
        assert!(budgets.check(&[]).verdicts.iter().all(|verdict| !verdict.within()));
    }
}
