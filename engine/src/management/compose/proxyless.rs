//! What a gRPC client should have that resolves `xds:///<virtual service>` itself, without an Envoy: for every backend a
//! listener, its routes and its clusters, as far as gRPC understands Envoy's configuration (gRFC A27, A28, A37).
//!
//! What such a client cannot be served has no routes, so that its calls fail at once: a client that is told nothing waits for
//! long. Why, is a problem that status tells.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, MaxStreamDuration};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, Route, RouteAction, VirtualHost};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::Any;
use legation_actors::composition::{Backend, ComposeError};
use legation_proto::fragment::{EgressMode, NodeFragment, Routing, ServicePort};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;

use super::decode;
use crate::envoy::cluster::{resolve_all_at_once, speaks_http2};
use crate::envoy::listener::api_listener;
use crate::envoy::route::{route_configuration, virtual_host};
use crate::transformer::names;

/// What a gRPC client should have.
#[derive(Default)]
pub(super) struct Proxyless {
    pub(super) clusters: Vec<Resource>,
    pub(super) endpoints: Vec<Resource>,
    pub(super) listeners: Vec<Resource>,
    pub(super) route_configurations: Vec<Resource>,
    /// What it cannot be served, and why.
    pub(super) problems: Vec<String>,
}

/// Composes what a gRPC client of this node should have.
pub(super) fn compose(node: &NodeFragment, backends: &[Backend<'_>]) -> Result<Proxyless, ComposeError> {
    let mut composed = Proxyless::default();
    if matches!(node.egress.mode, EgressMode::Redirected { .. }) {
        composed.problems.push(
            "a virtual gateway is an envoy: a gRPC client needs the id of a virtual node of its own"
                .to_owned(),
        );
        return Ok(composed);
    }
    for backend in backends {
        composed.add(backend)?;
    }
    Ok(composed)
}

impl Proxyless {
    fn add(&mut self, backend: &Backend<'_>) -> Result<(), ComposeError> {
        let clusters = clusters_of(backend)?;
        if backend.fragment.ports.is_empty() {
            self.problems.push(format!("virtual service {} has no provider", backend.name));
            self.add_listeners(backend, backend.name, &[backend.name], Vec::new());
        }
        let mut ports = Vec::new();
        for service_port in &backend.fragment.ports {
            ports.push((service_port.port, routes_at(service_port, &clusters)?));
        }
        // a client names a port, or none and means the first that serves it
        let default = ports.iter().position(|(_, routes)| routes.is_ok()).unwrap_or_default();
        for (position, (port, routes)) in ports.into_iter().enumerate() {
            let routes = routes.unwrap_or_else(|why| {
                self.problems.push(format!(
                    "virtual service {} cannot be called by gRPC at port {port}: {why}",
                    backend.name
                ));
                Vec::new()
            });
            let with_port = format!("{}:{port}", backend.name);
            let names = [with_port.as_str(), backend.name];
            let names = if position == default { &names[..] } else { &names[..1] };
            self.add_listeners(backend, &with_port, names, routes);
        }
        let servable = clusters.into_values().filter(|cluster| cluster.speaks_http2);
        self.clusters.extend(servable.map(|cluster| cluster.resource));
        self.endpoints.extend_from_slice(&backend.fragment.endpoints);
        Ok(())
    }

    /// Adds routes, and listeners of these names that lead to them.
    fn add_listeners(&mut self, backend: &Backend<'_>, what: &str, listeners: &[&str], routes: Vec<Route>) {
        let transaction = backend.fragment.transaction;
        let name = names::proxyless_route_configuration(what);
        let hosts = vec![virtual_host(backend.name, vec!["*".to_owned()], routes)];
        let routes = route_configuration(&name, hosts);
        let routes = Resource::encode(ResourceType::RouteConfiguration, &name, transaction, &routes);
        self.route_configurations.push(routes);
        self.listeners.extend(listeners.iter().map(|listener| {
            let message = api_listener(listener, &name);
            Resource::encode(ResourceType::Listener, listener, transaction, &message)
        }));
    }
}

/// The routes at a port; the inner error says why gRPC cannot be served them.
fn routes_at(
    service_port: &ServicePort,
    clusters: &BTreeMap<String, GrpcCluster>,
) -> Result<Result<Vec<Route>, String>, ComposeError> {
    match &service_port.routing {
        Routing::VirtualHost(part) => {
            let virtual_host: VirtualHost = decode("the virtual host of a backend", part.content())?;
            Ok(servable(virtual_host.routes, clusters))
        }
        Routing::TcpProxy(_) => Ok(Err("it routes connections, and no requests".to_owned())),
    }
}

/// A cluster as gRPC can use it.
struct GrpcCluster {
    resource: Resource,
    speaks_http2: bool,
}

/// The clusters of a backend by name. gRPC knows of DNS only the type that Envoy calls logical, and takes all addresses of
/// the answer for endpoints.
fn clusters_of(backend: &Backend<'_>) -> Result<BTreeMap<String, GrpcCluster>, ComposeError> {
    let mut clusters = BTreeMap::new();
    for resource in &backend.fragment.clusters {
        let any: Any = decode("a cluster of a backend", &resource.body.to_bytes())?;
        let mut cluster: Cluster = decode("a cluster of a backend", &any.value)?;
        let speaks_http2 = speaks_http2(&cluster);
        let resource = if resolve_all_at_once(&mut cluster) {
            Resource::encode(ResourceType::Cluster, &resource.name, resource.version.transaction, &cluster)
        } else {
            resource.clone()
        };
        clusters.insert(cluster.name, GrpcCluster { resource, speaks_http2 });
    }
    Ok(clusters)
}

/// The routes that gRPC's requests can take; the error says why they cannot be served.
fn servable(routes: Vec<Route>, clusters: &BTreeMap<String, GrpcCluster>) -> Result<Vec<Route>, String> {
    let mut servable = Vec::new();
    for mut route in routes {
        if !conditions_can_hold(&mut route) {
            continue;
        }
        if let Some(Action::Route(action)) = &mut route.action {
            let http1 =
                targets(action).find(|name| clusters.get(*name).is_none_or(|cluster| !cluster.speaks_http2));
            if let Some(name) = http1 {
                return Err(format!(
                    "target {name} does not speak HTTP/2; its listener's protocol must be grpc or http2"
                ));
            }
            limit_duration(action);
        }
        servable.push(route);
    }
    Ok(servable)
}

/// Whether a request of gRPC can meet the conditions of a route. It is a POST without query parameters, in clear text, so
/// that conditions on these, which gRPC does not evaluate, are decided here.
fn conditions_can_hold(route: &mut Route) -> bool {
    let Some(condition) = &mut route.r#match else {
        return true;
    };
    if !condition.query_parameters.is_empty() {
        return false;
    }
    let (pseudo, headers): (Vec<_>, Vec<_>) =
        std::mem::take(&mut condition.headers).into_iter().partition(|header| header.name.starts_with(':'));
    condition.headers = headers;
    pseudo.iter().all(holds_for_every_call)
}

