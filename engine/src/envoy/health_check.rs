//! How the health of endpoints is found out: by asking, and from their answers.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::OutlierDetection;
use envoy_types::pb::envoy::config::core::v3::HealthCheck;
use envoy_types::pb::envoy::config::core::v3::health_check::{
    GrpcHealthCheck, HealthChecker, HttpHealthCheck, TcpHealthCheck,
};
use envoy_types::pb::envoy::r#type::v3::CodecClientType;

use super::value::{duration, uint32};

/// How often to ask, how long to wait, and how many answers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// The time from one question to the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many good answers in a row make an endpoint healthy.
    pub healthy_threshold: u32,
    /// How many bad answers in a row make it unhealthy.
    pub unhealthy_threshold: u32,
}

/// Asks in this rhythm, whether or not there is traffic: by default Envoy asks only once a minute where there is none, so
/// that an endpoint which was not ready at the first question would stay out for a minute.
pub fn health_check(rhythm: Rhythm, checker: HealthChecker) -> HealthCheck {
    HealthCheck {
        timeout: Some(duration(rhythm.timeout)),
        interval: Some(duration(rhythm.interval)),
        no_traffic_interval: Some(duration(rhythm.interval)),
        healthy_threshold: uint32(rhythm.healthy_threshold),
        unhealthy_threshold: uint32(rhythm.unhealthy_threshold),
        health_checker: Some(checker),
        ..HealthCheck::default()
    }
}

/// A request for `path`, by HTTP/1.1 or HTTP/2. 200 is the good answer.
pub fn by_http(path: &str, codec: CodecClientType) -> HealthChecker {
    HealthChecker::HttpHealthCheck(HttpHealthCheck {
        path: path.to_owned(),
        codec_client_type: codec.into(),
        ..HttpHealthCheck::default()
    })
}

/// A call of gRPC's health service. Envoy takes it only for a cluster to which it speaks HTTP/2.
pub fn by_grpc() -> HealthChecker {
    HealthChecker::GrpcHealthCheck(GrpcHealthCheck::default())
}

/// A connection, which need only be accepted.
pub fn by_tcp() -> HealthChecker {
    HealthChecker::TcpHealthCheck(TcpHealthCheck::default())
}

/// Leaves an endpoint alone after `consecutive_5xx` server errors in a row, and for no other reason.
pub fn outlier_detection(
    consecutive_5xx: u32,
    interval: Duration,
    base_ejection_time: Duration,
    max_ejection_percent: u32,
) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: uint32(consecutive_5xx),
        interval: Some(duration(interval)),
        base_ejection_time: Some(duration(base_ejection_time)),
        max_ejection_percent: uint32(max_ejection_percent),
        enforcing_consecutive_5xx: uint32(100),
        enforcing_success_rate: uint32(0),
        enforcing_consecutive_gateway_failure: uint32(0),
        ..OutlierDetection::default()
    }
}
