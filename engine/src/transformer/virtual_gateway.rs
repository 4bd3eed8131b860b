//! The fragment of a virtual gateway: what its own Envoys need beside its backends.
//!
//! A gateway's Envoy takes every request twice. Its ingress says by a gateway route which virtual service is meant, and
//! passes the request on to the egress of the same Envoy, which routes it as that of any consumer does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3 as envoy;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use legation_proto::fragment::{EgressMode, NodeFragment};
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use prost::Message;

use super::definitions::Parent;
use super::egress::Egress;
use super::gateway_route::{RankedRoutes, ranked_routes};
use super::listening::{Listening, is_for_listener};
use super::node_fragment::{NodeParts, resources};
use super::sources::Sources;
use super::{health, ip, limits, logging, names};
use crate::envoy::address::socket_address;
use crate::envoy::cluster::{speak_http2, static_cluster};
use crate::envoy::http_connection_manager::{self, http_connection_manager};
use crate::envoy::listener::{default_filter_chain, listener};
use crate::envoy::route::{route_configuration, virtual_host};
use crate::envoy::value::yes;
use crate::model::{
    GatewayRouteKind, GatewayRouteSpec, IpPreference, Protocol, VirtualGatewayListener, VirtualGatewaySpec,
};

/// Where the egress of a gateway listens: nobody else needs it.
const LOOPBACK: &str = "127.0.0.1";

/// How long the ingress of a gateway waits for a connection to its egress.
const REDIRECT_CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// The fragment of the virtual gateway `name`.
pub(super) fn fragment(
    sources: &Sources<'_>,
    name: &str,
    gateway: &Parent<'_, VirtualGatewaySpec, GatewayRouteSpec>,
) -> NodeFragment {
    let mesh = sources.mesh;
    let spec = &gateway.definition.spec;
    let gateway = Gateway {
        mesh: sources.definitions.name(),
        name,
        spec,
        routes: gateway
            .routes
            .iter()
            .filter_map(|(name, route)| Some((name.as_ref(), route.spec.kind()?, route.spec.as_ref())))
            .collect(),
        transaction: gateway.transaction().max(mesh.transaction),
        ip_preference: mesh.spec.ip_preference(),
        access_logs: logging::access_logs(spec.logging.as_ref()),
    };
    gateway.fragment()
}

/// A virtual gateway, with what its mesh says about it.
struct Gateway<'a> {
    mesh: &'a str,
    name: &'a str,
    spec: &'a VirtualGatewaySpec,
    routes: Vec<(&'a str, GatewayRouteKind<'a>, &'a GatewayRouteSpec)>,
    transaction: Transaction,
    ip_preference: Option<IpPreference>,
    access_logs: Vec<AccessLog>,
}

