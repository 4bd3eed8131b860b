//! Plots of a scenario: attempts, reconnects and Envoys without a stream over time, a line for each balancer; and how one
//! balancer fills the hosts.

use crate::rebalance::outcome::{Outcome, Point};
use crate::report::chart::axis::Axis;
use crate::report::chart::lines::{Line, lines};
use crate::report::chart::{Colour, Svg};

/// Far apart from each other.
const COLOURS: [usize; 6] = [0, 3, 6, 4, 5, 7];

/// Above this ratio of the greatest value to the mean, a scale from zero would show the greatest only.
const WIDE: f64 = 25.0;

/// How long after an incident everything is drawn that happens at once, in seconds.
const AT_ONCE: f64 = 300.0;

/// Most points of a line: there are not many more places for them.
const POINTS_MAX: usize = 200;

/// A plot, and the end of the name of its file.
pub(super) struct Plot {
    pub(super) kind: &'static str,
    pub(super) svg: Svg,
}

/// All plots of a scenario.
pub(super) fn plots(group: &[&Outcome]) -> Vec<Plot> {
    let attempts = |point: &Point| f64::from(point.attempts);
    let mut plots = Vec::from([
        Plot {
            kind: "attempts",
            svg: courses("Attempts to connect", "in the busiest of ten seconds", group, None, attempts),
        },
        Plot {
            kind: "reconnects",
            svg: courses("Streams opened", "a second", group, None, |point| point.opened),
        },
    ]);
    if group.iter().any(|outcome| outcome.recovery.is_some()) {
        let away = |point: &Point| f64::from(point.away);
        let long = group.iter().any(|outcome| {
            outcome.course.iter().any(|point| point.at > AT_ONCE && point.away * 100 > point.most)
        });
        let end = (!long).then_some(AT_ONCE);
        plots.push(Plot { kind: "away", svg: courses("Without a stream", "Envoys", group, end, away) });
    }
    plots.extend(group.iter().take(1).map(|outcome| Plot { kind: "hosts", svg: filled(outcome) }));
    plots
}

/// A line for each balancer.
fn courses(
    title: &str,
    unit: &str,
    group: &[&Outcome],
    end: Option<f64>,
    value: impl Fn(&Point) -> f64,
) -> Svg {
    let mut drawn = Vec::new();
    for (number, outcome) in group.iter().enumerate() {
        let shown = outcome.course.iter().filter(|point| end.is_none_or(|end| point.at <= end));
        let points: Vec<(f64, f64)> = shown.map(|point| (point.at / 60.0, value(point))).collect();
        let points = peaks(&points);
        drawn.push(Line {
            label: Some(outcome.balancing.clone()),
            colour: Colour(COLOURS[number % COLOURS.len()]),
            hint: outcome.balancing.clone(),
            points,
            band: Vec::new(),
        });
    }
    let values = || drawn.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let greatest = values().fold(0.0, f64::max);
    let mean = values().sum::<f64>() / values().count().max(1) as f64;
    let y = if greatest > WIDE * mean {
        Axis::logarithmic(1.0, greatest, &format!("{unit}, logarithmic"))
    } else {
        Axis::from_zero(greatest, unit)
    };
    lines(title, &minutes(&drawn), &y, &drawn)
}

/// No more than [`POINTS_MAX`] points: of those that lie together the highest.
fn peaks(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let together = points.len().div_ceil(POINTS_MAX).max(1);
    let highest =
        |points: &[(f64, f64)]| points.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1));
    points.chunks(together).filter_map(highest).collect()
}

/// Median and range of the hosts' Envoys.
fn filled(outcome: &Outcome) -> Svg {
    let together = outcome.course.len().div_ceil(POINTS_MAX).max(1);
    let course: Vec<&Point> = outcome.course.iter().step_by(together).collect();
    let at = |point: &Point| point.at / 60.0;
    let line = |label: &str, colour: usize, value: fn(&Point) -> u32| Line {
        label: Some(label.to_owned()),
        colour: Colour(colour),
        points: course.iter().map(|&point| (at(point), f64::from(value(point)))).collect(),
        band: Vec::new(),
        hint: label.to_owned(),
    };
    let mut drawn = vec![
        line("median", 0, |point| point.median),
        line("emptiest", 3, |point| point.fewest),
        line("fullest", 6, |point| point.most),
    ];
    drawn[0].band =
        course.iter().map(|point| (at(point), f64::from(point.p1), f64::from(point.p99))).collect();
    let most = course.iter().map(|point| point.most).max().unwrap_or_default();
    let title = format!("Envoys on a host, {}", outcome.balancing);
    lines(&title, &minutes(&drawn), &Axis::from_zero(f64::from(most), "Envoys"), &drawn)
}

/// From the first to the last point.
fn minutes(lines: &[Line]) -> Axis {
    let places = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
    let first = places().fold(0.0, f64::min);
    Axis::between(first, places().fold(0.0, f64::max), "minutes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_not_lost() {
        let mut points: Vec<(f64, f64)> = (0..1001).map(|at| (f64::from(at), 1.0)).collect();
        points[777].1 = 9.0;
        let drawn = peaks(&points);
        assert!(drawn.len() <= POINTS_MAX && drawn.contains(&(777.0, 9.0)), "{drawn:?}");
        assert!(drawn.is_sorted_by(|one, other| one.0 < other.0));
        assert_eq!(peaks(&points[..100]), points[..100]);
        assert_eq!(peaks(&[]), []);
    }
}
