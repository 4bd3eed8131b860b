//! What the benchmarks in `benches/` have in common.
//!
//! | module | holds |
//! |---|---|
//! | [`mesh`] | the definitions of a mesh of any size, and what becomes of them |
//! | [`client`] | an Envoy's end of a session |
//! | [`bare_redb`] | the least that a commit can cost |
//! | [`http`] | a connection to an API |
//! | [`run`] | how long, how large, and what exactly is measured |
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod bare_redb;
pub mod client;
pub mod http;
pub mod mesh;
pub mod run;
