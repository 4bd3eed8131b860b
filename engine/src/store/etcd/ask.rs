//! Asking etcd, and again where it could not answer.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::Error;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::store::error::StoreError;

/// How long etcd may take to answer, other tries and elections of a leader included.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before another try: the first and the longest.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// etcd has no answer.
#[derive(Debug, Error)]
#[error("etcd does not answer: {0}")]
struct NoAnswer(Error);

/// Until when, and how often, something is tried.
#[derive(Debug)]
pub(super) struct Tries {
    until: Instant,
    pause: Duration,
}

impl Tries {
    pub(super) fn begin() -> Self {
        Self { until: Instant::now() + PATIENCE, pause: PAUSE }
    }

    /// Waits before another try; the error if there is to be none.
    pub(super) async fn again(&mut self, error: Error) -> Result<(), StoreError> {
        if !may_be_tried_again(&error) || Instant::now() + self.pause >= self.until {
            return Err(storage(error));
        }
        tracing::debug!(%error, "etcd is asked again");
        self.pause().await;
        Ok(())
    }

    /// Waits a little, longer each time, and each who waits differently.
    pub(super) async fn pause(&mut self) {
        sleep(self.pause.mul_f64(0.5 + fastrand::f64())).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// What is left of the time.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// Asks until there is an answer. Only for what may be done twice.
pub(super) async fn ask<T, Answer>(mut question: impl FnMut() -> Answer) -> Result<T, StoreError>
where
    Answer: Future<Output = Result<T, Error>>,
{
    let mut tries = Tries::begin();
    loop {
        match within(tries.left(), question()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => tries.again(error).await?,
        }
    }
}

/// An answer within so long.
pub(super) async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(time, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::GRpcStatus(tonic::Status::deadline_exceeded("no answer in time"))),
    }
}

/// Whether another try may have another outcome.
fn may_be_tried_again(error: &Error) -> bool {
    match error {
        Error::GRpcStatus(status) => !matches!(
            status.code(),
            Code::InvalidArgument
                | Code::NotFound
                | Code::OutOfRange
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::FailedPrecondition
                | Code::ResourceExhausted
        ),
        Error::TransportError(_) | Error::IoError(_) => true,
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

pub(super) fn storage(error: Error) -> StoreError {
    StoreError::Storage(Arc::new(NoAnswer(error)))
}
