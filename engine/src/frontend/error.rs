//! What the API refuses, and how it says so. This is the one place where errors get their status.

use std::time::Duration;

use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use legation_proto::version::Transaction;
use serde_json::json;
use thiserror::Error;

use super::authentication::AuthenticationError;
use super::authorisation::Forbidden;
use super::change_set::{ChangeError, Problem};
use crate::model::tags::TAGS_MAX;
use crate::model::{DecodeError, FieldError, Kind, ResourceId};
use crate::store::{InvalidBatch, StoreError};

/// The header that App Mesh's clients read the type of an error from.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// How many of the errors of a set of changes are told one by one.
const ERRORS_SHOWN: usize = 100;

/// How many of the resources that use another are named.
const USERS_SHOWN: usize = 5;

/// A request that was refused. What is displayed is what the client is told.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The signature is missing or wrong.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// The policies do not allow it.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Something is wrong with the request as such.
    #[error("{0}")]
    BadRequest(String),
    /// Fields of the request are wrong: all of them, a line each.
    #[error("{}", lines(.0))]
    Invalid(Vec<FieldError>),
    /// The body is too large.
    #[error("the body has more than {limit} bytes")]
    BodyTooLarge {
        /// The most bytes allowed.
        limit: usize,
    },
    /// The body came too slowly.
    #[error("the body did not arrive within {seconds} seconds")]
    BodyTimeout {
        /// How long it may take.
        seconds: u64,
    },
    /// There is nothing at this path.
    #[error("{method} {path} is not an operation of this API")]
    UnknownOperation {
        /// The method of the request.
        method: Method,
        /// The path of the request.
        path: String,
    },
    /// There is something at this path, but not by this method.
    #[error("{path} does not allow {method}")]
    MethodNotAllowed {
        /// The method of the request.
        method: Method,
        /// The path of the request.
        path: String,
    },
    /// The resource, or one that it lies in, does not exist.
    #[error("{0} does not exist")]
    NotFound(ResourceId),
    /// Resources that the specification refers to do not exist.
    #[error("{}", lines(.0))]
    TargetsNotFound(Vec<FieldError>),
    /// A resource of another account, region or partition was asked for.
    #[error("there is no {arn} here; what is here has ARNs such as {here}")]
    OtherArn {
        /// The ARN that was asked for.
        arn: String,
        /// What it would be here.
        here: String,
    },
    /// A mesh of another account was asked for.
    #[error("no mesh here belongs to the account {owner}; the account is {account}")]
    OtherOwner {
        /// The account that was asked for.
        owner: String,
        /// The account that owns everything here.
        account: String,
    },
    /// What should be created exists.
    #[error("{0} exists already")]
    AlreadyExists(ResourceId),
    /// The client token came with another request.
    #[error("the client token was used for another request; give each request a token of its own")]
    TokenUsed,
    /// There are as many resources as there may be.
    #[error("no further {kind} is allowed{}: the quota is reached", place(.container.as_ref()))]
    QuotaReached {
        /// Of which kind.
        kind: Kind,
        /// In what.
        container: Option<ResourceId>,
    },
    /// A virtual node would have too many backends.
    #[error("spec.backends: has {count} items; the quota is {quota}")]
    TooManyBackends {
        /// How many it would have.
        count: usize,
        /// How many it may have.
        quota: usize,
    },
    /// The caller asks too often.
    #[error("too many requests; the next is answered in {} ms", .retry_after.as_millis() + 1)]
    TooManyRequests {
        /// How long it takes until the next may come.
        retry_after: Duration,
    },
    /// Too many requests of the same address are refused because it is not known who makes them.
    #[error("too many requests from this address are refused; sign with an access key of this control plane")]
    TooManyRefusals {
        /// How long it takes until one is told why again.
        retry_after: Duration,
    },
    /// So much of bodies is under way that there is no room for more.
    #[error("too much is being sent at the same time; try again")]
    NoRoom,
    /// A resource would have too many tags.
    #[error("{id} would have {count} tags; at most {TAGS_MAX} are allowed")]
    TooManyTags {
        /// The resource.
        id: ResourceId,
        /// How many it would have.
        count: usize,
    },
    /// What should be deleted is needed.
    #[error("{id} is in use by {}", users(.by))]
    InUse {
        /// What should be deleted.
        id: ResourceId,
        /// Who needs it.
        by: Vec<ResourceId>,
    },
    /// What the operation relied on changed while it ran. It starts over; who is told this lost too often.
    #[error("too many changes at the same time; try again")]
    Raced,
    /// A set of changes cannot be made: everything that is wrong with it, a line each.
    #[error("{}", change_lines(.0))]
    Changes(Vec<ChangeError>),
    /// What should not have changed has.
    #[error("something here has changed since transaction {since}; look again at what is to be done")]
    ChangedSince {
        /// The transaction of what the caller has seen.
        since: Transaction,
    },
    /// The past that was asked for is not known.
    #[error("{0}")]
    Past(StoreError),
    /// The store refuses this for good.
    #[error("the store cannot hold this: {0}")]
    Batch(InvalidBatch),
    /// The store cannot answer. Why is for the log.
    #[error("the store cannot answer; see the log of the control plane")]
    Store(#[from] StoreError),
    /// What is stored cannot be read. Why is for the log.
    #[error("a stored definition cannot be read; see the log of the control plane")]
    Damaged(#[from] DecodeError),
}

impl ApiError {
    /// The status, and the name that App Mesh has for errors of this type.
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        const BAD_REQUEST: &str = "BadRequestException";
        const UNKNOWN_OPERATION: &str = "UnknownOperationException";
        const INTERNAL: (StatusCode, &str) =
            (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerErrorException");
        const UNAVAILABLE: (StatusCode, &str) =
            (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException");
        match self {
            Self::Authentication(error) => error.status_and_code(),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "ForbiddenException"),
            Self::BadRequest(_) | Self::Invalid(_) => (StatusCode::BAD_REQUEST, BAD_REQUEST),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, BAD_REQUEST),
            Self::BodyTimeout { .. } => (StatusCode::REQUEST_TIMEOUT, BAD_REQUEST),
            Self::UnknownOperation { .. } => (StatusCode::NOT_FOUND, UNKNOWN_OPERATION),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, UNKNOWN_OPERATION),
            Self::NotFound(_)
            | Self::TargetsNotFound(_)
            | Self::OtherArn { .. }
            | Self::OtherOwner { .. } => (StatusCode::NOT_FOUND, "NotFoundException"),
            Self::TooManyTags { .. } => (StatusCode::BAD_REQUEST, "TooManyTagsException"),
            Self::Changes(errors) => {
                let is_use = |error: &ChangeError| matches!(error.problem, Problem::InUse(_));
                if errors.iter().any(|error| error.problem == Problem::Repeated) {
                    (StatusCode::BAD_REQUEST, BAD_REQUEST)
                } else if errors.iter().all(is_use) {
                    (StatusCode::CONFLICT, "ResourceInUseException")
                } else {
                    (StatusCode::NOT_FOUND, "NotFoundException")
                }
            }
            Self::ChangedSince { .. } => (StatusCode::CONFLICT, "ConflictException"),
            Self::Past(_) => (StatusCode::BAD_REQUEST, BAD_REQUEST),
            Self::QuotaReached { .. } | Self::TooManyBackends { .. } => {
                (StatusCode::BAD_REQUEST, "LimitExceededException")
            }
            Self::TooManyRequests { .. } | Self::TooManyRefusals { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException")
            }
            Self::AlreadyExists(_) | Self::TokenUsed => (StatusCode::CONFLICT, "ConflictException"),
            Self::InUse { .. } => (StatusCode::CONFLICT, "ResourceInUseException"),
            Self::Batch(
                InvalidBatch::KeyTooLong { .. }
                | InvalidBatch::ValueTooLarge { .. }
                | InvalidBatch::TooManyChanges { .. }
                | InvalidBatch::TooManyPreconditions { .. }
                | InvalidBatch::BatchTooLarge { .. },
            ) => (StatusCode::BAD_REQUEST, BAD_REQUEST),
            Self::Raced | Self::NoRoom | Self::Store(StoreError::Storage(_) | StoreError::Closed) => {
                UNAVAILABLE
            }
            Self::Batch(_) | Self::Store(_) | Self::Damaged(_) => INTERNAL,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let body = Json(json!({"code": code, "message": self.to_string()}));
        let mut response = (status, [(ERROR_TYPE, HeaderValue::from_static(code))], body).into_response();
        if matches!(
            self,
            Self::BodyTooLarge { .. }
                | Self::BodyTimeout { .. }
                | Self::NoRoom
                | Self::TooManyRefusals { .. }
        ) {
            // the rest of the body may still be on its way, so no other request can follow it
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Self::TooManyRequests { retry_after } | Self::TooManyRefusals { retry_after } = self {
            // whole seconds are what the header has; clients wait as long as they see fit anyway
            let seconds = HeaderValue::from(retry_after.as_secs() + 1);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

impl ApiError {
    /// What a failed look into the past is to the client, who may have asked for too old a transaction.
    pub(super) fn past(error: StoreError) -> Self {
        match error {
            StoreError::TooOld { .. } | StoreError::InFuture { .. } => Self::Past(error),
            other => Self::Store(other),
        }
    }
}

fn change_lines(errors: &[ChangeError]) -> String {
    let mut lines: Vec<String> = errors.iter().take(ERRORS_SHOWN).map(ToString::to_string).collect();
    if errors.len() > ERRORS_SHOWN {
        lines.push(format!("and {} more", errors.len() - ERRORS_SHOWN));
    }
    lines.join("\n")
}

fn place(container: Option<&ResourceId>) -> String {
    container.map_or_else(String::new, |container| format!(" in {container}"))
}

fn lines(errors: &[FieldError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn users(users: &[ResourceId]) -> String {
    let mut shown: Vec<String> = users.iter().take(USERS_SHOWN).map(ToString::to_string).collect();
    if users.len() > USERS_SHOWN {
        shown.push(format!("{} more", users.len() - USERS_SHOWN));
    }
    shown.join(", ")
}
