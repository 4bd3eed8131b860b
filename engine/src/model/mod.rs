//! The application model of App Mesh: seven kinds of resource, validated so that every error is reported at
//! once.
//!
//! - One kind each, its specification as it stands on the wire: [`mesh`], [`virtual_node`],
//!   [`virtual_service`], [`virtual_router`], [`route`], [`virtual_gateway`], [`gateway_route`].
//! - The pieces that kinds share: [`port_mapping`], [`connection_pool`], [`timeout`], [`health_check`],
//!   [`retry`], [`matching`], [`duration`], [`logging`], [`service_discovery`], [`tls`].
//! - [`shape`]: how JSON is checked against a type, and the limits that types carry.
//! - `rules` and `unsupported`: what a type cannot say, and what is not built yet.
//! - [`kind`], [`id`], [`key`]: what a resource is called, by people, by ARN and in the store.
//! - [`document`]: a resource as users write it down.
//! - [`definition`]: a specification with its metadata, as the store keeps it; [`tags`] stand beside it.
//!
//! The names of types are the API's, except where several of the API's types have one shape: those are one
//! type here. The way in is [`Spec::parse`].

pub mod connection_pool;
pub mod definition;
pub mod document;
pub mod duration;
pub mod gateway_route;
pub mod health_check;
pub mod id;
pub mod key;
pub mod kind;
pub mod logging;
pub mod matching;
pub mod mesh;
pub mod port_mapping;
pub mod retry;
pub mod route;
pub mod service_discovery;
pub mod shape;
pub mod tags;
pub mod timeout;
pub mod tls;
pub mod virtual_gateway;
pub mod virtual_node;
pub mod virtual_router;
pub mod virtual_service;

mod rules;
mod unsupported;

#[cfg(test)]
mod tests;

pub use definition::{DecodeError, Definition, Metadata, Spec};
pub use gateway_route::{GatewayRouteKind, GatewayRouteSpec, GrpcGatewayRoute, HttpGatewayRoute};
pub use id::{ResourceId, check_name};
pub use kind::Kind;
pub use mesh::{EgressFilterType, MeshSpec};
pub use port_mapping::{Port, PortMapping, Protocol};
pub use route::{GrpcRoute, HttpRoute, RouteKind, RouteSpec, TcpRoute, WeightedTarget};
pub use service_discovery::{DnsResponseType, IpPreference, ServiceDiscovery};
pub use shape::{FieldError, Path};
pub use tags::Tags;
pub use virtual_gateway::{VirtualGatewayListener, VirtualGatewaySpec};
pub use virtual_node::{Backend, Listener, VirtualNodeSpec, VirtualServiceBackend};
pub use virtual_router::{VirtualRouterListener, VirtualRouterSpec};
pub use virtual_service::{VirtualServiceProvider, VirtualServiceSpec};
