//! Messages made of parts that are encoded already, which are shared and not decoded.

use bytes::Bytes;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::google::protobuf::Any;
use legation_proto::body::{Body, Part};
use prost::{Message, Name};

/// An `envoy.config.route.v3.RouteConfiguration` of encoded `VirtualHost` messages.
pub fn route_configuration(name: &str, virtual_hosts: Vec<Part>) -> Body {
    let start = RouteConfiguration { name: name.to_owned(), ..RouteConfiguration::default() };
    Body::route_configuration(&start.encode_to_vec(), virtual_hosts)
}

/// An encoded `envoy.config.listener.v3.Listener` with these filter chains after its own. Of messages that follow each other
/// in the encoding the last goes on with the lists of those before.
pub fn listener(encoded: &[u8], filter_chains: Vec<FilterChain>) -> Body {
    let more = Listener { filter_chains, ..Listener::default() };
    let value = [encoded, &more.encode_to_vec()].concat();
    Bytes::from(Any { type_url: Listener::type_url(), value }.encode_to_vec()).into()
}
