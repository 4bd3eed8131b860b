//! Moments that are told in terms of the calendar only when somebody asks.

use std::time::{Instant, SystemTime};

/// A moment, by both of the machine's clocks. Others are told in relation to it: so the order of what happened stays right
/// whatever is done to the calendar's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    instant: Instant,
    system_time: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), system_time: SystemTime::now() }
    }

    /// When this was.
    pub(crate) fn system_time(&self) -> SystemTime {
        self.system_time
    }

    /// When a later `instant` was.
    pub(crate) fn system_time_of(&self, instant: Instant) -> SystemTime {
        self.system_time + instant.duration_since(self.instant)
    }
}
