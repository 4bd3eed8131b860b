//! Messages made of parts that are encoded already, which are shared and not decoded.

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use legation_proto::body::{Body, Part};
use prost::Message;

/// An `envoy.config.route.v3.RouteConfiguration` of encoded `VirtualHost` messages.
pub fn route_configuration(name: &str, virtual_hosts: Vec<Part>) -> Body {
    let start = RouteConfiguration { name: name.to_owned(), ..RouteConfiguration::default() };
    Body::route_configuration(&start.encode_to_vec(), virtual_hosts)
}
