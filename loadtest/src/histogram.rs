//! Durations, as HDR histograms keep them: three significant digits, from a nanosecond to an hour.

use std::time::Duration;

use crate::run::Latency;

/// Of nanoseconds.
pub type Histogram = hdrhistogram::Histogram<u64>;

/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// Quantiles for plots: so many between each power of ten of what remains above.
const STEPS: u32 = 20;

/// An empty one.
pub fn new() -> Histogram {
    const DIGITS: u8 = 3;
    #[expect(clippy::expect_used, reason = "fails for constants that make no sense only")]
    hdrhistogram::Histogram::new_with_bounds(1, nanoseconds(LONGEST), DIGITS)
        .expect("the bounds are in order")
}

/// Adds a duration. One beyond the bound counts as the bound.
pub fn record(histogram: &mut Histogram, duration: Duration) {
    histogram.saturating_record(nanoseconds(duration).max(1));
}

/// Its figures.
pub fn latency(histogram: &Histogram) -> Latency {
    let at = |quantile: f64| milliseconds(histogram.value_at_quantile(quantile));
    let quantiles = histogram.iter_quantiles(STEPS);
    Latency {
        count: histogram.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        max: milliseconds(histogram.max()),
        quantiles: quantiles
            .map(|value| (value.quantile_iterated_to(), milliseconds(value.value_iterated_to())))
            .collect(),
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// To a tenth of a microsecond: the least that is recorded is nothing.
fn milliseconds(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 1e2).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_what_was_recorded() {
        let mut histogram = new();
        for milliseconds in 1..=1000 {
            record(&mut histogram, Duration::from_millis(milliseconds));
        }
        let latency = latency(&histogram);
        let near = |value: f64, expected: f64| (value - expected).abs() / expected < 2e-3;
        assert_eq!(latency.count, 1000);
        assert!(near(latency.p50, 500.0) && near(latency.p90, 900.0), "{latency:?}");
        assert!(near(latency.p99, 990.0) && near(latency.max, 1000.0), "{latency:?}");
        assert!(latency.quantiles.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        assert!(latency.quantiles.last().is_some_and(|last| last.0 >= 1.0 - 1e-9));
    }

    #[test]
    fn nothing_is_too_long() {
        let mut histogram = new();
        record(&mut histogram, Duration::from_secs(100_000));
        assert!(latency(&histogram).max > 3_599_000.0);
    }
}
