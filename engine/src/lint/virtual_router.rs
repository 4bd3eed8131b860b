//! What is found of the routes of a virtual router: whether requests reach them, and where they lead.

use std::collections::BTreeMap;

use super::finding::{Code, Finding};
use super::mesh::{Mesh, has_no_weight, missing};
use super::reach;
use crate::model::{Path, Protocol, ResourceId, RouteKind, WeightedTarget};
use crate::transformer::listening::{Listening, Router, is_for, meant_listener, port_number};
use crate::transformer::order::first_connection_route;
use crate::transformer::transform::TransformError;

/// What happens where the transformer can make nothing of a target.
const FROZEN: &str =
    "the virtual services of this router keep the routes that they had, whatever else changes";

pub(super) fn check(mesh: &Mesh<'_>, name: &str, router: &Router<'_>, findings: &mut Vec<Finding>) {
    let ports = mesh.router_ports(router);
    for (route, definition) in router.routes {
        let Some(kind) = definition.spec.kind() else { continue };
        let checked = Checked { mesh, router: name, name: route, kind };
        checked.check_weights(findings);
        if checked.check_targets_exist(findings)
            && let Some(ports) = &ports
        {
            checked.check_ports(router, ports, findings);
        }
    }
    if let Some(ports) = &ports {
        reach::check_routes(mesh, name, router, ports, findings);
    }
}

/// A route that is looked at.
struct Checked<'a, 'm> {
    mesh: &'a Mesh<'m>,
    router: &'a str,
    name: &'a str,
    kind: RouteKind<'a>,
}

impl Checked<'_, '_> {
    fn check_weights(&self, findings: &mut Vec<Finding>) {
        if !has_no_weight(self.kind) {
            return;
        }
        let what = if self.kind.protocol() == Protocol::Tcp {
            "connections are closed"
        } else {
            "requests are answered with 503"
        };
        let message = format!("all weights are zero, so that its {what}; give a target a weight");
        let at = self.targets_path();
        findings.push(Finding::new(Code::WeightsAllZero, self.id(), &at, message));
    }

    /// Whether they all do.
    fn check_targets_exist(&self, findings: &mut Vec<Finding>) -> bool {
        let mut is_all_there = true;
        for (index, target) in self.kind.weighted_targets().iter().enumerate() {
            if self.mesh.virtual_node(&target.virtual_node).is_none() {
                is_all_there = false;
                let at = self.targets_path().index(index).field("virtualNode");
                findings.push(missing(&self.id(), &at, self.node(target)));
            }
        }
        is_all_there
    }

    fn check_ports(&self, router: &Router<'_>, ports: &BTreeMap<u16, Protocol>, findings: &mut Vec<Finding>) {
        let protocol = self.kind.protocol();
        let own: Vec<u16> = ports
            .iter()
            .filter(|(port, spoken)| is_for(protocol, self.kind.port(), **spoken, **port))
            .map(|(port, _)| *port)
            .collect();
        if own.is_empty() {
            return self.report_no_port(router, ports, findings);
        }
        for (index, target) in self.kind.weighted_targets().iter().enumerate() {
            let Ok(listeners) = self.mesh.listeners_of(self.name, target) else { continue };
            for port in own.iter().filter(|port| self.is_tried_at(router, **port)) {
                let found = match meant_listener(listeners, self.name, target, protocol, *port) {
                    Ok(listener) => self.protocol_mismatch(listener.protocol(), index, target),
                    Err(error) => self.no_listener(error, index, target),
                };
                if let Some(finding) = found {
                    findings.push(finding);
                    break; // the next port has nothing to add
                }
            }
        }
    }

    /// Of routes for connections only the first at a port is.
    fn is_tried_at(&self, router: &Router<'_>, port: u16) -> bool {
        self.kind.protocol() != Protocol::Tcp
            || first_connection_route(router, port).is_some_and(|(first, ..)| first == self.name)
    }

