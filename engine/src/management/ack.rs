//! The ACK of a response in delta, as it stands on the wire.
//!
//! Nearly all that an Envoy in sync says is ACKs, of a few dozen bytes. To decode one as a request takes room for everything that
//! a request may have, and an allocation for each of its texts: several times as long.

use legation_actors::request::{Interest, Request};
use legation_proto::nonce::Nonce;
use legation_proto::resource_type::ResourceType;

/// A `DeltaDiscoveryRequest` with a type and a nonce, and nothing else (conformance 52). As the first of its type on a stream it
/// subscribes, as any first request does (conformance 43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The type of the response.
    pub resource_type: ResourceType,
    /// The nonce of the response.
    pub nonce: Nonce,
}

/// What stands before the fields of `envoy.service.discovery.v3.DeltaDiscoveryRequest`, discovery.proto, that an ACK has: the
/// number, and that bytes follow, as many as the next byte says.
mod header {
    use prost::encoding::WireType;

    pub(super) const TYPE_URL: u8 = 2 << 3 | WireType::LengthDelimited as u8;
    pub(super) const RESPONSE_NONCE: u8 = 6 << 3 | WireType::LengthDelimited as u8;
}

/// The largest length that has one byte.
const SHORT: u8 = 0x7f;

impl Ack {
    /// Reads a message, if it is an ACK of a type that is served. `None` for any other, and for what cannot be read: whoever
    /// decodes it finds out.
    pub fn read(message: &[u8]) -> Option<Self> {
        let (mut type_url, mut nonce) = (None, None);
        let mut rest = message;
        while let [header, length, after @ ..] = rest {
            if *length > SHORT {
                return None;
            }
            let (content, after) = after.split_at_checked(usize::from(*length))?;
            match *header {
                header::TYPE_URL if type_url.is_none() => type_url = Some(content),
                header::RESPONSE_NONCE if nonce.is_none() => nonce = Some(content),
                _ => return None,
            }
            rest = after;
        }
        if !rest.is_empty() {
            return None;
        }
        let resource_type = ResourceType::from_type_url(str::from_utf8(type_url?).ok()?)?;
        Some(Self { resource_type, nonce: Nonce::read(str::from_utf8(nonce?).ok()?)? })
    }
}

impl From<Ack> for Request {
    fn from(Ack { resource_type, nonce }: Ack) -> Self {
        let (subscribe, unsubscribe, initial_versions) = Default::default();
        let interest = Interest::Delta { subscribe, unsubscribe, initial_versions };
        Self { resource_type, nonce: Some(nonce), error: None, interest }
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::Node;
    use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
    use envoy_types::pb::google::rpc::Status;
    use prost::Message;

    use super::super::discovery_request::StreamRequest;
    use super::*;

    fn ack(resource_type: ResourceType, nonce: &str) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: resource_type.type_url().to_owned(),
            response_nonce: nonce.to_owned(),
            ..Default::default()
        }
    }

    /// Whether a message is read as an ACK. Where it is, decoding gives the same.
    fn is_read(message: &[u8]) -> bool {
        let Some(ack) = Ack::read(message) else { return false };
        let decoded = DeltaDiscoveryRequest::decode(message).expect("decodes");
        assert_eq!(ResourceType::from_type_url(&decoded.type_url), Some(ack.resource_type));
        assert_eq!(decoded.into_request(ack.resource_type), Request::from(ack));
        true
    }

    #[test]
    fn an_ack_is_read_and_nothing_else() {
        for resource_type in ResourceType::ALL {
            for nonce in ["1", "10", "18446744073709551615"] {
                assert!(is_read(&ack(resource_type, nonce).encode_to_vec()), "{resource_type} {nonce}");
            }
        }
        let ack = || ack(ResourceType::Cluster, "7");
        let names = || vec!["a".to_owned()];
        for other in [
            DeltaDiscoveryRequest::default(),
            DeltaDiscoveryRequest { node: Some(Node::default()), ..ack() },
            DeltaDiscoveryRequest { type_url: String::new(), ..ack() },
            DeltaDiscoveryRequest { type_url: "type.googleapis.com/of.another".to_owned(), ..ack() },
            DeltaDiscoveryRequest { type_url: "x".repeat(200), ..ack() },
            DeltaDiscoveryRequest { resource_names_subscribe: names(), ..ack() },
            DeltaDiscoveryRequest { resource_names_unsubscribe: names(), ..ack() },
            DeltaDiscoveryRequest { initial_resource_versions: [("a".into(), "1".into())].into(), ..ack() },
            DeltaDiscoveryRequest { response_nonce: String::new(), ..ack() },
            DeltaDiscoveryRequest { response_nonce: "of another".to_owned(), ..ack() },
            DeltaDiscoveryRequest { error_detail: Some(Status::default()), ..ack() },
        ] {
            assert!(!is_read(&other.encode_to_vec()), "{other:?}");
        }
    }

    #[test]
    fn what_is_read_is_what_decoding_gives_whatever_the_bytes() {
        let message = ack(ResourceType::Endpoints, "12").encode_to_vec();
        assert!(!is_read(&message.repeat(2)), "what is there twice is left to who decodes it");
        let mut read = 0;
        for place in 0..message.len() {
            assert!(!is_read(&message[..place]), "cut off after {place} bytes");
            for byte in 0..=u8::MAX {
                let mut changed = message.clone();
                changed[place] = byte;
                read += usize::from(is_read(&changed));
            }
        }
        // any digit in the place of one, but for a zero at the start; no other byte may be another
        assert_eq!(read, message.len() - 2 + 9 + 10);
    }
}
