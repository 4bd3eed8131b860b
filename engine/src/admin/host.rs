//! What this host is and how far it has come; emptying it.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use crate::membership::Member;

/// How many Envoys a second are sent away if nobody says.
const RATE: u32 = 20;

/// How fast to empty a host.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DrainAt {
    /// Most Envoys that are sent away in a second.
    rate: Option<u32>,
    /// The host that is meant: another may have its address by now.
    host: Option<String>,
}

/// Refuses what is meant for another host.
fn refuse_others(admin: &Admin, meant: Option<&str>) -> Option<Response> {
    let me = admin.me.id.as_str();
    let meant = meant.filter(|meant| *meant != me)?;
    Some((StatusCode::CONFLICT, format!("this is host {me}, not {meant}\n")).into_response())
}

/// This host.
pub(super) async fn host(State(admin): State<Admin>) -> Response {
    Json(host_json(&admin)).into_response()
}

/// Begins to empty this host.
pub(super) async fn drain(State(admin): State<Admin>, Query(at): Query<DrainAt>) -> Response {
    if let Some(refusal) = refuse_others(&admin, at.host.as_deref()) {
        return refusal;
    }
    let Some(management) = &admin.management else {
        return (StatusCode::BAD_REQUEST, "this host serves no envoys: there is nothing to drain\n")
            .into_response();
    };
    let rate = at.rate.unwrap_or(RATE);
    if rate == 0 {
        return (StatusCode::BAD_REQUEST, "rate: give at least 1 envoy a second\n").into_response();
    }
    management.drain.begin(rate);
    Json(host_json(&admin)).into_response()
}

/// Takes Envoys again.
pub(super) async fn stop_drain(State(admin): State<Admin>, Query(at): Query<DrainAt>) -> Response {
    if let Some(refusal) = refuse_others(&admin, at.host.as_deref()) {
        return refusal;
    }
    if let Some(management) = &admin.management {
        management.drain.stop();
    }
    Json(host_json(&admin)).into_response()
}

/// What is told of this host.
pub(super) fn host_json(admin: &Admin) -> Value {
    let reach = admin.store.reach();
    let mut host = member_json(&admin.me);
    host["transaction"] = reach.transaction.into();
    let time = |since| humantime::format_rfc3339_millis(since).to_string();
    host["store"] = match (reach.cut_off_since, reach.unwatched_since) {
        (None, None) => json!({"reachable": true}),
        (None, Some(since)) => json!({"reachable": true, "unwatchedSince": time(since)}),
        (Some(since), _) => json!({"reachable": false, "since": time(since)}),
    };
    if let Some(transformer) = &admin.transformer {
        host["transformed"] = (*transformer.transformed.borrow()).into();
    }
    if let Some(management) = &admin.management {
        host["envoys"] = management.fleet.envoys_connected().into();
        host["draining"] = management.drain.is_under_way().into();
    }
    host
}

/// What a host tells of itself in the store.
pub(super) fn member_json(member: &Member) -> Value {
    json!({
        "host": member.id,
        "roles": member.roles,
        "version": member.version,
        "admin": member.admin,
        "xds": member.xds,
        "api": member.api,
        "startedAtMs": member.started_at_ms,
    })
}
