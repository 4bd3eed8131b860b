//! The little that is read of a request.

use bytes::Bytes;
use legation_proto::response::Protocol;
use prost::{DecodeError, Message};

/// What a floor has to know of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The id of the node, on the first request of a stream.
    pub(super) node: Option<String>,
    /// The type that it is about.
    pub(super) type_url: Bytes,
    /// It answers a response, and asks for nothing.
    pub(super) is_ack: bool,
}

/// `envoy.config.core.v3.Node`, and no field of it that is not used here, as below.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct DiscoveryRequest {
    #[prost(message, optional, tag = "2")]
    node: Option<Node>,
    #[prost(bytes = "bytes", tag = "4")]
    type_url: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    response_nonce: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct DeltaDiscoveryRequest {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(bytes = "bytes", tag = "2")]
    type_url: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    response_nonce: Bytes,
}

impl Request {
    /// Reads a message.
    pub(super) fn decode(protocol: Protocol, message: Bytes) -> Result<Self, DecodeError> {
        let (node, type_url, nonce) = match protocol {
            Protocol::Sotw => {
                let request = DiscoveryRequest::decode(message)?;
                (request.node, request.type_url, request.response_nonce)
            }
            Protocol::Delta => {
                let request = DeltaDiscoveryRequest::decode(message)?;
                (request.node, request.type_url, request.response_nonce)
            }
        };
        Ok(Self { node: node.map(|node| node.id), type_url, is_ack: !nonce.is_empty() })
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::Node;
    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};

    use super::*;

    fn node() -> Option<Node> {
        Some(Node { id: "n".to_owned(), cluster: "c".to_owned(), ..Default::default() })
    }

    #[test]
    fn requests_of_both_forms_are_read() {
        for nonce in ["", "7"] {
            let sotw = DiscoveryRequest {
                version_info: "1".to_owned(),
                node: node(),
                resource_names: vec!["a".to_owned()],
                type_url: "t".to_owned(),
                response_nonce: nonce.to_owned(),
                ..Default::default()
            };
            let delta = DeltaDiscoveryRequest {
                node: node(),
                type_url: "t".to_owned(),
                resource_names_subscribe: vec!["a".to_owned()],
                response_nonce: nonce.to_owned(),
                ..Default::default()
            };
            let expected =
                Request { node: Some("n".to_owned()), type_url: "t".into(), is_ack: !nonce.is_empty() };
            let read = |protocol, message: Vec<u8>| Request::decode(protocol, message.into()).unwrap();
            assert_eq!(read(Protocol::Sotw, sotw.encode_to_vec()), expected);
            assert_eq!(read(Protocol::Delta, delta.encode_to_vec()), expected);
        }
        assert!(Request::decode(Protocol::Delta, Bytes::from_static(&[0xff])).is_err());
    }
}
