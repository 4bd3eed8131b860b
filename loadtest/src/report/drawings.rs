//! Which plots the runs of a scenario have, for the page and for files.

use super::chart::axis::Axis;
use super::chart::bars::{Bar, bars};
use super::chart::lines::{Line, lines};
use super::chart::{COLOURS, Colour, Svg};
use super::figures::{capitalised, measure_label, quantity};
use super::groups::{Group, Row, SERVERS};
use super::numbers::{MIB, measure_name};
use super::spread::Spread;
use crate::run::{Latency, Measure, Phase, Sample};

/// Measures that are plotted by percentile, the one that matters most first. Receipts of all are in the table only: they
/// are next to the last ACK.
pub(super) const PLOTTED: [Measure; 6] = [
    Measure::LastAck,
    Measure::Receipt,
    Measure::Sync,
    Measure::LastAckAfterCall,
    Measure::Call,
    Measure::EtcdPut,
];

/// Above this ratio of the greatest time to the least, a scale from zero would show the greatest only.
const WIDE: f64 = 25.0;

/// The colour of a row: of its server where there are several, or else of its phase.
pub(super) fn colour(group: &Group<'_>, row: &Row<'_>) -> Colour {
    /// Far apart from each other, for phases.
    const PHASES: [usize; 5] = [0, 3, 6, 4, 5];
    let servers = &group.servers;
    if servers.len() == 1 {
        let phase = group.phases().iter().position(|&phase| phase == row.phase).unwrap_or_default();
        return Colour(PHASES[phase % PHASES.len()]);
    }
    let known = SERVERS.iter().position(|&server| server == row.server);
    Colour(known.unwrap_or_else(|| {
        let mut strangers = servers.iter().filter(|server| !SERVERS.contains(server));
        let position = strangers.position(|&server| server == row.server).unwrap_or_default();
        SERVERS.len() + position % (COLOURS - SERVERS.len())
    }))
}

/// Rows that are drawn together, with what sets them apart from others: one phase of all servers, or all there are.
fn panels<'g, 'a>(group: &'g Group<'a>) -> Vec<(Option<&'a str>, Vec<&'g Row<'a>>)> {
    if group.servers.len() == 1 {
        return vec![(None, group.rows.iter().collect())];
    }
    let of = |phase| group.rows.iter().filter(|row| row.phase == phase).collect();
    group.phases().into_iter().map(|phase| (phase, of(phase))).collect()
}

/// What a line is called among those of its panel.
fn panel_label(group: &Group<'_>, row: &Row<'_>) -> String {
    if group.servers.len() > 1 { row.server.to_owned() } else { group.row_label(row) }
}

/// A title, and the phase that it is about.
fn panel_title(title: &str, phase: Option<&str>) -> String {
    phase.map_or_else(|| title.to_owned(), |phase| format!("{title}, {phase}"))
}

/// A measure by percentile, a line for each row and a plot for each panel, all on the same scale; none where it was not
/// timed more than once.
pub(super) fn latency(group: &Group<'_>, measure: Measure) -> Vec<Svg> {
    let panels: Vec<(Option<&str>, Vec<Line>)> = panels(group)
        .into_iter()
        .map(|(phase, rows)| {
            (phase, rows.into_iter().filter_map(|row| latency_line(group, row, measure)).collect())
        })
        .collect();
    let drawn = || panels.iter().flat_map(|(_, lines)| lines);
    let right = drawn().filter_map(|line| line.points.last()).map(|(at, _)| *at).fold(0.0, f64::max);
    let values = || {
        let middle = drawn().flat_map(|line| line.points.iter().map(|&(_, value)| value));
        middle.chain(drawn().flat_map(|line| line.band.iter().flat_map(|&(_, low, high)| [low, high])))
    };
    let greatest = values().fold(0.0, f64::max);
    let least = values().filter(|&value| value > 0.0).fold(greatest, f64::min);
    let y = if least > 0.0 && greatest / least > WIDE {
        Axis::logarithmic(least, greatest, "milliseconds, logarithmic")
    } else {
        Axis::from_zero(greatest, "milliseconds")
    };
    let title = capitalised(&measure_label(measure_name(measure)));
    let plot = |(phase, drawn): &(Option<&str>, Vec<Line>)| {
        lines(&panel_title(&title, *phase), &Axis::percentiles(right), &y, drawn)
    };
    panels.iter().filter(|(_, lines)| !lines.is_empty()).map(plot).collect()
}

