//! The headers of a signed request.

use std::error::Error;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningError, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use thiserror::Error as ErrorMessage;
use ureq::http::{HeaderValue, Request, header};

use super::credentials::{self, CredentialsError};

/// The service in the scope of a credential.
const SERVICE: &str = "appmesh";

/// The region if no variable says another, as `legation serve` has it.
const REGION: &str = "us-east-1";

/// A request that cannot be signed.
#[derive(Debug, ErrorMessage)]
#[error("the request cannot be signed: {0}")]
pub struct UnsignableError(String);

impl From<SigningError> for UnsignableError {
    fn from(error: SigningError) -> Self {
        Self(error.source().map_or_else(|| error.to_string(), ToString::to_string))
    }
}

/// Signs requests.
#[derive(Debug)]
pub(super) struct Signer {
    credentials: Credentials,
    region: String,
}

impl Signer {
    /// A signer with the credentials and the region in the variables, of which `variable` gives the values that are not
    /// empty; nothing if there are no credentials.
    pub(super) fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, CredentialsError> {
        let Some(credentials) = credentials::find(&variable)? else {
            return Ok(None);
        };
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        Ok(Some(Self { credentials, region: region.unwrap_or_else(|| REGION.to_owned()) }))
    }

    /// Adds the signature of `now` to `request`.
    pub(super) fn sign(&self, request: &mut Request<&str>, now: SystemTime) -> Result<(), UnsignableError> {
        let identity = self.credentials.clone().into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build();
        let parameters = parameters.map_err(|error| UnsignableError(error.to_string()))?;
        let uri = request.uri().to_string();
        let host = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        let host = host.ok_or_else(|| UnsignableError(format!("{uri} names no host")))?;
        // what is signed must be what is sent, whatever the defaults of the client are
        request.headers_mut().insert(header::HOST, host);
        let headers: Vec<(&str, &str)> = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let body = SignableBody::Bytes(request.body().as_bytes());
        let signable = SignableRequest::new(request.method().as_str(), uri, headers.into_iter(), body)?;
        let (instructions, _) = sign(signable, &parameters.into())?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_host_there_is_nothing_to_sign() {
        let signer = Signer::find(|_| Some("key".to_owned())).unwrap().unwrap();
        let mut request = Request::builder().uri("/v20190125/meshes").body("").unwrap();
        let error = signer.sign(&mut request, SystemTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.to_string(), "the request cannot be signed: /v20190125/meshes names no host");
    }
}
