//! The API, as the commands call it: the one place that knows where it is, how it is reached and how requests are signed.
//!
//! | module | holds |
//! |---|---|
//! | `credentials` | what requests are signed with, as AWS's tools find it |
//! | `signing` | the headers of a signed request |

mod credentials;
mod signing;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use thiserror::Error;
use ureq::Agent;
use ureq::http::{Method, Request, Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use self::credentials::CredentialsError;
use self::signing::{Signer, UnsignableError};
use super::address;
use crate::frontend::path::escape;
use crate::model::shape::error::excerpt;
use crate::tls;
use crate::tls::roots::{self, RootsError};

/// How long a call may take.
const CALL_SECONDS_MAX: u64 = 60;

/// How long somebody who asks too often tries again before that is told.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it waits between two tries at least, whatever a proxy says.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest answer that is taken, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Where the API is, and how it is reached: the arguments of every command that calls it.
#[derive(Clone, Debug, clap::Args)]
pub struct ApiArgs {
    /// Where the API is
    #[arg(
        long,
        env = "LEGATION_ENDPOINT",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        value_parser = address::parse
    )]
    pub endpoint: String,

    /// PEM file with the certificates of the authorities to trust, instead of those of this system [default:
    /// AWS_CA_BUNDLE]
    #[arg(long, env = "LEGATION_CA_CERTIFICATE", value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
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
    #[error("{endpoint} was not reached: {error}{}", other_scheme(endpoint, error))]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// Why.
        error: Box<ureq::Error>,
    },
    /// The endpoint cannot be trusted, because no authority is.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// There are credentials, but not all that it takes.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The request cannot be signed.
    #[error(transparent)]
    Unsignable(#[from] UnsignableError),
}

impl ClientError {
    /// Whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Whether whoever asked may not know.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::FORBIDDEN)
    }
}

/// A client of one endpoint.
pub struct Client {
    agent: Agent,
    endpoint: String,
    /// Requests are not signed without.
    signer: Option<Signer>,
}

impl Client {
    /// A client of the endpoint that `args` name, which signs with the credentials of this environment, if there are any.
    /// Proxies are not used.
    pub fn new(args: &ApiArgs) -> Result<Self, ClientError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let signer = Signer::find(variable)?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(CALL_SECONDS_MAX)))
            // the API has none, and a signature is good for one address only
            .max_redirects(0)
            .proxy(None);
        if args.endpoint.starts_with("https:") {
            let bundle = || variable("AWS_CA_BUNDLE").map(PathBuf::from);
            config = config.tls_config(tls_config(args.ca_certificate.clone().or_else(bundle).as_deref())?);
        }
        let endpoint = args.endpoint.trim_end_matches('/').to_owned();
        Ok(Self { agent: config.build().into(), endpoint, signer })
    }

    /// The body of the answer to a request for `path`, which is escaped (see [`crate::frontend::path`]). An answer
    /// without a body is null. Who asks too often waits for as long as the API says, and asks again.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let body = body.map(Value::to_string);
        let begun = Instant::now();
        let mut response = loop {
            let response = self.send(method.clone(), path, query, body.as_deref())?;
            match retry_after(&response) {
                Some(wait) if wait <= PATIENCE.saturating_sub(begun.elapsed()) => thread::sleep(wait),
                _ => break response,
            }
        };
        let status = response.status();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| self.unreachable(error))?;
        let body = if text.is_empty() { Some(Value::Null) } else { serde_json::from_str(&text).ok() };
        match body {
            Some(body) if status.is_success() => Ok(body),
            body => Err(refusal(status, body.as_ref(), &text)),
        }
    }

    /// What is answered to one request, which is signed as it is sent.
    fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Response<ureq::Body>, ClientError> {
        let request = Request::builder().method(method).uri(self.url(path, query));
        let request = match body {
            Some(_) => request.header(header::CONTENT_TYPE, "application/json"),
            None => request,
        };
        let request = request.body(body.unwrap_or_default());
        let mut request = request.map_err(|error: http::Error| self.unreachable(error.into()))?;
        if let Some(signer) = &self.signer {
            signer.sign(&mut request, SystemTime::now())?;
        }
        let answered = match body {
            Some(_) => self.agent.run(request),
            None => self.agent.run(request.map(|_| ())),
        };
        answered.map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: ureq::Error) -> ClientError {
        ClientError::Unreachable { endpoint: self.endpoint.clone(), error: Box::new(error) }
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

/// TLS with those who have a certificate of an authority in `bundle`, or of one that this system trusts.
fn tls_config(bundle: Option<&Path>) -> Result<TlsConfig, RootsError> {
    let roots = match bundle {
        Some(path) => roots::from_file(path)?,
        None => roots::of_system()?,
    };
    let roots: Vec<Certificate<'static>> =
        roots.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect();
    let config = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(tls::provider());
    Ok(config.build())
}

/// How long to wait before the request comes again, a second at least; nothing where it was answered.
fn retry_after(response: &Response<ureq::Body>) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).max(PAUSE_MIN))
}

/// What may be the matter where the answer is of another scheme than the endpoint's.
fn other_scheme(endpoint: &str, error: &ureq::Error) -> &'static str {
    let is_no_tls = |error: &io::Error| {
        let error = error.get_ref().and_then(|error| error.downcast_ref());
        matches!(error, Some(rustls::Error::InvalidMessage(_)))
    };
    match error {
        ureq::Error::Protocol(_) if endpoint.starts_with("http:") => "; should it be https://?",
        ureq::Error::Io(error) if is_no_tls(error) => "; should it be http://?",
        _ => "",
    }
}

fn refusal(status: StatusCode, body: Option<&Value>, text: &str) -> ClientError {
    let member = |name| body.and_then(|body| body[name].as_str());
    let foreign = || format!("{status}, which is no answer of this API: {}", excerpt(text));
    let message = member("message").map_or_else(foreign, str::to_owned);
    ClientError::Refused { status, code: member("code").unwrap_or_default().to_owned(), message }
}

#[cfg(test)]
mod tests;
