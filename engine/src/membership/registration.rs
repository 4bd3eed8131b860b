//! Keeps the record of this host in the store, under a lease: where the host ends, or is cut off for as long, it is gone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Member;
use crate::store::{Batch, CommitError, LeaseId, Store, StoreError};

/// How often a lease is kept alive within its time.
const KEPT_ALIVE: u32 = 4;

/// How long to wait before the store is asked again that could not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The record of this host.
pub struct Registration {
    store: Arc<dyn Store>,
    member: Member,
    time_to_live: Duration,
    lease: Option<LeaseId>,
    is_known: bool,
}

impl Registration {
    /// The record of `member`, which others believe for `time_to_live` after they heard of it last.
    pub fn new(store: Arc<dyn Store>, member: Member, time_to_live: Duration) -> Self {
        Self { store, member, time_to_live, lease: None, is_known: false }
    }

    /// Keeps the record there. What fails is tried again.
    pub async fn keep(&mut self) -> Infallible {
        loop {
            let pause = match self.renew().await {
                Ok(()) => self.time_to_live / KEPT_ALIVE,
                Err(error) => {
                    tracing::warn!(%error, "this host cannot tell the others that it is alive");
                    PAUSE.min(self.time_to_live / KEPT_ALIVE)
                }
            };
            sleep(pause).await;
        }
    }

    async fn renew(&mut self) -> Result<(), CommitError> {
        let record = serde_json::to_vec(&self.member).unwrap_or_default(); // it has nothing that JSON has not
        if let Some(lease) = self.lease {
            match self.store.keep_alive(lease).await {
                Ok(()) => match self.store.get(&self.member.id.alive_key()).await {
                    Ok(Some(found)) if found.value == record => return Ok(()),
                    Ok(_) | Err(StoreError::Damaged { .. }) => {
                        tracing::warn!("the record of this host is gone, or is another; it registers again");
                    }
                    Err(error) => return Err(error.into()),
                },
                Err(StoreError::UnknownLease { .. }) => {
                    tracing::warn!("this host was taken for dead; it registers again");
                    self.lease = None;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let lease = self.store.grant_lease(self.time_to_live).await?;
        let id = &self.member.id;
        let batch = Batch::derived()
            .put_with_lease(id.alive_key(), record.clone(), lease)
            .put(id.known_key(), record);
        self.is_known = true; // maybe, whatever comes of it
        self.store.commit(batch).await?;
        self.lease = Some(lease);
        tracing::info!(host = %self.member.id, "registered");
        Ok(())
    }

    /// Takes the records away, so that nobody has to wait for the lease to end, nor takes this host for lost.
    pub async fn end(self) {
        if let Err(error) = self.farewell().await {
            tracing::warn!(%error, "the others learn of the end of this host only when its lease ends, and take it for lost");
        }
    }

    async fn farewell(&self) -> Result<(), CommitError> {
        if self.is_known {
            let id = &self.member.id;
            self.store.commit(Batch::derived().delete(id.alive_key()).delete(id.known_key())).await?;
        }
        if let Some(lease) = self.lease {
            self.store.revoke(lease).await?;
        }
        Ok(())
    }
}
