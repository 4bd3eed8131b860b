//! What is found of a virtual node: whether its backends can be reached, and whether it can be.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;

use super::finding::{Code, Finding};
use super::mesh::{Mesh, Reached, ServicePorts};
use super::tls;
use crate::management::compose::hosts::{self, Hosts};
use crate::model::{Path, ResourceId, VirtualNodeSpec};

/// A backend: its place, its name and its ports.
type Backend<'a> = (usize, &'a str, Rc<ServicePorts<'a>>);

pub(super) fn check(mesh: &Mesh<'_>, name: &str, node: &VirtualNodeSpec, findings: &mut Vec<Finding>) {
    let id = || ResourceId::virtual_node(mesh.name(), name);
    let mut backends = Vec::new();
    for (index, backend) in node.backends().enumerate() {
        let backend = backend.virtual_service_name.as_str();
        match mesh.reach(backend) {
            Reached::Ports(ports) => backends.push((index, backend, ports)),
            Reached::Missing => findings.push(missing_backend(mesh, id(), index, backend)),
            Reached::Unknown => {}
        }
    }
    tls::check_virtual_node(mesh, &id, node, &backends, findings);
    if may_be_at_odds(&backends) {
        check_backends_get_along(mesh, &id(), backends, findings);
    }
    if node.service_discovery.is_none() && !node.listeners().is_empty() && mesh.is_used(name) {
        let message = "there is no service discovery, so that its endpoints are not known and every request for it is \
                       answered with 503; say where its endpoints are found";
        let at = Path::root("spec").field("serviceDiscovery");
        findings.push(Finding::new(Code::NoServiceDiscovery, id(), &at, message.to_owned()));
    }
}

/// Where the backend at `index` is named.
pub(super) fn backend_path(index: usize) -> Path {
    Path::root("spec").field("backends").index(index).field("virtualService").field("virtualServiceName")
}

fn missing_backend(mesh: &Mesh<'_>, id: ResourceId, index: usize, name: &str) -> Finding {
    let service = ResourceId::virtual_service(mesh.name(), name);
    let message = format!(
        "{service} does not exist, so that requests for it are refused, or leave the mesh if it lets all out; create it, or \
         remove the backend"
    );
    Finding::new(Code::BackendMissing, id, &backend_path(index), message).about(vec![service])
}

/// Whether there is anything over which backends can be at odds: connections, or names that are not as different as they look.
/// Most nodes have neither.
fn may_be_at_odds(backends: &[Backend<'_>]) -> bool {
    backends.len() > 1
        && backends.iter().any(|(_, name, ports)| {
            hosts::is_ambiguous(name) || ports.values().any(|port| !port.is_for_requests)
        })
}

/// Who has a port of the node's egress.
enum Owner<'a> {
    /// Backends for requests, told apart by their hosts.
    Requests { first: &'a str, hosts: Hosts },
    /// One backend for connections.
    Connections(&'a str),
}

/// At one port there can be requests for many backends, or connections to one (see `management::compose`, which leaves out
/// those that are reported here).
fn check_backends_get_along(
    mesh: &Mesh<'_>,
    id: &ResourceId,
    mut backends: Vec<Backend<'_>>,
    findings: &mut Vec<Finding>,
) {
    backends.sort_by_key(|(_, name, _)| *name);
    let mut owners: BTreeMap<u16, Owner<'_>> = BTreeMap::new();
    let mut left_out = |code, index, other: &str, message: String| {
        let about = vec![ResourceId::virtual_service(mesh.name(), other)];
        findings.push(Finding::new(code, id.clone(), &backend_path(index), message).about(about));
    };
    for (index, name, ports) in &backends {
        for (port, _) in ports.iter().filter(|(_, port)| port.is_for_requests) {
            let owner = owners
                .entry(*port)
                .or_insert_with(|| Owner::Requests { first: name, hosts: Hosts::default() });
            if let Owner::Requests { first, hosts } = owner
                && !hosts.take(&hosts::of_service(name, *port))
            {
                let message = format!(
                    "another backend has the same host at port {port}, since case makes no difference there, so that \
                     requests for this one reach the other; give the virtual service another name"
                );
                left_out(Code::BackendsShareHost, *index, first, message);
            }
        }
    }
    for (index, name, ports) in &backends {
        for (port, _) in ports.iter().filter(|(_, port)| !port.is_for_requests) {
            match owners.entry(*port) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Owner::Connections(name));
                }
                Entry::Occupied(owner) => {
                    let (Owner::Requests { first: other, .. } | Owner::Connections(other)) = owner.get();
                    let message = format!(
                        "connections by tcp cannot share port {port} with the backend {other:?}, so that what is meant for \
                         this one reaches the other or nobody; give one of them another port"
                    );
                    left_out(Code::TcpBackendsSharePort, *index, other, message);
                }
            }
        }
    }
}