fn latency_line(group: &Group<'_>, row: &Row<'_>, measure: Measure) -> Option<Line> {
    let timed: Vec<&Latency> = row
        .repetitions
        .iter()
        .filter_map(|phase| phase.latencies.get(&measure))
        .filter(|latency| latency.count > 1)
        .collect();
    let count = timed.iter().map(|latency| latency.count).max()? as f64;
    let curves: Vec<Vec<(f64, f64)>> = timed.iter().map(|latency| curve(latency)).collect();
    let mut quantiles: Vec<f64> = curves.iter().flatten().map(|&(quantile, _)| quantile).collect();
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();

    let mut points = Vec::new();
    let mut band = Vec::new();
    for quantile in quantiles {
        // the last of a thousand is where 99.9 % are
        let at = if quantile < 1.0 { (1.0 / (1.0 - quantile)).min(count) } else { count };
        let spread = Spread::of(curves.iter().map(|curve| interpolated(curve, quantile)))?;
        points.push((at, spread.median));
        if timed.len() > 1 {
            band.push((at, spread.minimum, spread.maximum));
        }
    }
    let label = panel_label(group, row);
    let figures = ["p50", "p99", "max"].map(|quantile| {
        let number = format!("{}_ms.{quantile}", measure_name(measure));
        let median = row.spread(&number).map(|spread| quantity(&number, spread.median));
        format!("{quantile} {}", median.unwrap_or_default())
    });
    let hint = format!("{label}: {}", figures.join(", "));
    Some(Line { label: Some(label), colour: colour(group, row), points, band, hint })
}

/// The distribution, or what little is known of it.
fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    if latency.quantiles.is_empty() {
        return vec![(0.5, latency.p50), (0.9, latency.p90), (0.99, latency.p99), (1.0, latency.max)];
    }
    latency.quantiles.clone()
}

fn interpolated(curve: &[(f64, f64)], quantile: f64) -> f64 {
    let above = curve.partition_point(|&(at, _)| at < quantile);
    match (above.checked_sub(1).map(|below| curve[below]), curve.get(above)) {
        (Some((from, low)), Some(&(to, high))) if to > from => {
            low + (high - low) * (quantile - from) / (to - from)
        }
        (_, Some(&(_, value))) | (Some((_, value)), None) => value,
        (None, None) => 0.0,
    }
}

/// A number, a bar for each row; none where there is nothing to compare.
pub(super) fn bar_chart(group: &Group<'_>, number: &str) -> Option<Svg> {
    let bar = |row: &Row<'_>| {
        Some(Bar { label: group.row_label(row), colour: colour(group, row), spread: row.spread(number)? })
    };
    let drawn: Vec<Bar> = group.rows.iter().filter_map(bar).collect();
    let unit = if group.repetitions() > 1 {
        format!("median and range of {}, less is better", group.repetitions())
    } else {
        "less is better".to_owned()
    };
    if drawn.len() < 2 { None } else { Some(bars(number, &unit, &drawn)) }
}

/// What is drawn over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Resident memory of the server.
    Resident,
    /// Responses a second.
    Pushes,
    /// Changes that some consumer has not received yet.
    Outstanding,
}

impl Course {
    pub(super) const ALL: [Self; 3] = [Self::Resident, Self::Pushes, Self::Outstanding];

    fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Resident => ("Resident memory of the server", "MiB"),
            Self::Pushes => ("Pushes", "a second"),
            Self::Outstanding => ("Outstanding changes", "changes that some consumer has not received yet"),
        }
    }

    fn points(self, phase: &Phase) -> Vec<(f64, f64)> {
        let samples = &phase.samples;
        let rate = |pair: &[Sample]| {
            let [before, after] = pair else { return None };
            let seconds = after.at - before.at;
            (seconds > 0.0).then(|| (after.at, after.pushes.saturating_sub(before.pushes) as f64 / seconds))
        };
        match self {
            Self::Resident => {
                samples.iter().filter_map(|sample| Some((sample.at, sample.resident? as f64 / MIB))).collect()
            }
            Self::Pushes => samples.windows(2).filter_map(rate).collect(),
            Self::Outstanding => {
                samples.iter().map(|sample| (sample.at, sample.outstanding as f64)).collect()
            }
        }
    }
}

/// Something over time, a line for each repetition of each row and a plot for each panel; none where there are no samples.
pub(super) fn course(group: &Group<'_>, course: Course) -> Vec<Svg> {
    panels(group).into_iter().filter_map(|(phase, rows)| course_panel(group, course, phase, &rows)).collect()
}

fn course_panel(group: &Group<'_>, course: Course, phase: Option<&str>, rows: &[&Row<'_>]) -> Option<Svg> {
    /// From here on minutes are easier to read, in seconds.
    const LONG: f64 = 240.0;
    let mut drawn: Vec<Line> = Vec::new();
    for row in rows {
        let courses = row.repetitions.iter().map(|phase| course.points(phase)).enumerate();
        for (position, (repetition, points)) in courses.filter(|(_, points)| points.len() > 1).enumerate() {
            let label = panel_label(group, row);
            let hint = format!("{label}, repetition {repetition}");
            let label = (position == 0).then_some(label);
            drawn.push(Line { label, colour: colour(group, row), points, band: Vec::new(), hint });
        }
    }
    if drawn.is_empty() {
        return None;
    }
    let greatest = |value: fn(&(f64, f64)) -> f64| {
        drawn.iter().flat_map(|line| &line.points).map(value).fold(0.0, f64::max)
    };
    let (seconds, highest) = (greatest(|point| point.0), greatest(|point| point.1));
    let x = if seconds > LONG {
        for (at, _) in drawn.iter_mut().flat_map(|line| &mut line.points) {
            *at /= 60.0;
        }
        Axis::just(seconds / 60.0, "minutes")
    } else {
        Axis::just(seconds, "seconds")
    };
    let (title, unit) = course.title();
    Some(lines(&panel_title(title, phase), &x, &Axis::from_zero(highest, unit), &drawn))
}

