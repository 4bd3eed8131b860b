//! When a request is tried again.

use super::duration::Duration;
use super::shape::declare::shape;
use super::shape::{AtLeast, List, Text};

/// The events of HTTP after which a request may be tried again, as a retry policy names them.
pub const HTTP_RETRY_EVENTS: [&str; 4] = ["server-error", "gateway-error", "client-error", "stream-error"];

shape! {
    /// When an HTTP or HTTP/2 request is tried again. Names at least one event.
    pub struct HttpRetryPolicy {
        /// The events of HTTP: each one of [`HTTP_RETRY_EVENTS`].
        pub http_retry_events: Option<List<Text<1, 25>, 1, 25>>,
        /// How often a request is tried again.
        pub max_retries: AtLeast<0>,
        /// How long each try may take.
        pub per_retry_timeout: Duration,
        /// The events of TCP.
        pub tcp_retry_events: Option<List<TcpRetryEvent, 1, 1>>,
    }

    /// When a gRPC request is tried again. Names at least one event.
    pub struct GrpcRetryPolicy {
        /// The events of gRPC.
        pub grpc_retry_events: Option<List<GrpcRetryEvent, 1, 5>>,
        /// The events of HTTP: each one of [`HTTP_RETRY_EVENTS`].
        pub http_retry_events: Option<List<Text<1, 25>, 1, 25>>,
        /// How often a request is tried again.
        pub max_retries: AtLeast<0>,
        /// How long each try may take.
        pub per_retry_timeout: Duration,
        /// The events of TCP.
        pub tcp_retry_events: Option<List<TcpRetryEvent, 1, 1>>,
    }

    /// An event of TCP after which a request may be tried again.
    pub enum TcpRetryEvent {
        /// The connection failed.
        ConnectionError = "connection-error",
    }

    /// A status of gRPC after which a request may be tried again.
    pub enum GrpcRetryEvent {
        /// `CANCELLED`.
        Cancelled = "cancelled",
        /// `DEADLINE_EXCEEDED`.
        DeadlineExceeded = "deadline-exceeded",
        /// `INTERNAL`.
        Internal = "internal",
        /// `RESOURCE_EXHAUSTED`.
        ResourceExhausted = "resource-exhausted",
        /// `UNAVAILABLE`.
        Unavailable = "unavailable",
    }
}
