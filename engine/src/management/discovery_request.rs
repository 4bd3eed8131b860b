//! Requests of both forms of the protocol, made alike.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc::Status as ErrorDetail;
use legation_actors::request::{Interest, Rejection, Request};
use legation_proto::nonce::Nonce;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use prost::encoding::WireType;
use prost::{DecodeError, Message};

use super::ack::Ack;

/// A request on an ADS stream, in one form of the protocol.
pub trait StreamRequest: Message + Default + Send + 'static {
    /// The form of the protocol.
    const PROTOCOL: Protocol;

    /// The number of the field `node`.
    const NODE_FIELD: u8;

    /// Who asks; guaranteed on the first request of a stream only (conformance 3).
    fn node(&self) -> Option<&Node>;

    /// The type that it asks for.
    fn type_url(&self) -> &str;

    /// What it asks; `resource_type` is that of its type URL.
    fn into_request(self, resource_type: ResourceType) -> Request;

    /// Reads a message that is an ACK and nothing else without decoding it; `None` for any other. In state of the world there
    /// are none to read: an ACK repeats the version, and all names.
    fn read_ack(_message: &[u8]) -> Option<Ack> {
        None
    }
}

/// A request as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming<T> {
    /// One that is an ACK and nothing else.
    Ack(Ack),
    /// Any other. In a box, since it has room for the description of a node, and is handed on several times.
    Request(Box<T>),
}

impl<T: StreamRequest> Incoming<T> {
    /// Reads a message, the first of a stream. Fails where it is no protobuf message of type `T`.
    pub fn read(message: &[u8]) -> Result<Self, DecodeError> {
        T::read_ack(message)
            .map_or_else(|| T::decode(message).map(Box::new).map(Self::Request), |ack| Ok(Self::Ack(ack)))
    }

    /// Reads a later message; fails as for the first. Where it begins with a node, that is not looked at (conformance 5): Envoys
    /// before 1.38 describe it in every delta request, whatever their bootstrap says, with everything that they were built with.
    pub fn read_later(message: &[u8]) -> Result<Self, DecodeError> {
        Self::read(behind_node::<T>(message).unwrap_or(message))
    }

    /// Who asks; see [`StreamRequest::node`].
    pub fn node(&self) -> Option<&Node> {
        match self {
            Self::Ack(_) => None,
            Self::Request(request) => request.node(),
        }
    }

    /// The type that it asks for.
    pub fn type_url(&self) -> &str {
        match self {
            Self::Ack(ack) => ack.resource_type.type_url(),
            Self::Request(request) => request.type_url(),
        }
    }

    /// What it asks; `resource_type` is that of its type URL.
    pub fn into_request(self, resource_type: ResourceType) -> Request {
        match self {
            Self::Ack(ack) => ack.into(),
            Self::Request(request) => request.into_request(resource_type),
        }
    }
}

/// What follows the node that a message begins with; `None` where it does not begin with one.
fn behind_node<T: StreamRequest>(message: &[u8]) -> Option<&[u8]> {
    let (&header, mut rest) = message.split_first()?;
    let begins_with_node = header == T::NODE_FIELD << 3 | WireType::LengthDelimited as u8;
    let length = begins_with_node.then(|| prost::decode_length_delimiter(&mut rest).ok()).flatten()?;
    rest.get(length..)
}

impl StreamRequest for DiscoveryRequest {
    const PROTOCOL: Protocol = Protocol::Sotw;
    const NODE_FIELD: u8 = 2;

    fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn into_request(self, resource_type: ResourceType) -> Request {
        Request {
            resource_type,
            nonce: Nonce::read(&self.response_nonce),
            error: self.error_detail.map(rejection),
            interest: Interest::Sotw { version_info: self.version_info, names: self.resource_names },
        }
    }
}

impl StreamRequest for DeltaDiscoveryRequest {
    const PROTOCOL: Protocol = Protocol::Delta;
    const NODE_FIELD: u8 = 1;

    fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn into_request(self, resource_type: ResourceType) -> Request {
        Request {
            resource_type,
            nonce: Nonce::read(&self.response_nonce),
            error: self.error_detail.map(rejection),
            interest: Interest::Delta {
                subscribe: self.resource_names_subscribe,
                unsubscribe: self.resource_names_unsubscribe,
                initial_versions: self.initial_resource_versions.into_iter().collect(),
            },
        }
    }

    fn read_ack(message: &[u8]) -> Option<Ack> {
        Ack::read(message)
    }
}

fn rejection(detail: ErrorDetail) -> Rejection {
    Rejection::new(detail.code, &detail.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Option<Node> {
        Some(Node { id: "n".repeat(300), ..Default::default() })
    }

    fn delta(node: Option<Node>, names: &[&str]) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            node,
            type_url: ResourceType::Cluster.type_url().to_owned(),
            resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
            response_nonce: "1".to_owned(),
            ..Default::default()
        }
    }

    fn sotw(node: Option<Node>, version_info: &str) -> DiscoveryRequest {
        let type_url = ResourceType::Cluster.type_url().to_owned();
        DiscoveryRequest { node, type_url, version_info: version_info.to_owned(), ..Default::default() }
    }

    fn read_later<T: StreamRequest>(request: &T) -> Incoming<T> {
        Incoming::read_later(&request.encode_to_vec()).expect("is a request")
    }

    #[test]
    fn a_node_is_not_looked_at_in_a_later_request() {
        let ack = Incoming::Ack(Ack { resource_type: ResourceType::Cluster, nonce: Nonce(1) });
        for node in [None, Some(Node::default()), node()] {
            assert_eq!(read_later(&delta(node.clone(), &[])), ack);
            assert_eq!(
                read_later(&delta(node.clone(), &["a"])),
                Incoming::Request(delta(None, &["a"]).into())
            );
            assert_eq!(read_later(&sotw(node, "")), Incoming::Request(sotw(None, "").into()));
        }
        // behind another field it is decoded, as anything is
        assert_eq!(read_later(&sotw(node(), "1")), Incoming::Request(sotw(node(), "1").into()));
        let later = Incoming::<DeltaDiscoveryRequest>::read_later;
        assert_eq!(
            later(b"\x0a\x02\xff\xff").unwrap(),
            Incoming::Request(Box::default()),
            "no node, but not looked at"
        );
    }

    #[test]
    fn a_later_request_that_is_cut_off_is_an_error() {
        let message = delta(node(), &["a"]).encode_to_vec();
        let node_bytes = delta(node(), &[]).encode_to_vec().len() - delta(None, &[]).encode_to_vec().len();
        for end in 1..node_bytes {
            assert!(
                Incoming::<DeltaDiscoveryRequest>::read_later(&message[..end]).is_err(),
                "after {end} bytes"
            );
        }
    }
}
