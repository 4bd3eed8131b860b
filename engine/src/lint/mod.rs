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
use crate::model::Path;
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
    for id in definitions.orphans() {
        let Some(parent) = id.container() else { continue };
        let at = Path::root(parent.kind().name_key());
        let message = format!("{parent} does not exist; create it first");
        findings.push(Finding::new(Code::ReferenceMissing, id, &at, message).about(vec![parent]));
    }
    findings
}
