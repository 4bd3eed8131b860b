//! Health, metrics and status of this process, over HTTP; and what Envoys should have, over HTTP and gRPC.
//!
//! | module | answers |
//! |---|---|
//! | `status` | which Envoys are connected, and what each was sent, accepted and rejected |
//! | `wait` | when a change has arrived |
//! | `config` | what the Envoys of a node should have |
//! | `csds` | what each connected Envoy should have and how far that has come: the client status discovery service |

mod config;
mod csds;
mod status;
mod wait;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use legation_actors::fleet::Fleet;
use legation_proto::version::Transaction;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::management::feed::FeedHandle;
use crate::store::Store;
use crate::transformer::linter::FoundByMesh;

pub use self::config::{NodeConfig, ResourceConfig, TypeConfig};

/// What the admin endpoints tell of.
#[derive(Clone)]
pub struct Admin {
    /// The Envoys of this host.
    pub fleet: Arc<Fleet>,
    /// The store, for its transaction.
    pub store: Arc<dyn Store>,
    /// The transaction that was transformed last.
    pub transformed: watch::Receiver<Transaction>,
    /// What is found in the meshes.
    pub found: watch::Receiver<Arc<FoundByMesh>>,
    /// What publishes fragments.
    pub feed: FeedHandle,
    /// What renders metrics.
    pub metrics: PrometheusHandle,
}

/// The endpoints: `/healthz`, `/readyz`, `/metrics`, `/status`, `/wait`, `/config`, and the client status discovery service.
pub fn router(admin: Admin) -> Router {
    let csds = csds::router(Arc::clone(&admin.fleet));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(admin): State<Admin>| async move { admin.metrics.render() }))
        .route("/status", get(status::status))
        .route("/wait", get(wait::wait))
        .route("/config", get(config::config))
        .with_state(admin)
        .merge(csds)
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

impl Admin {
    /// The transaction that the store has reached.
    async fn transaction(&self) -> Option<Transaction> {
        match self.store.newest().await {
            Ok(transaction) => Some(transaction),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot tell the transaction");
                None
            }
        }
    }
}

fn no_answer() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n").into_response()
}
