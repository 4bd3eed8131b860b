//! When a request is tried again.

use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::RetryPolicy;

use crate::envoy::route::retry_elsewhere;
use crate::model::retry::{GrpcRetryPolicy, HttpRetryPolicy};
use crate::model::shape::Text;

/// An event of HTTP, as a retry policy names it.
type HttpRetryEvent = Text<1, 25>;

/// How often an endpoint is picked anew if it was tried before.
const HOST_ATTEMPTS: i64 = 5;

/// How often a request is tried again if nothing else is said.
const RETRIES_DEFAULT: u32 = 2;

/// After what a request is tried again if nothing else is said.
const RETRY_ON_DEFAULT: &str = "unavailable,connect-failure,refused-stream,reset,retriable-status-codes";

/// After which status a request is tried again if nothing else is said.
const STATUS_CODE_DEFAULT: u32 = 503;

/// What Envoy calls a status that is listed beside.
const LISTED_STATUS_CODES: &str = "retriable-status-codes";

/// Of a route without a retry policy, and of a virtual service that a virtual node provides: App Mesh retries by default
/// (documented).
pub(super) fn default_policy() -> RetryPolicy {
    retry_elsewhere(
        RETRY_ON_DEFAULT.to_owned(),
        vec![STATUS_CODE_DEFAULT],
        RETRIES_DEFAULT,
        None,
        HOST_ATTEMPTS,
    )
}

/// Of an HTTP or HTTP/2 route.
pub(super) fn of_http(policy: Option<&HttpRetryPolicy>) -> RetryPolicy {
    let Some(policy) = policy else {
        return default_policy();
    };
    let mut events = Events::default();
    events.add_http(policy.http_retry_events.iter().flatten());
    events.add_tcp(policy.tcp_retry_events.is_some());
    events.policy(policy.max_retries.to_u32(), policy.per_retry_timeout.to_std())
}

/// Of a gRPC route.
pub(super) fn of_grpc(policy: Option<&GrpcRetryPolicy>) -> RetryPolicy {
    let Some(policy) = policy else {
        return default_policy();
    };
    let mut events = Events::default();
    events.add_http(policy.http_retry_events.iter().flatten());
    events.add_tcp(policy.tcp_retry_events.is_some());
    for event in policy.grpc_retry_events.iter().flatten() {
        events.add(event.as_str());
    }
    events.policy(policy.max_retries.to_u32(), policy.per_retry_timeout.to_std())
}

/// Events in Envoy's terms, each once, in the order in which they were added.
#[derive(Debug, Default)]
struct Events {
    retry_on: Vec<&'static str>,
    status_codes: Vec<u32>,
}

impl Events {
    /// App Mesh's events of HTTP. `reset` goes with all that stand for a server that fails: it is how Envoy sees a
    /// connection that breaks, and a try that takes too long.
    fn add_http<'a>(&mut self, events: impl Iterator<Item = &'a HttpRetryEvent>) {
        for event in events {
            match event.as_str() {
                "server-error" => self.add("5xx"),
                "gateway-error" => {
                    self.add("reset");
                    self.add_status_codes(&[502, 503, 504]);
                }
                "client-error" => self.add_status_codes(&[409]),
                "stream-error" => {
                    self.add("reset");
                    self.add("refused-stream");
                }
                _ => {}
            }
        }
    }

    fn add_tcp(&mut self, connection_error: bool) {
        if connection_error {
            self.add("connect-failure");
        }
    }

    fn add(&mut self, event: &'static str) {
        if !self.retry_on.contains(&event) {
            self.retry_on.push(event);
        }
    }

    fn add_status_codes(&mut self, codes: &[u32]) {
        for code in codes {
            if !self.status_codes.contains(code) {
                self.status_codes.push(*code);
            }
        }
    }

    fn policy(mut self, retries: u32, per_try_timeout: Duration) -> RetryPolicy {
        if !self.status_codes.is_empty() {
            self.add(LISTED_STATUS_CODES);
        }
        let per_try_timeout = Some(per_try_timeout).filter(|timeout| !timeout.is_zero());
        retry_elsewhere(self.retry_on.join(","), self.status_codes, retries, per_try_timeout, HOST_ATTEMPTS)
    }
}
