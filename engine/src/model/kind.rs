//! The seven kinds of resource, and what each is called.

use std::fmt::{self, Display};

/// A kind of resource. The order is that in which resources can be created: what a kind may need comes before
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A mesh.
    Mesh,
    /// A virtual node.
    VirtualNode,
    /// A virtual router.
    VirtualRouter,
    /// A route, of a virtual router.
    Route,
    /// A virtual service.
    VirtualService,
    /// A virtual gateway.
    VirtualGateway,
    /// A gateway route, of a virtual gateway.
    GatewayRoute,
}

impl Kind {
    /// Every kind, in the order in which resources can be created. The reverse is the order in which to
    /// delete.
    pub const ALL: [Kind; 7] = [
        Kind::Mesh,
        Kind::VirtualNode,
        Kind::VirtualRouter,
        Kind::Route,
        Kind::VirtualService,
        Kind::VirtualGateway,
        Kind::GatewayRoute,
    ];

    /// The name in ARNs and store keys, such as `virtualNode`.
    pub fn wire_name(self) -> &'static str {
        match self {
            Kind::Mesh => "mesh",
            Kind::VirtualNode => "virtualNode",
            Kind::VirtualRouter => "virtualRouter",
            Kind::Route => "route",
            Kind::VirtualService => "virtualService",
            Kind::VirtualGateway => "virtualGateway",
            Kind::GatewayRoute => "gatewayRoute",
        }
    }

    /// The name of its type, such as `VirtualNode`: in App Mesh's operations, CloudFormation, Kubernetes and policies.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::Mesh => "Mesh",
            Kind::VirtualNode => "VirtualNode",
            Kind::VirtualRouter => "VirtualRouter",
            Kind::Route => "Route",
            Kind::VirtualService => "VirtualService",
            Kind::VirtualGateway => "VirtualGateway",
            Kind::GatewayRoute => "GatewayRoute",
        }
    }

    /// The kind of a [`Kind::wire_name`].
    pub fn from_wire_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.wire_name() == name)
    }

    /// The key of the name in requests and answers, such as `virtualNodeName`.
    pub fn name_key(self) -> &'static str {
        match self {
            Kind::Mesh => "meshName",
            Kind::VirtualNode => "virtualNodeName",
            Kind::VirtualRouter => "virtualRouterName",
            Kind::Route => "routeName",
            Kind::VirtualService => "virtualServiceName",
            Kind::VirtualGateway => "virtualGatewayName",
            Kind::GatewayRoute => "gatewayRouteName",
        }
    }

    /// The name of the collection in paths and lists, such as `virtualNodes`.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Mesh => "meshes",
            Kind::VirtualNode => "virtualNodes",
            Kind::VirtualRouter => "virtualRouters",
            Kind::Route => "routes",
            Kind::VirtualService => "virtualServices",
            Kind::VirtualGateway => "virtualGateways",
            Kind::GatewayRoute => "gatewayRoutes",
        }
    }

    /// The name for people, such as `virtual node`.
    pub fn human_name(self) -> &'static str {
        match self {
            Kind::Mesh => "mesh",
            Kind::VirtualNode => "virtual node",
            Kind::VirtualRouter => "virtual router",
            Kind::Route => "route",
            Kind::VirtualService => "virtual service",
            Kind::VirtualGateway => "virtual gateway",
            Kind::GatewayRoute => "gateway route",
        }
    }

    /// The kind to whose resources those of this kind belong, within their mesh: the router of a route and
    /// the gateway of a gateway route. Nothing for the kinds that belong to a mesh alone.
    pub fn parent(self) -> Option<Kind> {
        match self {
            Kind::Route => Some(Kind::VirtualRouter),
            Kind::GatewayRoute => Some(Kind::VirtualGateway),
            _ => None,
        }
    }

    /// The kind whose [`Kind::parent`] is this one.
    pub fn child(self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.parent() == Some(self))
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.human_name())
    }
}
