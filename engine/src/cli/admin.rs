//! Asking the control plane for what it knows.

use std::time::Duration;

use serde_json::Value;

use super::address;
use super::failure::Failure;
use crate::admin::client::{Method, Timeouts, ask};

/// Where the control plane is asked.
#[derive(Debug, clap::Args)]
pub(super) struct AdminArgs {
    /// Where the control plane serves health, metrics and status; of several hosts, where any does
    #[arg(
        long,
        env = "LEGATION_ADMIN",
        value_name = "URL",
        default_value = "http://127.0.0.1:8081",
        value_parser = address::parse
    )]
    pub(super) admin: String,
}

impl AdminArgs {
    /// Gets a JSON document from an admin page that may take `patience` to answer.
    pub(super) fn get(&self, path: &str, patience: Duration) -> Result<Value, Failure> {
        ask(Method::Get, &self.url(path), Timeouts::default().with(patience))
            .map_err(|error| Failure::failed(&error))
    }

    /// The URL of a page.
    pub(super) fn url(&self, path: &str) -> String {
        [&self.admin, path].concat()
    }
}
