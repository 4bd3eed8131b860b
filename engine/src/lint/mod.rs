//! What would black-hole traffic, told before anybody notices: a pure function of the definitions of a mesh.
//!
//! What is refused outright stands in [`model`](crate::model); what is found here may be on its way to be right, by a
//! change of another resource, and is a warning. Whatever the transformer decides is asked of the transformer
//! (`transformer::listening`, `transformer::order`): there is one truth about what happens to traffic. `docs/validation.md`
//! has the table.
//!
//! | file | holds |
//! |---|---|
//! | [`finding`] | what is found, and the closed set of codes |
//! | `mesh` | the definitions of a mesh, and where its virtual services lead |
//! | `virtual_node`, `virtual_service`, `virtual_router`, `virtual_gateway` | the rules, by what is looked at |
//! | `reach` | routes that are never reached |
//! | `covers` | whether one condition holds wherever another does |
//! | `tls` | clients and listeners that do not agree about TLS |

mod covers;
pub mod finding;
mod mesh;
mod reach;
mod tls;
mod virtual_gateway;
mod virtual_node;
mod virtual_router;
mod virtual_service;

#[cfg(test)]
mod tests;

pub use self::finding::{Code, Finding};

use self::mesh::Mesh;
use crate::model::{Kind, Path, ResourceId};
use crate::transformer::definitions::MeshDefinitions;

/// Everything that is found in a mesh: by kind and name of the resources, and in the order of their fields.
pub fn lint(definitions: &MeshDefinitions) -> Vec<Finding> {
    let mesh = Mesh::new(definitions);
    let mut findings = Vec::new();
    for (name, node) in definitions.virtual_nodes() {
        virtual_node::check(&mesh, name, node, &mut findings);
    }
    for (name, router) in definitions.virtual_routers() {
        virtual_router::check(&mesh, name, &router, &mut findings);
    }
    for (name, service) in definitions.virtual_services() {
        virtual_service::check(&mesh, name, service, &mut findings);
    }
    for (name, gateway) in definitions.virtual_gateways() {
        virtual_gateway::check(&mesh, name, &gateway, &mut findings);
    }
    if definitions.mesh().is_none()
        && let Some(id) = first(definitions)
    {
        let mesh = ResourceId::mesh(definitions.name().as_ref());
        let at = Path::root(Kind::Mesh.name_key());
        let message = format!("{mesh} does not exist; create it first");
        findings.push(Finding::new(Code::ReferenceMissing, id, &at, message).about(vec![mesh]));
    }
    for id in definitions.orphans() {
        let Some(parent) = id.container() else { continue };
        let at = Path::root(parent.kind().name_key());
        let message = format!("{parent} does not exist; create it first");
        findings.push(Finding::new(Code::ReferenceMissing, id, &at, message).about(vec![parent]));
    }
    findings
}

/// The first resource that lies in the mesh; that there is no mesh is told of one only.
fn first(definitions: &MeshDefinitions) -> Option<ResourceId> {
    let mesh = definitions.name().as_ref();
    let mut nodes = definitions.virtual_nodes().map(|(name, _)| ResourceId::virtual_node(mesh, name));
    let mut routers = definitions.virtual_routers().map(|(name, _)| ResourceId::virtual_router(mesh, name));
    let mut services =
        definitions.virtual_services().map(|(name, _)| ResourceId::virtual_service(mesh, name));
    let mut gateways =
        definitions.virtual_gateways().map(|(name, _)| ResourceId::virtual_gateway(mesh, name));
    nodes
        .next()
        .or_else(|| routers.next())
        .or_else(|| services.next())
        .or_else(|| gateways.next())
        .or_else(|| definitions.orphans().next())
}
