//! Which Envoys are connected, and what each was sent, accepted and rejected; and what is found in the meshes.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use legation_actors::status::{EnvoyStatus, Times, TypeStatus};
use legation_proto::resource_type::ResourceType;
use serde_json::{Map, Value, json};

use super::Admin;
use super::host::host_json;
use crate::lint::Finding;
use crate::transformer::linter::{Found, FoundByMesh};

/// The Envoys of this host, and what is found in the meshes that it transforms.
pub(super) async fn status(State(admin): State<Admin>) -> Response {
    let transaction = admin.store.reach().transaction;
    let mut envoys = Vec::new();
    if let Some(management) = &admin.management {
        envoys = management.fleet.status().await.iter().map(envoy_json).collect();
    }
    let found = admin.transformer.as_ref().map(|transformer| Arc::clone(&transformer.found.borrow()));
    let warnings = warnings_json(&found.unwrap_or_default());
    let now = rfc3339(SystemTime::now());
    let host = host_json(&admin);
    let status = json!({
        "transaction": transaction, "now": now, "envoys": envoys, "warnings": warnings, "host": host,
    });
    Json(status).into_response()
}

/// How many findings of all meshes are shown.
pub(super) const FINDINGS_MAX: usize = 100;

/// What is found in the meshes: how many, and the first of them.
fn warnings_json(found: &FoundByMesh) -> Value {
    let count: usize = found.values().map(Found::count).sum();
    let first = found.values().flat_map(|of_mesh| &of_mesh.first).take(FINDINGS_MAX);
    let findings: Vec<Value> = first.map(Finding::to_json).collect();
    json!({ "count": count, "findings": findings })
}

/// What is known of an Envoy.
pub(super) fn envoy_json(envoy: &EnvoyStatus) -> Value {
    let types: Map<String, Value> = ResourceType::ALL
        .iter()
        .zip(envoy.types.iter().zip(&envoy.times))
        .map(|(resource_type, (status, times))| (resource_type.label().to_owned(), type_json(status, times)))
        .collect();
    json!({
        "node": envoy.node.to_string(),
        "stream": envoy.stream,
        "peer": envoy.peer.map(|peer| peer.to_string()),
        "client": envoy.client.as_str(),
        "service": envoy.service.label(),
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

pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
