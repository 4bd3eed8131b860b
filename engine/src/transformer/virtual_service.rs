//! The fragment of a virtual service: what every consumer needs to reach it.

use std::collections::BTreeMap;
use std::sync::Arc;

use legation_proto::body::Part;
use legation_proto::fragment::{Routing, ServiceFragment, ServicePort};
use legation_proto::version::Transaction;
use prost::Message;

use super::definitions::Versioned;
use super::listening::{Router, ports_of_target, router_ports, routes_at};
use super::order::first_connection_route;
use super::route::{Share, catch_all_connection_route, catch_all_route, connection_route, request_route};
use super::sources::Sources;
use super::target::TargetCluster;
use super::transform::TransformError;
use crate::envoy::route::virtual_host;
use crate::model::{Protocol, RouteKind, VirtualServiceProvider, VirtualServiceSpec};
use envoy_types::pb::envoy::config::route::v3 as envoy;

/// The fragment of the virtual service `name`. Without a provider it has no port.
pub(super) fn fragment(
    sources: &Sources<'_>,
    name: &str,
    service: &Versioned<VirtualServiceSpec>,
) -> Result<ServiceFragment, TransformError> {
    let mut parts = Parts::new(name, sources, service.transaction.max(sources.mesh.transaction));
    match &service.spec.provider {
        None => {}
        Some(VirtualServiceProvider::VirtualNode(provider)) => {
            parts.add_virtual_node(&provider.virtual_node_name)?;
        }
        Some(VirtualServiceProvider::VirtualRouter(provider)) => {
            parts.add_virtual_router(&provider.virtual_router_name)?;
        }
    }
    Ok(parts.into_fragment())
}

/// What a fragment is put together from.
struct Parts<'a> {
    service: &'a str,
    sources: &'a Sources<'a>,
    transaction: Transaction,
    clusters: BTreeMap<Arc<str>, TargetCluster>,
    ports: BTreeMap<u16, Routing>,
}

impl<'a> Parts<'a> {
    fn new(service: &'a str, sources: &'a Sources<'a>, transaction: Transaction) -> Self {
        Self { service, sources, transaction, clusters: BTreeMap::new(), ports: BTreeMap::new() }
    }

    /// A virtual node provides the service: at each of its ports, everything goes there.
    fn add_virtual_node(&mut self, name: &str) -> Result<(), TransformError> {
        let node = self.sources.target(name).ok_or_else(|| TransformError::NoVirtualNode(name.to_owned()))?;
        self.transaction = self.transaction.max(node.transaction);
        for listener in &node.listeners {
            let cluster = self.add_cluster(&listener.cluster);
            match listener.protocol {
                Protocol::Http | Protocol::Http2 | Protocol::Grpc => {
                    self.add_virtual_host(listener.port, vec![catch_all_route(&cluster)]);
                }
                Protocol::Tcp => {
                    if let Some(proxy) = catch_all_connection_route(&cluster) {
                        let routing = Routing::TcpProxy(proxy.encode_to_vec().into());
                        self.ports.insert(listener.port, routing);
                    }
                }
            }
        }
        Ok(())
    }

    /// A virtual router provides the service: at each of its ports, its routes for that port and protocol decide.
    fn add_virtual_router(&mut self, name: &str) -> Result<(), TransformError> {
        let router = self.sources.virtual_router(name);
        if let Some(id) = self.sources.definitions.unreadable_of_router(name) {
            return Err(TransformError::Unreadable(id.path()));
        }
        let router = router.ok_or_else(|| TransformError::NoVirtualRouter(name.to_owned()))?;
        self.transaction = self.transaction.max(router.transaction());
        for (port, protocol) in ports(self.sources, &router)? {
            if protocol == Protocol::Tcp {
                self.add_connection_routes(&router, port)?;
            } else {
                self.add_request_routes(&router, protocol, port)?;
            }
        }
        Ok(())
    }

    /// A virtual host of all routes for requests; it is there without routes too.
    fn add_request_routes(
        &mut self,
        router: &Router<'_>,
        protocol: Protocol,
        port: u16,
    ) -> Result<(), TransformError> {
        let mut routes = Vec::new();
        for (name, kind, route) in routes_at(router, protocol, port) {
            let shares = self.shares(name, kind, port)?;
            routes.extend(request_route(name, route.priority, kind, &shares));
        }
        routes.sort_by(|a, b| a.rank.cmp(&b.rank));
        self.add_virtual_host(port, routes.into_iter().map(|ranked| ranked.route).collect());
        Ok(())
    }

    /// The first route for connections.
    fn add_connection_routes(&mut self, router: &Router<'_>, port: u16) -> Result<(), TransformError> {
        let Some((name, kind @ RouteKind::Tcp(tcp), _)) = first_connection_route(router, port) else {
            return Ok(());
        };
        let shares = self.shares(name, kind, port)?;
        if let Some(proxy) = connection_route(tcp, &shares) {
            self.ports.insert(port, Routing::TcpProxy(proxy.encode_to_vec().into()));
        }
        Ok(())
    }

    /// The clusters of a route's targets with their weights. They become clusters of the fragment, also those of weight
    /// zero: when the weight changes, consumers know them already.
    fn shares(&mut self, route: &str, kind: RouteKind<'_>, port: u16) -> Result<Vec<Share>, TransformError> {
        let mut shares = Vec::new();
        for target in kind.weighted_targets() {
            let node = self.sources.target_of_route(route, target)?;
            self.transaction = self.transaction.max(node.transaction);
            let listener = node.listener(route, target, kind.protocol(), port)?;
            shares.push((self.add_cluster(&listener.cluster), target.weight.to_u32()));
        }
        Ok(shares)
    }

    fn add_cluster(&mut self, cluster: &TargetCluster) -> Arc<str> {
        let name = cluster.name();
        if !self.clusters.contains_key(name) {
            self.clusters.insert(Arc::clone(name), cluster.clone());
        }
        Arc::clone(name)
    }

    fn add_virtual_host(&mut self, port: u16, routes: Vec<envoy::Route>) {
        let service = self.service;
        let domains = vec![service.to_owned(), format!("{service}:{port}")];
        let virtual_host = virtual_host(service, domains, routes);
        let routing = Routing::VirtualHost(Part::virtual_host(&virtual_host.encode_to_vec()));
        self.ports.insert(port, routing);
    }

    fn into_fragment(self) -> ServiceFragment {
        let transaction = self.transaction;
        let mut clusters = Vec::with_capacity(self.clusters.len());
        let mut endpoints = Vec::new();
        for part in self.clusters.values() {
            clusters.push(part.cluster.clone());
            endpoints.extend(part.endpoints.clone());
        }
        let ports = self.ports.into_iter().map(|(port, routing)| ServicePort { port, routing }).collect();
        ServiceFragment { transaction, clusters, endpoints, ports }
    }
}

/// The ports of a router and their protocols.
fn ports(sources: &Sources<'_>, router: &Router<'_>) -> Result<BTreeMap<u16, Protocol>, TransformError> {
    router_ports(router, |route, target, protocol| {
        let node = sources.target_of_route(route, target)?;
        Ok(ports_of_target(&node.listeners, target, protocol))
    })
}
