//! Which node an Envoy is, and which fragment is whose.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// What a fragment is made for. Nodes come before services: an Envoy takes in what its backends are before their fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FragmentKind {
    /// A virtual node: what its own Envoys need.
    VirtualNode,
    /// A virtual gateway: what its own Envoys need.
    VirtualGateway,
    /// A virtual service: what its consumers need.
    VirtualService,
}

impl FragmentKind {
    /// The name in node ids and store keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VirtualNode => "virtualNode",
            Self::VirtualGateway => "virtualGateway",
            Self::VirtualService => "virtualService",
        }
    }

    /// The kind with this name in node ids and store keys.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::VirtualNode, Self::VirtualGateway, Self::VirtualService]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// Names a fragment, and the actor that holds it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentKey {
    /// The mesh.
    pub mesh: Arc<str>,
    /// What the fragment is made for.
    pub kind: FragmentKind,
    /// The name of the virtual node, gateway or service.
    pub name: Arc<str>,
}

impl FragmentKey {
    /// The key of the virtual service `name` in `mesh`.
    pub fn virtual_service(mesh: &Arc<str>, name: &str) -> Self {
        Self { mesh: Arc::clone(mesh), kind: FragmentKind::VirtualService, name: name.into() }
    }
}

impl fmt::Display for FragmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mesh/{}/{}/{}", self.mesh, self.kind.as_str(), self.name)
    }
}

/// Why a node id cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NodeIdError {
    /// There is none.
    #[error("the first request carries no node id; set node.id to mesh/<mesh>/virtualNode/<name>")]
    Missing,
    /// It names no virtual node or gateway.
    #[error(
        "node id {0:?} is of no known form; it is mesh/<mesh>/virtualNode/<name>, \
         mesh/<mesh>/virtualGateway/<name>, or the ARN that ends so"
    )]
    Malformed(String),
}

/// Longest node id that is quoted in an error, in characters.
const QUOTED_CHARS: usize = 100;

/// Longest part of a node id, in bytes: names have at most 255 characters of at most 4 bytes.
const PART_BYTES_MAX: usize = 255 * 4;

/// The virtual node or gateway that an Envoy says it is, from `node.id`. All replicas send the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(FragmentKey);

impl NodeId {
    /// The key of the node's own fragment.
    pub fn key(&self) -> &FragmentKey {
        &self.0
    }

    /// The node whose own fragment this is; none if it is that of a virtual service.
    pub fn of(key: FragmentKey) -> Option<Self> {
        (key.kind != FragmentKind::VirtualService).then_some(Self(key))
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    /// Accepts `mesh/<mesh>/virtualNode/<name>`, likewise `virtualGateway`, and the ARN that ends so.
    fn from_str(id: &str) -> Result<Self, NodeIdError> {
        if id.is_empty() {
            return Err(NodeIdError::Missing);
        }
        parse(id).ok_or_else(|| NodeIdError::Malformed(id.chars().take(QUOTED_CHARS).collect()))
    }
}

fn parse(id: &str) -> Option<NodeId> {
    let path = if id.starts_with("arn:") { id.splitn(6, ':').nth(5)? } else { id };
    let mut parts = path.splitn(4, '/');
    let (Some("mesh"), Some(mesh), Some(kind), Some(name)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let kind = match FragmentKind::from_name(kind)? {
        FragmentKind::VirtualService => return None,
        kind => kind,
    };
    let sound =
        |part: &str| !part.is_empty() && part.len() <= PART_BYTES_MAX && !part.chars().any(char::is_control);
    (sound(mesh) && sound(name)).then(|| NodeId(FragmentKey { mesh: mesh.into(), kind, name: name.into() }))
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_forms() {
        for (id, expected) in [
            ("mesh/m/virtualNode/n", "mesh/m/virtualNode/n"),
            ("mesh/m/virtualGateway/g", "mesh/m/virtualGateway/g"),
            ("arn:aws:appmesh:eu-west-1:111122223333:mesh/m/virtualNode/n", "mesh/m/virtualNode/n"),
            ("mesh/m/virtualNode/a/b", "mesh/m/virtualNode/a/b"),
        ] {
            let node: NodeId = id.parse().expect(id);
            assert_eq!(node.to_string(), expected);
        }
    }

    #[test]
    fn unknown_forms() {
        assert_eq!("".parse::<NodeId>(), Err(NodeIdError::Missing));
        let long = format!("mesh/m/virtualNode/{}", "x".repeat(2000));
        for id in [
            "n",
            "mesh/m",
            "mesh/m/virtualNode",
            "mesh/m/virtualNode/",
            "mesh//virtualNode/n",
            "mesh/m/virtualService/s",
            "mesh/m/virtualnode/n",
            "arn:aws:appmesh:mesh/m/virtualNode/n",
            "mesh/m/virtualNode/\u{1b}[31mred\nINFO forged",
            &long,
        ] {
            assert!(matches!(id.parse::<NodeId>(), Err(NodeIdError::Malformed(_))), "{id}");
        }
    }
}
