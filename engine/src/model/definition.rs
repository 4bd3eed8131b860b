//! A definition: what the store keeps of a resource.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::gateway_route::GatewayRouteSpec;
use super::id::ResourceId;
use super::kind::Kind;
use super::mesh::MeshSpec;
use super::route::RouteSpec;
use super::rules;
use super::shape::{Errors, FieldError, Path, parse};
use super::unsupported;
use super::virtual_gateway::VirtualGatewaySpec;
use super::virtual_node::VirtualNodeSpec;
use super::virtual_router::VirtualRouterSpec;
use super::virtual_service::VirtualServiceSpec;

/// What a resource is, by its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Spec {
    /// Of a mesh.
    Mesh(MeshSpec),
    /// Of a virtual node.
    VirtualNode(VirtualNodeSpec),
    /// Of a virtual router.
    VirtualRouter(VirtualRouterSpec),
    /// Of a route.
    Route(RouteSpec),
    /// Of a virtual service.
    VirtualService(VirtualServiceSpec),
    /// Of a virtual gateway.
    VirtualGateway(VirtualGatewaySpec),
    /// Of a gateway route.
    GatewayRoute(GatewayRouteSpec),
}

impl Spec {
    /// The specification in a request, or everything that is wrong with it, with paths that start with
    /// `spec`.
    ///
    /// Rules on the content are checked once the shape is right: all errors are of one of the two.
    pub fn parse(kind: Kind, value: &Value) -> Result<Spec, Vec<FieldError>> {
        let at = Path::root("spec");
        let spec = match kind {
            Kind::Mesh => Spec::Mesh(parse(value, &at)?),
            Kind::VirtualNode => Spec::VirtualNode(parse(value, &at)?),
            Kind::VirtualRouter => Spec::VirtualRouter(parse(value, &at)?),
            Kind::Route => Spec::Route(parse(value, &at)?),
            Kind::VirtualService => Spec::VirtualService(parse(value, &at)?),
            Kind::VirtualGateway => Spec::VirtualGateway(parse(value, &at)?),
            Kind::GatewayRoute => Spec::GatewayRoute(parse(value, &at)?),
        };
        let mut errors = Errors::default();
        rules::check(&spec, &at, &mut errors);
        unsupported::check(&spec, &at, &mut errors);
        errors.into_result()?;
        Ok(spec)
    }

    /// The kind of resource that it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Spec::Mesh(_) => Kind::Mesh,
            Spec::VirtualNode(_) => Kind::VirtualNode,
            Spec::VirtualRouter(_) => Kind::VirtualRouter,
            Spec::Route(_) => Kind::Route,
            Spec::VirtualService(_) => Kind::VirtualService,
            Spec::VirtualGateway(_) => Kind::VirtualGateway,
            Spec::GatewayRoute(_) => Kind::GatewayRoute,
        }
    }

    /// The specification in JSON: the same bytes for equal ones.
    pub fn encode(&self) -> Vec<u8> {
        encoded(serde_json::to_vec(self))
    }

    /// The specification as the API shows it: the same that [`Spec::parse`] takes.
    pub fn to_json(&self) -> Value {
        encoded(match self {
            Spec::Mesh(spec) => serde_json::to_value(spec),
            Spec::VirtualNode(spec) => serde_json::to_value(spec),
            Spec::VirtualRouter(spec) => serde_json::to_value(spec),
            Spec::Route(spec) => serde_json::to_value(spec),
            Spec::VirtualService(spec) => serde_json::to_value(spec),
            Spec::VirtualGateway(spec) => serde_json::to_value(spec),
            Spec::GatewayRoute(spec) => serde_json::to_value(spec),
        })
    }
}

/// What the control plane itself knows of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// An identifier that no other resource ever has, also not one of the same name later.
    pub uid: String,
    /// 1 at its creation, and one more with each update.
    pub version: u64,
    /// When it was created, in milliseconds since 1970 in UTC.
    pub created_at_ms: i64,
    /// When it was created or updated last, in milliseconds since 1970 in UTC.
    pub last_updated_at_ms: i64,
    /// The account that the mesh belongs to: 12 digits.
    pub mesh_owner: String,
    /// The account that the resource belongs to: 12 digits.
    pub resource_owner: String,
}

impl Metadata {
    /// Of a resource that `owner` creates at `now_ms` in a mesh of its own.
    pub fn created(uid: String, owner: &str, now_ms: i64) -> Metadata {
        Metadata {
            uid,
            version: 1,
            created_at_ms: now_ms,
            last_updated_at_ms: now_ms,
            mesh_owner: owner.to_owned(),
            resource_owner: owner.to_owned(),
        }
    }

    /// Of the same resource, updated at `now_ms`.
    pub fn updated(&self, now_ms: i64) -> Metadata {
        Metadata { version: self.version + 1, last_updated_at_ms: now_ms, ..self.clone() }
    }
}

/// A resource as the store keeps it. Its tags stand beside it: see [`Tags`](super::Tags).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Which resource; its kind is the specification's.
    pub id: ResourceId,
    /// What it is.
    pub spec: Spec,
    /// What the control plane itself knows of it.
    pub metadata: Metadata,
}

/// A definition without its id, which is its key.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    spec: Cow<'a, Spec>,
    metadata: Cow<'a, Metadata>,
}

impl Definition {
    /// The record for the store, in JSON. Its key is [`ResourceId::key`].
    pub fn encode(&self) -> Vec<u8> {
        encoded(serde_json::to_vec(&Record {
            spec: Cow::Borrowed(&self.spec),
            metadata: Cow::Borrowed(&self.metadata),
        }))
    }

    /// The definition of `id` in a record of the store. What was valid when it was written is not validated
    /// again.
    pub fn decode(id: &ResourceId, record: &[u8]) -> Result<Definition, DecodeError> {
        let record: Record = serde_json::from_slice(record)
            .map_err(|source| DecodeError::NotARecord { id: id.clone(), source })?;
        let spec = record.spec.into_owned();
        if spec.kind() != id.kind() {
            return Err(DecodeError::OtherKind { id: id.clone(), found: spec.kind() });
        }
        Ok(Definition { id: id.clone(), spec, metadata: record.metadata.into_owned() })
    }
}

/// Why a record of the store is no definition.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is not in the form in which definitions are recorded.
    #[error("the record of {id} cannot be read")]
    NotARecord {
        /// The resource whose record it is.
        id: ResourceId,
        /// What was found in it.
        source: serde_json::Error,
    },
    /// It is that of a resource of another kind.
    #[error("the record of {id} is that of a {found}")]
    OtherKind {
        /// The resource whose record it should be.
        id: ResourceId,
        /// The kind that it is of.
        found: Kind,
    },
}

/// The outcome of encoding something of the model in JSON, which cannot fail: there are only plain structs,
/// enums, lists, texts and integers in it.
pub(super) fn encoded<T>(outcome: Result<T, serde_json::Error>) -> T {
    match outcome {
        Ok(encoded) => encoded,
        Err(error) => unreachable!("the model is always encodable in JSON: {error}"),
    }
}
