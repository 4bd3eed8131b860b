//! Fragments, decoded once on each host and shared by every actor that needs them.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

use crate::body::Part;
use crate::resource::Resource;
use crate::v1;
use crate::version::Transaction;

/// The transformer's output for one virtual service or node.
#[derive(Clone, Debug, PartialEq)]
pub enum Fragment {
    /// What every consumer of a virtual service needs.
    Service(ServiceFragment),
    /// What every Envoy of a virtual node or gateway needs beside its backends.
    Node(NodeFragment),
}

/// What every consumer of a virtual service needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceFragment {
    /// The newest definition that went into this fragment.
    pub transaction: Transaction,
    /// Clusters of everything that the routes lead to.
    pub clusters: Vec<Resource>,
    /// A `ClusterLoadAssignment` for every EDS cluster above, empty where there is no endpoint (conformance 75).
    pub endpoints: Vec<Resource>,
    /// How the virtual service is reached, in ascending order of port, one for each.
    pub ports: Vec<ServicePort>,
}

/// How a virtual service is reached on one port.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePort {
    /// The port that consumers connect to.
    pub port: u16,
    /// Where requests or connections go.
    pub routing: Routing,
}

/// Where the requests or connections to one port of a virtual service go.
#[derive(Clone, Debug, PartialEq)]
pub enum Routing {
    /// An encoded `envoy.config.route.v3.VirtualHost`: a part of the route configurations of all consumers.
    VirtualHost(Part),
    /// An encoded `TcpProxy`, without access logs.
    TcpProxy(Bytes),
}

/// What every Envoy of a virtual node or gateway needs beside its backends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFragment {
    /// The newest definition that went into this fragment.
    pub transaction: Transaction,
    /// Clusters of the local application, and those that every Envoy of the mesh has.
    pub clusters: Vec<Resource>,
    /// Ingress listeners.
    pub listeners: Vec<Resource>,
    /// Ingress route configurations.
    pub route_configurations: Vec<Resource>,
    /// The outbound listener, to be completed with the ports of the backends.
    pub egress: Egress,
    /// The virtual services that this node may reach, sorted, without repeats.
    pub backends: Vec<Arc<str>>,
}

/// The outbound listener of a node, to be completed with the ports of its backends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Egress {
    /// An encoded `Listener` with the filter chains that do not depend on the backends.
    pub listener: Bytes,
    /// Encoded `AccessLog` messages, for every filter that is added.
    pub access_logs: Vec<Bytes>,
    /// How outbound traffic arrives.
    pub mode: EgressMode,
}

/// How outbound traffic arrives at an Envoy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EgressMode {
    /// A sidecar: a filter chain for every port of a backend, matched on the original destination port.
    #[default]
    Intercepted,
    /// A gateway: its ingress redirects to one HTTP filter chain on `port` that serves every backend.
    Redirected {
        /// The port that the gateway's Envoy listens on for itself.
        port: u16,
    },
}

impl Fragment {
    /// The newest definition that went into this fragment.
    pub fn transaction(&self) -> Transaction {
        match self {
            Self::Service(fragment) => fragment.transaction,
            Self::Node(fragment) => fragment.transaction,
        }
    }

    /// The fragment as it travels through the store; equal fragments give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.clone().into_encoded()
    }

    /// The same as [`Fragment::encode`], without a copy of the resources.
    pub fn into_encoded(self) -> Vec<u8> {
        v1::Fragment::from(self).encode_to_vec()
    }

    /// Reads what [`Fragment::encode`] wrote. The resources share `bytes`.
    pub fn decode(bytes: Bytes) -> Result<Self, FragmentError> {
        v1::Fragment::decode(bytes)?.try_into()
    }

    /// The same, with the resources of `before` where they are the same. What is made of resources holds on to the bytes that
    /// they came in: without this, Envoys that connect at different times each hold other bytes with the same content.
    #[must_use]
    pub fn sharing(mut self, before: &Self) -> Self {
        match (&mut self, before) {
            (Self::Service(fragment), Self::Service(before)) => {
                share(&mut fragment.clusters, &before.clusters);
                share(&mut fragment.endpoints, &before.endpoints);
                for port in &mut fragment.ports {
                    if let Some(before) = before.ports.iter().find(|before| *before == port) {
                        *port = before.clone();
                    }
                }
            }
            (Self::Node(fragment), Self::Node(before)) => {
                share(&mut fragment.clusters, &before.clusters);
                share(&mut fragment.listeners, &before.listeners);
                share(&mut fragment.route_configurations, &before.route_configurations);
            }
            (Self::Service(_), Self::Node(_)) | (Self::Node(_), Self::Service(_)) => {}
        }
        self
    }
}

