//! Small builders of Envoy's messages, shared by [`transform`](crate::transformer::transform::transform) and
//! [`compose`](crate::management::compose::compose). They know Envoy and nothing of App Mesh.
//!
//! | file | builds |
//! |---|---|
//! | [`value`] | protobuf's wrappers: `Any`, `Duration`, numbers |
//! | [`address`] | socket addresses and endpoints |
//! | [`cluster`], [`health_check`] | clusters, and how the health of their endpoints is found out |
//! | [`listener`] | listeners and filter chains |
//! | [`http_connection_manager`], [`tcp_proxy`] | the two network filters |
//! | [`route`], [`matching`] | virtual hosts, routes and their conditions |
//! | [`access_log`] | access logs |
//! | [`encoded`] | messages made of parts that are encoded already |
//! | [`json`] | no message: shows those that were built as the JSON that Envoy's users know |
//!
//! **Architecture invariant**: what is built here encodes to the same bytes on every host and in every process. The maps
//! of `envoy-types` are hash maps, whose order is random: none of them ever has more than one entry.
//!
//! Only fields that Envoy 1.36 to 1.40 know and none that they deprecate.

pub mod access_log;
pub mod address;
pub mod cluster;
pub mod encoded;
pub mod health_check;
pub mod http_connection_manager;
pub mod json;
pub mod listener;
pub mod matching;
pub mod route;
pub mod tcp_proxy;
pub mod value;

#[cfg(test)]
mod tests;
