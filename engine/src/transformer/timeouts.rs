//! Timeouts: those given, and App Mesh's defaults. Zero disables one.

use std::time::Duration;

use crate::envoy::route::Timeouts;
use crate::model;
use crate::model::timeout::{ListenerTimeout, RequestTimeout, TcpTimeout};

/// How long a request may take if nothing else is said.
const PER_REQUEST_DEFAULT: Duration = Duration::from_secs(15);

/// How long a request or connection may be idle if nothing else is said.
const IDLE_DEFAULT: Duration = Duration::from_secs(300);

/// Those of a route for requests.
pub(super) fn of_requests(timeout: Option<&RequestTimeout>) -> Timeouts {
    let per_request = timeout.and_then(|timeout| timeout.per_request.as_ref());
    let idle = timeout.and_then(|timeout| timeout.idle.as_ref());
    Timeouts { per_request: given_or(per_request, PER_REQUEST_DEFAULT), idle: given_or(idle, IDLE_DEFAULT) }
}

/// For how long the connections of a TCP route may be idle.
pub(super) fn of_connections(timeout: Option<&TcpTimeout>) -> Duration {
    given_or(timeout.and_then(|timeout| timeout.idle.as_ref()), IDLE_DEFAULT)
}

/// Those of a listener for requests.
pub(super) fn of_request_listener(timeout: Option<&ListenerTimeout>) -> Timeouts {
    match timeout {
        Some(
            ListenerTimeout::Http(timeout) | ListenerTimeout::Http2(timeout) | ListenerTimeout::Grpc(timeout),
        ) => of_requests(Some(timeout)),
        Some(ListenerTimeout::Tcp(_)) | None => of_requests(None),
    }
}

/// For how long the connections of a TCP listener may be idle.
pub(super) fn of_connection_listener(timeout: Option<&ListenerTimeout>) -> Duration {
    match timeout {
        Some(ListenerTimeout::Tcp(timeout)) => of_connections(Some(timeout)),
        _ => of_connections(None),
    }
}

fn given_or(given: Option<&model::duration::Duration>, default: Duration) -> Duration {
    given.map_or(default, model::duration::Duration::to_std)
}
