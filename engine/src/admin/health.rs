//! Whether the process is alive, and whether it should be sent more.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Admin;

/// The process answers, so it is alive.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether a balancer should send this host what is new. What it has it serves in any case.
pub(super) async fn ready(State(admin): State<Admin>) -> Response {
    match why_not(&admin) {
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
        None => "ready\n".into_response(),
    }
}

fn why_not(admin: &Admin) -> Option<String> {
    if let Some(since) = admin.store.reach().cut_off_since {
        let since = humantime::format_rfc3339_seconds(since);
        return Some(format!("the store has not answered since {since}: this host goes on with what it has"));
    }
    if let Some(since) = admin.store.reach().unwatched_since {
        let since = humantime::format_rfc3339_seconds(since);
        return Some(format!(
            "the store has told of no changes since {since}: this host goes on with what it has"
        ));
    }
    if admin.transformer.as_ref().is_some_and(|transformer| transformer.transformed.has_changed().is_err()) {
        return Some("the transformer has ended".to_owned());
    }
    let management = admin.management.as_ref()?;
    if management.drain.is_under_way() {
        return Some("draining: send envoys to another host".to_owned());
    }
    management.fleet.is_nearly_full().then(|| "nearly full: send envoys to another host".to_owned())
}
