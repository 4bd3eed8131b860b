//! The edge of the API: what a request becomes, and what becomes of its answer.

use std::borrow::Cow;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, ConnectInfo, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::request::Parts;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tracing::Instrument;
use uuid::Builder;

use super::caller::Caller;
use super::command::{Command, Names, Query};
use super::error::ApiError;
use super::extension::{self, Extension};
use super::warnings::Warnings;
use super::{Frontend, Operation, body, metrics, path};
use crate::model::Kind;
use crate::model::shape::error::excerpt;
use crate::store::StoreError;

/// What the type of an error is in logs and metrics where there is none.
const OK: &str = "OK";

/// The header that AWS's clients read the identifier of a request from.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// How many bytes of a path are logged, and of what somebody is told who is refused.
const LOGGED_BYTES_MAX: usize = 512;

/// From how many bytes on a body is hashed where nobody waits.
const LARGE_BODY_BYTES: usize = 256 * 1024;

/// The API as a service.
pub fn router(frontend: Frontend) -> Router {
    let serve = |operation| {
        move |state: State<Frontend>, names: Result<Path<Names>, PathRejection>, request: Request| {
            serve(state, operation, names, request)
        }
    };
    let mut router = Router::new();
    for kind in Kind::ALL {
        router = router
            .route(
                &path::collection_template(kind),
                put(serve(Operation::Create(kind))).get(serve(Operation::List(kind))),
            )
            .route(
                &path::item_template(kind),
                get(serve(Operation::Describe(kind)))
                    .put(serve(Operation::Update(kind)))
                    .delete(serve(Operation::Delete(kind))),
            );
    }
    let extension = |extension| {
        move |state: State<Frontend>, request: Request| extension::serve(state, extension, request)
    };
    router
        .route(path::TAG, put(serve(Operation::TagResource)))
        .route(path::UNTAG, put(serve(Operation::UntagResource)))
        .route(path::TAGS, get(serve(Operation::ListTagsForResource)))
        .route(path::TRANSACTIONS, post(extension(Extension::ApplyChanges)))
        .route(path::PLAN, post(extension(Extension::Plan)))
        .route(path::HISTORY, get(extension(Extension::GetHistory)))
        .route(path::DENIALS, get(extension(Extension::GetDenials)))
        .route(path::ROLLBACK, post(extension(Extension::Rollback)))
        .route(path::LINT, post(extension(Extension::Lint)))
        .fallback(unknown_operation)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(identify))
        .with_state(frontend)
}

/// Gives a request the identifier that AWS's clients know it by, in the answer and in each line of the log about it.
async fn identify(request: Request, next: Next) -> Response {
    // it need not be a secret, only unlike the others
    let id = Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid().to_string();
    let span = tracing::info_span!("request", id);
    let mut response = next.run(request).instrument(span).await;
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn serve(
    State(frontend): State<Frontend>,
    operation: Operation,
    names: Result<Path<Names>, PathRejection>,
    request: Request,
) -> Response {
    let started = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let outcome = answer(&frontend, operation, names, request).await;
    observe(Some(operation.into()), &method, &uri, outcome.as_ref().err(), started.elapsed());
    match outcome {
        Ok((warnings, body)) => (warnings, Json(body)).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn answer(
    frontend: &Frontend,
    operation: Operation,
    names: Result<Path<Names>, PathRejection>,
    request: Request,
) -> Result<(Warnings, Value), ApiError> {
    let (head, body) = request.into_parts();
    let (caller, body) = frontend.authenticate(&head, body, frontend.settings.body_bytes_max).await?;
    frontend.throttle.admit(&caller, operation.is_write())?;
    let Path(names) = names.map_err(|error| ApiError::BadRequest(error.body_text()))?;
    let query = query(&head.uri)?;
    frontend.check_owner(&query)?;
    let command = Command::decode(operation, &names, &query, &body, &frontend.settings)?;
    let permitted = frontend.authorise(&caller, &command).await?;
    let (body, warnings) = tokio::join!(frontend.execute(permitted, &command), frontend.warnings(&command));
    Ok((warnings, body?))
}

impl Frontend {
    /// Who makes the request of `head` and `body`, and its body, which may have `limit` bytes.
    pub(super) async fn authenticate(
        &self,
        head: &Parts,
        body: Body,
        limit: usize,
    ) -> Result<(Caller, body::Held), ApiError> {
        let examined = match self.authenticator.examine(head) {
            Ok(examined) => examined,
            Err(error) => {
                let error = self.throttle.refuse(peer(head), error);
                if matches!(error, ApiError::Authentication(_)) {
                    body::discard(body, limit).await;
                }
                return Err(error);
            }
        };
        let body = body::read(body, limit, &self.room).await?;
        let (verified, body) = if body.len() < LARGE_BODY_BYTES {
            (examined.verify(head, &body), body)
        } else {
            let head = head.clone();
            let verifying = spawn_blocking(move || (examined.verify(&head, &body), body));
            verifying.await.map_err(|error| StoreError::Storage(Arc::new(error)))?
        };
        let caller = verified.map_err(|error| self.throttle.refuse(peer(head), error))?;
        Ok((caller, body))
    }

    /// A mesh that another account shares would be another mesh; there is none here.
    fn check_owner(&self, query: &Query) -> Result<(), ApiError> {
        let Some(owner) = query.get("meshOwner") else {
            return Ok(());
        };
        if owner.len() != 12 || !owner.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ApiError::BadRequest("meshOwner: is not 12 digits".to_owned()));
        }
        let account = &self.settings.account;
        if owner == account {
            return Ok(());
        }
        Err(ApiError::OtherOwner { owner: owner.clone(), account: account.clone() })
    }
}

/// The parameters of a query, each of which is given once: a signature says nothing about which of two comes first.
pub(super) fn query(uri: &Uri) -> Result<Query, ApiError> {
    let extract::Query(parameters) = extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| ApiError::BadRequest(error.body_text()))?;
    let mut query = Query::with_capacity(parameters.len());
    for (name, value) in parameters {
        if query.contains_key(&name) {
            return Err(ApiError::BadRequest(format!("{}: is there more than once", excerpt(&name))));
        }
        query.insert(name, value);
    }
    Ok(query)
}

