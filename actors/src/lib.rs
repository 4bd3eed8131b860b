//! The fan-out of Legation: from fragments that change to the Envoys that depend on them.
//!
//! | module | holds |
//! |---|---|
//! | [`session`] | one xDS stream as a pure state machine: requests and snapshots in, responses out |
//! | [`request`] | what a stream asks, in both forms of the protocol |
//! | [`snapshot`] | what one Envoy should have |
//! | `admission` | who may connect |
//! | [`stream`] | the ends of an Envoy's stream, and why it ends |
//! | [`composition`] | composing snapshots, shared by the replicas of a node |
//! | [`fleet`] | the way in: start the actors, connect an Envoy, publish a fragment, ask for status |
//! | `directory` | finds the actor of a fragment; starts it for the first subscriber, ends it after the last |
//! | `fragment_actor` | one for every virtual service, node or gateway in use: the latest fragment and its subscribers |
//! | `envoy_actor` | one for every connected Envoy: follows its fragments, drives its session |
//! | [`propagation`] | how long a commit takes to its last consumer |
//! | `inbox` | at most one undelivered update a receiver |
//! | [`arbiters`] | the threads that actors live on |
//!
//! Actors only route, hold the latest, and call pure functions. Messages are state, not events: a lost or doubled
//! one is harmless. No type of actix leaves this crate.

mod admission;
pub mod arbiters;
pub mod composition;
mod directory;
mod envoy_actor;
pub mod fleet;
mod fragment_actor;
mod inbox;
mod metrics;
mod moment;
pub mod propagation;
pub mod request;
pub mod session;
pub mod snapshot;
pub mod status;
pub mod stream;
