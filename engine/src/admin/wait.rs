//! When a change has arrived.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use legation_actors::status::EnvoyStatus;
use legation_proto::version::Transaction;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::status::envoy_json;
use super::{Admin, no_answer};

/// Longest time to wait for Envoys.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// How long to wait before looking again.
const WAIT_PAUSE: Duration = Duration::from_millis(20);

/// What to wait for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WaitFor {
    /// Every Envoy that this one concerns is to have accepted it; the newest if absent.
    transaction: Option<Transaction>,
    /// How long to wait, in milliseconds.
    timeout_ms: Option<u64>,
}

/// Answers when every connected Envoy has accepted what came of a transaction, or when time runs out, with those that have not.
pub(super) async fn wait(State(admin): State<Admin>, Query(wait_for): Query<WaitFor>) -> Response {
    let Some(newest) = admin.transaction().await else {
        return no_answer();
    };
    let transaction = wait_for.transaction.unwrap_or(newest);
    if transaction > newest {
        let problem = format!("transaction {transaction} was not made yet; the newest is {newest}\n");
        return (StatusCode::BAD_REQUEST, problem).into_response();
    }
    let timeout = wait_for.timeout_ms.map_or(WAIT_MAX, Duration::from_millis).min(WAIT_MAX);
    let deadline = Instant::now() + timeout;
    loop {
        let is_transformed = *admin.transformed.borrow() >= transaction;
        let waiting = admin.envoys_behind(transaction).await;
        let done = is_transformed && waiting.as_ref().is_some_and(Vec::is_empty);
        if done || Instant::now() >= deadline {
            let waiting: Vec<Value> = waiting.iter().flatten().map(envoy_json).collect();
            let answer = json!({ "transaction": transaction, "done": done, "waiting": waiting });
            return Json(answer).into_response();
        }
        sleep(WAIT_PAUSE).await;
    }
}

impl Admin {
    /// The Envoys that `transaction` or a later one concerns and that are not in sync, after everything that was
    /// transformed until now has reached their actors. `None` if that cannot be told yet.
    async fn envoys_behind(&self, transaction: Transaction) -> Option<Vec<EnvoyStatus>> {
        self.feed.settle().await;
        let mut envoys = self.fleet.settled_status().await?;
        envoys.retain(|envoy| !envoy.synced && envoy.transaction.is_none_or(|newest| newest >= transaction));
        Some(envoys)
    }
}
