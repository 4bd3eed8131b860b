//! Requests of both forms of the protocol, made alike.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc::Status as ErrorDetail;
use legation_actors::request::{Interest, Rejection, Request};
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use prost::Message;

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
            nonce: self.response_nonce,
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
            nonce: self.response_nonce,
            error: self.error_detail.map(rejection),
            interest: Interest::Delta {
                subscribe: self.resource_names_subscribe,
                unsubscribe: self.resource_names_unsubscribe,
                initial_versions: self.initial_resource_versions.into_iter().collect(),
            },
        }
    }
}

fn rejection(detail: ErrorDetail) -> Rejection {
    Rejection::new(detail.code, &detail.message)
}
