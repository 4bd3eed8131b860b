//! At most so many a second.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Gives turns, in the order in which they are asked for, at most so many a second.
#[derive(Debug)]
pub struct Pacer {
    interval: Mutex<Interval>,
}

impl Pacer {
    /// At most `turns` a second, at least one.
    pub fn per_second(turns: u32) -> Self {
        let mut interval = interval((Duration::from_secs(1) / turns.max(1)).max(Duration::from_nanos(1)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval: Mutex::new(interval) }
    }

    /// Waits for a turn.
    pub async fn turn(&self) {
        self.interval.lock().await.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn any_rate_is_a_rate() {
        for turns in [0, 1, 1_000_000_000, u32::MAX] {
            Pacer::per_second(turns).turn().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_spread_and_not_saved_up() {
        let pacer = Pacer::per_second(10);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let started = Instant::now();
        for _ in 0..21 {
            pacer.turn().await;
        }
        assert_eq!(started.elapsed().as_secs(), 2);
    }
}
