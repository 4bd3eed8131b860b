//! The API, as the commands call it: the one place that knows where it is and how it is reached.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use ureq::Agent;
use ureq::http::{Method, Request, StatusCode, header};

use crate::frontend::path::escape;
use crate::model::shape::error::excerpt;

/// How long a call may take.
const CALL_SECONDS_MAX: u64 = 60;

/// Longest answer that is taken, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Where the API is, and how it is reached: the arguments of every command that calls it.
#[derive(Clone, Debug, clap::Args)]
pub struct ApiArgs {
    /// Where the API is
    #[arg(long, env = "LEGATION_ENDPOINT", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub endpoint: String,
}

/// Why there is no answer to a request, or not the one that was asked for.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The API said no. What is displayed is what it said.
    #[error("{message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The type of the error, such as `NotFoundException`; empty if the answer is no error of the API.
        code: String,
        /// What the API said.
        message: String,
    },
    /// There was no answer that makes sense.
    #[error("{endpoint} was not reached: {error}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// Why.
        error: Box<ureq::Error>,
    },
}

impl ClientError {
    /// Whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

/// A client of one endpoint.
pub struct Client {
    agent: Agent,
    endpoint: String,
}

impl Client {
    /// A client of the endpoint that `args` name. Proxies are not used.
    pub fn new(args: &ApiArgs) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(CALL_SECONDS_MAX)))
            .proxy(None)
            .build();
        Self { agent: config.into(), endpoint: args.endpoint.trim_end_matches('/').to_owned() }
    }

    /// The body of the answer to a request for `path`, which is escaped (see [`crate::frontend::path`]). An answer
    /// without a body is null.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let unreachable = |error: ureq::Error| ClientError::Unreachable {
            endpoint: self.endpoint.clone(),
            error: Box::new(error),
        };
        let invalid = |error: http::Error| unreachable(error.into());
        let request = Request::builder().method(method).uri(self.url(path, query));
        let answered = match body {
            Some(body) => {
                let request = request.header(header::CONTENT_TYPE, "application/json");
                self.agent.run(request.body(body.to_string()).map_err(invalid)?)
            }
            None => self.agent.run(request.body(()).map_err(invalid)?),
        };
        let mut response = answered.map_err(unreachable)?;
        let status = response.status();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(unreachable)?;
        let body = if text.is_empty() { Some(Value::Null) } else { serde_json::from_str(&text).ok() };
        match body {
            Some(body) if status.is_success() => Ok(body),
            body => Err(refusal(status, body.as_ref(), &text)),
        }
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}{path}", self.endpoint);
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url += &format!("{}={}", escape(name), escape(value));
        }
        url
    }
}

fn refusal(status: StatusCode, body: Option<&Value>, text: &str) -> ClientError {
    let member = |name| body.and_then(|body| body[name].as_str());
    let message = member("message").map_or_else(|| format!("{status}: {}", excerpt(text)), str::to_owned);
    ClientError::Refused { status, code: member("code").unwrap_or_default().to_owned(), message }
}
