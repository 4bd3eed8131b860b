//! Which resource: its kind, its mesh, its parent and its name.

use std::fmt::{self, Display};
use std::iter::successors;

use super::kind::Kind;
use super::shape::error::excerpt;
use super::shape::{FieldError, Path};

/// How many characters a name has at most.
const NAME_CHARS_MAX: usize = 255;

/// Which resource. A route has the router that it belongs to as its parent, a gateway route the gateway, and
/// no other resource has one.
///
/// Names are taken as they come; [`check_name`] says whether one is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    mesh: String,
    kind: Kind,
    parent: Option<String>,
    name: String,
}

impl ResourceId {
    /// A mesh.
    pub fn mesh(mesh: impl Into<String>) -> ResourceId {
        let mesh = mesh.into();
        ResourceId { kind: Kind::Mesh, parent: None, name: mesh.clone(), mesh }
    }

    /// A virtual node of `mesh`.
    pub fn virtual_node(mesh: impl Into<String>, name: impl Into<String>) -> ResourceId {
        ResourceId::of_mesh(Kind::VirtualNode, mesh, name)
    }

    /// A virtual service of `mesh`.
    pub fn virtual_service(mesh: impl Into<String>, name: impl Into<String>) -> ResourceId {
        ResourceId::of_mesh(Kind::VirtualService, mesh, name)
    }

    /// A virtual router of `mesh`.
    pub fn virtual_router(mesh: impl Into<String>, name: impl Into<String>) -> ResourceId {
        ResourceId::of_mesh(Kind::VirtualRouter, mesh, name)
    }

    /// A virtual gateway of `mesh`.
    pub fn virtual_gateway(mesh: impl Into<String>, name: impl Into<String>) -> ResourceId {
        ResourceId::of_mesh(Kind::VirtualGateway, mesh, name)
    }

    /// A route of `router` of `mesh`.
    pub fn route(mesh: impl Into<String>, router: impl Into<String>, name: impl Into<String>) -> ResourceId {
        let parent = Some(router.into());
        ResourceId { kind: Kind::Route, mesh: mesh.into(), parent, name: name.into() }
    }

    /// A gateway route of `gateway` of `mesh`.
    pub fn gateway_route(
        mesh: impl Into<String>,
        gateway: impl Into<String>,
        name: impl Into<String>,
    ) -> ResourceId {
        let parent = Some(gateway.into());
        ResourceId { kind: Kind::GatewayRoute, mesh: mesh.into(), parent, name: name.into() }
    }

    fn of_mesh(kind: Kind, mesh: impl Into<String>, name: impl Into<String>) -> ResourceId {
        ResourceId { kind, mesh: mesh.into(), parent: None, name: name.into() }
    }