#[cfg(test)]
mod tests {
    use super::super::groups::groups;
    use super::super::made_up::{phase, run};
    use super::*;

    fn line(phases: Vec<Phase>) -> Option<Line> {
        let runs: Vec<_> = phases
            .into_iter()
            .enumerate()
            .map(|(repetition, phase)| run("hot-change", "legation", repetition, vec![phase]))
            .collect();
        let groups = groups(&runs);
        latency_line(&groups[0], &groups[0].rows[0], Measure::LastAck)
    }

    fn at(quantile: f64, line: &Line) -> (f64, f64, f64) {
        let position = line.points.iter().position(|&(at, _)| (at - quantile).abs() < 1e-6).unwrap();
        let (_, low, high) = line.band.get(position).copied().unwrap_or_default();
        (line.points[position].1, low, high)
    }

    #[test]
    fn a_line_is_the_median_of_repetitions_and_its_band_their_range() {
        let timed = |times: [f64; 4]| phase("").latency(Measure::LastAck, &times).phase();
        let line = line(vec![
            timed([1.0, 2.0, 3.0, 4.0]),
            timed([1.0, 6.0, 7.0, 40.0]),
            timed([1.0, 4.0, 5.0, 10.0]),
        ])
        .unwrap();
        assert_eq!(at(2.0, &line), (4.0, 2.0, 6.0));
        // the last of four is at the end, not at infinity
        assert_eq!(line.points.last(), Some(&(4.0, 10.0)));
        assert!(line.points.iter().all(|&(at, _)| at <= 4.0), "{:?}", line.points);
        assert_eq!(line.band.last(), Some(&(4.0, 4.0, 40.0)));
    }

    #[test]
    fn one_repetition_has_no_band_and_one_time_no_line() {
        assert_eq!(line(vec![phase("").latency(Measure::LastAck, &[1.0, 2.0]).phase()]).unwrap().band, []);
        assert!(line(vec![phase("").latency(Measure::LastAck, &[1.0]).phase()]).is_none());
        assert!(line(vec![phase("").phase()]).is_none());
    }

    #[test]
    fn between_quantiles_is_a_straight_line() {
        #[track_caller]
        fn check(quantile: f64, expected: f64) {
            assert_eq!(interpolated(&[(0.25, 1.0), (0.5, 2.0), (1.0, 4.0)], quantile), expected);
        }
        check(0.0, 1.0);
        check(0.25, 1.0);
        check(0.375, 1.5);
        check(0.75, 3.0);
        check(1.0, 4.0);
    }

    #[test]
    fn samples_become_courses() {
        let sampled = phase("").samples().phase();
        assert_eq!(Course::Pushes.points(&sampled)[0], (1.0, 20_000.0));
        assert_eq!(Course::Pushes.points(&sampled).len(), 9);
        assert_eq!(Course::Resident.points(&sampled)[1], (1.0, 70.0625));
        assert_eq!(Course::Outstanding.points(&sampled)[2], (2.0, 2.0));
        let runs = [run("soak", "legation", 0, vec![phase("").phase()])];
        assert!(Course::ALL.iter().all(|&kind| course(&groups(&runs)[0], kind).is_empty()));
    }

    #[test]
    fn known_servers_keep_their_colours() {
        let runs: Vec<_> = ["strange", "floor-h2", "legation", "odd"]
            .map(|server| run("hot-change", server, 0, vec![phase("few").phase(), phase("many").phase()]))
            .into();
        let groups = groups(&runs);
        let colours: Vec<_> = groups[0].rows.iter().map(|row| colour(&groups[0], row).0).collect();
        assert_eq!(colours, [0, 0, 2, 2, 6, 6, 7, 7]);
    }

    #[test]
    fn phases_of_several_servers_have_plots_of_their_own() {
        #[track_caller]
        fn check(servers: &[&str], phases: &[&str], expected: &[&str]) {
            let timed = |name: &&str| phase(name).latency(Measure::Sync, &[1.0, 2.0]).samples().phase();
            let runs: Vec<_> = servers
                .iter()
                .map(|server| run("a", server, 0, phases.iter().map(timed).collect()))
                .collect();
            let groups = groups(&runs);
            let plots = [latency(&groups[0], Measure::Sync), course(&groups[0], Course::Pushes)].concat();
            assert_eq!(plots.iter().map(|plot| plot.title.as_str()).collect::<Vec<_>>(), expected);
        }
        check(&["legation"], &[""], &["Sync", "Pushes"]);
        check(&["legation"], &["few", "many"], &["Sync", "Pushes"]);
        check(&["legation", "mine"], &[""], &["Sync", "Pushes"]);
        check(
            &["legation", "mine"],
            &["few", "many"],
            &["Sync, few", "Sync, many", "Pushes, few", "Pushes, many"],
        );
    }
}
