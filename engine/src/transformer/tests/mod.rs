//! Tests of `transform`, through its result.

pub(crate) mod fixture;
pub(crate) mod render;
pub(crate) mod snapshot;

mod definitions;
mod determinism;
mod gateways;
mod increments;
mod matches;
mod nodes;
mod order;
mod policies;
mod problems;
pub(crate) mod properties;
mod services;
mod targets;