    /// A resource of a kind that is known only at run time. Nothing, unless `parent` is given exactly where
    /// the kind has one, no name is empty, and a mesh has its own name.
    pub fn from_parts(kind: Kind, mesh: &str, parent: Option<&str>, name: &str) -> Option<ResourceId> {
        let fits = parent.is_some() == kind.parent().is_some()
            && (kind != Kind::Mesh || name == mesh)
            && !mesh.is_empty()
            && parent != Some("")
            && !name.is_empty();
        fits.then(|| ResourceId {
            kind,
            mesh: mesh.to_owned(),
            parent: parent.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// The kind of the resource.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The name of the mesh, which is also a mesh's own.
    pub fn mesh_name(&self) -> &str {
        &self.mesh
    }

    /// The name of the router or gateway that a route belongs to.
    pub fn parent_name(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// The name of the resource.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The resource in which this one lies, and without which it cannot be: the router or gateway of a route,
    /// the mesh of anything else, and nothing for a mesh.
    pub fn container(&self) -> Option<ResourceId> {
        match (self.kind.parent(), &self.parent) {
            (Some(kind), Some(parent)) => Some(ResourceId::of_mesh(kind, &self.mesh, parent)),
            _ if self.kind == Kind::Mesh => None,
            _ => Some(ResourceId::mesh(&self.mesh)),
        }
    }

    /// The end of the ARN, such as `mesh/M/virtualRouter/R/route/N`. Names are not escaped. For a virtual
    /// node or gateway it is also the node id with which its Envoys report.
    pub fn path(&self) -> String {
        let mut path = format!("mesh/{}", self.mesh);
        if let (Some(kind), Some(parent)) = (self.kind.parent(), &self.parent) {
            path += &format!("/{}/{parent}", kind.wire_name());
        }
        if self.kind != Kind::Mesh {
            path += &format!("/{}/{}", self.kind.wire_name(), self.name);
        }
        path
    }

    /// The resource with this [`ResourceId::path`]. Only the last name in it may hold a `/`.
    pub fn from_path(path: &str) -> Option<ResourceId> {
        let rest = path.strip_prefix("mesh/")?;
        let Some((mesh, rest)) = rest.split_once('/') else {
            return ResourceId::from_parts(Kind::Mesh, rest, None, rest);
        };
        let (kind, name) = rest.split_once('/')?;
        let kind = Kind::from_wire_name(kind)?;
        if let Some(child) = kind.child()
            && let Some((parent, rest)) = name.split_once('/')
        {
            let name = rest.strip_prefix(child.wire_name())?.strip_prefix('/')?;
            return ResourceId::from_parts(child, mesh, Some(parent), name);
        }
        if kind == Kind::Mesh {
            return None;
        }
        ResourceId::from_parts(kind, mesh, None, name)
    }

    /// The ARN, such as `arn:aws:appmesh:us-east-1:123456789012:mesh/M/virtualNode/N`.
    pub fn arn(&self, region: &str, account: &str) -> String {
        format!("arn:aws:appmesh:{region}:{account}:{}", self.path())
    }

    /// The resource with this ARN, of whatever partition, region and account.
    pub fn from_arn(arn: &str) -> Option<ResourceId> {
        let mut parts = arn.splitn(6, ':');
        let (scheme, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (_region, _account, path) = (parts.next()?, parts.next()?, parts.next()?);
        if scheme != "arn" || service != "appmesh" {
            return None;
        }
        ResourceId::from_path(path).filter(ResourceId::is_possible)
    }

    /// The resource that a user names, by its path or its ARN.
    pub fn from_name(name: &str) -> Option<ResourceId> {
        let id = ResourceId::from_path(name).or_else(|| ResourceId::from_arn(name));
        id.filter(ResourceId::is_possible)
    }

    /// Whether there can be such a resource: users name what they like, and what they name is shown to others.
    fn is_possible(&self) -> bool {
        let mut ids = successors(Some(self.clone()), ResourceId::container);
        ids.all(|id| check_name(id.kind, &id.name).is_ok())
    }
}

impl Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.kind, excerpt(&self.name))?;
        if let (Some(kind), Some(parent)) = (self.kind.parent(), &self.parent) {
            write!(f, " of {kind} \"{}\"", excerpt(parent))?;
        }
        if self.kind != Kind::Mesh {
            write!(f, " in mesh \"{}\"", excerpt(&self.mesh))?;
        }
        Ok(())
    }
}

/// Whether a resource of this kind may have this name; the error names the kind's name key.
///
/// - A name has 1 to 255 characters, none of them a control character.
/// - A mesh, a virtual router and a virtual gateway, which other resources lie in, have no `/` in their
///   names: ARNs do not escape it.
/// - A virtual service has no `*` in its name: it becomes a domain of Envoy's, where that would match other
///   names.
pub fn check_name(kind: Kind, name: &str) -> Result<(), FieldError> {
    let chars = name.chars().count();
    let contains_others = kind == Kind::Mesh || kind.child().is_some();
    let problem = if chars == 0 || chars > NAME_CHARS_MAX {
        format!("has {chars} characters; 1 to {NAME_CHARS_MAX} are allowed")
    } else if name.chars().any(char::is_control) {
        "has a control character".to_owned()
    } else if contains_others && name.contains('/') {
        format!("has a /, which the name of a {kind} may not have")
    } else if kind == Kind::VirtualService && name.contains('*') {
        format!("has a *, which the name of a {kind} may not have")
    } else {
        return Ok(());
    };
    Err(Path::root(kind.name_key()).error(problem))
}
