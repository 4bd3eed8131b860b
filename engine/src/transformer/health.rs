//! How the health of a target's endpoints is found out.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::OutlierDetection;
use envoy_types::pb::envoy::config::core::v3::HealthCheck;
use envoy_types::pb::envoy::r#type::v3::CodecClientType;

use crate::envoy::health_check::{self, Rhythm};
use crate::model::health_check::HealthCheckPolicy;
use crate::model::{self, Listener, Protocol};

/// The active health check of a cluster of replicas behind this listener.
pub(super) fn health_check_of(listener: &Listener) -> Option<HealthCheck> {
    let policy = listener.health_check.as_ref()?;
    let path = policy.path.as_deref().unwrap_or("/");
    let checker = match policy.protocol {
        Protocol::Http => health_check::by_http(path, CodecClientType::Http1),
        Protocol::Http2 => health_check::by_http(path, CodecClientType::Http2),
        Protocol::Tcp => health_check::by_tcp(),
        // on listeners that carry HTTP/2 only, says the model: Envoy refuses it elsewhere
        Protocol::Grpc => health_check::by_grpc(),
    };
    Some(health_check::health_check(rhythm(policy), checker))
}

/// Whether a protocol is carried by HTTP/2.
pub(super) fn speaks_http2(protocol: Protocol) -> bool {
    protocol.is_http2()
}

fn rhythm(policy: &HealthCheckPolicy) -> Rhythm {
    Rhythm {
        interval: Duration::from_millis(policy.interval_millis.to_u32().into()),
        timeout: Duration::from_millis(policy.timeout_millis.to_u32().into()),
        healthy_threshold: policy.healthy_threshold.to_u32(),
        unhealthy_threshold: policy.unhealthy_threshold.to_u32(),
    }
}

/// When an endpoint that answers with errors is left alone.
pub(super) fn outlier_detection(detection: &model::health_check::OutlierDetection) -> OutlierDetection {
    health_check::outlier_detection(
        detection.max_server_errors.to_u32(),
        detection.interval.to_std(),
        detection.base_ejection_duration.to_std(),
        detection.max_ejection_percent.to_u32(),
    )
}
