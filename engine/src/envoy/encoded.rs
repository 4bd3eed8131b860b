//! Messages made of parts that are encoded already, which are shared and not decoded.

use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use legation_proto::body::Body;
use legation_proto::resource_type::ResourceType;
use prost::Message;

/// Field number of `envoy.config.route.v3.RouteConfiguration`.
const VIRTUAL_HOSTS: u32 = 2;

/// An `envoy.config.route.v3.RouteConfiguration` of encoded `VirtualHost` messages.
pub fn route_configuration(name: &str, virtual_hosts: Vec<Bytes>) -> Body {
    let start = RouteConfiguration { name: name.to_owned(), ..RouteConfiguration::default() };
    let parts = virtual_hosts.into_iter().map(Into::into).collect();
    Body::of_parts(ResourceType::RouteConfiguration, start.encode_to_vec().into(), VIRTUAL_HOSTS, parts)
}
