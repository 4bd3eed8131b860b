//! What the benchmarks in `benches/` have in common.
//!
//! | module | holds |
//! |---|---|
//! | [`mesh`] | the definitions of a mesh of any size, and what becomes of them |
//! | [`client`] | an Envoy's end of a session |
//! | [`run`] | how long, how large, and what exactly is measured |
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod client;
pub mod mesh;
pub mod run;
