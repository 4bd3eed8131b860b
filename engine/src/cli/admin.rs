//! Asking the control plane for what it knows.

use std::time::Duration;

use serde_json::Value;

use super::failure::Failure;

/// How long connecting may take, and answering beyond what was asked for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest answer that is taken, in bytes: room for the configuration of a node with thousands of clusters.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Longest part of an error's body that is shown, in characters.
const EXCERPT_CHARS: usize = 300;

/// Gets a JSON document from an admin page that may take `patience` to answer.
pub(super) fn get_json(url: &str, patience: Duration) -> Result<Value, Failure> {
    let unreachable = |error: ureq::Error| {
        Failure::message(format!("cannot reach {url}: {error}; is legation running there?"))
    };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None) // it is on this host or near it
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(patience + ANSWER_TIMEOUT))
        .build();
    let agent = ureq::Agent::from(config);
    let mut response = agent.get(url).call().map_err(unreachable)?;
    let text =
        response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
    if response.status() != 200 {
        let excerpt: String = text.trim().chars().take(EXCERPT_CHARS).collect();
        return Err(Failure::message(format!("{url} answered {}: {excerpt}", response.status())));
    }
    serde_json::from_str(&text)
        .map_err(|error| Failure::message(format!("{url} did not answer in JSON: {error}")))
}