fn holds_for_every_call(header: &HeaderMatcher) -> bool {
    let value = match header.name.as_str() {
        ":method" => "POST",
        ":scheme" => "http",
        _ => return false,
    };
    let Some(HeaderMatchSpecifier::StringMatch(text)) = &header.header_match_specifier else {
        return false;
    };
    let equal =
        matches!(&text.match_pattern, Some(MatchPattern::Exact(exact)) if exact.eq_ignore_ascii_case(value));
    equal != header.invert_match
}

/// The clusters that an action leads to.
fn targets(action: &RouteAction) -> impl Iterator<Item = &str> {
    let (one, several) = match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => (Some(name.as_str()), [].as_slice()),
        Some(ClusterSpecifier::WeightedClusters(weighted)) => (None, weighted.clusters.as_slice()),
        _ => (None, [].as_slice()),
    };
    one.into_iter().chain(several.iter().map(|cluster| cluster.name.as_str()))
}

/// gRPC bounds calls by the longest duration of a stream, where Envoy has a timeout for requests.
fn limit_duration(action: &mut RouteAction) {
    let timeout = action.timeout.filter(|timeout| timeout.seconds > 0 || timeout.nanos > 0);
    action.max_stream_duration = timeout.map(|timeout| MaxStreamDuration {
        max_stream_duration: Some(timeout),
        ..MaxStreamDuration::default()
    });
}

#[cfg(test)]
mod tests;
