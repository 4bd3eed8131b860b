//! Discovery responses, written around the shared bytes of their resources.
//!
//! A response is the same for every consumer but for its nonce, so it is written by hand: each resource's bytes are
//! copied once into the frame that goes to the socket, and never decoded.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::nonce::Nonce;
use crate::resource::Resource;
use crate::resource_type::ResourceType;
use crate::version::{Version, VersionText};
use crate::wire::{field_len, put_field, put_header};

/// The two forms of the xDS protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// State of the world.
    Sotw,
    /// Incremental.
    Delta,
}

impl Protocol {
    /// The name in status and logs: `sotw`, `delta`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sotw => "sotw",
            Self::Delta => "delta",
        }
    }
}

/// One response on a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The type of every resource in it (conformance 8).
    pub resource_type: ResourceType,
    /// The version of everything of this type that the Envoy should have: `version_info` in state of the world,
    /// `system_version_info` in delta, where it is for people only (conformance 63).
    pub version: Version,
    /// Which response on its stream it is.
    pub nonce: Nonce,
    /// Resources to add or update; in state of the world, for full-state types, all of them.
    pub resources: Vec<Resource>,
    /// Names of resources to remove; always empty in state of the world.
    pub removed: Vec<Arc<str>>,
}

/// What stands before each message on a stream of gRPC: whether it is compressed, and how many bytes it has.
pub const GRPC_PREFIX_BYTES: usize = 5;

/// Room for what is known of so many resources: most changes are of one.
const WRAPPED: usize = 4;

/// Field numbers of `envoy.service.discovery.v3`, discovery.proto.
mod field {
    pub(super) const VERSION_INFO: u32 = 1;
    pub(super) const RESOURCES: u32 = 2;
    pub(super) const TYPE_URL: u32 = 4;
    pub(super) const NONCE: u32 = 5;
    pub(super) const SOTW_CONTROL_PLANE: u32 = 6;
    pub(super) const DELTA_REMOVED_RESOURCES: u32 = 6;
    pub(super) const DELTA_CONTROL_PLANE: u32 = 7;
    pub(super) const CONTROL_PLANE_IDENTIFIER: u32 = 1;
    pub(super) const RESOURCE_VERSION: u32 = 1;
    pub(super) const RESOURCE_RESOURCE: u32 = 2;
    pub(super) const RESOURCE_NAME: u32 = 3;
}

impl Response {
    /// Encodes a `DiscoveryResponse` or a `DeltaDiscoveryResponse`, as gRPC frames a message that is not compressed: its length
    /// goes before it, in [`GRPC_PREFIX_BYTES`]. `control_plane` is the identifier of this host (conformance 9).
    pub fn encode(&self, protocol: Protocol, control_plane: &str) -> Bytes {
        let version = self.version.text();
        let nonce = self.nonce.text();
        let type_url = self.resource_type.type_url();
        let is_delta = protocol == Protocol::Delta;
        let resources: SmallVec<[_; WRAPPED]> =
            self.resources.iter().map(|it| Wrapped::of(it, protocol)).collect();
        let resources_len: usize = resources.iter().map(|it| field_len(field::RESOURCES, it.len)).sum();
        let removed: &[Arc<str>] = if is_delta { &self.removed } else { &[] };
        let removed_lens = removed.iter().map(|name| field_len(field::DELTA_REMOVED_RESOURCES, name.len()));
        let control_plane_len = field_len(field::CONTROL_PLANE_IDENTIFIER, control_plane.len());
        let length = field_len(field::VERSION_INFO, version.as_bytes().len())
            + resources_len
            + field_len(field::TYPE_URL, type_url.len())
            + field_len(field::NONCE, nonce.as_bytes().len())
            + removed_lens.sum::<usize>()
            + field_len(field::DELTA_CONTROL_PLANE, control_plane_len);

        let mut frame = Vec::with_capacity(GRPC_PREFIX_BYTES + length);
        frame.push(0);
        // responses are far below that
        frame.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        put_field(&mut frame, field::VERSION_INFO, version.as_bytes());
        resources.iter().for_each(|resource| resource.put_into(&mut frame));
        put_field(&mut frame, field::TYPE_URL, type_url.as_bytes());
        put_field(&mut frame, field::NONCE, nonce.as_bytes());
        for name in removed {
            put_field(&mut frame, field::DELTA_REMOVED_RESOURCES, name.as_bytes());
        }
        let control_plane_field =
            if is_delta { field::DELTA_CONTROL_PLANE } else { field::SOTW_CONTROL_PLANE };
        put_header(&mut frame, control_plane_field, control_plane_len);
        put_field(&mut frame, field::CONTROL_PLANE_IDENTIFIER, control_plane.as_bytes());
        frame.into()
    }
}

/// A resource as it stands in a response: delta wraps it.
struct Wrapped<'a> {
    resource: &'a Resource,
    /// In delta.
    version: Option<VersionText>,
    /// How many bytes it has.
    len: usize,
}

impl<'a> Wrapped<'a> {
    fn of(resource: &'a Resource, protocol: Protocol) -> Self {
        let body = resource.body.len();
        match protocol {
            Protocol::Sotw => Self { resource, version: None, len: body },
            Protocol::Delta => {
                let version = resource.version.text();
                let len = field_len(field::RESOURCE_VERSION, version.as_bytes().len())
                    + field_len(field::RESOURCE_RESOURCE, body)
                    + field_len(field::RESOURCE_NAME, resource.name.len());
                Self { resource, version: Some(version), len }
            }
        }
    }

