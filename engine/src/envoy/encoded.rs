//! Messages made of parts that are encoded already, which are copied and not decoded. On the wire a message inside another
//! is bytes with a length, so that a field of messages can be declared as one of bytes.

use bytes::Bytes;
use prost::Message;

/// `envoy.config.route.v3.RouteConfiguration`.
#[derive(Clone, PartialEq, Message)]
pub struct RouteConfiguration {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Encoded `envoy.config.route.v3.VirtualHost` messages.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub virtual_hosts: Vec<Bytes>,
}
