//! Leases, which are etcd's.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Error, LeaseClient};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::Code;

use super::ask::{Tries, ask};
use super::failure::code;
use crate::store::error::StoreError;
use crate::store::lease::LeaseId;

/// Of the time that something is remembered, the part by which it may be longer, so that not each needs a lease of its own.
const EXTRA: u32 = 8;

/// A lease of so long at least: etcd counts in seconds.
pub(super) async fn grant(client: &LeaseClient, time_to_live: Duration) -> Result<LeaseId, StoreError> {
    let seconds = time_to_live.as_secs() + u64::from(time_to_live.subsec_nanos() > 0);
    let seconds = i64::try_from(seconds.max(1)).unwrap_or(i64::MAX);
    let granted = ask(|| {
        let mut client = client.clone();
        async move { client.grant(seconds, None).await }
    });
    let granted = granted.await?;
    Ok(LeaseId(granted.id().cast_unsigned()))
}

pub(super) async fn keep_alive(client: &LeaseClient, lease: LeaseId) -> Result<(), StoreError> {
    let id = lease.0.cast_signed();
    let kept = ask(|| {
        let mut client = client.clone();
        async move {
            match client.keep_alive(id).await {
                Ok(_) => Ok(true),
                // how the library tells that there is none
                Err(Error::LeaseKeepAliveError(_)) => Ok(false),
                Err(error) => Err(error),
            }
        }
    });
    if kept.await? { Ok(()) } else { Err(StoreError::UnknownLease { lease }) }
}

pub(super) async fn revoke(client: &LeaseClient, lease: LeaseId) -> Result<(), StoreError> {
    let mut tries = Tries::begin();
    let mut is_first = true;
    loop {
        match tries.one(client.clone().revoke(lease.0.cast_signed())).await {
            Ok(_) => return Ok(()),
            Err(error) if code(&error) == Some(Code::NotFound) => {
                // unless it was the first try that ended it, of which the answer was lost
                return if is_first { Err(StoreError::UnknownLease { lease }) } else { Ok(()) };
            }
            Err(error) => tries.again(error).await?,
        }
        is_first = false;
    }
}

/// The leases of what is remembered: one for all that comes within a while.
#[derive(Clone)]
pub(super) struct RememberedLeases {
    client: LeaseClient,
    current: Arc<Mutex<Vec<Current>>>,
}

struct Current {
    time_to_live: Duration,
    granted: Instant,
    lease: LeaseId,
}

impl RememberedLeases {
    pub(super) fn new(client: LeaseClient) -> Self {
        Self { client, current: Arc::default() }
    }

    /// A lease that lives for so long at least.
    pub(super) async fn lease(&self, time_to_live: Duration) -> Result<i64, StoreError> {
        let mut current = self.current.lock().await;
        current.retain(|current| current.granted.elapsed() < current.time_to_live / EXTRA);
        if let Some(current) = current.iter().find(|current| current.time_to_live == time_to_live) {
            return Ok(current.lease.0.cast_signed());
        }
        let granted = Instant::now();
        let lease = grant(&self.client, time_to_live + time_to_live / EXTRA).await?;
        current.push(Current { time_to_live, granted, lease });
        Ok(lease.0.cast_signed())
    }

    /// Forgets leases that are no more; whether there were any.
    pub(super) async fn forget(&self) -> bool {
        !std::mem::take(&mut *self.current.lock().await).is_empty()
    }
}
