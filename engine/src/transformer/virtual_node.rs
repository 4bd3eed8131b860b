//! The fragment of a virtual node: what its own Envoys, the sidecars of its replicas, need beside its backends.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::FilterChain;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use legation_proto::fragment::{EgressMode, NodeFragment};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;

use super::definitions::Versioned;
use super::egress::Egress;
use super::ingress::{RequestPorts, for_connections, for_requests, ingress};
use super::listening::port_number;
use super::node_fragment::NodeParts;
use super::sources::Sources;
use super::{health, ip, limits, logging, names, timeouts};
use crate::envoy::cluster::{speak_http2, static_cluster};
use crate::envoy::matching::everything;
use crate::envoy::route::{route, route_configuration, to_cluster, virtual_host};
use crate::model::{IpPreference, Listener, Protocol, VirtualNodeSpec};

/// How long a connection to the local application may take (observed).
const APPLICATION_CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// The fragment of the virtual node `name`.
pub(super) fn fragment(sources: &Sources<'_>, name: &str, node: &Versioned<VirtualNodeSpec>) -> NodeFragment {
    let ip_preference = ip::preference(&sources.mesh.spec, &node.spec);
    let access_logs = logging::access_logs(node.spec.logging.as_ref());
    let node = Node {
        sources,
        mesh: sources.definitions.name(),
        name,
        spec: &node.spec,
        transaction: node.transaction.max(sources.mesh.transaction),
        ip_preference,
        egress: sources.egress(ip_preference, &access_logs),
        access_logs,
    };
    node.fragment()
}

/// A virtual node, with what its mesh says about it.
struct Node<'a> {
    sources: &'a Sources<'a>,
    mesh: &'a str,
    name: &'a str,
    spec: &'a VirtualNodeSpec,
    transaction: Transaction,
    ip_preference: Option<IpPreference>,
    egress: Rc<Egress>,
    access_logs: Vec<AccessLog>,
}

impl Node<'_> {
    fn fragment(&self) -> NodeFragment {
        let clusters = self.spec.listeners().iter().map(|own| self.application_cluster(own)).collect();
        let backends: BTreeSet<Arc<str>> =
            self.spec.backends().map(|backend| backend.virtual_service_name.as_str().into()).collect();
        NodeParts {
            transaction: self.transaction,
            clusters,
            listeners: self.ingress_listener().into_iter().collect(),
            route_configurations: self.ingress_route_configurations(),
            egress: &self.egress,
            egress_mode: EgressMode::Intercepted,
            access_logs: &self.access_logs,
            backends,
        }
        .encode()
    }

    /// The cluster of the local application, behind one of the node's listeners.
    fn application_cluster(&self, own: &Listener) -> Cluster {
        let (protocol, port) = protocol_and_port(own);
        let mut cluster = static_cluster(
            &self.application_cluster_name(own),
            ip::application_address(self.ip_preference, port),
            APPLICATION_CONNECT_TIMEOUT,
            limits::of_virtual_node(own.connection_pool.as_ref()),
        );
        if health::speaks_http2(protocol) {
            speak_http2(&mut cluster);
        }
        cluster
    }

    fn application_cluster_name(&self, own: &Listener) -> String {
        let (protocol, port) = protocol_and_port(own);
        names::ingress_cluster(self.mesh, self.name, protocol, port)
    }

    /// The listener for the traffic to the application; none if the node has no listeners.
    fn ingress_listener(&self) -> Option<Resource> {
        let listeners = self.spec.listeners();
        if listeners.is_empty() {
            return None;
        }
        let ports: Vec<_> = listeners.iter().map(protocol_and_port).collect();
        if self.access_logs.is_empty() && ports.iter().all(|(protocol, _)| *protocol != Protocol::Tcp) {
            let ports = RequestPorts { ip_preference: self.ip_preference, ports };
            return Some(self.sources.ingress(ports).at(self.transaction));
        }
        let chains = listeners.iter().map(|own| self.ingress_chain(own)).collect();
        let ingress = ingress(self.ip_preference, chains);
        Some(Resource::encode(ResourceType::Listener, &ingress.name, self.transaction, &ingress))
    }

    fn ingress_chain(&self, own: &Listener) -> FilterChain {
        let count = self.spec.listeners().len();
        let (protocol, port) = protocol_and_port(own);
        if protocol != Protocol::Tcp {
            return for_requests(count, protocol, port, &self.access_logs);
        }
        let idle_timeout = timeouts::of_connection_listener(own.timeout.as_ref());
        for_connections(count, port, &self.application_cluster_name(own), idle_timeout, &self.access_logs)
    }

    /// Each listener for requests passes all of them to the application, within the listener's timeouts.
    fn ingress_route_configurations(&self) -> Vec<RouteConfiguration> {
        let for_requests =
            self.spec.listeners().iter().filter(|own| own.port_mapping.protocol != Protocol::Tcp);
        for_requests
            .map(|own| {
                let (protocol, port) = protocol_and_port(own);
                let timeouts = timeouts::of_request_listener(own.timeout.as_ref());
                let action = to_cluster(&self.application_cluster_name(own), timeouts);
                let routes = vec![route("application", everything(), Action::Route(action))];
                let hosts = vec![virtual_host(self.name, vec!["*".to_owned()], routes)];
                route_configuration(&names::ingress_route_configuration(protocol, port), hosts)
            })
            .collect()
    }
}

fn protocol_and_port(own: &Listener) -> (Protocol, u16) {
    let mapping = &own.port_mapping;
    (mapping.protocol, port_number(mapping.port))
}
