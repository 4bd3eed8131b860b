//! Health, metrics and status of this process, over HTTP.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use legation_actors::fleet::Fleet;
use legation_actors::status::{EnvoyStatus, Times, TypeStatus};
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::management::feed::FeedHandle;
use crate::store::{At, Store};
use crate::transformer::keys;

/// Longest time to wait for Envoys.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// How long to wait before looking again.
const WAIT_PAUSE: Duration = Duration::from_millis(20);

/// What the admin endpoints tell of.
#[derive(Clone)]
pub struct Admin {
    /// The Envoys of this host.
    pub fleet: Arc<Fleet>,
    /// The store, for its transaction.
    pub store: Arc<dyn Store>,
    /// The transaction that was transformed last.
    pub transformed: watch::Receiver<Transaction>,
    /// What publishes fragments.
    pub feed: FeedHandle,
    /// What renders metrics.
    pub metrics: PrometheusHandle,
}

/// The endpoints: `/healthz`, `/readyz`, `/metrics`, `/status`, `/wait`.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(admin): State<Admin>| async move { admin.metrics.render() }))
        .route("/status", get(status))
        .route("/wait", get(wait))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.transformed.has_changed().is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the transformer has ended\n").into_response();
    }
    if admin.fleet.is_nearly_full() {
        return (StatusCode::SERVICE_UNAVAILABLE, "nearly full: send envoys to another host\n")
            .into_response();
    }
    "ready\n".into_response()
}

async fn status(State(admin): State<Admin>) -> Response {
    let Some(transaction) = admin.transaction().await else {
        return no_answer();
    };
    let envoys: Vec<Value> = admin.fleet.status().await.iter().map(envoy_json).collect();
    Json(json!({ "transaction": transaction, "envoys": envoys })).into_response()
}

/// What to wait for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WaitFor {
    /// Every Envoy that this one concerns is to have accepted it; the newest if absent.
    transaction: Option<Transaction>,
    /// How long to wait, in milliseconds.
    timeout_ms: Option<u64>,
}

/// Answers when every connected Envoy has accepted what came of a transaction, or when time runs out, with those that have not.
async fn wait(State(admin): State<Admin>, Query(wait_for): Query<WaitFor>) -> Response {
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
        if (is_transformed && waiting.is_empty()) || Instant::now() >= deadline {
            let waiting: Vec<Value> = waiting.iter().map(envoy_json).collect();
            let done = is_transformed && waiting.is_empty();
            let answer = json!({ "transaction": transaction, "done": done, "waiting": waiting });
            return Json(answer).into_response();
        }
        sleep(WAIT_PAUSE).await;
    }
}

impl Admin {
    /// The transaction that the store has reached.
    async fn transaction(&self) -> Option<Transaction> {
        // the marks are few, and any listing tells the transaction
        match self.store.list(keys::TRANSFORMED, At::Newest).await {
            Ok(listing) => Some(listing.transaction),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot tell the transaction");
                None
            }
        }
    }

    /// The Envoys that `transaction` or a later one concerns and that are not in sync, after everything that was
    /// transformed until now has reached their actors.
    async fn envoys_behind(&self, transaction: Transaction) -> Vec<EnvoyStatus> {
        self.feed.settle().await;
        let mut envoys = self.fleet.settled_status().await;
        envoys.retain(|envoy| !envoy.synced && envoy.transaction.is_none_or(|newest| newest >= transaction));
        envoys
    }
}

fn no_answer() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n").into_response()
}

fn envoy_json(envoy: &EnvoyStatus) -> Value {
    let types: Map<String, Value> = ResourceType::ALL
        .iter()
        .zip(envoy.types.iter().zip(&envoy.times))
        .map(|(resource_type, (status, times))| (resource_type.label().to_owned(), type_json(status, times)))
        .collect();
    json!({
        "node": envoy.node.to_string(),
        "stream": envoy.stream,
        "peer": envoy.peer.map(|peer| peer.to_string()),
        "protocol": envoy.protocol.as_str(),
        "transaction": envoy.transaction,
        "connectedAt": rfc3339(envoy.connected_at),
        "synced": envoy.synced,
        "problems": &*envoy.problems,
        "types": types,
    })
}

fn type_json(status: &TypeStatus, times: &Times) -> Value {
    let nacked = status.nacked.as_ref().map(|nack| {
        json!({
            "version": nack.version.to_string(),
            "code": nack.rejection.code,
            "message": nack.rejection.message,
            "at": times.nacked.map(rfc3339),
        })
    });
    json!({
        "sent": status.sent.map(|version| version.to_string()),
        "sentAt": times.sent.map(rfc3339),
        "acked": status.acked.map(|version| version.to_string()),
        "ackedAt": times.acked.map(rfc3339),
        "nacked": nacked,
    })
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
