//! The transformer: Envoy configuration from App Mesh definitions.
//!
//! [`transform`](transform::transform) is a pure function of all definitions of one mesh. It gives a fragment for every
//! virtual service, virtual node and virtual gateway; `compose`, in [`management`](crate::management), makes of them what
//! one Envoy should have. `docs/generated-configuration.md` says what is generated, and why so.
//!
//! | file | holds |
//! |---|---|
//! | [`definitions`] | the definitions of a mesh, as they relate to each other |
//! | [`transform`] | the way in, and what could not be transformed |
//! | `virtual_service`, `virtual_node`, `virtual_gateway` | one kind of fragment each |
//! | `node_fragment` | what the last two have in common |
//! | `ingress`, `egress` | the listener for the traffic to nodes, and what they need to reach the outside of their mesh |
//! | `listening` | the ports of routers, the routes for each, and which listener of a target is meant |
//! | `target` | virtual nodes as targets, and the clusters that lead there |
//! | `route`, `gateway_route` | an Envoy route for each route and gateway route |
//! | `matching`, `rank`, `order` | the conditions of routes, and which route is tried first |
//! | `retry`, `timeouts`, `limits`, `health`, `ip`, `logging` | the pieces that several of these share |
//! | [`names`] | the names of listeners, clusters and route configurations |
//! | `sources` | what fragments are made of, and a memory of it |
//! | [`passes`] | passes over meshes, from the store to the store: over all of them, and over what changed |
//! | `looking`, `schedule` | what the store has of a mesh, and when it is looked at again |
//! | `mesh` | a mesh between passes: its definitions, and what came of them |
//! | `fingerprint` | what is remembered of a fragment |
//! | `dependents` | which fragments a definition went into |
//! | [`workers`] | the threads that transform |
//! | [`progress`] | how far the transformers have come with a transaction |
//! | [`linter`] | what is found in the meshes that passes have seen changed |
//! | [`keys`] | where fragments stand in the store |

pub mod definitions;
pub mod keys;
pub mod linter;
pub mod names;
pub mod passes;
pub mod progress;
pub mod transform;
pub mod workers;

mod dependents;
mod egress;
mod fingerprint;
mod gateway_route;
mod health;
mod ingress;
mod ip;
mod limits;
pub(crate) mod listening;
mod logging;
mod looking;
mod matching;
mod mesh;
mod node_fragment;
pub(crate) mod order;
mod rank;
mod retry;
mod route;
mod schedule;
mod sources;
mod target;
mod timeouts;
mod virtual_gateway;
mod virtual_node;
mod virtual_service;

#[cfg(test)]
pub(crate) mod tests;
