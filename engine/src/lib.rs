//! The Legation process: the model it keeps, and what it does with it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod cli;
pub mod frontend;
pub mod model;
pub mod store;
