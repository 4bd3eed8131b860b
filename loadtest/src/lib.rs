//! Simulated fleets of Envoys, and what they see of a control plane.
//!
//! | module | holds |
//! |---|---|
//! | [`content`] | recorded content, for servers without a mesh of their own |
//! | [`envoy`] | what an Envoy says on its ADS stream, without IO |
//! | [`fleet`] | many simulated Envoys on one thread, and what they see |
//! | [`run`] | what a run has measured |
//! | [`wire`] | HTTP/2, gRPC and protobuf, as little as one cheap stream takes |

pub mod content;
pub mod envoy;
pub mod fleet;
pub mod run;
pub mod wire;
