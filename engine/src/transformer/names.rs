//! The names of what is generated. Users' dashboards and alarms are keyed on them: they are App Mesh's, as documented in its
//! lists of metrics and observed in its configurations, wherever these say.

use crate::model::Protocol;

/// The port to which the traffic for a sidecar's application is redirected.
pub const INGRESS_PORT: u16 = 15000;

/// The port to which the traffic from a sidecar's application is redirected. A gateway redirects to it too.
pub const EGRESS_PORT: u16 = 15001;

/// The listener of a sidecar for the traffic to its application.
pub const INGRESS_LISTENER: &str = "lds_ingress_0.0.0.0_15000";

/// The listener for the traffic to backends.
pub const EGRESS_LISTENER: &str = "lds_egress_0.0.0.0_15001";

/// The statistics of traffic to backends.
pub const EGRESS_STAT_PREFIX: &str = "egress";

/// The virtual host of a gateway's ingress.
pub const SELF_REDIRECT: &str = "self_redirect";

/// The virtual host of a gateway's egress for requests that keep their host.
pub const DEFAULT_BACKEND: &str = "default_backend";

/// Names the virtual service of requests that keep their host, within a gateway.
pub const VIRTUAL_SERVICE_HEADER: &str = "x-app-mesh-virtual-service";

/// What the names of the route configurations of backends begin with; their ports follow.
const EGRESS_ROUTES: &str = "rds_egress_http_";

/// The listener of a gateway at `port`.
pub fn gateway_listener(port: u16) -> String {
    format!("lds_ingress_0.0.0.0_{port}")
}

/// The cluster of a node's own application.
pub fn ingress_cluster(mesh: &str, node: &str, protocol: Protocol, port: u16) -> String {
    format!("cds_ingress_{mesh}_{node}_{protocol}_{port}")
}

/// The cluster of a node's replicas, for those who call it.
pub fn egress_cluster(mesh: &str, node: &str, protocol: Protocol, port: u16) -> String {
    format!("cds_egress_{mesh}_{node}_{protocol}_{port}")
}

/// The cluster of AWS's own services, to which traffic may always go.
pub fn amazonaws_cluster(mesh: &str) -> String {
    format!("cds_egress_{mesh}_amazonaws")
}

/// The cluster of everything else, in a mesh that lets traffic go anywhere.
pub fn allow_all_cluster(mesh: &str) -> String {
    format!("cds_egress_{mesh}_mesh-allow-all")
}

/// Whether a cluster is an [`allow_all_cluster`].
pub fn is_allow_all_cluster(cluster: &str) -> bool {
    cluster.starts_with("cds_egress_") && cluster.ends_with("_mesh-allow-all")
}

/// The cluster through which a gateway's ingress reaches its egress, by `http` or `http2`.
pub fn self_redirect_cluster(mesh: &str, gateway: &str, codec: &str) -> String {
    format!("cds_ingress_{mesh}_{gateway}_self_redirect_{codec}_{EGRESS_PORT}")
}

/// The route configuration of a listener of a node or gateway.
pub fn ingress_route_configuration(protocol: Protocol, port: u16) -> String {
    format!("rds_ingress_{protocol}_{port}")
}

/// The route configuration of the backends at `port`.
pub fn egress_route_configuration(port: u16) -> String {
    format!("{EGRESS_ROUTES}{port}")
}

/// Whether this is the route configuration of the backends at `port`.
pub fn is_egress_route_configuration(name: &str, port: u16) -> bool {
    name.strip_prefix(EGRESS_ROUTES).is_some_and(|of_port| of_port.parse() == Ok(port))
}

/// The route configuration of a virtual service, with or without a port, for gRPC clients without an Envoy.
pub fn proxyless_route_configuration(virtual_service: &str) -> String {
    format!("rds_proxyless_{virtual_service}")
}

/// The statistics of one of `listeners` listeners of a node or gateway.
pub fn ingress_stat_prefix(listeners: usize, protocol: Protocol, port: u16) -> String {
    if listeners == 1 {
        return "ingress".to_owned();
    }
    format!("ingress.{protocol}.{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_egress_route_configuration_is_known_by_its_port() {
        let name = egress_route_configuration(8080);
        for (of, port, expected) in
            [(name.as_str(), 8080, true), (&name, 80, false), (&name, 0, false), ("8080", 8080, false)]
        {
            assert_eq!(is_egress_route_configuration(of, port), expected, "{of} at {port}");
        }
        assert!(is_egress_route_configuration(&egress_route_configuration(u16::MAX), u16::MAX));
    }
}
