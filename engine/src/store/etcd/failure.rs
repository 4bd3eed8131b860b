//! What etcd's errors mean for whoever runs it.

use std::error::Error as _;
use std::sync::Arc;

use etcd_client::Error;
use thiserror::Error;
use tonic::{Code, Status};

use crate::store::error::{CommitError, StoreError};

/// Why etcd did not do what it was asked for.
#[derive(Debug, Error)]
pub enum EtcdFailure {
    /// Nobody answered, or one without a leader. A commit may have been made.
    #[error("etcd does not answer: {0}")]
    NoAnswer(String),
    /// Its alarm is set: it has reached the quota of its database.
    #[error(
        "etcd is full and takes no changes until it is compacted, defragmented and its alarm NOSPACE is disarmed: {0}"
    )]
    NoSpace(String),
    /// It was started with limits lower than its defaults.
    #[error(
        "etcd takes no request of this size: it must not be started with --max-request-bytes below 1572864 or \
         --max-txn-ops below 128: {0}"
    )]
    TooLarge(String),
    /// The user may not do this, or is not known.
    #[error(
        "etcd does not allow this to the user of --store-credentials, or to nobody if there is none: {0}"
    )]
    Denied(String),
    /// TLS was not agreed upon.
    #[error("etcd and this host do not trust each other's certificates: {0}")]
    Certificate(String),
    /// Others were faster all the time.
    #[error("others commit to etcd all the time")]
    Contended,
    /// Something else.
    #[error("etcd refused: {0}")]
    Refused(String),
}

impl From<Error> for EtcdFailure {
    fn from(error: Error) -> Self {
        let told = told(&error);
        if is_about_certificates(&told) {
            return Self::Certificate(told);
        }
        let Error::GRpcStatus(status) = error else {
            return if may_be_tried_again(&error) { Self::NoAnswer(told) } else { Self::Refused(told) };
        };
        match status.code() {
            _ if is_too_large(&status) => Self::TooLarge(told),
            Code::ResourceExhausted if told.contains("space exceeded") => Self::NoSpace(told),
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied(told),
            // how etcd tells of a wrong password, and of a request without a user
            Code::InvalidArgument if told.contains("authentication failed") || told.contains("user name") => {
                Self::Denied(told)
            }
            _ if may_be_tried_again(&Error::GRpcStatus(status)) => Self::NoAnswer(told),
            _ => Self::Refused(told),
        }
    }
}

impl From<EtcdFailure> for StoreError {
    fn from(failure: EtcdFailure) -> Self {
        Self::Storage(Arc::new(failure))
    }
}

impl From<EtcdFailure> for CommitError {
    fn from(failure: EtcdFailure) -> Self {
        Self::Store(failure.into())
    }
}

/// Whether another try may have another outcome.
pub(super) fn may_be_tried_again(error: &Error) -> bool {
    match error {
        Error::GRpcStatus(status) => match status.code() {
            // where it has more to do than it can, and where its users were just changed
            Code::ResourceExhausted => status.message().contains("too many requests"),
            Code::InvalidArgument => status.message().contains("auth store is old"),
            Code::NotFound
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition => false,
            _ => true,
        },
        // the last is a stream that ended without an answer
        Error::TransportError(_) | Error::IoError(_) | Error::WatchError(_) => true,
        _ => false,
    }
}

/// The code of a refusal by etcd.
pub(super) fn code(error: &Error) -> Option<Code> {
    match error {
        Error::GRpcStatus(status) => Some(status.code()),
        _ => None,
    }
}

/// The failure as the store tells it.
pub(super) fn storage(error: Error) -> StoreError {
    EtcdFailure::from(error).into()
}

/// How rustls tells that a certificate is not trusted, by this host or by etcd.
fn is_about_certificates(told: &str) -> bool {
    ["invalid peer certificate", "received fatal alert: "].iter().any(|sign| told.contains(sign))
}

/// Whether etcd may answer another time.
pub(super) fn is_no_answer(failure: &StoreError) -> bool {
    let StoreError::Storage(failure) = failure else { return false };
    matches!(failure.downcast_ref(), Some(EtcdFailure::NoAnswer(_)))
}

fn is_too_large(status: &Status) -> bool {
    ["request is too large", "too many operations in txn", "message larger than max"]
        .iter()
        .any(|told| status.message().contains(told))
}

/// What is said, and the reasons for it.
pub(super) fn told(error: &Error) -> String {
    let (mut told, mut source) = match error {
        Error::GRpcStatus(status) => (status.message().to_owned(), status.source()),
        Error::TransportError(error) => (error.to_string(), error.source()),
        other => (other.to_string(), None),
    };
    while let Some(reason) = source {
        let text = reason.to_string();
        if !told.contains(&text) {
            if !told.is_empty() {
                told.push_str(": ");
            }
            told.push_str(&text);
        }
        source = reason.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_to_do() {
        for (code, message, is_tried_again, expected) in [
            (Code::Unavailable, "etcdserver: no leader", true, "etcd does not answer: etcdserver: no leader"),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", false, "NOSPACE"),
            (Code::ResourceExhausted, "etcdserver: too many requests", true, "does not answer"),
            (Code::InvalidArgument, "etcdserver: request is too large", false, "--max-request-bytes"),
            (Code::InvalidArgument, "etcdserver: too many operations in txn request", false, "--max-txn-ops"),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (9 vs. 3)",
                false,
                "--max-request-bytes",
            ),
            (Code::PermissionDenied, "etcdserver: permission denied", false, "--store-credentials"),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                false,
                "--store-credentials",
            ),
            (Code::InvalidArgument, "etcdserver: user name is empty", false, "--store-credentials"),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old", true, "does not answer"),
            (Code::FailedPrecondition, "something", false, "etcd refused: something"),
        ] {
            let error = Error::GRpcStatus(Status::new(code, message));
            assert_eq!(may_be_tried_again(&error), is_tried_again, "{message}");
            let told = EtcdFailure::from(error).to_string();
            assert!(told.contains(expected) && told.contains(message), "{told}");
        }
    }
}
