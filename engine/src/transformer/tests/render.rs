//! Envoy's messages in a form that a person can read and compare: everything that is set, and nothing that is not.
//!
//! It is made of the messages' debug form, so that no field can be overlooked; an `Any` is shown as what is in it.

use std::fmt::Debug;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::FileAccessLog;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::google::protobuf::Any;
use legation_proto::fragment::{Routing, ServiceFragment};
use legation_proto::resource::Resource;
use prost::{Message, Name};

/// What is in a resource.
pub(crate) fn decoded<M: Message + Default>(resource: &Resource) -> M {
    let any = Any::decode(resource.body.to_bytes()).unwrap();
    M::decode(any.value.as_slice()).unwrap()
}

/// The names of resources.
pub(crate) fn names(resources: &[Resource]) -> Vec<&str> {
    resources.iter().map(|resource| resource.name.as_ref()).collect()
}

/// What a service fragment has at a port, a line for each route.
pub(crate) fn port(fragment: &ServiceFragment, port: u16) -> String {
    let found = fragment.ports.iter().find(|service_port| service_port.port == port);
    let ports: Vec<_> = fragment.ports.iter().map(|port| port.port).collect();
    match &found.unwrap_or_else(|| panic!("no {port} in {ports:?}")).routing {
        Routing::VirtualHost(part) => virtual_host(&VirtualHost::decode(part.content()).unwrap()),
        Routing::TcpProxy(bytes) => message(&TcpProxy::decode(bytes.clone()).unwrap()),
    }
}

/// A route configuration, a line for each route.
pub(crate) fn route_configuration(resource: &Resource) -> String {
    let configuration: RouteConfiguration = decoded(resource);
    let hosts = configuration.virtual_hosts.iter().map(virtual_host);
    hosts.collect::<Vec<_>>().join("\n")
}

/// A virtual host, a line for each route.
pub(crate) fn virtual_host(virtual_host: &VirtualHost) -> String {
    let without_routes = VirtualHost { routes: Vec::new(), ..virtual_host.clone() };
    let mut lines = vec![message(&without_routes)];
    lines.extend(virtual_host.routes.iter().map(|route| format!("  {}", message(route))));
    lines.join("\n")
}

/// A listener, a line for each filter chain.
pub(crate) fn listener(listener: &Listener) -> String {
    let without_chains =
        Listener { filter_chains: Vec::new(), default_filter_chain: None, ..listener.clone() };
    let mut lines = vec![message(&without_chains)];
    let chains = listener.filter_chains.iter();
    lines.extend(chains.map(|chain| format!("  {}", message(chain))));
    let default = listener.default_filter_chain.iter();
    lines.extend(default.map(|chain| format!("  default {}", message(chain))));
    lines.join("\n")
}

/// A cluster, in a line.
pub(crate) fn cluster(resource: &Resource) -> String {
    message(&decoded::<Cluster>(resource))
}

/// Endpoints, in a line.
pub(crate) fn endpoints(resource: &Resource) -> String {
    message(&decoded::<ClusterLoadAssignment>(resource))
}

/// A message, in a line.
pub(crate) fn message(message: &impl Debug) -> String {
    let debug = format!("{message:#?}");
    let mut lines = debug.lines().map(str::trim);
    let node = Node::parse(&mut lines);
    node.into_iter().filter_map(Node::shown).collect::<Vec<_>>().join(", ")
}

/// What fields of enumerations are if nothing is said.
const ENUM_DEFAULTS: [(&str, &str); 15] = [
    ("cluster_not_found_response_code", "ServiceUnavailable"),
    ("codec_type", "Auto"),
    ("drain_type", "Default"),
    ("forward_client_cert_details", "Sanitize"),
    ("health_status", "Unknown"),
    ("internal_redirect_action", "PassThroughInternalRedirect"),
    ("lb_policy", "RoundRobin"),
    ("path_with_escaped_slashes_action", "ImplementationSpecificDefault"),
    ("priority", "Default"),
    ("protocol", "Tcp"),
    ("protocol_selection", "UseConfiguredProtocol"),
    ("proxy_protocol_tlv_merge_policy", "AddIfAbsent"),
    ("server_header_transformation", "Overwrite"),
    ("source_type", "Any"),
    ("upstream_connect_mode", "Immediate"),
];

/// A piece of a debug form.
struct Node {
    /// The name of the field or variant; empty in a list.
    label: String,
    /// What stands there, if it is one word.
    leaf: String,
    children: Vec<Node>,
}

impl Node {
    /// The pieces up to the next closing bracket.
    fn parse<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<Node> {
        let mut nodes = Vec::new();
        while let Some(line) = lines.next() {
            if line.starts_with(['}', ')', ']']) {
                break;
            }
            let (label, rest) = split_label(line);
            if !rest.ends_with(['{', '(', '[']) {
                nodes.push(Node {
                    label: label.to_owned(),
                    leaf: rest.trim_end_matches(',').to_owned(),
                    children: Vec::new(),
                });
                continue;
            }
            let children = Node::parse(lines);
            let opener = rest.trim_end_matches(['{', '(', '[']).trim();
            nodes.push(Node::of_children(label, rest, opener, children));
        }
        nodes
    }