    fn put_into(&self, frame: &mut Vec<u8>) {
        let Resource { name, body, .. } = self.resource;
        put_header(frame, field::RESOURCES, self.len);
        let Some(version) = &self.version else {
            return body.put_into(frame);
        };
        put_field(frame, field::RESOURCE_VERSION, version.as_bytes());
        put_header(frame, field::RESOURCE_RESOURCE, body.len());
        body.put_into(frame);
        put_field(frame, field::RESOURCE_NAME, name.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
    use envoy_types::pb::google::protobuf::Any;
    use prost::Message;

    use super::*;
    use crate::body::{Body, Part};

    fn response() -> Response {
        let cluster = |name: &str| {
            let cluster = Cluster { name: name.to_owned(), ..Default::default() };
            Resource::encode(ResourceType::Cluster, name, 7, &cluster)
        };
        Response {
            resource_type: ResourceType::Cluster,
            version: Version { transaction: 7, hash: 1 },
            nonce: Nonce(3),
            resources: vec![cluster("a"), cluster("b")],
            removed: vec!["c".into()],
        }
    }

    fn cluster_name(any: &Any) -> String {
        assert_eq!(any.type_url, ResourceType::Cluster.type_url());
        Cluster::decode(any.value.as_slice()).expect("a cluster").name
    }

    /// What a client of gRPC takes out of the frame.
    fn message(response: &Response, protocol: Protocol) -> Bytes {
        let mut frame = response.encode(protocol, "host-1");
        assert_eq!(frame.get_u8(), 0, "not compressed");
        assert_eq!(frame.get_u32() as usize, frame.len());
        frame
    }

    #[test]
    fn sotw_decodes_with_the_generated_types() {
        let decoded = DiscoveryResponse::decode(message(&response(), Protocol::Sotw)).expect("decodes");
        assert_eq!(decoded.version_info, "7-0000000000000001");
        assert_eq!(decoded.type_url, ResourceType::Cluster.type_url());
        assert_eq!(decoded.nonce, "3");
        assert_eq!(decoded.control_plane.expect("set").identifier, "host-1");
        assert_eq!(decoded.resources.iter().map(cluster_name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn delta_decodes_with_the_generated_types() {
        let response = response();
        let decoded = DeltaDiscoveryResponse::decode(message(&response, Protocol::Delta)).expect("decodes");
        assert_eq!(decoded.system_version_info, "7-0000000000000001");
        assert_eq!(decoded.type_url, ResourceType::Cluster.type_url());
        assert_eq!(decoded.nonce, "3");
        assert_eq!(decoded.control_plane.expect("set").identifier, "host-1");
        assert_eq!(decoded.removed_resources, ["c"]);
        for (resource, original) in decoded.resources.iter().zip(&response.resources) {
            assert_eq!(resource.name, original.name.as_ref());
            assert_eq!(resource.version, original.version.to_string());
            assert_eq!(cluster_name(resource.resource.as_ref().expect("set")), resource.name);
        }
        assert_eq!(decoded.resources.len(), 2);
    }

    #[test]
    fn what_is_in_parts_decodes_as_well() {
        let part = |name: &str| {
            let virtual_host = VirtualHost { name: name.to_owned(), ..Default::default() };
            Part::virtual_host(&virtual_host.encode_to_vec())
        };
        let start = RouteConfiguration { name: "r".to_owned(), ..Default::default() }.encode_to_vec();
        let body = Body::route_configuration(&start, vec![part("a"), part("b")]);
        let changed = body.with_part(&part("b"), part(&"longer".repeat(50))).expect("it stands in it once");
        let response = Response {
            resource_type: ResourceType::RouteConfiguration,
            resources: [body, changed].map(|body| Resource::of("r".into(), 7, body)).into(),
            removed: Vec::new(),
            ..response()
        };
        let names = |any: Any| -> Vec<String> {
            let message = RouteConfiguration::decode(any.value.as_slice()).expect("a route configuration");
            message.virtual_hosts.into_iter().map(|virtual_host| virtual_host.name).collect()
        };
        let expected = [["a".to_owned(), "b".to_owned()], ["a".to_owned(), "longer".repeat(50)]];
        let sotw = DiscoveryResponse::decode(message(&response, Protocol::Sotw)).expect("decodes");
        assert_eq!(sotw.resources.into_iter().map(names).collect::<Vec<_>>(), expected);
        let delta = DeltaDiscoveryResponse::decode(message(&response, Protocol::Delta)).expect("decodes");
        let bodies = delta.resources.into_iter().map(|resource| resource.resource.expect("set"));
        assert_eq!(bodies.map(names).collect::<Vec<_>>(), expected);
        for protocol in [Protocol::Sotw, Protocol::Delta] {
            let bytes = response.encode(protocol, "host-1").try_into_mut().expect("sole owner");
            assert_eq!(bytes.len(), bytes.capacity());
        }
    }

    #[test]
    fn the_frame_is_allocated_once() {
        for protocol in [Protocol::Sotw, Protocol::Delta] {
            let mut response = response();
            if protocol == Protocol::Sotw {
                response.removed.clear();
            }
            let frame = response.encode(protocol, "host-1");
            let bytes = frame.try_into_mut().expect("sole owner");
            assert_eq!(bytes.len(), bytes.capacity());
        }
    }
}
