//! The Legation process: the model it keeps, and what it does with it.

pub mod cli;
pub mod frontend;
pub mod model;
pub mod store;
