//! What is found of a virtual gateway and its gateway routes: whether requests reach them, and where they lead.

use super::finding::{Code, Finding};
use super::mesh::{Mesh, missing};
use super::{reach, tls};
use crate::management::compose::hosts::Hosts;
use crate::model::{GatewayRouteKind, Path, ResourceId};
use crate::transformer::listening::{Listening, is_for_listener, port_number};
use crate::transformer::order::Gateway;

pub(super) fn check(mesh: &Mesh<'_>, name: &str, gateway: &Gateway<'_>, findings: &mut Vec<Finding>) {
    let id = ResourceId::virtual_gateway(mesh.name(), name);
    check_listeners(&id, gateway, findings);
    tls::check_virtual_gateway(mesh, &id, gateway, findings);
    let shadowed = services_without_host(mesh, gateway);
    for (route, definition) in gateway.routes {
        let Some(kind) = definition.spec.kind() else { continue };
        let checked = Checked {
            mesh,
            gateway: &id,
            id: ResourceId::gateway_route(mesh.name(), name, route.as_ref()),
            kind,
            at: Path::root("spec").field(kind.member()),
        };
        checked.check_port(gateway, findings);
        checked.check_target(findings);
        checked.check_host(&shadowed, findings);
    }
    reach::check_gateway_routes(mesh, name, gateway, findings);
}

fn check_listeners(id: &ResourceId, gateway: &Gateway<'_>, findings: &mut Vec<Finding>) {
    for (index, listener) in gateway.definition.spec.listeners.iter().enumerate() {
        let kinds = gateway.routes.values().filter_map(|route| route.spec.kind());
        if kinds.into_iter().any(|kind| is_for_listener(kind, listener)) {
            continue;
        }
        let message = format!(
            "there is no gateway route for {} at port {}, so that every request there is answered with 404; create one",
            listener.protocol(),
            listener.port()
        );
        let at = Path::root("spec").field("listeners").index(index);
        findings.push(Finding::new(Code::GatewayListenerWithoutRoutes, id.clone(), &at, message));
    }
}

/// The virtual services that a gateway leaves out since another one has their host, each with the other one.
fn services_without_host<'a>(mesh: &Mesh<'_>, gateway: &Gateway<'a>) -> Vec<(&'a str, &'a str)> {
    let kinds = gateway.routes.values().filter_map(|route| route.spec.kind());
    let mut services: Vec<&str> =
        kinds.map(|kind| kind.target().virtual_service.virtual_service_name.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    let mut taken: Vec<(&str, Hosts)> = Vec::new();
    let mut shadowed = Vec::new();
    for service in services {
        let Some(ports) = mesh.service_ports(service) else { continue };
        let mut own = Hosts::default();
        for (index, (port, _)) in ports.iter().filter(|(_, port)| port.is_for_requests).enumerate() {
            let mut hosts = vec![format!("{service}:{port}")];
            if index == 0 {
                hosts.push(service.to_owned());
            }
            match taken.iter().find(|(_, others)| !others.are_free(&hosts)) {
                Some((other, _)) => shadowed.push((service, *other)),
                None => {
                    own.take(&hosts);
                }
            }
        }
        taken.push((service, own));
    }
    shadowed
}

/// A gateway route that is looked at.
struct Checked<'a, 'm> {
    mesh: &'a Mesh<'m>,
    gateway: &'a ResourceId,
    id: ResourceId,
    kind: GatewayRouteKind<'a>,
    at: Path,
}

impl Checked<'_, '_> {
    fn check_port(&self, gateway: &Gateway<'_>, findings: &mut Vec<Finding>) {
        let listeners = &gateway.definition.spec.listeners;
        if listeners.iter().any(|listener| is_for_listener(self.kind, listener)) {
            return;
        }
        let (gateway, protocol) = (self.gateway, self.kind.protocol());
        let port = self.kind.port().map(port_number);
        let at_port = listeners.iter().find(|listener| Some(listener.port()) == port);
        let (code, at, problem) = match (port, at_port) {
            (Some(port), None) => (
                Code::PortNotListened,
                self.at.field("match").field("port"),
                format!("{gateway} does not listen at port {port}"),
            ),
            (Some(port), Some(listener)) => (
                Code::ProtocolMismatch,
                self.at.clone(),
                format!(
                    "port {port} of {gateway} is for {}, and the gateway route for {protocol}",
                    listener.protocol()
                ),
            ),
            (None, _) => (
                Code::ProtocolMismatch,
                self.at.clone(),
                format!("{gateway} has no listener for {protocol}, which the gateway route is for"),
            ),
        };
        let message = format!("{problem}, so that nothing reaches the gateway route; change one of them");
        findings.push(Finding::new(code, self.id.clone(), &at, message).about(vec![gateway.clone()]));
    }

    /// A gateway passes on requests, and no connections. A service without any port is reported as such.
    fn check_target(&self, findings: &mut Vec<Finding>) {
        let target = self.kind.target();
        let name = target.virtual_service.virtual_service_name.as_str();
        let service = ResourceId::virtual_service(self.mesh.name(), name);
        if self.mesh.definitions.virtual_service(name).is_none() {
            findings.push(missing(&self.id, &self.service_path(), service));
            return;
        }
        let Some(ports) = self.mesh.service_ports(name) else {
            return;
        };
        let meant = target.port.map(port_number);
        let (code, at, problem) = match meant {
            _ if ports.is_empty() => return,
            Some(port) => match ports.get(&port) {
                Some(port) if port.is_for_requests => return,
                Some(_) => (
                    Code::TargetProtocolMismatch,
                    self.target_path().field("port"),
                    format!("port {port} of {service} is for tcp, which a gateway does not pass on"),
                ),
                None => (
                    Code::TargetPortNotListened,
                    self.target_path().field("port"),
                    format!("{service} has no port {port}"),
                ),
            },
            None if ports.values().any(|port| port.is_for_requests) => return,
            None => (
                Code::TargetProtocolMismatch,
                self.service_path(),
                format!("{service} is for tcp only, which a gateway does not pass on"),
            ),
        };
        let message = format!(
            "{problem}, so that requests are answered with 404; lead to a port that takes requests, or add one to what \
             provides the service"
        );
        findings.push(Finding::new(code, self.id.clone(), &at, message).about(vec![service]));
    }

    fn check_host(&self, shadowed: &[(&str, &str)], findings: &mut Vec<Finding>) {
        let name = self.kind.target().virtual_service.virtual_service_name.as_str();
        let Some((_, other)) = shadowed.iter().find(|(service, _)| *service == name) else {
            return;
        };
        let message = format!(
            "the gateway also leads to virtual service {other:?}, which has the same host, since case makes no difference \
             there, so that requests for this one reach the other; give the virtual service another name"
        );
        let service = |name: &str| ResourceId::virtual_service(self.mesh.name(), name);
        let about = vec![service(name), service(other)];
        findings.push(
            Finding::new(Code::BackendsShareHost, self.id.clone(), &self.service_path(), message)
                .about(about),
        );
    }

    fn target_path(&self) -> Path {
        self.at.field("action").field("target")
    }

    fn service_path(&self) -> Path {
        self.target_path().field("virtualService").field("virtualServiceName")
    }
}
