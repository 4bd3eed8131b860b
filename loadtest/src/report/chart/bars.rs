//! Bars that lie, from zero, with the range of repetitions on them.

use maud::html;

use super::{Colour, HEADING, Svg, heading, number, text_width};
use crate::report::figures::{capitalised, label, quantity, range};
use crate::report::spread::Spread;

/// A bar.
#[derive(Clone, Debug)]
pub(in crate::report) struct Bar {
    pub(in crate::report) label: String,
    pub(in crate::report) colour: Colour,
    pub(in crate::report) spread: Spread,
}

const WIDTH: f64 = 210.0;
const STEP: f64 = 26.0;
const THICKNESS: f64 = 14.0;

/// Draws bars of a number.
pub(in crate::report) fn bars(name: &str, unit: &str, bars: &[Bar]) -> Svg {
    let title = capitalised(&label(name));
    let labels = bars.iter().map(|bar| text_width(&bar.label)).fold(0.0, f64::max);
    let left = labels + 10.0;
    let greatest = bars.iter().map(|bar| bar.spread.maximum).fold(0.0, f64::max);
    let along = |value: f64| if greatest > 0.0 { value.max(0.0) / greatest * WIDTH } else { 0.0 };
    let value = |bar: &Bar| quantity(name, bar.spread.median);
    let between = |bar: &Bar| {
        let Spread { minimum, maximum, .. } = bar.spread;
        if bar.spread.is_spread() { range(name, minimum, maximum) } else { String::new() }
    };
    let texts = bars
        .iter()
        .map(|bar| along(bar.spread.maximum) + text_width(&value(bar)) + text_width(&between(bar)));
    let widest = texts.fold(0.0, f64::max);

    let content = html! {
        (heading(&title, unit))
        @for (position, bar) in bars.iter().enumerate() {
            @let middle = HEADING + (position as f64 + 0.5) * STEP;
            @let Spread { minimum, median, maximum } = bar.spread;
            text class=(bar.colour.class("label")) text-anchor="end" x=(number(labels)) y=(number(middle + 4.0)) {
                (bar.label)
            }
            rect class=(bar.colour.class("bar")) x=(number(left)) y=(number(middle - THICKNESS / 2.0))
                width=(number(along(median))) height=(number(THICKNESS)) {}
            @if bar.spread.is_spread() {
                line class="whisker" x1=(number(left + along(minimum))) x2=(number(left + along(maximum)))
                    y1=(number(middle)) y2=(number(middle)) {}
                @for end in [minimum, maximum] {
                    line class="whisker" x1=(number(left + along(end))) x2=(number(left + along(end)))
                        y1=(number(middle - 3.0)) y2=(number(middle + 3.0)) {}
                }
            }
            text class="value" x=(number(left + along(maximum) + 8.0)) y=(number(middle + 4.0)) {
                (value(bar)) " "
                tspan class="range" dx="4" { (between(bar)) }
            }
        }
        @let bottom = HEADING + bars.len() as f64 * STEP;
        line class="axis" x1=(number(left)) x2=(number(left)) y1=(number(HEADING)) y2=(number(bottom)) {}
    };
    let height = HEADING + bars.len() as f64 * STEP + 8.0;
    Svg { width: left + widest + 24.0, height, title, content }
}
