//! What repetitions of the same measurement say together.

/// Minimum, median and maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub minimum: f64,
    /// The one in the middle, or the mean of the two in the middle.
    pub median: f64,
    /// The greatest.
    pub maximum: f64,
}

impl Spread {
    /// Of all values; of no values there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&minimum, &maximum) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { minimum, median, maximum })
    }

    /// Whether the values differ at all.
    pub fn is_spread(&self) -> bool {
        self.minimum < self.maximum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        #[track_caller]
        fn check(values: &[f64], expected: Option<(f64, f64, f64)>) {
            let spread = Spread::of(values.iter().copied());
            assert_eq!(spread.map(|spread| (spread.minimum, spread.median, spread.maximum)), expected);
        }
        check(&[], None);
        check(&[2.0], Some((2.0, 2.0, 2.0)));
        check(&[9.0, 1.0, 3.0], Some((1.0, 3.0, 9.0)));
        check(&[4.0, 100.0, 2.0, 1.0], Some((1.0, 3.0, 100.0)));
    }
}
