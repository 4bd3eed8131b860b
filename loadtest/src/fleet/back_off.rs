//! How long an Envoy waits before it tries again: Envoy's own back-off.

use std::time::Duration;

use fastrand::Rng;

const LIMIT_AT_FIRST: Duration = Duration::from_millis(500);
/// No pause is longer.
pub(crate) const LIMIT_MAX: Duration = Duration::from_secs(30);

/// Each pause is random below a limit, which doubles with each and is the first again after a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackOff {
    limit: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { limit: LIMIT_AT_FIRST }
    }
}

impl BackOff {
    pub(crate) fn pause(&mut self, chance: &mut Rng) -> Duration {
        let pause = self.limit.mul_f64(chance.f64());
        self.limit = (self.limit * 2).min(LIMIT_MAX);
        pause
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_double_up_to_half_a_minute() {
        let mut chance = Rng::with_seed(1);
        let mut back_off = BackOff::default();
        for limit_ms in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            assert_eq!(back_off.limit, Duration::from_millis(limit_ms));
            assert!(back_off.pause(&mut chance) < Duration::from_millis(limit_ms));
        }
        back_off.reset();
        assert_eq!(back_off.limit, LIMIT_AT_FIRST);
    }
}
