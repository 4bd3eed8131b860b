//! What a request says about its signature, in a header or in its query.

use std::time::Duration;

use axum::extract::Query;
use http::request::Parts;
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use super::refusal::AuthenticationError;
use super::timestamp::Timestamp;
use crate::model::shape::error::quote;

/// The one algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What ends a credential scope.
const TERMINATOR: &str = "aws4_request";

/// The header with the time of the signature.
const DATE_HEADER: &str = "x-amz-date";

/// The header, and the parameter, of a session token.
const TOKEN_HEADER: &str = "x-amz-security-token";
const TOKEN_PARAMETER: &str = "X-Amz-Security-Token";

/// The parameters of a presigned request.
const ALGORITHM_PARAMETER: &str = "X-Amz-Algorithm";
const CREDENTIAL_PARAMETER: &str = "X-Amz-Credential";
const DATE_PARAMETER: &str = "X-Amz-Date";
const EXPIRES_PARAMETER: &str = "X-Amz-Expires";
const SIGNED_HEADERS_PARAMETER: &str = "X-Amz-SignedHeaders";
const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";
const PARAMETERS: [&str; 6] = [
    ALGORITHM_PARAMETER,
    CREDENTIAL_PARAMETER,
    DATE_PARAMETER,
    EXPIRES_PARAMETER,
    SIGNED_HEADERS_PARAMETER,
    SIGNATURE_PARAMETER,
];

/// The longest time that a request may be presigned for: 7 days.
const EXPIRES_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;

/// How many characters a signature has.
const SIGNATURE_CHARS: usize = 64;

/// How many headers may be signed: as many as a request may have. There would be room for the names of thousands.
const SIGNED_HEADERS_MAX: usize = 100;

/// What a request says about its signature. Nothing of it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// The identifier of the access key.
    pub(super) access_key_id: String,
    /// The day in the scope of the credential, such as `20261121`.
    pub(super) scope_date: String,
    /// The region in it.
    pub(super) scope_region: String,
    /// The service in it.
    pub(super) scope_service: String,
    /// When the request was signed.
    pub(super) made: Timestamp,
    /// The names of the headers that are signed: in lower case, sorted, each once.
    pub(super) signed_headers: Vec<String>,
    /// The signature in hexadecimal.
    pub(super) signature: String,
    /// For how long the request is signed, if it is presigned.
    pub(super) expires: Option<Duration>,
}

impl Claim {
    /// What the head of a request says.
    pub(super) fn parse(head: &Parts) -> Result<Self, AuthenticationError> {
        let query = head.uri.query().unwrap_or_default();
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(incomplete("the query is not UTF-8"));
        }
        let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(&head.uri)
            .map_err(|_| incomplete("the query cannot be read"))?;
        let is_presigned = parameters.iter().any(|(name, _)| PARAMETERS.contains(&name.as_str()));
        let has_token = head.headers.contains_key(TOKEN_HEADER)
            || parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case(TOKEN_PARAMETER));
        let claim = match (head.headers.contains_key(header::AUTHORIZATION), is_presigned) {
            (false, false) => return Err(AuthenticationError::Missing),
            (true, true) => {
                return Err(incomplete("it stands in the query and in a header, give one of them"));
            }
            (true, false) => from_header(&head.headers)?,
            (false, true) => from_query(&parameters)?,
        };
        if has_token {
            return Err(AuthenticationError::SessionToken);
        }
        Ok(claim)
    }
}

/// What is left of a raw query without what says how it was signed.
pub(super) fn without_claim(query: &str) -> String {
    let is_signed = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        let name = percent_decode_str(name).decode_utf8_lossy();
        !PARAMETERS.contains(&name.as_ref())
    };
    query.split('&').filter(is_signed).collect::<Vec<_>>().join("&")
}

fn incomplete(problem: impl Into<String>) -> AuthenticationError {
    AuthenticationError::Incomplete(problem.into())
}

/// The value of a header that a request has exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, AuthenticationError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| incomplete(format!("{name}: is not ASCII"))),
        (None, _) => Err(incomplete(format!("{name}: is required"))),
        (Some(_), Some(_)) => Err(incomplete(format!("{name}: is there more than once"))),
    }
}

