//! What is done with bytes that come from outside, up to the responses that they cause.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use legation::management::compose::compose;
use legation::management::discovery_request::StreamRequest;
use legation::management::requests::Requests;
use legation_actors::composition::{Backend, Client};
use legation_actors::session::Session;
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_proto::fragment::Fragment;
use legation_proto::id::NodeId;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::{GRPC_PREFIX_BYTES, Protocol, Response};
use prost::Message;
use tokio_stream::StreamExt;

const REQUEST_BYTES_MAX: usize = 10_000;

/// Takes the bytes for what the first of them says: the requests on a stream, in one form of the protocol or the other, or
/// fragments.
pub(crate) fn check(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0, body)) => check_stream::<DiscoveryRequest>(body),
        Some((1, body)) => check_stream::<DeltaDiscoveryRequest>(body),
        Some((_, fragments)) => check_fragments(fragments),
        None => {}
    }
}

fn check_stream<T: StreamRequest>(body: &[u8]) {
    check_ack::<T>(body);
    let body = tokio_stream::once(Ok::<_, std::io::Error>(Bytes::copy_from_slice(body)));
    let mut requests = Requests::<T, _>::new(body, REQUEST_BYTES_MAX);
    let mut session = Session::new(T::PROTOCOL);
    session.on_snapshot(snapshot());
    while let Some(Ok(request)) = at_once(requests.next()) {
        let node = request.node().and_then(|node| node.id.parse::<NodeId>().ok());
        if let Some(node) = node {
            assert_eq!(node.to_string().parse(), Ok(node), "a node id is read as it is shown");
        }
        let Some(resource_type) = ResourceType::from_type_url(request.type_url()) else { continue };
        if session.on_request(request.into_request(resource_type)).is_err() {
            return;
        }
        while let Some(response) = session.next_response() {
            check_response(&response, T::PROTOCOL);
        }
    }
}

/// What is read without decoding it is what decoding gives.
fn check_ack<T: StreamRequest>(message: &[u8]) {
    if let Some(ack) = T::read_ack(message) {
        let decoded = T::decode(message).expect("an ACK is a request");
        assert_eq!(ResourceType::from_type_url(decoded.type_url()), Some(ack.resource_type));
        assert_eq!(decoded.into_request(ack.resource_type), ack.into());
    }
}

/// What is at hand need not be waited for.
fn at_once<F: Future>(future: F) -> F::Output {
    let Poll::Ready(output) = pin!(future).poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("all bytes are there, and more are waited for");
    };
    output
}

fn check_response(response: &Response, protocol: Protocol) {
    let frame = response.encode(protocol, "fuzz").slice(GRPC_PREFIX_BYTES..);
    let (type_url, nonce) = match protocol {
        Protocol::Sotw => {
            let decoded = DiscoveryResponse::decode(frame).unwrap();
            (decoded.type_url, decoded.nonce)
        }
        Protocol::Delta => {
            let decoded = DeltaDiscoveryResponse::decode(frame).unwrap();
            (decoded.type_url, decoded.nonce)
        }
    };
    assert_eq!((type_url.as_str(), nonce), (response.resource_type.type_url(), response.nonce.to_string()));
}

/// A resource of each type, all of one name.
fn snapshot() -> Snapshot {
    let content = DiscoveryRequest::default();
    let set = |resource_type| ResourceSet::new(vec![Resource::encode(resource_type, "a", 1, &content)]);
    Snapshot::new(ResourceType::ALL.map(set))
}

/// The fragment of a node, which has its length in two bytes before it, and that of its backend: composing them fails, or
/// it does not.
fn check_fragments(bytes: &[u8]) {
    let Some((length, fragments)) = bytes.split_first_chunk() else { return };
    let length = usize::from(u16::from_be_bytes(*length)).min(fragments.len());
    let (node, backend) = fragments.split_at(length);
    let Ok(Fragment::Node(node)) = Fragment::decode(Bytes::copy_from_slice(node)) else { return };
    let backend = match Fragment::decode(Bytes::copy_from_slice(backend)) {
        Ok(Fragment::Service(backend)) => Some(backend),
        _ => None,
    };
    let backends: Vec<_> = backend.iter().map(|fragment| Backend { name: "backend", fragment }).collect();
    for client in [Client::Envoy, Client::Grpc] {
        let _ = compose(client, &node, &backends, None);
    }
}