impl Gateway<'_> {
    fn fragment(&self) -> NodeFragment {
        let backends: BTreeSet<Arc<str>> = self
            .routes
            .iter()
            .map(|(_, kind, _)| kind.target().virtual_service.virtual_service_name.as_str().into())
            .collect();
        NodeParts {
            transaction: self.transaction,
            clusters: self.redirect_clusters(),
            listeners: resources(
                ResourceType::Listener,
                self.transaction,
                &self.ingress_listeners(),
                |listener| &listener.name,
            ),
            route_configurations: self.ingress_route_configurations(),
            egress: &Egress { clusters: Vec::new(), listener: egress_listener().encode_to_vec().into() },
            egress_mode: EgressMode::Redirected { port: names::EGRESS_PORT },
            access_logs: &self.access_logs,
            backends,
        }
        .encode()
    }

    /// The clusters through which requests reach the egress of the same Envoy, each once.
    fn redirect_clusters(&self) -> Vec<Cluster> {
        let mut clusters: Vec<Cluster> = Vec::new();
        for own in &self.spec.listeners {
            let name = self.redirect_cluster_name(own);
            if clusters.iter().any(|cluster| cluster.name == name) {
                continue;
            }
            let mut cluster = static_cluster(
                &name,
                socket_address(LOOPBACK, names::EGRESS_PORT),
                REDIRECT_CONNECT_TIMEOUT,
                limits::of_virtual_gateway(own.connection_pool.as_ref()),
            );
            if health::speaks_http2(protocol_of(own)) {
                speak_http2(&mut cluster);
            }
            clusters.push(cluster);
        }
        clusters
    }

    /// The cluster of a listener. It is shared by the listeners with the same codec and connection pool as the first one
    /// of that codec; the cluster of any other has the listener's port at its end.
    fn redirect_cluster_name(&self, own: &VirtualGatewayListener) -> String {
        let shared = names::self_redirect_cluster(self.mesh, self.name, codec_of(own));
        let mut listeners = self.spec.listeners.iter();
        let first = listeners.find(|other| codec_of(other) == codec_of(own));
        if first.is_some_and(|first| first.connection_pool == own.connection_pool) {
            return shared;
        }
        format!("{shared}_{}", port_of(own))
    }

    /// A listener for each of the gateway's.
    fn ingress_listeners(&self) -> Vec<envoy::Listener> {
        self.spec.listeners.iter().map(|own| self.ingress_listener(own)).collect()
    }

    /// The gateway is where clients outside the mesh end: their address is that of the connection, whatever they say.
    fn ingress_listener(&self, own: &VirtualGatewayListener) -> envoy::Listener {
        let (protocol, port) = (protocol_of(own), port_of(own));
        let stat_prefix = names::ingress_stat_prefix(self.spec.listeners.len(), protocol, port);
        let routes = names::ingress_route_configuration(protocol, port);
        let mut manager = http_connection_manager(&stat_prefix, &routes, &self.access_logs);
        manager.use_remote_address = yes();

        let address = ip::bind_address(self.ip_preference, port);
        let name = names::gateway_listener(port);
        let mut ingress = listener(&name, address, TrafficDirection::Inbound);
        ingress.filter_chains = vec![default_filter_chain(
            &format!("ingress_{protocol}_{port}"),
            http_connection_manager::filter(&manager),
        )];
        ingress
    }

    /// For each listener, the gateway routes for its protocol and port.
    fn ingress_route_configurations(&self) -> Vec<RouteConfiguration> {
        let configurations = self.spec.listeners.iter().map(|own| {
            let mut ranked = self.routes_of(own);
            ranked.sort_by(|a, b| a.rank.cmp(&b.rank));
            let routes = ranked.into_iter().flat_map(|ranked| ranked.routes).collect();
            let host = virtual_host(names::SELF_REDIRECT, vec!["*".to_owned()], routes);
            let name = names::ingress_route_configuration(protocol_of(own), port_of(own));
            route_configuration(&name, vec![host])
        });
        configurations.collect()
    }

    fn routes_of(&self, own: &VirtualGatewayListener) -> Vec<RankedRoutes<'_>> {
        let cluster = self.redirect_cluster_name(own);
        let meant = self.routes.iter().filter(|(_, kind, _)| is_for_listener(*kind, own));
        meant.map(|(name, kind, route)| ranked_routes(name, route.priority, *kind, &cluster)).collect()
    }
}

/// The listener for the requests that the ingress passes on. Its one filter chain depends on the backends.
fn egress_listener() -> envoy::Listener {
    listener(names::EGRESS_LISTENER, socket_address(LOOPBACK, names::EGRESS_PORT), TrafficDirection::Outbound)
}

fn protocol_of(own: &VirtualGatewayListener) -> Protocol {
    own.protocol()
}

fn port_of(own: &VirtualGatewayListener) -> u16 {
    own.port()
}

fn codec_of(own: &VirtualGatewayListener) -> &'static str {
    if health::speaks_http2(protocol_of(own)) {
        return "http2";
    }
    "http"
}
