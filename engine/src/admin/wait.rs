//! When a change has arrived.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use legation_actors::fleet::Fleet;
use legation_actors::status::EnvoyStatus;
use legation_proto::version::Transaction;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::status::envoy_json;
use super::{Admin, no_answer};
use crate::store::StoreError;
use crate::transformer::progress::Progress;

/// Longest time to wait for Envoys.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// How long to wait before looking again.
const WAIT_PAUSE: Duration = Duration::from_millis(20);

/// How long a look may take in any case, also where there is no time to wait.
const LOOK: Duration = Duration::from_secs(1);

/// What to wait for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WaitFor {
    /// Every Envoy that this one concerns is to have accepted it; the newest if absent.
    transaction: Option<Transaction>,
    /// How long to wait, in milliseconds.
    timeout_ms: Option<u64>,
}

/// Answers when every Envoy of this host has accepted what came of a transaction, or when time runs out, with those that have
/// not.
pub(super) async fn wait(State(admin): State<Admin>, Query(wait_for): Query<WaitFor>) -> Response {
    let waiting = match wait_for.begin(&admin).await {
        Ok(waiting) => waiting,
        Err(refusal) => return refusal,
    };
    let (mut done, mut envoys) = (admin.has_no_envoys_and_is_cut_off(), None);
    if !done && admin.is_transformed(&waiting).await {
        (done, envoys) = admin.until_accepted(&waiting).await;
    }
    let mut answer = json!({ "transaction": waiting.transaction, "host": admin.me.id });
    if let Some(since) = admin.store.reach().cut_off_since
        && !done
    {
        // what concerns which of them is not known here
        done = admin.has_no_envoys_and_is_cut_off();
        envoys = match &admin.management {
            Some(management) => Some(management.fleet.status().await),
            None => None,
        };
        answer["cutOffSince"] = humantime::format_rfc3339_seconds(since).to_string().into();
    }
    answer["done"] = done.into();
    answer["waiting"] = envoys.iter().flatten().map(envoy_json).collect();
    Json(answer).into_response()
}

/// What is waited for, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) transaction: Transaction,
    deadline: Instant,
}

impl Waiting {
    /// How much time is left.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    async fn pause(&self) -> bool {
        self.pause_for(WAIT_PAUSE).await
    }

    /// Waits a little; whether there is any time left.
    pub(super) async fn pause_for(&self, pause: Duration) -> bool {
        sleep(pause.min(self.left())).await;
        !self.left().is_zero()
    }
}

impl WaitFor {
    /// What this asks for; or why that cannot be.
    pub(super) async fn begin(&self, admin: &Admin) -> Result<Waiting, Response> {
        let timeout = self.timeout_ms.map_or(WAIT_MAX, Duration::from_millis).min(WAIT_MAX);
        let deadline = Instant::now() + timeout;
        let transaction = match (self.transaction, admin.store.reach()) {
            // it is known to be made; or nobody can be asked, and who asks may know more
            (Some(asked), reach) if asked <= reach.transaction || reach.cut_off_since.is_some() => asked,
            (asked, _) => {
                let newest = admin.newest_until(deadline).await.ok_or_else(no_answer)?;
                let transaction = asked.unwrap_or(newest);
                if transaction > newest {
                    let problem =
                        format!("transaction {transaction} was not made yet; the newest is {newest}\n");
                    return Err((StatusCode::BAD_REQUEST, problem).into_response());
                }
                transaction
            }
        };
        Ok(Waiting { transaction, deadline })
    }
}

impl Admin {
    /// The transaction that the store has reached, as soon as it answers; it may be about to, after an outage.
    async fn newest_until(&self, deadline: Instant) -> Option<Transaction> {
        loop {
            if self.store.reach().cut_off_since.is_none()
                && let Some(newest) = self.transaction().await
            {
                return Some(newest);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            sleep(WAIT_PAUSE.min(left)).await;
        }
    }

    /// Whether nobody here is behind, whatever happened: so that a host without Envoys that does not reach the store delays nobody.
    fn has_no_envoys_and_is_cut_off(&self) -> bool {
        let is_cut_off = self.store.reach().cut_off_since.is_some();
        is_cut_off
            && self.management.as_ref().is_none_or(|management| management.fleet.envoys_connected() == 0)
    }

    /// Waits until everything is transformed. Whether it is when time runs out.
    pub(super) async fn is_transformed(&self, waiting: &Waiting) -> bool {
        let mut progress = None;
        loop {
            let looking = self.has_transformed(waiting.transaction, &mut progress);
            match timeout(waiting.left().max(LOOK), looking).await {
                Ok(Ok(true)) => return true,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot tell what is transformed"),
                Err(_) => return false,
            }
            if !waiting.pause().await {
                return false;
            }
        }
    }

    /// What this host has of it; and all others, if there may be any.
    async fn has_transformed(
        &self,
        transaction: Transaction,
        progress: &mut Option<Progress>,
    ) -> Result<bool, StoreError> {
        let mine = self.transformer.as_ref().map(|transformer| *transformer.transformed.borrow());
        if mine.is_some_and(|mine| mine < transaction) {
            return Ok(false);
        }
        if self.hosts.is_none() {
            return Ok(true);
        }
        if progress.is_none() {
            *progress = Some(Progress::until(self.store.as_ref(), transaction).await?);
        }
        match progress {
            Some(progress) => progress.is_done(self.store.as_ref()).await,
            None => Ok(false),
        }
    }

    /// Waits until the Envoys of this host have accepted what was transformed; whether they have, and which have not, if that
    /// can be told.
    async fn until_accepted(&self, waiting: &Waiting) -> (bool, Option<Vec<EnvoyStatus>>) {
        let Some(management) = &self.management else {
            return (true, None);
        };
        while !matches!(timeout(waiting.left().max(LOOK), management.feed.settle()).await, Ok(true)) {
            if !waiting.pause().await {
                return (false, None);
            }
        }
        loop {
            let behind = envoys_behind(&management.fleet, waiting.transaction).await;
            let done = behind.as_ref().is_some_and(Vec::is_empty);
            if done || !waiting.pause().await {
                return (done, behind);
            }
        }
    }
}

/// The Envoys that `transaction` or a later one concerns and that are not in sync, after everything that was published
/// until now has reached their actors. `None` if that cannot be told yet.
async fn envoys_behind(fleet: &Fleet, transaction: Transaction) -> Option<Vec<EnvoyStatus>> {
    let mut envoys = fleet.settled_status().await?;
    envoys.retain(|envoy| !envoy.synced && envoy.transaction.is_none_or(|newest| newest >= transaction));
    Some(envoys)
}
