//! How the health of an application is found out: actively by asking, or from its answers.

use super::duration::Duration;
use super::port_mapping::{Port, Protocol, VirtualGatewayProtocol};
use super::shape::declare::shape;
use super::shape::{AtLeast, Int};

shape! {
    /// How a virtual node is asked for its health.
    pub struct HealthCheckPolicy {
        /// How many good answers in a row make it healthy.
        pub healthy_threshold: Int<2, 10>,
        /// The time from one question to the next, in milliseconds.
        pub interval_millis: Int<5_000, 300_000>,
        /// The path to ask for. Required with HTTP and HTTP/2, and ignored otherwise.
        pub path: Option<String>,
        /// The port to ask at: the listener's.
        pub port: Option<Port>,
        /// How to ask.
        pub protocol: Protocol,
        /// How long an answer may take, in milliseconds.
        pub timeout_millis: Int<2_000, 60_000>,
        /// How many bad answers in a row make it unhealthy.
        pub unhealthy_threshold: Int<2, 10>,
    }

    /// How a virtual gateway is asked for its health.
    pub struct VirtualGatewayHealthCheckPolicy {
        /// How many good answers in a row make it healthy.
        pub healthy_threshold: Int<2, 10>,
        /// The time from one question to the next, in milliseconds.
        pub interval_millis: Int<5_000, 300_000>,
        /// The path to ask for. Required with HTTP and HTTP/2, and ignored otherwise.
        pub path: Option<String>,
        /// The port to ask at: the listener's.
        pub port: Option<Port>,
        /// How to ask.
        pub protocol: VirtualGatewayProtocol,
        /// How long an answer may take, in milliseconds.
        pub timeout_millis: Int<2_000, 60_000>,
        /// How many bad answers in a row make it unhealthy.
        pub unhealthy_threshold: Int<2, 10>,
    }

    /// When an endpoint that answers with errors is left alone for a while.
    pub struct OutlierDetection {
        /// For how long it is left alone at least. Above zero.
        pub base_ejection_duration: Duration,
        /// How often the endpoints are looked over. Above zero.
        pub interval: Duration,
        /// How many of the endpoints may be left alone at once, in percent.
        pub max_ejection_percent: Int<0, 100>,
        /// How many server errors in a row are too many.
        pub max_server_errors: AtLeast<1>,
    }
}