fn from_header(headers: &HeaderMap) -> Result<Claim, AuthenticationError> {
    let value = only(headers, header::AUTHORIZATION.as_str())?;
    let (algorithm, rest) = value.trim().split_once(' ').unwrap_or((value, ""));
    check_algorithm(algorithm)?;
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for member in rest.split(',') {
        let (name, value) = member.trim().split_once('=').unwrap_or((member.trim(), ""));
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(incomplete(format!("authorization: {} is not a member of it", quote(name)))),
        };
        if place.replace(value).is_some() {
            return Err(incomplete(format!("authorization: {name} is there more than once")));
        }
    }
    let required = |name: &str, value: Option<&'_ str>| match value {
        Some(value) if !value.is_empty() => Ok(value.to_owned()),
        _ => Err(incomplete(format!("authorization: {name} is required"))),
    };
    let credential = required("Credential", credential)?;
    let signed_headers = required("SignedHeaders", signed_headers)?;
    let signature = required("Signature", signature)?;
    let made = timestamp(DATE_HEADER, only(headers, DATE_HEADER)?)?;
    claim(&credential, made, &signed_headers, signature, None)
}

fn from_query(parameters: &[(String, String)]) -> Result<Claim, AuthenticationError> {
    let required = |wanted: &str| {
        let mut values = parameters.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => Ok(value.as_str()),
            (_, Some(_)) => Err(incomplete(format!("{wanted}: is there more than once"))),
            _ => Err(incomplete(format!("{wanted}: is required"))),
        }
    };
    check_algorithm(required(ALGORITHM_PARAMETER)?)?;
    let made = timestamp(DATE_PARAMETER, required(DATE_PARAMETER)?)?;
    let expires = match required(EXPIRES_PARAMETER)?.parse() {
        Ok(seconds @ 1..=EXPIRES_SECONDS_MAX) => Duration::from_secs(seconds),
        _ => {
            let problem = format!("{EXPIRES_PARAMETER}: is not in 1..={EXPIRES_SECONDS_MAX} seconds");
            return Err(incomplete(problem));
        }
    };
    let signature = required(SIGNATURE_PARAMETER)?.to_owned();
    let (credential, signed_headers) = (required(CREDENTIAL_PARAMETER)?, required(SIGNED_HEADERS_PARAMETER)?);
    claim(credential, made, signed_headers, signature, Some(expires))
}

fn check_algorithm(algorithm: &str) -> Result<(), AuthenticationError> {
    if algorithm == ALGORITHM {
        return Ok(());
    }
    Err(incomplete(format!("the algorithm is not {ALGORITHM}")))
}

fn timestamp(name: &str, text: &str) -> Result<Timestamp, AuthenticationError> {
    Timestamp::parse(text).ok_or_else(|| incomplete(format!("{name}: is not of the form 20261121T131836Z")))
}

fn claim(
    credential: &str,
    made: Timestamp,
    signed_headers: &str,
    signature: String,
    expires: Option<Duration>,
) -> Result<Claim, AuthenticationError> {
    let mut scope = credential.split('/');
    let (id, date, region, service, terminator, end) =
        (scope.next(), scope.next(), scope.next(), scope.next(), scope.next(), scope.next());
    let (Some(id), Some(date), Some(region), Some(service), Some(TERMINATOR), None) =
        (id, date, region, service, terminator, end)
    else {
        let problem = format!("the credential is not of the form ID/DATE/REGION/SERVICE/{TERMINATOR}");
        return Err(incomplete(problem));
    };
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if signature.len() != SIGNATURE_CHARS || !signature.bytes().all(is_hex) {
        return Err(incomplete(format!("the signature is not {SIGNATURE_CHARS} digits from 0-9 a-f")));
    }
    if signed_headers.split(';').nth(SIGNED_HEADERS_MAX).is_some() {
        return Err(incomplete(format!("more than {SIGNED_HEADERS_MAX} headers are signed")));
    }
    let signed_headers: Vec<String> = signed_headers.split(';').map(str::to_owned).collect();
    let is_lower_case =
        |name: &String| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    if !signed_headers.iter().all(is_lower_case) || !signed_headers.is_sorted_by(|a, b| a < b) {
        return Err(incomplete("the names of the signed headers are not in lower case, sorted, each once"));
    }
    Ok(Claim {
        access_key_id: id.to_owned(),
        scope_date: date.to_owned(),
        scope_region: region.to_owned(),
        scope_service: service.to_owned(),
        made,
        signed_headers,
        signature,
        expires,
    })
}
