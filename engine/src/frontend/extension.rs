//! What App Mesh never had, under paths of its own: several changes as one transaction, what they would do, the history, and
//! taking changes back.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::authorisation::{Action, Scope};
use super::body::Held;
use super::change_set::Change;
use super::command::ATTEMPTS_MAX;
use super::denials::DenialsRequest;
use super::error::ApiError;
use super::history::HistoryRequest;
use super::http::{self, Asked, observe};
use super::plan::PlanRequest;
use super::rollback::RollbackRequest;
use super::transactions::TransactionRequest;
use super::{Frontend, aside};

/// The type of every answer.
const JSON: &str = "application/json";

/// How often changes that lose to those of others are tried beside them. After that the others wait: whoever writes steadily
/// must not keep a rollback from being made.
const ATTEMPTS_BESIDE_OTHERS: usize = 10;

/// How much larger the body of a set of changes may be than that of one.
const SET_BODIES: usize = 16;

/// From how many bytes on sets are decoded one after the other.
const LARGE_SET_BYTES: usize = 256 * 1024;

/// An operation that App Mesh does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// Several changes are made as one transaction.
    ApplyChanges,
    /// It is told what such a transaction would do.
    Plan,
    /// The history is shown.
    GetHistory,
    /// It is shown who was denied what.
    GetDenials,
    /// The definitions are made what they were.
    Rollback,
    /// It is told what changes would black-hole.
    Lint,
}

impl Extension {
    /// Its name in logs, metrics and the journal.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ApplyChanges => "ApplyChanges",
            Self::Plan => "Plan",
            Self::GetHistory => "GetHistory",
            Self::GetDenials => "GetDenials",
            Self::Rollback => "Rollback",
            Self::Lint => "Lint",
        }
    }

    /// Whether it changes anything.
    pub(super) fn is_write(self) -> bool {
        matches!(self, Self::ApplyChanges | Self::Rollback)
    }

    /// What must be allowed for it, besides each change that it makes.
    fn action(self) -> Action {
        match self {
            Self::ApplyChanges => Action::ApplyChanges,
            Self::Plan => Action::Plan,
            Self::GetHistory => Action::GetHistory,
            Self::GetDenials => Action::GetDenials,
            Self::Rollback => Action::Rollback,
            Self::Lint => Action::Lint,
        }
    }
}

/// Something to execute.
enum Command {
    ApplyChanges(TransactionRequest),
    Plan(PlanRequest),
    GetHistory(HistoryRequest),
    GetDenials(DenialsRequest),
    Rollback(RollbackRequest),
    Lint(TransactionRequest),
}

impl Command {
    /// What it is about.
    fn scope(&self) -> Scope {
        match self {
            Self::ApplyChanges(request) | Self::Lint(request) => {
                Scope::of_resources(request.set.changes.iter().map(Change::id))
            }
            Self::Plan(request) => Scope::of_resources(request.set().changes.iter().map(Change::id)),
            Self::GetHistory(request) => Scope::of(request.mesh()),
            Self::GetDenials(request) => Scope::of(request.mesh.as_deref()),
            Self::Rollback(request) => Scope::of(request.mesh.as_deref()),
        }
    }
}

/// Answers a request for `extension`.
pub(super) async fn serve(
    State(frontend): State<Frontend>,
    extension: Extension,
    request: Request,
) -> Response {
    let started = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let outcome = answer(&frontend, extension, request).await;
    observe(Some(Asked::from(extension)), &method, &uri, outcome.as_ref().err(), started.elapsed());
    match outcome {
        Ok(body) => ([(CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn answer(frontend: &Frontend, extension: Extension, request: Request) -> Result<String, ApiError> {
    let (head, body) = request.into_parts();
    let is_set = matches!(extension, Extension::ApplyChanges | Extension::Plan | Extension::Lint);
    let bodies = if is_set { SET_BODIES } else { 1 };
    let limit = frontend.settings.body_bytes_max * bodies;
    let (caller, body) = frontend.authenticate(&head, body, limit).await?;
    frontend.throttle.admit(&caller, extension.is_write())?;
    let query = http::query(&head.uri)?;
    let command = match extension {
        Extension::ApplyChanges => {
            Command::ApplyChanges(frontend.decoded(body, TransactionRequest::decode).await?)
        }
        Extension::Plan => {
            Command::Plan(frontend.decoded(body, move |body| PlanRequest::decode(body, &query)).await?)
        }
        Extension::Lint => Command::Lint(frontend.decoded(body, TransactionRequest::decode).await?),
        Extension::GetHistory => Command::GetHistory(HistoryRequest::decode(&query)?),
        Extension::GetDenials => Command::GetDenials(DenialsRequest::decode(&query)?),
        Extension::Rollback => Command::Rollback(RollbackRequest::decode(&body)?),
    };
    frontend.authorise_scope(&caller, extension.action(), &command.scope()).await?;
    for attempt in 0..ATTEMPTS_MAX {
        let is_alone = attempt >= ATTEMPTS_BESIDE_OTHERS;
        let _turn = if extension.is_write() { frontend.turn(is_alone).await } else { None };
        let outcome = match &command {
            Command::ApplyChanges(request) => frontend.apply_changes(&caller, request).await,
            Command::Plan(request) => frontend.plan(&caller, request).await,
            Command::GetHistory(request) => frontend.history(request).await,
            Command::GetDenials(request) => Ok(frontend.denials(request)),
            Command::Rollback(request) => frontend.rollback(&caller, request).await,
            Command::Lint(request) => frontend.lint(request).await,
        };
        match outcome {
            Err(ApiError::Raced) => {}
            outcome => {
                let body = outcome?;
                return Ok(aside(move || body.to_string()).await?);
            }
        }
    }
    Err(ApiError::Raced)
}

impl Frontend {
    /// Decodes a set where nobody waits for it; of large ones only so many at once.
    async fn decoded<T: Send + 'static>(
        &self,
        body: Held,
        decode: impl FnOnce(&[u8]) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = match body.len() {
            // nobody closes the semaphore
            LARGE_SET_BYTES.. => Arc::clone(&self.decoding).acquire_owned().await.ok(),
            _ => None,
        };
        let decoding = aside(move || {
            let _turn = turn;
            decode(&body)
        });
        decoding.await?
    }
}
