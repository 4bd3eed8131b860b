//! Why a request is not let in, and what its client is told.

use std::time::SystemTime;

use http::StatusCode;
use thiserror::Error;

use super::timestamp::Timestamp;

/// Why a request is not let in. What is displayed is what the client is told: never a secret, nor what would have been
/// the right signature, nor anything of any length that came with the request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthenticationError {
    /// There is no signature.
    #[error("missing authentication token: sign the request with an access key of this control plane")]
    Missing,
    /// There is a signature, but not all that it takes.
    #[error("incomplete signature: {0}")]
    Incomplete(String),
    /// The signature, or what it is for, is wrong.
    #[error("invalid signature: {0}")]
    Invalid(String),
    /// The signature is not of this time.
    #[error(
        "signature {}: it was made at {made}, and it is {now} here; the clocks may differ by {seconds} seconds",
        if .made < .now { "expired" } else { "not yet current" }
    )]
    Skewed {
        /// When it was made, by the clock of the client.
        made: Timestamp,
        /// The time here.
        now: Timestamp,
        /// By how much the clocks may differ.
        seconds: u64,
    },
    /// A presigned request comes after its time.
    #[error("request expired: it was signed at {made} for {seconds} seconds, and it is {now} here")]
    Expired {
        /// When it was signed.
        made: Timestamp,
        /// For how long.
        seconds: u64,
        /// The time here.
        now: Timestamp,
    },
    /// There is no such access key.
    #[error("the access key is not known here")]
    UnknownKey,
    /// The access key is not to be used.
    #[error("the access key is disabled")]
    DisabledKey,
    /// The time of the access key is over.
    #[error("the access key expired at {}", humantime::format_rfc3339_seconds(*.0))]
    ExpiredKey(SystemTime),
    /// Nobody has to sign, and so no page in a browser is let in.
    #[error("requests of browsers are refused while nobody has to sign: {0}")]
    Browser(&'static str),
    /// There is a session token.
    #[error("session tokens are not issued here, use the access key alone")]
    SessionToken,
}

impl AuthenticationError {
    /// The status, and the name that AWS has for errors of this type.
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Missing => (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException"),
            Self::Incomplete(_) => (StatusCode::BAD_REQUEST, "IncompleteSignatureException"),
            Self::Invalid(_) | Self::Skewed { .. } => (StatusCode::FORBIDDEN, "InvalidSignatureException"),
            Self::Expired { .. } => (StatusCode::BAD_REQUEST, "RequestExpired"),
            Self::Browser(_) => (StatusCode::FORBIDDEN, "AccessDeniedException"),
            Self::UnknownKey | Self::DisabledKey | Self::ExpiredKey(_) | Self::SessionToken => {
                (StatusCode::FORBIDDEN, "UnrecognizedClientException")
            }
        }
    }
}
