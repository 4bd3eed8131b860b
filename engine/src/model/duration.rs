//! A span of time, as App Mesh writes it.

use std::time::Duration as StdDuration;

use super::shape::Int;
use super::shape::declare::shape;

shape! {
    /// A span of time: a number and its unit. App Mesh requires neither: without a value it is zero, and
    /// without a unit it counts milliseconds.
    pub struct Duration {
        /// What `value` counts; milliseconds if absent.
        pub unit: Option<DurationUnit>,
        /// How many units; zero if absent. Envoy counts nanoseconds in 64 bits, and takes no more than 292 years: the
        /// limit is 100 years in seconds, and 36 days in milliseconds.
        pub value: Option<Int<0, 3_155_760_000>>,
    }

    /// What a [`Duration`] counts.
    pub enum DurationUnit {
        /// Seconds.
        Seconds = "s",
        /// Milliseconds.
        Milliseconds = "ms",
    }
}

impl Duration {
    /// As a duration of the standard library.
    pub fn to_std(&self) -> StdDuration {
        let value = self.value.map_or(0, |value| value.get().unsigned_abs());
        match self.unit {
            Some(DurationUnit::Seconds) => StdDuration::from_secs(value),
            Some(DurationUnit::Milliseconds) | None => StdDuration::from_millis(value),
        }
    }

    /// Whether it is no time at all, which means "no limit" where App Mesh sets a timeout.
    pub fn is_zero(&self) -> bool {
        self.to_std().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_fields_have_a_meaning_when_absent() {
        let table = [
            (json!({"unit": "s", "value": 15}), StdDuration::from_secs(15)),
            (json!({"unit": "ms", "value": 15}), StdDuration::from_millis(15)),
            (json!({"value": 15}), StdDuration::from_millis(15)),
            (json!({"unit": "s"}), StdDuration::ZERO),
            (json!({}), StdDuration::ZERO),
        ];
        for (given, expected) in table {
            let duration: Duration = serde_json::from_value(given).unwrap();
            assert_eq!(duration.to_std(), expected);
        }
    }
}
