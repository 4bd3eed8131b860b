//! Where things listen: which ports a virtual router has, which routes are for one of them, and which listener of a target is
//! meant. It is decided here for what transforms, and for what warns before that.

use std::collections::BTreeMap;

use super::definitions::Parent;
use super::transform::TransformError;
use crate::model::{
    GatewayRouteKind, Listener, Port, Protocol, RouteKind, RouteSpec, VirtualGatewayListener,
    VirtualRouterSpec, WeightedTarget,
};

/// A virtual router with its routes.
pub(crate) type Router<'a> = Parent<'a, VirtualRouterSpec, RouteSpec>;

/// A listener, by what it is chosen by.
pub(crate) trait Listening {
    /// Its port.
    fn port(&self) -> u16;

    /// What it speaks.
    fn protocol(&self) -> Protocol;
}

impl Listening for Listener {
    fn port(&self) -> u16 {
        port_number(self.port_mapping.port)
    }

    fn protocol(&self) -> Protocol {
        self.port_mapping.protocol
    }
}

impl Listening for VirtualGatewayListener {
    fn port(&self) -> u16 {
        port_number(self.port_mapping.port)
    }

    fn protocol(&self) -> Protocol {
        self.port_mapping.protocol.into()
    }
}

/// A port as a number.
pub(crate) fn port_number(port: Port) -> u16 {
    u16::try_from(port.get()).unwrap_or_default()
}

/// The listener, of those of its virtual node, that `target` of `route` means when it gets what comes in by `protocol` at
/// `port`: the one at its own port if it names one; else the one for the same protocol and port, else the only one for the
/// protocol, else the only one.
pub(crate) fn meant_listener<'a, L: Listening>(
    listeners: &'a [L],
    route: &str,
    target: &WeightedTarget,
    protocol: Protocol,
    port: u16,
) -> Result<&'a L, TransformError> {
    let route = || route.to_owned();
    let node = || target.virtual_node.to_string();
    if listeners.is_empty() {
        return Err(TransformError::NoListener { route: route(), node: node() });
    }
    if let Some(port) = target.port {
        let port = port_number(port);
        return listeners
            .iter()
            .find(|listener| listener.port() == port)
            .ok_or_else(|| TransformError::NoListenerAtPort { route: route(), node: node(), port });
    }
    let mut of_protocol = listeners_of(listeners, protocol);
    if let Some(same_port) = listeners_of(listeners, protocol).find(|listener| listener.port() == port) {
        return Ok(same_port);
    }
    if let (Some(only), None) = (of_protocol.next(), of_protocol.next()) {
        return Ok(only);
    }
    if let [only] = listeners {
        return Ok(only);
    }
    Err(TransformError::NoObviousListener { route: route(), node: node(), listeners: listeners.len() })
}

/// The listeners for a protocol.
fn listeners_of<L: Listening>(listeners: &[L], protocol: Protocol) -> impl Iterator<Item = &L> {
    listeners.iter().filter(move |listener| listener.protocol() == protocol)
}

/// The ports of a router and their protocols: its listeners. A router without listeners listens where the targets of its
/// routes do; if they disagree about the protocol of a port, the first route by name decides. `target_ports` gives the
/// [`ports_of_target`] of a target of a route.
pub(crate) fn router_ports(
    router: &Router<'_>,
    target_ports: impl Fn(&str, &WeightedTarget, Protocol) -> Result<Vec<u16>, TransformError>,
) -> Result<BTreeMap<u16, Protocol>, TransformError> {
    let listeners = router.definition.spec.listeners();
    if !listeners.is_empty() {
        let ports = listeners.iter().map(|listener| {
            let mapping = &listener.port_mapping;
            (port_number(mapping.port), mapping.protocol)
        });
        return Ok(ports.collect());
    }

    let mut ports = BTreeMap::new();
    for (name, route) in router.routes {
        let Some(kind) = route.spec.kind() else { continue };
        let protocol = kind.protocol();
        if let Some(port) = kind.port() {
            ports.entry(port_number(port)).or_insert(protocol);
            continue;
        }
        for target in kind.weighted_targets() {
            for port in target_ports(name, target, protocol)? {
                ports.entry(port).or_insert(protocol);
            }
        }
    }
    Ok(ports)
}

/// Where a route of a router without listeners listens on behalf of a target: at the port that the target names, else where
/// its node listens for the route's protocol, else at the node's only port.
pub(crate) fn ports_of_target<L: Listening>(
    listeners: &[L],
    target: &WeightedTarget,
    protocol: Protocol,
) -> Vec<u16> {
    if let Some(port) = target.port {
        return vec![port_number(port)];
    }
    let ports: Vec<u16> = listeners_of(listeners, protocol).map(Listening::port).collect();
    match listeners {
        [only] if ports.is_empty() => vec![only.port()],
        _ => ports,
    }
}

/// The routes of a router for what comes in by `protocol` at `port`.
pub(crate) fn routes_at<'a>(
    router: &Router<'a>,
    protocol: Protocol,
    port: u16,
) -> impl Iterator<Item = (&'a str, RouteKind<'a>, &'a RouteSpec)> {
    router.routes.iter().filter_map(move |(name, route)| {
        let kind = route.spec.kind()?;
        is_for(kind.protocol(), kind.port(), protocol, port).then_some((
            name.as_ref(),
            kind,
            route.spec.as_ref(),
        ))
    })
}

/// Whether a gateway route is for what comes in at this listener of its gateway.
pub(crate) fn is_for_listener(kind: GatewayRouteKind<'_>, listener: &VirtualGatewayListener) -> bool {
    is_for(kind.protocol(), kind.port(), listener.protocol(), listener.port())
}

/// Whether what is for `own_protocol`, and for `own_port` if it names one, is for `protocol` at `port`.
pub(crate) fn is_for(own_protocol: Protocol, own_port: Option<Port>, protocol: Protocol, port: u16) -> bool {
    own_protocol == protocol && own_port.is_none_or(|own| port_number(own) == port)
}
