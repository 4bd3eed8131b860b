//! The scenarios, a subcommand each.

pub(crate) mod change;
