//! How often a caller may ask.
//!
//! Each caller has a bucket for reads and one for writes, which fill up evenly and hold the calls of one second.
//!
//! Who cannot be told who they are has a bucket for their address, of which only what is refused takes anything: so nobody
//! keeps another out by being refused from the same address, be it that of a load balancer.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use xxhash_rust::xxh3::xxh3_64;

use super::authentication::AuthenticationError;
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
    /// How often in a second one address is told why nobody is let in by its requests.
    pub refusals: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        let refusals = NonZeroU32::MIN.saturating_add(99);
        Self { reads: NonZeroU32::new(20_000), writes: NonZeroU32::new(10_000), refusals }
    }
}

/// The buckets of all callers.
pub struct Throttle {
    reads: Option<Buckets>,
    writes: Option<Buckets>,
    refusals: Buckets,
}

/// The buckets of callers by the hashes of their names, or of addresses.
type Buckets = RateLimiter<u64, HashMapStateStore<u64>, DefaultClock>;

impl Throttle {
    /// Buckets that are full.
    pub fn new(rates: Rates) -> Self {
        let buckets = |rate: NonZeroU32| RateLimiter::hashmap(Quota::per_second(rate));
        Self {
            reads: rates.reads.map(buckets),
            writes: rates.writes.map(buckets),
            refusals: buckets(rates.refusals),
        }
    }

    /// Refuses the call of a caller who has asked too often.
    pub fn admit(&self, caller: &Caller, is_write: bool) -> Result<(), ApiError> {
        let buckets = if is_write { &self.writes } else { &self.reads };
        let wait = buckets.as_ref().and_then(|buckets| take(buckets, caller.name().as_bytes()));
        wait.map_or(Ok(()), |retry_after| Err(ApiError::TooManyRequests { retry_after }))
    }

    /// What a request of `address` that is refused for `error` is told: why, unless too many were told so.
    pub(super) fn refuse(&self, address: Option<IpAddr>, error: AuthenticationError) -> ApiError {
        match take(&self.refusals, &origin(address)) {
            None => error.into(),
            Some(retry_after) => ApiError::TooManyRefusals { retry_after },
        }
    }
}

/// What has a bucket for what is refused. Who has an address of IPv6 has the 64 bits after its network for themselves.
fn origin(address: Option<IpAddr>) -> Vec<u8> {
    match address.map(|address| address.to_canonical()) {
        None => Vec::new(),
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets()[..8].to_vec(),
    }
}

/// Takes one call from the bucket of `name`; how long it takes until there is one if there is none.
fn take(buckets: &Buckets, name: &[u8]) -> Option<Duration> {
    let mut key = xxh3_64(name);
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

    const READ: bool = false;
    const WRITE: bool = true;

    fn throttle(reads: u32, writes: u32) -> Throttle {
        let (reads, writes) = (NonZeroU32::new(reads), NonZeroU32::new(writes));
        Throttle::new(Rates { reads, writes, refusals: NonZeroU32::MIN })
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
    fn each_address_has_a_bucket_for_what_is_refused() {
        let throttle = throttle(0, 0);
        let is_told = |address: &str| {
            let error = throttle.refuse(Some(address.parse().unwrap()), AuthenticationError::Missing);
            match error {
                ApiError::Authentication(_) => true,
                ApiError::TooManyRefusals { retry_after } => {
                    assert!(retry_after <= Duration::from_secs(1));
                    false
                }
                other => panic!("{other}"),
            }
        };
        // one call comes back in a second: not all of these are told on any machine
        let are_all_told = |address: &str| (0..100).all(|_| is_told(address));
        for (address, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::ffff:0:0:2", "2001:db8:0:1::1"),
        ] {
            assert!(is_told(address));
            assert!(!are_all_told(same), "{same}");
            assert!(is_told(other), "{other}");
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