    /// The route is for no port of its router.
    fn report_no_port(
        &self,
        router: &Router<'_>,
        ports: &BTreeMap<u16, Protocol>,
        findings: &mut Vec<Finding>,
    ) {
        let protocol = self.kind.protocol();
        let is_router_mute = router.definition.spec.listeners().is_empty();
        if is_router_mute && self.kind.port().is_none() {
            let mut targets = self.kind.weighted_targets().iter().enumerate();
            let without_listeners = targets
                .find(|(_, target)| self.mesh.listeners_of(self.name, target).is_ok_and(<[_]>::is_empty));
            if let Some((index, target)) = without_listeners {
                let node = self.node(target);
                let message = format!(
                    "{node} has no listeners, and so has this route no port: nothing reaches it; add a listener to the node"
                );
                findings.push(self.finding(
                    Code::TargetWithoutListeners,
                    index,
                    "virtualNode",
                    message,
                    node,
                ));
                return;
            }
        }
        let router = self.router();
        let (code, at, problem) = match self.kind.port().map(port_number) {
            Some(port) if !ports.contains_key(&port) => (
                Code::PortNotListened,
                self.path().field("match").field("port"),
                format!("{router} does not listen at port {port}"),
            ),
            Some(port) => (
                Code::ProtocolMismatch,
                self.path(),
                format!("port {port} of {router} is for {}, and the route for {protocol}", ports[&port]),
            ),
            None => (
                Code::ProtocolMismatch,
                self.path(),
                format!("{router} has no port for {protocol}, which the route is for"),
            ),
        };
        let message = format!("{problem}, so that nothing reaches the route; change one of them");
        findings.push(Finding::new(code, self.id(), &at, message).about(vec![router]));
    }

    fn no_listener(&self, error: TransformError, index: usize, target: &WeightedTarget) -> Option<Finding> {
        let node = self.node(target);
        let (code, field, problem, advice) = match error {
            TransformError::NoListener { .. } => (
                Code::TargetWithoutListeners,
                "virtualNode",
                format!("{node} has no listeners"),
                "add a listener to the node, or remove the target",
            ),
            TransformError::NoListenerAtPort { port, .. } => (
                Code::TargetPortNotListened,
                "port",
                format!("{node} does not listen at port {port}"),
                "change the port, or add a listener to the node",
            ),
            TransformError::NoObviousListener { listeners, .. } => (
                Code::TargetPortAmbiguous,
                "virtualNode",
                format!("which of the {listeners} listeners of {node} is meant is not obvious"),
                "give the target a port",
            ),
            TransformError::NoVirtualRouter(_)
            | TransformError::NoVirtualNode(_)
            | TransformError::NoTarget { .. }
            | TransformError::Unreadable(_)
            | TransformError::TooLarge { .. } => return None,
        };
        Some(self.finding(code, index, field, format!("{problem}, so that {FROZEN}; {advice}"), node))
    }

    /// Calls of gRPC need HTTP/2. Everything else gets along: Envoy translates between HTTP/1.1 and HTTP/2.
    fn protocol_mismatch(&self, spoken: Protocol, index: usize, target: &WeightedTarget) -> Option<Finding> {
        if self.kind.protocol() != Protocol::Grpc || spoken.is_http2() {
            return None;
        }
        let node = self.node(target);
        let message = format!(
            "the listener of {node} speaks {spoken}, in which gRPC cannot be carried, so that calls fail; let it speak grpc \
             or http2"
        );
        Some(self.finding(Code::TargetProtocolMismatch, index, "virtualNode", message, node))
    }

    fn finding(&self, code: Code, index: usize, field: &str, message: String, node: ResourceId) -> Finding {
        let at = self.targets_path().index(index).field(field);
        Finding::new(code, self.id(), &at, message).about(vec![node, self.router()])
    }

    fn id(&self) -> ResourceId {
        ResourceId::route(self.mesh.name(), self.router, self.name)
    }

    fn router(&self) -> ResourceId {
        ResourceId::virtual_router(self.mesh.name(), self.router)
    }

    fn path(&self) -> Path {
        Path::root("spec").field(self.kind.member())
    }

    fn targets_path(&self) -> Path {
        self.path().field("action").field("weightedTargets")
    }

    fn node(&self, target: &WeightedTarget) -> ResourceId {
        ResourceId::virtual_node(self.mesh.name(), target.virtual_node.as_str())
    }
}
