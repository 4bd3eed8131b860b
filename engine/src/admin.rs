//! Health, metrics and status of this process, over HTTP.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use legation_actors::fleet::Fleet;
use legation_actors::status::{EnvoyStatus, Times, TypeStatus};
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::store::{At, Store};
use crate::transformer::keys;

/// What the admin endpoints tell of.
#[derive(Clone)]
pub struct Admin {
    /// The Envoys of this host.
    pub fleet: Arc<Fleet>,
    /// The store, for its transaction.
    pub store: Arc<dyn Store>,
    /// The transaction that was transformed last.
    pub transformed: watch::Receiver<Transaction>,
    /// Whether a pass was finished since the start.
    pub metrics: PrometheusHandle,
}

/// The endpoints: `/healthz`, `/readyz`, `/metrics`, `/status`.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|State(admin): State<Admin>| async move { admin.metrics.render() }),
        )
        .route("/status", get(status))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.transformed.has_changed().is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the transformer has ended\n").into_response();
    }
    if admin.fleet.is_nearly_full() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "nearly full: send envoys to another host\n",
        )
            .into_response();
    }
    "ready\n".into_response()
}

async fn status(State(admin): State<Admin>) -> Response {
    // the marks are few, and any listing tells the transaction
    let listing = match admin.store.list(keys::TRANSFORMED, At::Newest).await {
        Ok(listing) => listing,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot tell the transaction"
            );
            return (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n").into_response();
        }
    };
    let envoys: Vec<Value> = admin.fleet.status().await.iter().map(envoy_json).collect();
    Json(json!({ "transaction": listing.transaction, "envoys": envoys })).into_response()
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
        "connectedAt": rfc3339(envoy.connected_at),
        "synced": envoy.synced,
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
