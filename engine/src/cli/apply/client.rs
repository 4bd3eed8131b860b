//! The API, as far as it is needed here.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::document::Document;
use crate::frontend::path;
use crate::model::shape::error::excerpt;

/// How long a call may take.
const CALL_SECONDS_MAX: u64 = 60;

/// What applying a document changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The resource was created.
    Created,
    /// Its specification was replaced.
    Updated,
    /// It was as it should be.
    Unchanged,
}

/// Why a document was not applied.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// The endpoint said no.
    #[error("{0}")]
    Refused(String),
    /// There was no answer that makes sense.
    #[error("{endpoint} was not reached: {error}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// Why.
        error: Box<ureq::Error>,
    },
}

/// A client of one endpoint.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
}

impl Client {
    /// A client of `endpoint`, such as `http://127.0.0.1:8080`. Proxies are not used.
    pub(super) fn new(endpoint: &str) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(CALL_SECONDS_MAX)))
            .proxy(None)
            .build();
        Client { agent: config.into(), endpoint: endpoint.trim_end_matches('/').to_owned() }
    }

    /// Creates the resource if it does not exist, and otherwise asks for it to be as the document says: the version
    /// that comes back tells whether that was a change.
    pub(super) fn apply(&self, document: &Document) -> Result<Change, Failure> {
        let item = self.url(&path::item(&document.id));
        let described = self.answered(self.agent.get(&item).call())?;
        if described.status().as_u16() == 404 {
            let collection = self.url(&path::collection(&document.id));
            let created = self.agent.put(&collection).send_json(document.create_body());
            self.accepted(self.answered(created)?)?;
            return Ok(Change::Created);
        }
        let before = version(&self.accepted(described)?);
        let updated = self.agent.put(&item).send_json(document.update_body());
        let after = version(&self.accepted(self.answered(updated)?)?);
        Ok(if before == after { Change::Unchanged } else { Change::Updated })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    fn answered(&self, outcome: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Failure> {
        outcome
            .map_err(|error| Failure::Unreachable { endpoint: self.endpoint.clone(), error: Box::new(error) })
    }

    /// The body of an answer that says yes.
    fn accepted(&self, mut response: Response<Body>) -> Result<Value, Failure> {
        let status = response.status();
        let text = response.body_mut().read_to_string();
        let text = text.map_err(|error| Failure::Unreachable {
            endpoint: self.endpoint.clone(),
            error: Box::new(error),
        })?;
        let body: Option<Value> = serde_json::from_str(&text).ok();
        if let Some(body) = body.as_ref().filter(|_| status.is_success()) {
            return Ok(body.clone());
        }
        let message = body.as_ref().and_then(|body| body["message"].as_str());
        let message = message.map_or_else(|| format!("{status}: {}", excerpt(&text)), str::to_owned);
        Err(Failure::Refused(message))
    }
}

fn version(body: &Value) -> Option<u64> {
    body["metadata"]["version"].as_u64()
}
