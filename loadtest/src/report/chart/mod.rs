//! Plots as SVG: for a page, whose colours they take, or as files of their own.
//!
//! Drawn by hand, because a plot here has its labels beside its lines and its colours from style sheets, light and dark.

pub(super) mod axis;
pub(super) mod bars;
pub(super) mod lines;

use maud::{Markup, PreEscaped, html};

/// The colour of what belongs to one server, or to one phase: which of those in the style sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(pub(super) usize);

impl Colour {
    /// The classes of its elements.
    fn class(self, element: &str) -> String {
        format!("{element} c{}", self.0)
    }
}

/// How many colours the style sheet has.
pub(super) const COLOURS: usize = 8;

/// What plots look like. The colours of the series can be told apart by the colour-blind (after Okabe and Ito), and greys
/// are for the floors, which are no competitors.
pub(super) const STYLE: &str = include_str!("chart.css");

/// A plot of some size, to be put into a page.
#[derive(Clone, Debug)]
pub(super) struct Svg {
    pub(super) width: f64,
    pub(super) height: f64,
    /// What it shows, for those who cannot see it.
    pub(super) title: String,
    pub(super) content: Markup,
}

impl Svg {
    /// As an element of a page that has [`STYLE`].
    pub(super) fn inline(&self) -> Markup {
        self.element(0.0, &html! {})
    }

    /// As a file of its own.
    pub(super) fn file(&self) -> String {
        const MARGIN: f64 = 16.0;
        let style = html! {
            style { (PreEscaped(STYLE)) }
            rect class="paper" x=(number(-MARGIN)) y=(number(-MARGIN)) width="100%" height="100%" {}
        };
        format!("{}\n", self.element(MARGIN, &style).into_string())
    }

    fn element(&self, margin: f64, before: &Markup) -> Markup {
        let [width, height] = [self.width, self.height].map(|length| number(length + 2.0 * margin));
        html! {
            svg class="chart" xmlns="http://www.w3.org/2000/svg" role="img" aria-label=(self.title)
                width=(width) height=(height)
                viewBox=(format!("{0} {0} {width} {height}", number(-margin))) {
                (before)
                (self.content)
            }
        }
    }
}

/// The two lines above a plot: what it shows, and in what.
fn heading(title: &str, unit: &str) -> Markup {
    html! {
        text class="title" x="0" y="15" { (title) }
        text class="unit" x="0" y="32" { (unit) }
    }
}

/// Where the plot below a [`heading`] begins.
const HEADING: f64 = 46.0;

/// A coordinate as text, to a tenth.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// About how wide a label is: fonts differ, and there is none to measure here.
fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.5
}
