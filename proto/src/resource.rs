//! Envoy resources that are encoded once and shared.

use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use crate::resource_type::ResourceType;
use crate::v1;
use crate::version::{Transaction, Version, content_hash};

/// An Envoy resource. Cloning shares the name and the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The name by which the Envoy asks for it.
    pub name: Arc<str>,
    /// Decides whether an Envoy has it already.
    pub version: Version,
    /// An encoded `google.protobuf.Any` that holds the resource.
    pub body: Bytes,
}

impl Resource {
    /// Encodes `message`. It must encode to the same bytes each time: no map with more than one entry, whose order
    /// would differ from one encoding to the next.
    pub fn encode(
        resource_type: ResourceType,
        name: &str,
        transaction: Transaction,
        message: &impl Message,
    ) -> Self {
        let any = Any { type_url: resource_type.type_url().to_owned(), value: message.encode_to_vec() };
        Self::from_body(name, transaction, any.encode_to_vec().into())
    }

    fn from_body(name: &str, transaction: Transaction, body: Bytes) -> Self {
        Self { name: name.into(), version: Version::of(transaction, &body), body }
    }
}

impl From<v1::Resource> for Resource {
    fn from(resource: v1::Resource) -> Self {
        let v1::Resource { name, hash, body, transaction } = resource;
        Self { name: name.into(), version: Version { transaction, hash }, body }
    }
}

impl From<Resource> for v1::Resource {
    fn from(resource: Resource) -> Self {
        debug_assert_eq!(resource.version.hash, content_hash(&resource.body));
        let Version { transaction, hash } = resource.version;
        Self { name: resource.name.as_ref().to_owned(), hash, body: resource.body, transaction }
    }
}
