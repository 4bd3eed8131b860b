//! Health, metrics and status of this process, over HTTP; and what Envoys should have, over HTTP and gRPC.
//!
//! | module | answers |
//! |---|---|
//! | `health` | whether the process is alive, and whether it should be sent more |
//! | `status` | which Envoys are connected, and what each was sent, accepted and rejected |
//! | `wait` | when a change has arrived |
//! | `host` | what this host is and how far it has come; emptying it |
//! | `fleet` | the same of all hosts: `status`, `wait` and `host`, asked of each |
//! | `connected` | how many Envoys of each node are connected |
//! | `config` | what the Envoys of a node should have |
//! | `csds` | what each connected Envoy should have and how far that has come: the client status discovery service |
//! | `peers` | asks other hosts |
//! | [`client`] | asks such endpoints for the commands |

pub mod client;
mod config;
mod connected;
mod csds;
mod fleet;
mod health;
mod host;
mod peers;
mod status;
mod wait;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use legation_actors::fleet::Fleet;
use legation_proto::version::Transaction;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::management::draining::Drain;
use crate::management::feed::FeedHandle;
use crate::membership::{Member, Members};
use crate::store::Store;
use crate::transformer::linter::FoundByMesh;

pub use self::config::{NodeConfig, ResourceConfig, TypeConfig};
pub use self::connected::{ConnectedEverywhere, ConnectedHere};
pub use self::peers::{PeerError, Peers};

/// What the admin endpoints tell of.
#[derive(Clone)]
pub struct Admin {
    /// This host.
    pub me: Member,
    /// All hosts, where there may be several.
    pub hosts: Option<watch::Receiver<Arc<Members>>>,
    /// How other hosts are asked.
    pub peers: Peers,
    /// The store, for its transaction.
    pub store: Arc<dyn Store>,
    /// The transformer, if this host has one.
    pub transformer: Option<TransformerView>,
    /// What serves Envoys, if this host does.
    pub management: Option<ManagementView>,
    /// What renders metrics.
    pub metrics: PrometheusHandle,
}

/// What is to be seen of a transformer.
#[derive(Clone)]
pub struct TransformerView {
    /// The transaction that was transformed last.
    pub transformed: watch::Receiver<Transaction>,
    /// What is found in the meshes.
    pub found: watch::Receiver<Arc<FoundByMesh>>,
}

/// What is to be seen of what serves Envoys, and how it is emptied.
#[derive(Clone)]
pub struct ManagementView {
    /// The Envoys of this host.
    pub fleet: Arc<Fleet>,
    /// What publishes fragments.
    pub feed: FeedHandle,
    /// Sends Envoys away.
    pub drain: Drain,
}

/// The endpoints: `/healthz`, `/readyz`, `/metrics`, `/status`, `/wait`, `/host`, `/host/nodes`, `/host/drain`, the same of all hosts under
/// `/fleet`, `/config`, and the client status discovery service.
pub fn router(admin: Admin) -> Router {
    let csds = admin.management.as_ref().map(|management| csds::router(Arc::clone(&management.fleet)));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(|State(admin): State<Admin>| async move { admin.metrics.render() }))
        .route("/status", get(status::status))
        .route("/wait", get(wait::wait))
        .route("/host", get(host::host))
        .route("/host/nodes", get(connected::nodes))
        .route("/host/drain", post(host::drain).delete(host::stop_drain))
        .route("/fleet/hosts", get(fleet::hosts))
        .route("/fleet/status", get(fleet::status))
        .route("/fleet/wait", get(fleet::wait))
        .route("/fleet/targets", get(fleet::targets))
        .route("/config", get(config::config))
        .with_state(admin)
        .merge(csds.unwrap_or_default())
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