/// The address that a request comes from, if that is known.
fn peer(head: &Parts) -> Option<IpAddr> {
    head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

async fn unknown_operation(method: Method, uri: Uri) -> ApiError {
    let path = beginning(uri.path()).to_owned();
    let error = ApiError::UnknownOperation { method: method.clone(), path };
    refuse(&method, &uri, error)
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let path = beginning(uri.path()).to_owned();
    let error = ApiError::MethodNotAllowed { method: method.clone(), path };
    refuse(&method, &uri, error)
}

fn refuse(method: &Method, uri: &Uri, error: ApiError) -> ApiError {
    observe(None, method, uri, Some(&error), Duration::ZERO);
    error
}

/// What a request asks for, as logs and metrics tell it.
pub(super) struct Asked {
    name: Cow<'static, str>,
    is_write: bool,
}

impl From<Operation> for Asked {
    fn from(operation: Operation) -> Self {
        Self { name: operation.to_string().into(), is_write: operation.is_write() }
    }
}

impl From<Extension> for Asked {
    fn from(extension: Extension) -> Self {
        Self { name: extension.name().into(), is_write: extension.is_write() }
    }
}

/// Counts and logs what became of a request. Queries and bodies are not logged.
pub(super) fn observe(
    asked: Option<Asked>,
    method: &Method,
    uri: &Uri,
    error: Option<&ApiError>,
    took: Duration,
) {
    let (method, path) = (beginning(method.as_str()), beginning(uri.path()));
    let code = error.map_or(OK, |error| error.status_and_code().1);
    let name = asked.as_ref().map(|asked| asked.name.as_ref());
    metrics::answered(name, code, took);
    let seconds = took.as_secs_f64();
    match error {
        Some(error) if error.status_and_code().0.is_server_error() => {
            let error = chain(error);
            tracing::error!(operation = name, method, path, code, seconds, error, "request failed");
        }
        // anybody can have as many of these as they like
        Some(error) if asked.is_none() || matches!(error, ApiError::TooManyRefusals { .. }) => {
            let error = error.to_string();
            let error = beginning(&error);
            tracing::debug!(operation = name, method, path, code, seconds, error, "request refused");
        }
        Some(error) => {
            let error = error.to_string();
            let error = beginning(&error);
            tracing::info!(operation = name, method, path, code, seconds, error, "request refused");
        }
        None if asked.as_ref().is_some_and(|asked| asked.is_write) => {
            tracing::info!(operation = name, method, path, code, seconds, "request answered");
        }
        None => tracing::debug!(operation = name, method, path, code, seconds, "request answered"),
    }
}

/// As much of a text as is logged: what stands in it may come from those whom nobody knows.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOGGED_BYTES_MAX)]
}

/// An error with everything that led to it.
fn chain(error: &dyn Error) -> String {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain += &format!(": {error}");
        cause = error.source();
    }
    chain
}
