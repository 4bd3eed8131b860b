//! Asking the control plane for what it knows.

use std::time::Duration;

use serde_json::Value;

use super::failure::Failure;
use crate::admin::client::{Method, Timeouts, ask};

/// Gets a JSON document from an admin page that may take `patience` to answer.
pub(super) fn get_json(url: &str, patience: Duration) -> Result<Value, Failure> {
    ask(Method::Get, url, Timeouts::default().with(patience)).map_err(|error| Failure::failed(&error))
}
