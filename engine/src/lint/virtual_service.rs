//! What is found of a virtual service: whether its provider takes requests.

use super::finding::{Code, Finding};
use super::mesh::{Mesh, missing};
use crate::model::{Path, ResourceId, VirtualServiceProvider, VirtualServiceSpec};
use crate::transformer::listening::routes_at;

pub(super) fn check(mesh: &Mesh<'_>, name: &str, service: &VirtualServiceSpec, findings: &mut Vec<Finding>) {
    let id = || ResourceId::virtual_service(mesh.name(), name);
    let at = || Path::root("spec").field("provider");
    match &service.provider {
        None => {
            let message = "it has no provider, so that every request for it fails; give it one".to_owned();
            findings.push(Finding::new(Code::ServiceWithoutProvider, id(), &at(), message));
        }
        Some(VirtualServiceProvider::VirtualNode(provider)) => {
            let provider = provider.virtual_node_name.as_str();
            let node = ResourceId::virtual_node(mesh.name(), provider);
            let at = || at().field("virtualNode").field("virtualNodeName");
            match mesh.virtual_node(provider) {
                None => findings.push(missing(&id(), &at(), node)),
                Some(spec) if spec.listeners().is_empty() => {
                    let message = format!(
                        "{node} has no listeners, so that every request for the service fails; add a listener to the node"
                    );
                    findings.push(
                        Finding::new(Code::ProviderWithoutListeners, id(), &at(), message).about(vec![node]),
                    );
                }
                Some(_) => {}
            }
        }
        Some(VirtualServiceProvider::VirtualRouter(provider)) => {
            let provider = provider.virtual_router_name.as_str();
            let at = || at().field("virtualRouter").field("virtualRouterName");
            let id_of_router = ResourceId::virtual_router(mesh.name(), provider);
            let Some(router) = mesh.definitions.virtual_router(provider) else {
                findings.push(missing(&id(), &at(), id_of_router));
                return;
            };
            let Some(ports) = mesh.router_ports(&router) else {
                return;
            };
            let without_routes: Vec<String> = ports
                .iter()
                .filter(|(port, protocol)| routes_at(&router, **protocol, **port).next().is_none())
                .map(|(port, protocol)| format!("{port} ({protocol})"))
                .collect();
            let message = if ports.is_empty() {
                format!(
                    "{id_of_router} has no port, neither by listeners nor by routes, so that every request for the \
                     service fails; add a listener and a route to the router"
                )
            } else if !without_routes.is_empty() {
                format!(
                    "{id_of_router} has no route for port {}, so that what comes in there is answered with 404 or \
                     closed; add a route for it",
                    without_routes.join(", ")
                )
            } else {
                return;
            };
            findings.push(
                Finding::new(Code::ProviderWithoutRoutes, id(), &at(), message).about(vec![id_of_router]),
            );
        }
    }
}
