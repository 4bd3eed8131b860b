//! How often a caller may ask.
//!
//! Each caller has a bucket for reads and one for writes, which fill up evenly and hold the calls of one second.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use xxhash_rust::xxh3::xxh3_64;

use super::Operation;
use super::caller::Caller;
use super::error::ApiError;

/// How many callers have buckets of their own at once. More of them share one.
const CALLERS_MAX: usize = 1024;

/// The key of the bucket that they share.
const OTHERS: u64 = 0;

/// How often one caller may ask in a second. Nothing where there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// For what changes nothing.
    pub reads: Option<NonZeroU32>,
    /// For what changes something.
    pub writes: Option<NonZeroU32>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { reads: NonZeroU32::new(20_000), writes: NonZeroU32::new(10_000) }
    }
}

/// The buckets of all callers.
pub(super) struct Throttle {
    reads: Option<Buckets>,
    writes: Option<Buckets>,
}

/// The buckets of callers by the hashes of their names.
type Buckets = RateLimiter<u64, HashMapStateStore<u64>, DefaultClock>;

impl Throttle {
    pub(super) fn new(rates: Rates) -> Self {
        let buckets = |rate: NonZeroU32| RateLimiter::hashmap(Quota::per_second(rate));
        Self { reads: rates.reads.map(buckets), writes: rates.writes.map(buckets) }
    }

    /// Refuses an `operation` of a caller who has asked too often.
    pub(super) fn admit(&self, caller: &Caller, operation: Operation) -> Result<(), ApiError> {
        self.admit_one(caller, operation.is_write())
    }

    /// As [`Throttle::admit`], by whether the operation changes anything.
    pub(super) fn admit_one(&self, caller: &Caller, is_write: bool) -> Result<(), ApiError> {
        let buckets = if is_write { &self.writes } else { &self.reads };
        let wait = buckets.as_ref().and_then(|buckets| take(buckets, caller.name()));
        wait.map_or(Ok(()), |retry_after| Err(ApiError::TooManyRequests { retry_after }))
    }
}

/// Takes one call from the bucket of a caller; how long it takes until there is one if there is none.
fn take(buckets: &Buckets, name: &str) -> Option<Duration> {
    let mut key = xxh3_64(name.as_bytes());
    if buckets.len() >= CALLERS_MAX {
        // a bucket that is full again is as good as a new one
        buckets.retain_recent();
        if buckets.len() >= CALLERS_MAX {
            key = OTHERS;
        }
    }
    let until = buckets.check_key(&key).err()?;
    Some(until.wait_time_from(DefaultClock::default().now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    const READ: Operation = Operation::List(Kind::Mesh);
    const WRITE: Operation = Operation::TagResource;

    fn throttle(reads: u32, writes: u32) -> Throttle {
        Throttle::new(Rates { reads: NonZeroU32::new(reads), writes: NonZeroU32::new(writes) })
    }

    #[test]
    fn each_caller_has_a_bucket_for_reads_and_one_for_writes() {
        // so slow that no call comes back during the test
        let throttle = throttle(1, 0);
        let (one, other) = (Caller::new("one", Vec::new()), Caller::new("other", Vec::new()));
        assert!(throttle.admit(&one, READ).is_ok());
        let Err(ApiError::TooManyRequests { retry_after }) = throttle.admit(&one, READ) else {
            panic!("a second call within the second");
        };
        assert!(retry_after <= Duration::from_secs(1));
        assert!(throttle.admit(&other, READ).is_ok());
        for _ in 0..100 {
            assert!(throttle.admit(&one, WRITE).is_ok(), "no limit");
        }
    }

    #[test]
    fn a_bounded_number_of_callers_is_remembered() {
        let throttle = throttle(0, 1);
        for number in 0..3 * CALLERS_MAX {
            // some of them are refused by the bucket that they share
            let _ = throttle.admit(&Caller::new(&number.to_string(), Vec::new()), WRITE);
        }
        let buckets = throttle.writes.as_ref().unwrap();
        assert!(buckets.len() <= CALLERS_MAX + 1, "{}", buckets.len());
    }
}
