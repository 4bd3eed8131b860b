//! Rules on listeners, of virtual nodes, routers and gateways.

use super::check_distinct;
use super::text::check_path;
use crate::model::duration::Duration;
use crate::model::health_check::OutlierDetection;
use crate::model::port_mapping::{Port, Protocol};
use crate::model::shape::{Errors, Path};
use crate::model::virtual_gateway::VirtualGatewayListener;
use crate::model::virtual_node::Listener;
use crate::model::virtual_router::VirtualRouterListener;

/// The rules on the listeners of a virtual node, which are `at` this path.
pub(super) fn check_virtual_node(listeners: &[Listener], at: &Path, errors: &mut Errors) {
    check_ports(listeners.iter().map(|listener| listener.port_mapping.port), at, errors);
    for (index, listener) in listeners.iter().enumerate() {
        let at = at.index(index);
        let protocol = listener.port_mapping.protocol;
        if let Some(pool) = &listener.connection_pool {
            check_protocol(pool.protocol(), protocol, &at.field("connectionPool"), errors);
        }
        if let Some(timeout) = &listener.timeout {
            check_protocol(timeout.protocol(), protocol, &at.field("timeout"), errors);
        }
        if let Some(policy) = &listener.health_check {
            let asked =
                HealthCheck { protocol: policy.protocol, path: policy.path.as_deref(), port: policy.port };
            let at = at.field("healthCheck");
            asked.check(listener.port_mapping.port, &at, errors);
            check_grpc_health(policy.protocol, protocol, &at, errors);
        }
        if let Some(detection) = &listener.outlier_detection {
            check_outlier_detection(detection, &at.field("outlierDetection"), errors);
        }
    }
}

/// The rules on the listeners of a virtual gateway, which are `at` this path: there is at least one, and what
/// holds for those of a virtual node.
pub(super) fn check_virtual_gateway(listeners: &[VirtualGatewayListener], at: &Path, errors: &mut Errors) {
    if listeners.is_empty() {
        errors.report(at, "has no items; give at least one");
    }
    check_ports(listeners.iter().map(|listener| listener.port_mapping.port), at, errors);
    for (index, listener) in listeners.iter().enumerate() {
        let at = at.index(index);
        if let Some(pool) = &listener.connection_pool {
            let protocol = listener.port_mapping.protocol.into();
            check_protocol(pool.protocol(), protocol, &at.field("connectionPool"), errors);
        }
        if let Some(policy) = &listener.health_check {
            let protocol = policy.protocol.into();
            let asked = HealthCheck { protocol, path: policy.path.as_deref(), port: policy.port };
            asked.check(listener.port_mapping.port, &at.field("healthCheck"), errors);
        }
    }
}

/// The rules on the listeners of a virtual router, which are `at` this path.
pub(super) fn check_virtual_router(listeners: &[VirtualRouterListener], at: &Path, errors: &mut Errors) {
    check_ports(listeners.iter().map(|listener| listener.port_mapping.port), at, errors);
}

/// No two listeners of one resource have the same port.
fn check_ports(ports: impl Iterator<Item = Port>, at: &Path, errors: &mut Errors) {
    let places = ports.enumerate().map(|(index, port)| {
        let at = at.index(index).field("portMapping").field("port");
        (at, port)
    });
    check_distinct(places.collect(), errors);
}

/// Connection pools and timeouts are those of the listener's protocol.
fn check_protocol(given: Protocol, listener: Protocol, at: &Path, errors: &mut Errors) {
    if given != listener {
        errors.report(at, format_args!("is for {given}, and the listener speaks {listener}"));
    }
}

/// What the health checks of virtual nodes and gateways have in common.
struct HealthCheck<'a> {
    protocol: Protocol,
    path: Option<&'a str>,
    port: Option<Port>,
}

impl HealthCheck<'_> {
    /// A health check has a path if it is by HTTP or HTTP/2, and one for another protocol is ignored. Its
    /// port, if given, is the listener's.
    fn check(&self, listener: Port, at: &Path, errors: &mut Errors) {
        let by_path = matches!(self.protocol, Protocol::Http | Protocol::Http2);
        match self.path {
            Some(path) if by_path => check_path(path, &at.field("path"), errors),
            None if by_path => {
                errors.report(&at.field("path"), format_args!("is required with {}", self.protocol));
            }
            _ => {}
        }
        if let Some(port) = self.port
            && port != listener
        {
            errors.report(&at.field("port"), format_args!("{port} is not the listener's port, {listener}"));
        }
    }
}

/// Envoy asks by gRPC only where it speaks HTTP/2 to the listener.
fn check_grpc_health(asked: Protocol, listener: Protocol, at: &Path, errors: &mut Errors) {
    if asked == Protocol::Grpc && !listener.is_http2() {
        errors.report(
            &at.field("protocol"),
            format_args!("grpc needs a listener for http2 or grpc, and this one speaks {listener}"),
        );
    }
}

/// Both times of an outlier detection are above zero.
fn check_outlier_detection(detection: &OutlierDetection, at: &Path, errors: &mut Errors) {
    let mut check_time = |time: &Duration, name| {
        if time.is_zero() {
            errors.report(&at.field(name), "is zero");
        }
    };
    check_time(&detection.base_ejection_duration, "baseEjectionDuration");
    check_time(&detection.interval, "interval");
}
