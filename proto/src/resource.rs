//! Envoy resources that are encoded once and shared.

use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use crate::body::Body;
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
    /// Its content.
    pub body: Body,
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
        Self::of(name.into(), transaction, Bytes::from(any.encode_to_vec()).into())
    }

    /// Whether the other has the same name and version, to the last digit.
    pub fn is_same(&self, other: &Self) -> bool {
        self.version == other.version
            && self.version.transaction == other.version.transaction
            && self.name == other.name
    }

    /// The same, made at `transaction`.
    #[must_use]
    pub fn at(mut self, transaction: Transaction) -> Self {
        self.version.transaction = transaction;
        self
    }

    /// A resource with this content, made at `transaction`.
    pub fn of(name: Arc<str>, transaction: Transaction, body: Body) -> Self {
        let version = Version { transaction, hash: body.hash() };
        Self { name, version, body }
    }
}

impl From<v1::Resource> for Resource {
    fn from(resource: v1::Resource) -> Self {
        let v1::Resource { name, hash, body, transaction } = resource;
        Self { name: name.into(), version: Version { transaction, hash }, body: body.into() }
    }
}

impl From<Resource> for v1::Resource {
    fn from(resource: Resource) -> Self {
        let body = resource.body.to_bytes();
        debug_assert_eq!(resource.version.hash, content_hash(&body));
        let Version { transaction, hash } = resource.version;
        Self { name: resource.name.as_ref().to_owned(), hash, body, transaction }
    }
}
