//! The signature that a request must have: the request is signed once more.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};

use super::claim::{Claim, without_claim};
use super::refusal::AuthenticationError;
use crate::model::shape::error::excerpt;

/// The header with the hash of the body.
const PAYLOAD_HEADER: &str = "x-amz-content-sha256";

/// Headers that begin so have a meaning for the receiver and must be signed.
const MEANINGFUL: &str = "x-amz-";

/// How many characters such a hash has.
const HASH_CHARS: usize = 64;

/// The signature in hexadecimal that `credentials` give a request with the headers that `claim` names.
pub(super) fn expected(
    head: &Parts,
    body: &[u8],
    claim: &Claim,
    credentials: Credentials,
) -> Result<String, AuthenticationError> {
    let headers = signed_headers(head, claim)?;
    check_path(head.uri.path())?;
    check_payload_header(head)?;

    let mut uri = head.uri.path().to_owned();
    let query = without_claim(head.uri.query().unwrap_or_default());
    if !query.is_empty() {
        uri = format!("{uri}?{query}");
    }
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    // what is signed is for the client to say
    settings.excluded_headers = None;
    if claim.expires.is_some() {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = claim.expires;
    }
    let identity = credentials.into();
    let unsignable = |_| invalid("the request cannot be signed");
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(&claim.scope_region)
        .name(&claim.scope_service)
        .time(claim.made.time())
        .settings(settings)
        .build()
        .map_err(|_| invalid("the request cannot be signed"))?;
    let request =
        SignableRequest::new(head.method.as_str(), uri, headers.into_iter(), SignableBody::Bytes(body));
    let (_, signature) =
        sign(request.map_err(unsignable)?, &parameters.into()).map_err(unsignable)?.into_parts();
    Ok(signature)
}

fn invalid(problem: impl Into<String>) -> AuthenticationError {
    AuthenticationError::Invalid(problem.into())
}

/// The names and values of the headers that are signed, once it is known that these are all that have to be.
fn signed_headers<'a>(
    head: &'a Parts,
    claim: &'a Claim,
) -> Result<Vec<(&'a str, &'a str)>, AuthenticationError> {
    let is_signed = |name: &str| claim.signed_headers.iter().any(|signed| signed == name);
    let must_be_signed = |name: &&str| name.starts_with(MEANINGFUL);
    let meaningful = head.headers.keys().map(HeaderName::as_str).filter(must_be_signed);
    for name in std::iter::once(header::HOST.as_str()).chain(meaningful) {
        if !is_signed(name) {
            return Err(invalid(format!("the header {} has to be signed", excerpt(name))));
        }
    }
    let mut headers = Vec::with_capacity(claim.signed_headers.len());
    for name in &claim.signed_headers {
        let before = headers.len();
        for value in head.headers.get_all(name) {
            let value = value.to_str();
            let value = value.map_err(|_| invalid(format!("the header {} is not ASCII", excerpt(name))))?;
            headers.push((name.as_str(), value));
        }
        if headers.len() == before {
            return Err(invalid(format!("the request has no header {}, which is signed", excerpt(name))));
        }
    }
    Ok(headers)
}

/// Clients disagree about segments that mean nothing: some sign the path without them. Then a signature would be good
/// for several paths, of which only one was meant.
fn check_path(path: &str) -> Result<(), AuthenticationError> {
    let means_nothing = |segment: &str| matches!(segment, "." | "..");
    if path.contains("//") || path.split('/').any(means_nothing) {
        return Err(invalid("the path has an empty segment, or one that is . or .."));
    }
    Ok(())
}

/// As with App Mesh, the body is always signed.
fn check_payload_header(head: &Parts) -> Result<(), AuthenticationError> {
    let is_hash =
        |value: &HeaderValue| value.len() == HASH_CHARS && value.as_bytes().iter().all(u8::is_ascii_hexdigit);
    if head.headers.get_all(PAYLOAD_HEADER).iter().all(is_hash) {
        return Ok(());
    }
    Err(invalid(format!("{PAYLOAD_HEADER}: is not the SHA-256 of the body, which has to be signed")))
}
