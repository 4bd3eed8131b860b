//! Asks the admin endpoints of a host, for the commands. It blocks.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Connecting.
    pub connect: Duration,
    /// Connecting and answering.
    pub answer: Duration,
}

impl Default for Timeouts {
    /// Those of somebody who asks one host and has time.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(10) }
    }
}

impl Timeouts {
    /// The same for what may take `patience` to be answered.
    #[must_use]
    pub fn with(self, patience: Duration) -> Self {
        Self { answer: self.answer + patience, ..self }
    }
}

/// Longest answer that is taken, in bytes: room for the configuration of a node with thousands of clusters.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Longest part of an error's body that is shown, in characters.
const EXCERPT_CHARS: usize = 300;

/// How something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Tell.
    Get,
    /// Do.
    Post,
    /// Do no more.
    Delete,
}

/// A host has no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// It was not reached.
    #[error("cannot reach {url}: {error}; is legation running there?")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        error: ureq::Error,
    },
    /// It refused.
    #[error("{url} answered {status}: {excerpt}")]
    Refused {
        /// What was asked.
        url: String,
        /// The status of the answer.
        status: u16,
        /// The beginning of the answer.
        excerpt: String,
    },
    /// It is no such host.
    #[error("{url} did not answer in JSON: {error}")]
    NotJson {
        /// What was asked.
        url: String,
        /// Why.
        error: serde_json::Error,
    },
}

/// Asks for a JSON document. It blocks.
pub fn ask(method: Method, url: &str, timeouts: Timeouts) -> Result<Value, AskError> {
    let unreachable = |error: ureq::Error| AskError::Unreachable { url: url.to_owned(), error };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None) // it is on this host or near it
        .timeout_connect(Some(timeouts.connect))
        .timeout_global(Some(timeouts.answer))
        .build();
    let agent = ureq::Agent::from(config);
    let response = match method {
        Method::Get => agent.get(url).call(),
        Method::Post => agent.post(url).send_empty(),
        Method::Delete => agent.delete(url).call(),
    };
    let mut response = response.map_err(unreachable)?;
    let text =
        response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
    let status = response.status().as_u16();
    if status != 200 {
        let excerpt = text.trim().chars().take(EXCERPT_CHARS).collect();
        return Err(AskError::Refused { url: url.to_owned(), status, excerpt });
    }
    serde_json::from_str(&text).map_err(|error| AskError::NotJson { url: url.to_owned(), error })
}
