//! What a simulation has shown.

use serde::Serialize;

use super::tally::Second;

/// Seconds of a point of a course.
const STEP: usize = 10;

/// What became of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The scenario.
    pub scenario: String,
    /// What it is about, in a sentence.
    pub question: String,
    /// How the balancer chose.
    pub balancing: String,
    /// Hosts at the beginning.
    pub hosts: usize,
    /// Envoys.
    pub envoys: usize,
    /// Reconnects a second of all Envoys together, where nothing happens: Envoys by the interval.
    pub reconnects_per_second: f64,
    /// How long it was watched, from when something happened.
    pub seconds: usize,
    /// Attempts to connect in this time.
    pub attempts: u64,
    /// Of these refused by a full host.
    pub refused: u64,
    /// Connections of the balancer to hosts that were not there.
    pub failed: u64,
    /// Attempts in the busiest second.
    pub attempts_a_second_max: u32,
    /// Attempts in the busiest hundredth of a second.
    pub attempts_an_instant_max: u32,
    /// Connections to one host in its busiest second.
    pub came_to_a_host_a_second_max: u32,
    /// Envoys on the emptiest host at the end.
    pub fewest: u32,
    /// Envoys on the host in the middle at the end.
    pub median: u32,
    /// Envoys on the fullest host at the end.
    pub most: u32,
    /// Envoys without a stream at the end.
    pub away_at_the_end: u32,
    /// How those came back who were cut off; none where nobody was.
    pub recovery: Option<Recovery>,
    /// Seconds until new hosts had their share; none where there were none, or they never had.
    pub fair_share_after: Option<f64>,
    /// How often an Envoy was cut off or sent away on average, forced reconnects not counted.
    pub moves: f64,
    /// Reconnects a second in the busiest minute of the first, second and third interval after all had happened, by
    /// `reconnects_per_second`.
    pub echoes: Vec<f64>,
    /// What must hold.
    pub statements: Vec<Statement>,
    /// What the simulation itself got wrong.
    pub failures: Vec<String>,
    /// Over time.
    pub course: Vec<Point>,
}

impl Outcome {
    /// Whether all that must hold does.
    pub fn holds(&self) -> bool {
        self.failures.is_empty() && self.statements.iter().all(Statement::holds)
    }
}

/// How Envoys came back that an incident had cut off. Times are seconds from then; none where not so many are back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// How many were.
    pub cut: u64,
    /// Until half of them had a stream again.
    pub p50: Option<f64>,
    /// Nine tenths.
    pub p90: Option<f64>,
    /// All but one in a hundred.
    pub p99: Option<f64>,
    /// All of them.
    pub all: Option<f64>,
    /// Attempts of one that is back, on average.
    pub attempts: f64,
    /// Most attempts of one that is back.
    pub attempts_max: u32,
}

/// Something that must hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statement {
    /// What is compared.
    pub what: String,
    /// What it was.
    pub found: f64,
    /// What it may be.
    pub bound: Bound,
}

/// What a number may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Statement {
    pub(super) fn new(what: &str, found: f64, bound: Bound) -> Self {
        Self { what: what.to_owned(), found, bound }
    }

    /// Whether it does.
    pub fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.found <= most,
            Bound::AtLeast(least) => self.found >= least,
        }
    }
}

/// What was seen in ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Their beginning, in seconds from when something happened.
    pub at: f64,
    /// Attempts in the busiest of these seconds.
    pub attempts: u32,
    /// Streams that were opened, a second.
    pub opened: f64,
    /// Connections that full hosts refused, a second.
    pub refused: f64,
    /// Envoys without a stream.
    pub away: u32,
    /// Envoys on the emptiest host.
    pub fewest: u32,
    /// One in a hundred hosts has fewer.
    pub p1: u32,
    /// Envoys on the host in the middle.
    pub median: u32,
    /// One in a hundred hosts has more.
    pub p99: u32,
    /// Envoys on the fullest host.
    pub most: u32,
}

/// What is seen over time, where so many of the seconds were before anything happened.
pub(super) fn course(seconds: &[Second], before: usize) -> Vec<Point> {
    let point = |(number, seconds): (usize, &[Second])| {
        let mean = |count: fn(&Second) -> u32| {
            seconds.iter().map(|second| f64::from(count(second))).sum::<f64>() / seconds.len() as f64
        };
        let last = seconds.last().copied().unwrap_or_default();
        Point {
            at: (number * STEP) as f64 - before as f64,
            attempts: seconds.iter().map(|second| second.attempts).max().unwrap_or_default(),
            opened: mean(|second| second.opened),
            refused: mean(|second| second.refused),
            away: last.away,
            fewest: last.filled.fewest,
            p1: last.filled.p1,
            median: last.filled.median,
            p99: last.filled.p99,
            most: last.filled.most,
        }
    };
    seconds.chunks(STEP).enumerate().map(point).collect()
}
