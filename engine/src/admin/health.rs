//! Whether the process is alive, and whether it should be sent more.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Admin;
use crate::store::Reach;

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
    if let Some(reason) = what_is_missed(admin.store.reach()) {
        return Some(reason);
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

/// What this host does not learn from the store.
fn what_is_missed(reach: Reach) -> Option<String> {
    let (what, since) = match (reach.cut_off_since, reach.unwatched_since) {
        (Some(since), _) => ("not answered", since),
        (None, Some(since)) => ("told of no changes", since),
        (None, None) => return None,
    };
    let since = humantime::format_rfc3339_seconds(since);
    Some(format!("the store has {what} since {since}: this host goes on with what it has"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_host_that_misses_changes_is_not_ready() {
        let check = |cut_off_since, unwatched_since, expected: Option<&str>| {
            let missed = what_is_missed(Reach { transaction: 7, cut_off_since, unwatched_since });
            match (missed, expected) {
                (None, None) => {}
                (Some(missed), Some(expected)) => assert!(missed.contains(expected), "{missed}"),
                (missed, _) => panic!("{missed:?}"),
            }
        };
        check(None, None, None);
        check(Some(UNIX_EPOCH), None, Some("has not answered since 1970-01-01T00:00:00Z"));
        check(None, Some(UNIX_EPOCH), Some("has told of no changes since 1970-01-01T00:00:00Z"));
        check(Some(UNIX_EPOCH), Some(UNIX_EPOCH), Some("has not answered"));
    }
}
