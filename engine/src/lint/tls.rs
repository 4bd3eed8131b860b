//! Clients and listeners that do not agree about TLS.

use std::rc::Rc;

use super::finding::{Code, Finding};
use super::mesh::{Mesh, ServicePorts};
use super::virtual_node::backend_path;
use crate::model::tls::{BackendDefaults, ClientPolicy, ClientPolicyTls, ListenerTlsMode};
use crate::model::{Path, ResourceId, VirtualNodeSpec};
use crate::transformer::listening::{Listening, port_number};
use crate::transformer::order::Gateway;

/// Checks each backend of a virtual node by its own policy, or else by the defaults.
pub(super) fn check_virtual_node(
    mesh: &Mesh<'_>,
    id: &impl Fn() -> ResourceId,
    node: &VirtualNodeSpec,
    backends: &[(usize, &str, Rc<ServicePorts<'_>>)],
    findings: &mut Vec<Finding>,
) {
    let defaults = tls_of_defaults(node.backend_defaults.as_ref());
    let own: Vec<_> = node.backends().map(|backend| backend.client_policy.as_ref()).collect();
    if !mesh.has_tls && defaults.is_none() && own.iter().all(Option::is_none) {
        return;
    }
    for (index, name, ports) in backends {
        let own = own.get(*index).copied().flatten().map(|policy| policy.tls.as_ref());
        let client = Client { mesh: mesh.name(), id: &id(), tls: own.unwrap_or(defaults) };
        findings.extend(client.check(name, ports, &backend_path(*index)));
    }
}

/// Checks the virtual service of each gateway route by the defaults of the gateway.
pub(super) fn check_virtual_gateway(
    mesh: &Mesh<'_>,
    id: &ResourceId,
    gateway: &Gateway<'_>,
    findings: &mut Vec<Finding>,
) {
    let tls = tls_of_defaults(gateway.definition.spec.backend_defaults.as_ref());
    if !mesh.has_tls && tls.is_none() {
        return;
    }
    let kinds = gateway.routes.values().filter_map(|route| route.spec.kind());
    let mut services: Vec<&str> =
        kinds.map(|kind| kind.target().virtual_service.virtual_service_name.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    for name in services {
        let Some(ports) = mesh.service_ports(name) else { continue };
        let at = Path::root("spec").field("backendDefaults");
        findings.extend(Client { mesh: mesh.name(), id, tls }.check(name, &ports, &at));
    }
}

fn tls_of_defaults(defaults: Option<&BackendDefaults>) -> Option<&ClientPolicyTls> {
    defaults?.client_policy.as_ref().and_then(|policy: &ClientPolicy| policy.tls.as_ref())
}

/// A node or gateway that calls a virtual service.
struct Client<'a> {
    /// The name of the mesh.
    mesh: &'a str,
    id: &'a ResourceId,
    tls: Option<&'a ClientPolicyTls>,
}

impl Client<'_> {
    /// The first listener behind `service` with which there is no agreement.
    fn check(&self, service: &str, ports: &ServicePorts<'_>, at: &Path) -> Option<Finding> {
        for (port, reached) in ports {
            for (node, listener) in &reached.targets {
                let mode = listener.tls.as_ref().map_or(ListenerTlsMode::Disabled, |tls| tls.mode);
                let (code, problem) = match mode {
                    ListenerTlsMode::Disabled if self.insists_at(*port) => {
                        (Code::TlsNotOffered, "has no TLS, on which the client policy insists")
                    }
                    ListenerTlsMode::Strict if !self.uses_at(*port) => {
                        (Code::TlsRequired, "insists on TLS, of which the client policy says nothing")
                    }
                    _ => continue,
                };
                let node = ResourceId::virtual_node(self.mesh, *node);
                let message = format!(
                    "port {} of {node}, which virtual service {service:?} leads to, {problem}, so that connections \
                     fail; change one of them",
                    listener.port()
                );
                let service = ResourceId::virtual_service(self.mesh, service);
                return Some(Finding::new(code, self.id.clone(), at, message).about(vec![service, node]));
            }
        }
        None
    }

    fn uses_at(&self, port: u16) -> bool {
        let is_for = |tls: &ClientPolicyTls| {
            tls.ports.as_ref().is_none_or(|ports| ports.iter().any(|own| port_number(*own) == port))
        };
        self.tls.is_some_and(is_for)
    }

    fn insists_at(&self, port: u16) -> bool {
        self.uses_at(port) && self.tls.is_some_and(|tls| tls.enforce != Some(false))
    }
}
