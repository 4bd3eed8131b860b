//! Hosts that went without a farewell: that they are lost, since when, and that they are forgotten in time.
//!
//! One host that is alive does this for each that is lost: the one with the highest weight for it, as with meshes. It writes once when
//! somebody is lost, under a lease that forgets the lost one by its end. Nobody has to wake up for that, and where nobody is lost
//! nothing is written.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::sleep;

use super::sharing::heaviest;
use super::{KnownMember, MemberId, Members};
use crate::store::{Batch, CommitError, Store};

/// How long a host that is lost is known.
pub const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

/// How long to wait before the store is asked again that could not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Notes who is lost.
pub struct Losses {
    store: Arc<dyn Store>,
    me: MemberId,
    members: watch::Receiver<Arc<Members>>,
    known_for: Duration,
}

impl Losses {
    /// What `me` notes of `members`, each of which is known for `known_for` after it was found to be lost.
    pub fn new(
        store: Arc<dyn Store>,
        me: MemberId,
        members: watch::Receiver<Arc<Members>>,
        known_for: Duration,
    ) -> Self {
        Self { store, me, members, known_for }
    }

    /// Notes whatever is to be noted, again and again. What fails is tried again.
    pub async fn keep(&mut self) -> Infallible {
        loop {
            let members = Arc::clone(&self.members.borrow_and_update());
            let mut has_failed = false;
            for gone in members.gone().filter(|gone| self.is_mine(gone, &members)) {
                match self.note(gone, &members).await {
                    // it is back, or somebody was faster: this host is about to be told
                    Ok(()) | Err(CommitError::Conflict { .. }) => {}
                    Err(error) => {
                        tracing::warn!(host = %gone.member.id, %error, "cannot note that a host is lost");
                        has_failed = true;
                    }
                }
            }
            if has_failed {
                sleep(PAUSE).await;
            } else if self.members.changed().await.is_err() {
                std::future::pending::<()>().await; // nobody follows them any more: the process ends
            }
        }
    }

    /// Whether there is something to note of a host that is gone, and it is for this one to do.
    pub(super) fn is_mine(&self, gone: &KnownMember, members: &Members) -> bool {
        let is_to_note = gone.lost_at_ms.is_none() || members.is_replaced(&gone.member);
        let id = gone.member.id.as_str();
        is_to_note && heaviest(id, members.all()).is_some_and(|keeper| keeper.id == self.me)
    }

    async fn note(&self, gone: &KnownMember, members: &Members) -> Result<(), CommitError> {
        let id = &gone.member.id;
        let as_it_was =
            Batch::derived().if_absent(id.alive_key()).if_equal(id.known_key(), gone.record.clone());
        if members.is_replaced(&gone.member) {
            self.store.commit(as_it_was.delete(id.known_key())).await?;
            return Ok(());
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let lost_at_ms = i64::try_from(since_epoch.as_millis()).ok();
        let lost = KnownMember { lost_at_ms, ..gone.clone() };
        let record = serde_json::to_vec(&lost).unwrap_or_default(); // it has nothing that JSON has not
        let lease = self.store.grant_lease(self.known_for).await?;
        let noted = self.store.commit(as_it_was.put_with_lease(id.known_key(), record, lease)).await;
        if noted.is_err() {
            let _ = self.store.revoke(lease).await; // it ends by itself
        }
        noted?;
        tracing::warn!(host = %id, admin = %gone.member.admin, "a host is lost: it died, or is cut off from the store");
        Ok(())
    }
}
