//! The wire vocabulary of Legation, shared by everything that speaks to an Envoy or about one.
//!
//! | module | holds |
//! |---|---|
//! | [`resource_type`] | the xDS types that are served, in ADS order, and their type URLs |
//! | [`resource`] | [`Resource`](resource::Resource): a name, a version, and bytes that are encoded once and shared |
//! | [`body`] | the encoded content of a resource, of parts that resources share |
//! | [`version`] | `<transaction>-<content hash>`, the versions on the wire |
//! | [`fragment`] | the transformer's output for one virtual service or node |
//! | [`id`] | which node an Envoy is, which fragment is whose |
//! | [`nonce`] | which response on a stream |
//! | [`decimal`] | numbers as text |
//! | [`response`] | encoding of discovery responses around shared bytes |
//! | [`service`] | the discovery services and their methods |
//! | [`v1`] | the protobuf messages that travel through the store: fragments and journal entries |
//!
//! No actors and no IO: everything here is data.

pub mod body;
pub mod decimal;
pub mod fragment;
pub mod id;
pub mod nonce;
pub mod resource;
pub mod resource_type;
pub mod response;
pub mod service;
pub mod version;
mod wire;

/// The protobuf messages of `proto/legation/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/legation.v1.rs"));
}