    fn of_children(label: &str, rest: &str, opener: &str, children: Vec<Node>) -> Node {
        let named = |leaf: String, children| Node { label: label.to_owned(), leaf, children };
        let number = |name: &str| {
            let child = children.iter().find(|child| child.label == name);
            child.map_or("0", |child| child.leaf.as_str())
        };
        match opener {
            "Duration" => {
                let (seconds, nanos) = (number("seconds"), number("nanos"));
                let seconds: f64 = seconds.parse::<f64>().unwrap() + nanos.parse::<f64>().unwrap() / 1e9;
                named(format!("{seconds}s"), Vec::new())
            }
            "UInt32Value" | "BoolValue" => named(number("value").to_owned(), Vec::new()),
            "Any" if label.is_empty() => Node::of_any(&children),
            "Any" => named(String::new(), vec![Node::of_any(&children)]),
            "Some" => {
                // a field of which there is one of several kinds is called as the kind is
                let mut children = children;
                let mut only = children.pop().unwrap();
                if only.label.is_empty() {
                    only.label = label.to_owned();
                }
                only
            }
            "" => named(String::new(), children),
            "TypedConfig" => children.into_iter().next().unwrap(),
            _ if rest.ends_with('(') && label.is_empty() => {
                Node { label: opener.to_owned(), leaf: String::new(), children }
            }
            _ => named(if children.is_empty() { "{}".to_owned() } else { String::new() }, children),
        }
    }

    fn of_any(children: &[Node]) -> Node {
        let type_url = children[0].leaf.trim_matches('"').to_owned();
        let value = children.iter().find(|child| child.label == "value");
        let bytes: Vec<u8> =
            value.iter().flat_map(|value| &value.children).map(|byte| byte.leaf.parse().unwrap()).collect();
        let debug = None
            .or_else(|| debug_of::<HttpConnectionManager>(&type_url, &bytes))
            .or_else(|| debug_of::<TcpProxy>(&type_url, &bytes))
            .or_else(|| debug_of::<Router>(&type_url, &bytes))
            .or_else(|| debug_of::<HttpProtocolOptions>(&type_url, &bytes))
            .or_else(|| debug_of::<FileAccessLog>(&type_url, &bytes))
            .or_else(|| debug_of::<OriginalDst>(&type_url, &bytes))
            .or_else(|| debug_of::<TlsInspector>(&type_url, &bytes))
            .or_else(|| debug_of::<PreviousHostsPredicate>(&type_url, &bytes))
            .unwrap_or_else(|| panic!("{type_url} is unknown here"));
        let mut nodes = Node::parse(&mut debug.lines().map(str::trim));
        let node = nodes.pop().unwrap();
        Node { label: type_url.rsplit('.').next().unwrap().to_owned(), ..node }
    }

    /// Nothing, if it is what it is by default.
    fn shown(self) -> Option<String> {
        let is_empty = ["None", "\"\"", "[]", "false", "0", "{}"].contains(&self.leaf.as_str());
        let is_field = self.label.starts_with(|c: char| c.is_ascii_lowercase());
        let field = (self.label.as_str(), self.leaf.as_str());
        if is_field && (is_empty || ENUM_DEFAULTS.contains(&field)) {
            return None;
        }
        let label = &self.label;
        if self.children.is_empty() {
            let leaf = self.leaf.trim_matches('"');
            return Some(if label.is_empty() { leaf.to_owned() } else { format!("{label} {leaf}") });
        }
        let children: Vec<_> = self.children.into_iter().filter_map(Node::shown).collect();
        match children.as_slice() {
            [] if label.is_empty() => Some("{}".to_owned()),
            [] => Some(label.clone()),
            [only] => Some(if label.is_empty() { only.clone() } else { format!("{label} {only}") }),
            _ => Some(format!("{label}{{{}}}", children.join(", "))),
        }
    }
}

/// The name of a field, or the key of a map's entry, and what comes after it.
fn split_label(line: &str) -> (&str, &str) {
    if let Some(key) = line.strip_prefix('"') {
        return match key.split_once("\": ") {
            Some((key, rest)) if !key.ends_with('\\') => (key, rest),
            _ => ("", line),
        };
    }
    match line.split_once(": ") {
        Some((label, rest)) => (label.trim_start_matches("r#"), rest),
        None => ("", line),
    }
}

fn debug_of<M: Message + Name + Default + Debug>(type_url: &str, bytes: &[u8]) -> Option<String> {
    (type_url == M::type_url()).then(|| format!("{:#?}", M::decode(bytes).unwrap()))
}
