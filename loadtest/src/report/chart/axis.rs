//! From values to places, and where to put ticks.

/// An axis of a plot.
#[derive(Clone, Debug)]
pub(in crate::report) struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    /// Values with their labels.
    pub(super) ticks: Vec<(f64, String)>,
    /// What the values are.
    pub(super) label: String,
}

impl Axis {
    /// From 0 to at least the greatest value.
    pub(in crate::report) fn from_zero(greatest: f64, label: &str) -> Self {
        let greatest = if greatest > 0.0 { greatest } else { 1.0 };
        let step = nice_above(greatest / 5.0);
        let steps = (greatest / step).ceil();
        let ticks = (0u32..).take_while(|&tick| f64::from(tick) <= steps).map(|tick| f64::from(tick) * step);
        Self {
            from: 0.0,
            to: steps * step,
            logarithmic: false,
            ticks: ticks.map(|value| (value, tick_text(value))).collect(),
            label: label.to_owned(),
        }
    }

    /// From 0 to just the greatest value, without a step more.
    pub(in crate::report) fn just(greatest: f64, label: &str) -> Self {
        let mut axis = Self::from_zero(greatest, label);
        if greatest > 0.0 {
            axis.to = greatest;
            axis.ticks.retain(|(value, _)| *value <= greatest);
        }
        axis
    }

    /// From a value that is not above 0 to just the greatest, ticks at round values of both sides.
    pub(in crate::report) fn between(from: f64, greatest: f64, label: &str) -> Self {
        let mut axis = Self::just(greatest, label);
        let step = axis.ticks.get(1).map_or(1.0, |(value, _)| *value);
        let below = (1u32..).map(|tick| -f64::from(tick) * step).take_while(|&value| value >= from);
        axis.ticks.extend(below.map(|value| (value, format!("\u{2212}{}", tick_text(-value)))));
        axis.from = from.min(0.0);
        axis
    }

    /// From about the least to about the greatest value, which are above 0: each step multiplies.
    pub(in crate::report) fn logarithmic(least: f64, greatest: f64, label: &str) -> Self {
        let from = nice_below(least);
        let mut ticks = vec![from];
        let mut last = from;
        while last < greatest {
            last = nice_above(last * 1.5);
            ticks.push(last);
        }
        if ticks.len() > 9 {
            ticks.retain(|&value| value.log10().fract().abs() < 1e-6);
        }
        Self {
            from,
            to: last,
            logarithmic: true,
            ticks: ticks.into_iter().map(|value| (value, tick_text(value))).collect(),
            label: label.to_owned(),
        }
    }

    /// Percentiles as histograms of latency have them: each step takes nine tenths of what is left. Values are one part
    /// of what is left: 1 for 0 %, 10 for 90 %, 100 for 99 %.
    pub(in crate::report) fn percentiles(greatest: f64) -> Self {
        const TICKS: [(f64, &str); 9] = [
            (1.0, "0"),
            (2.0, "50"),
            (10.0, "90"),
            (100.0, "99"),
            (1e3, "99.9"),
            (1e4, "99.99"),
            (1e5, "99.999"),
            (1e6, "99.9999"),
            (1e7, "99.99999"),
        ];
        let to = greatest.max(2.0);
        let ticks = TICKS.into_iter().filter(|(value, _)| *value <= to);
        Self {
            from: 1.0,
            to,
            logarithmic: true,
            ticks: ticks.map(|(value, text)| (value, text.to_owned())).collect(),
            label: "percentile".to_owned(),
        }
    }

    /// Where a value is: 0 at the beginning, 1 at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.from).log10() - self.from.log10()) / (self.to.log10() - self.from.log10())
        } else {
            (value - self.from) / (self.to - self.from)
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below a value.
fn nice_above(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= value * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// The greatest of 1, 2 and 5 times a power of ten that is not above a value.
fn nice_below(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factor = [5.0, 2.0].into_iter().find(|factor| factor * power <= value * 1.000_001);
    factor.unwrap_or(1.0) * power
}

/// A tick is a round number: no more digits than it has.
fn tick_text(value: f64) -> String {
    if value >= 1000.0 {
        return super::super::figures::digits(value.round());
    }
    // 3 * 0.1 is not quite 0.3
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> String {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        #[track_caller]
        fn check(axis: &Axis, expected: &str) {
            assert_eq!(texts(axis), expected);
        }
        check(&Axis::from_zero(9.3, ""), "0 2 4 6 8 10");
        check(&Axis::from_zero(0.28, ""), "0 0.1 0.2 0.3");
        check(&Axis::from_zero(4321.0, ""), "0 1,000 2,000 3,000 4,000 5,000");
        check(&Axis::from_zero(0.0, ""), "0 0.2 0.4 0.6 0.8 1");
        check(&Axis::just(9.3, ""), "0 2 4 6 8");
        check(&Axis::between(-4.5, 9.3, ""), "0 2 4 6 8 \u{2212}2 \u{2212}4");
        check(&Axis::logarithmic(3.0, 150.0, ""), "2 5 10 20 50 100 200");
        check(&Axis::logarithmic(2.0, 50.0, ""), "2 5 10 20 50");
        check(&Axis::logarithmic(0.1, 900.0, ""), "0.1 1 10 100 1,000");
        check(&Axis::logarithmic(7.0, 7.0, ""), "5 10");
        check(&Axis::percentiles(200.0), "0 50 90 99");
        check(&Axis::percentiles(1.0), "0 50");
    }

    #[test]
    fn values_have_their_places() {
        #[track_caller]
        fn check(axis: &Axis, value: f64, expected: f64) {
            assert!((axis.place(value) - expected).abs() < 1e-9, "{}", axis.place(value));
        }
        check(&Axis::from_zero(10.0, ""), 5.0, 0.5);
        check(&Axis::from_zero(10.0, ""), -5.0, 0.0);
        check(&Axis::between(-5.0, 15.0, ""), 0.0, 0.25);
        check(&Axis::logarithmic(1.0, 100.0, ""), 10.0, 0.5);
        check(&Axis::logarithmic(1.0, 100.0, ""), 0.0, 0.0);
        check(&Axis::percentiles(1e4), 100.0, 0.5);
    }
}
