//! The definitions of a mesh, and where its virtual services lead.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use crate::model::{
    Listener, Path, Protocol, ResourceId, RouteKind, VirtualNodeSpec, VirtualServiceProvider,
    VirtualServiceSpec, WeightedTarget,
};
use crate::transformer::definitions::{MeshDefinitions, Parent};
use crate::transformer::listening::{
    Listening, Router, meant_listener, ports_of_target, router_ports, routes_at,
};
use crate::transformer::order::first_connection_route;
use crate::transformer::transform::TransformError;

use super::finding::{Code, Finding};

/// The definitions of a mesh, with what several rules want to know of them.
pub(super) struct Mesh<'a> {
    /// What is defined.
    pub(super) definitions: &'a MeshDefinitions,
    /// The virtual nodes that something leads to.
    used_nodes: HashSet<&'a str>,
    services: HashMap<&'a str, Service<'a>>,
    /// Whether any virtual node has a listener with TLS.
    pub(super) has_tls: bool,
}

/// A virtual service.
struct Service<'a> {
    spec: &'a VirtualServiceSpec,
    /// Its ports, once somebody has asked for them.
    ports: OnceCell<Option<Rc<ServicePorts<'a>>>>,
}

/// What a name leads to.
pub(super) enum Reached<'a> {
    /// There is no such virtual service.
    Missing,
    /// A virtual service of which the transformer makes nothing: it keeps the ports that it had.
    Unknown,
    /// A virtual service with these ports.
    Ports(Rc<ServicePorts<'a>>),
}

/// The ports of a virtual service, as its consumers have them.
pub(super) type ServicePorts<'a> = BTreeMap<u16, ServicePort<'a>>;

/// A port of a virtual service.
#[derive(Debug)]
pub(super) struct ServicePort<'a> {
    /// Whether there are requests, and not only connections.
    pub(super) is_for_requests: bool,
    /// The listeners to which they lead, with their virtual nodes.
    pub(super) targets: Vec<(&'a str, &'a Listener)>,
}

impl<'a> Mesh<'a> {
    pub(super) fn new(definitions: &'a MeshDefinitions) -> Self {
        let mut used_nodes = HashSet::new();
        for (_, router) in definitions.virtual_routers() {
            let Parent { routes, .. } = router;
            let kinds = routes.values().filter_map(|route| route.spec.kind());
            used_nodes.extend(
                kinds.flat_map(RouteKind::weighted_targets).map(|target| target.virtual_node.as_str()),
            );
        }
        let mut services = HashMap::new();
        for (name, spec) in definitions.virtual_services() {
            if let Some(VirtualServiceProvider::VirtualNode(node)) = &spec.provider {
                used_nodes.insert(node.virtual_node_name.as_str());
            }
            services.insert(name, Service { spec, ports: OnceCell::new() });
        }
        let mut listeners = definitions.virtual_nodes().flat_map(|(_, node)| node.listeners());
        let has_tls = listeners.any(|listener| listener.tls.is_some());
        Self { definitions, used_nodes, services, has_tls }
    }

    /// The name of the mesh.
    pub(super) fn name(&self) -> &'a str {
        self.definitions.name()
    }

    /// Whether a route or a virtual service leads to the virtual node `name`.
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.used_nodes.contains(name)
    }

    /// The virtual node `name`.
    pub(super) fn virtual_node(&self, name: &str) -> Option<&'a VirtualNodeSpec> {
        self.definitions.virtual_node(name).map(|(_, node)| node.spec.as_ref())
    }

    /// The listeners of the virtual node that `target` of `route` names.
    pub(super) fn listeners_of(
        &self,
        route: &str,
        target: &WeightedTarget,
    ) -> Result<&'a [Listener], TransformError> {
        let node = self.virtual_node(&target.virtual_node).ok_or_else(|| TransformError::NoTarget {
            route: route.to_owned(),
            node: target.virtual_node.to_string(),
        })?;
        Ok(node.listeners())
    }

    /// The ports of a router and their protocols; nothing, if they cannot be told since a target does not exist.
    pub(super) fn router_ports(&self, router: &Router<'_>) -> Option<BTreeMap<u16, Protocol>> {
        router_ports(router, |route, target, protocol| {
            Ok(ports_of_target(self.listeners_of(route, target)?, target, protocol))
        })
        .ok()
    }

    /// What `name` leads to, as the transformer makes it.
    pub(super) fn reach(&self, name: &str) -> Reached<'a> {
        let Some(service) = self.services.get(name) else {
            return Reached::Missing;
        };
        let ports = service.ports.get_or_init(|| self.ports_of(service.spec).map(Rc::new));
        ports.clone().map_or(Reached::Unknown, Reached::Ports)
    }

    /// The ports of the virtual service `name`, if they are known.
    pub(super) fn service_ports(&self, name: &str) -> Option<Rc<ServicePorts<'a>>> {
        match self.reach(name) {
            Reached::Ports(ports) => Some(ports),
            Reached::Missing | Reached::Unknown => None,
        }
    }

    fn ports_of(&self, service: &'a VirtualServiceSpec) -> Option<ServicePorts<'a>> {
        match &service.provider {
            None => Some(ServicePorts::new()),
            Some(VirtualServiceProvider::VirtualNode(provider)) => {
                let name = provider.virtual_node_name.as_str();
                let listeners = self.virtual_node(name)?.listeners();
                let port = |listener: &'a Listener| ServicePort {
                    is_for_requests: listener.protocol() != Protocol::Tcp,
                    targets: vec![(name, listener)],
                };
                Some(listeners.iter().map(|listener| (listener.port(), port(listener))).collect())
            }
            Some(VirtualServiceProvider::VirtualRouter(provider)) => {
                self.ports_of_router(&self.definitions.virtual_router(&provider.virtual_router_name)?)
            }
        }
    }

    fn ports_of_router(&self, router: &Router<'a>) -> Option<ServicePorts<'a>> {
        let mut ports = ServicePorts::new();
        for (port, protocol) in self.router_ports(router)? {
            let mut targets = Vec::new();
            if protocol == Protocol::Tcp {
                let Some((name, kind, _)) = first_connection_route(router, port) else { continue };
                self.add_targets(name, kind, port, &mut targets)?;
                if has_no_weight(kind) {
                    continue;
                }
            } else {
                for (name, kind, _) in routes_at(router, protocol, port) {
                    self.add_targets(name, kind, port, &mut targets)?;
                }
            }
            ports.insert(port, ServicePort { is_for_requests: protocol != Protocol::Tcp, targets });
        }
        Some(ports)
    }

    fn add_targets(
        &self,
        route: &str,
        kind: RouteKind<'a>,
        port: u16,
        targets: &mut Vec<(&'a str, &'a Listener)>,
    ) -> Option<()> {
        for target in kind.weighted_targets() {
            let listeners = self.listeners_of(route, target).ok()?;
            let listener = meant_listener(listeners, route, target, kind.protocol(), port).ok()?;
            targets.push((target.virtual_node.as_str(), listener));
        }
        Some(())
    }
}

/// Whether no target of the route has a weight.
pub(super) fn has_no_weight(kind: RouteKind<'_>) -> bool {
    kind.weighted_targets().iter().all(|target| target.weight.get() == 0)
}

/// What `id` refers to at a place of its definition does not exist.
pub(super) fn missing(id: &ResourceId, at: &Path, target: ResourceId) -> Finding {
    let message = format!("{target} does not exist; create it first");
    Finding::new(Code::ReferenceMissing, id.clone(), at, message).about(vec![target])
}
