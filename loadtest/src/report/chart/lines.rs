//! Lines, each with its label beside its end.

use maud::{Markup, html};

use super::axis::Axis;
use super::{Colour, HEADING, Svg, heading, number, text_width};

/// A line of a plot.
#[derive(Clone, Debug)]
pub(in crate::report) struct Line {
    /// Beside its end; none for one that is called as another.
    pub(in crate::report) label: Option<String>,
    pub(in crate::report) colour: Colour,
    /// From left to right.
    pub(in crate::report) points: Vec<(f64, f64)>,
    /// Around it, for the spread of what it is the middle of: from left to right, the least and the greatest.
    pub(in crate::report) band: Vec<(f64, f64, f64)>,
    /// What is told when a pointer rests on it.
    pub(in crate::report) hint: String,
}

const WIDTH: f64 = 390.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 46.0;
const BELOW: f64 = 38.0;
/// Between the baselines of two labels.
const LABEL: f64 = 14.0;

/// Draws lines.
pub(in crate::report) fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> Svg {
    let right = LEFT + WIDTH;
    let bottom = HEADING + HEIGHT;
    let place = |(at, value): (f64, f64)| (LEFT + x.place(at) * WIDTH, bottom - y.place(value) * HEIGHT);

    let labels: Vec<(&Line, &str, (f64, f64))> = lines
        .iter()
        .filter_map(|line| Some((line, line.label.as_deref()?, place(*line.points.last()?))))
        .collect();
    let heights = apart(&labels.iter().map(|(_, _, (_, end))| *end).collect::<Vec<_>>(), HEADING, bottom);
    let widest = labels.iter().map(|(_, text, _)| text_width(text)).fold(0.0, f64::max);

    let content = html! {
        (heading(title, &y.label))
        @for (value, text) in &y.ticks {
            @let (_, height) = place((0.0, *value));
            line class="grid" x1=(number(LEFT)) x2=(number(right)) y1=(number(height)) y2=(number(height)) {}
            text class="tick" text-anchor="end" x=(number(LEFT - 7.0)) y=(number(height + 4.0)) { (text) }
        }
        @for (value, text) in &x.ticks {
            @let (across, _) = place((*value, 0.0));
            line class="axis" x1=(number(across)) x2=(number(across)) y1=(number(bottom)) y2=(number(bottom + 4.0)) {}
            text class="tick" text-anchor="middle" x=(number(across)) y=(number(bottom + 17.0)) { (text) }
        }
        line class="axis" x1=(number(LEFT)) x2=(number(right)) y1=(number(bottom)) y2=(number(bottom)) {}
        text class="tick" text-anchor="end" x=(number(right)) y=(number(bottom + 33.0)) { (x.label) }
        @for line in lines { (band(line, place)) }
        // the first is the one that matters, so it lies on the others
        @for line in lines.iter().rev() {
            path class=(line.colour.class("line")) d=(path(line.points.iter().copied().map(place))) {
                title { (line.hint) }
            }
        }
        @for ((line, text, (across, end)), height) in labels.iter().zip(&heights) {
            circle class=(line.colour.class("end")) cx=(number(*across)) cy=(number(*end)) r="2.5" {}
            path class=(line.colour.class("leader"))
                d=(path([(across + 4.0, *end), (right + 4.0, *end), (right + 12.0, *height)])) {}
            text class=(line.colour.class("label")) x=(number(right + 16.0)) y=(number(height + 4.0)) { (text) }
        }
    };
    Svg { width: right + 20.0 + widest, height: bottom + BELOW, title: title.to_owned(), content }
}

fn band(line: &Line, place: impl Fn((f64, f64)) -> (f64, f64)) -> Markup {
    let least = line.band.iter().map(|&(at, least, _)| place((at, least)));
    let greatest = line.band.iter().rev().map(|&(at, _, greatest)| place((at, greatest)));
    html! {
        @if !line.band.is_empty() {
            path class=(line.colour.class("band")) d=(format!("{}Z", path(least.chain(greatest)))) {}
        }
    }
}

fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (across, down) in points {
        path.push(if path.is_empty() { 'M' } else { 'L' });
        path.push_str(&number(across));
        path.push(' ');
        path.push_str(&number(down));
    }
    path
}

/// Moves labels as little as it takes for them not to lie on each other.
fn apart(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&one, &other| wanted[one].total_cmp(&wanted[other]));

    let mut places = wanted.to_vec();
    let mut least = top;
    for &label in &order {
        places[label] = places[label].max(least);
        least = places[label] + LABEL;
    }
    // those that were pushed out below push back, unless there is no room at all
    let mut greatest = bottom.max(top + LABEL * (order.len() as f64 - 1.0));
    for &label in order.iter().rev() {
        places[label] = places[label].min(greatest);
        greatest = places[label] - LABEL;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_lie_on_each_other() {
        #[track_caller]
        fn check(wanted: &[f64], expected: &[f64]) {
            assert_eq!(apart(wanted, 0.0, 100.0), expected);
        }
        check(&[], &[]);
        check(&[50.0, 10.0], &[50.0, 10.0]);
        check(&[50.0, 51.0, 20.0], &[50.0, 64.0, 20.0]);
        check(&[100.0, 99.0, 98.0], &[100.0, 86.0, 72.0]);
        check(&[0.0, 0.0], &[0.0, 14.0]);
    }
}
