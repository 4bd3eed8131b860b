//! Requests of both forms of the protocol, made alike.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc::Status as ErrorDetail;
use legation_actors::request::{Interest, Rejection, Request};
use legation_proto::nonce::Nonce;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use prost::{DecodeError, Message};

use super::ack::Ack;

/// A request on an ADS stream, in one form of the protocol.
pub trait StreamRequest: Message + Default + Send + 'static {
    /// The form of the protocol.
    const PROTOCOL: Protocol;

    /// Who asks; guaranteed on the first request of a stream only (conformance 3).
    fn node(&self) -> Option<&Node>;

    /// The type that it asks for.
    fn type_url(&self) -> &str;

    /// What it asks; `resource_type` is that of its type URL.
    fn into_request(self, resource_type: ResourceType) -> Request;

    /// Reads a message that has too little in it to be decoded as a request. In state of the world there is none: an ACK names
    /// all that is subscribed to.
    fn read_ack(_message: &[u8]) -> Option<Ack> {
        None
    }
}

/// A request as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming<T> {
    /// One that does nothing but answer a response.
    Ack(Ack),
    /// Any other. In a box, since it has room for the description of a node, and is handed on several times.
    Request(Box<T>),
}

impl<T: StreamRequest> Incoming<T> {
    /// Reads a message.
    pub fn read(message: &[u8]) -> Result<Self, DecodeError> {
        T::read_ack(message)
            .map_or_else(|| T::decode(message).map(Box::new).map(Self::Request), |ack| Ok(Self::Ack(ack)))
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

impl StreamRequest for DiscoveryRequest {
    const PROTOCOL: Protocol = Protocol::Sotw;

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