/// Takes from `before` what is the same, to the last digit of its version. Most changes leave the order as it is.
fn share(resources: &mut [Resource], before: &[Resource]) {
    for (index, resource) in resources.iter_mut().enumerate() {
        let is_same = |before: &&Resource| before.is_same(resource);
        let before = before.get(index).filter(is_same).or_else(|| before.iter().find(is_same));
        if let Some(before) = before {
            *resource = before.clone();
        }
    }
}

/// Why bytes are not a fragment.
#[derive(Debug, Error)]
pub enum FragmentError {
    /// Not a protobuf message of this type.
    #[error("fragment cannot be decoded")]
    Malformed(#[from] prost::DecodeError),
    /// A part is missing or out of range, as a newer version of the software could write it.
    #[error("fragment has no usable {0}; was it written by a newer version?")]
    Incomplete(&'static str),
}

impl From<Fragment> for v1::Fragment {
    fn from(fragment: Fragment) -> Self {
        let transaction = fragment.transaction();
        let content = match fragment {
            Fragment::Service(service) => v1::fragment::Content::VirtualService(v1::ServiceFragment {
                clusters: resources_to_v1(service.clusters),
                endpoints: resources_to_v1(service.endpoints),
                ports: service.ports.into_iter().map(Into::into).collect(),
            }),
            Fragment::Node(node) => v1::fragment::Content::Node(v1::NodeFragment {
                clusters: resources_to_v1(node.clusters),
                listeners: resources_to_v1(node.listeners),
                route_configurations: resources_to_v1(node.route_configurations),
                egress: Some(node.egress.into()),
                backends: node.backends.iter().map(|name| name.as_ref().to_owned()).collect(),
            }),
        };
        Self { transaction, content: Some(content) }
    }
}

impl TryFrom<v1::Fragment> for Fragment {
    type Error = FragmentError;

    fn try_from(fragment: v1::Fragment) -> Result<Self, FragmentError> {
        let transaction = fragment.transaction;
        let resources =
            |list: Vec<v1::Resource>| -> Vec<Resource> { list.into_iter().map(Into::into).collect() };
        match fragment.content.ok_or(FragmentError::Incomplete("content"))? {
            v1::fragment::Content::VirtualService(service) => Ok(Self::Service(ServiceFragment {
                transaction,
                clusters: resources(service.clusters),
                endpoints: resources(service.endpoints),
                ports: service.ports.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            })),
            v1::fragment::Content::Node(node) => Ok(Self::Node(NodeFragment {
                transaction,
                clusters: resources(node.clusters),
                listeners: resources(node.listeners),
                route_configurations: resources(node.route_configurations),
                egress: node.egress.ok_or(FragmentError::Incomplete("egress"))?.try_into()?,
                backends: node.backends.into_iter().map(Into::into).collect(),
            })),
        }
    }
}

fn resources_to_v1(resources: Vec<Resource>) -> Vec<v1::Resource> {
    resources.into_iter().map(Into::into).collect()
}

impl From<ServicePort> for v1::ServicePort {
    fn from(port: ServicePort) -> Self {
        let routing = match port.routing {
            Routing::VirtualHost(part) => {
                v1::service_port::Routing::VirtualHost(Bytes::copy_from_slice(part.content()))
            }
            Routing::TcpProxy(bytes) => v1::service_port::Routing::TcpProxy(bytes),
        };
        Self { port: port.port.into(), routing: Some(routing) }
    }
}

impl TryFrom<v1::ServicePort> for ServicePort {
    type Error = FragmentError;

    fn try_from(port: v1::ServicePort) -> Result<Self, FragmentError> {
        let routing = match port.routing.ok_or(FragmentError::Incomplete("routing"))? {
            v1::service_port::Routing::VirtualHost(bytes) => Routing::VirtualHost(Part::virtual_host(&bytes)),
            v1::service_port::Routing::TcpProxy(bytes) => Routing::TcpProxy(bytes),
        };
        Ok(Self { port: port_from_v1(port.port)?, routing })
    }
}

impl From<Egress> for v1::Egress {
    fn from(egress: Egress) -> Self {
        let mode = match egress.mode {
            EgressMode::Intercepted => v1::egress::Mode::Intercepted(v1::Intercepted {}),
            EgressMode::Redirected { port } => {
                v1::egress::Mode::Redirected(v1::Redirected { port: port.into() })
            }
        };
        Self { listener: egress.listener, access_logs: egress.access_logs, mode: Some(mode) }
    }
}

impl TryFrom<v1::Egress> for Egress {
    type Error = FragmentError;

    fn try_from(egress: v1::Egress) -> Result<Self, FragmentError> {
        let mode = match egress.mode.ok_or(FragmentError::Incomplete("egress mode"))? {
            v1::egress::Mode::Intercepted(_) => EgressMode::Intercepted,
            v1::egress::Mode::Redirected(redirected) => {
                EgressMode::Redirected { port: port_from_v1(redirected.port)? }
            }
        };
        Ok(Self { listener: egress.listener, access_logs: egress.access_logs, mode })
    }
}

fn port_from_v1(port: u32) -> Result<u16, FragmentError> {
    u16::try_from(port).map_err(|_| FragmentError::Incomplete("port"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    fn resource(name: &str, transaction: Transaction, content: &'static str) -> Resource {
        let body = Bytes::from_static(content.as_bytes());
        Resource { name: name.into(), version: Version::of(transaction, &body), body: body.into() }
    }

    /// As it comes from the store: in bytes of its own.
    fn fragment(clusters: Vec<Resource>, virtual_hosts: &[&'static str]) -> Fragment {
        let ports = (8080..).zip(virtual_hosts);
        let ports = ports.map(|(port, host)| ServicePort {
            port,
            routing: Routing::VirtualHost(Part::virtual_host(host.as_bytes())),
        });
        let fragment = ServiceFragment { clusters, ports: ports.collect(), ..Default::default() };
        Fragment::decode(Fragment::Service(fragment).encode().into()).expect("own bytes")
    }

    /// Where the content of everything in it lies.
    fn places(fragment: &Fragment) -> Vec<*const u8> {
        let Fragment::Service(fragment) = fragment else { panic!("it is that of a service") };
        let clusters = fragment.clusters.iter().map(|cluster| cluster.body.to_bytes().as_ptr());
        let ports = fragment.ports.iter().map(|port| match &port.routing {
            Routing::VirtualHost(part) => part.content().as_ptr(),
            Routing::TcpProxy(bytes) => bytes.as_ptr(),
        });
        clusters.chain(ports).collect()
    }

    /// Which of what is in `after` is in the bytes of `before` once they share.
    fn shared(before: &Fragment, after: Fragment) -> Vec<bool> {
        let expected = after.clone();
        let sharing = after.sharing(before);
        assert_eq!(sharing, expected);
        let before = places(before);
        places(&sharing).iter().map(|place| before.contains(place)).collect()
    }

    #[test]
    fn what_stays_the_same_stays_where_it_is() {
        let (a, b) = (|| resource("a", 1, "content of a"), || resource("b", 1, "content of b"));
        let before = fragment(vec![a(), b()], &["x", "y"]);
        for (what, after, expected) in [
            ("all", fragment(vec![a(), b()], &["x", "y"]), vec![true; 4]),
            ("a host", fragment(vec![a(), b()], &["x", "z"]), vec![true, true, true, false]),
            ("a place", fragment(vec![resource("0", 1, "new"), a(), b()], &[]), vec![false, true, true]),
            ("a content", fragment(vec![a(), resource("b", 2, "other")], &["x"]), vec![true, false, true]),
            ("a transaction", fragment(vec![resource("a", 2, "content of a")], &[]), vec![false]),
            ("a name", fragment(vec![resource("c", 1, "content of a")], &[]), vec![false]),
        ] {
            assert_eq!(shared(&before, after), expected, "{what}");
        }
    }
}
