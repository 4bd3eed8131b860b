//! Asking etcd, and again where it could not answer.

use std::time::Duration;

use etcd_client::Error;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::failure::{may_be_tried_again, storage};
use crate::store::error::StoreError;

/// How long etcd may take to answer, other tries and elections of a leader included.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long one try may take: a member that is silent must not use up the time in which another would answer.
const TRY: Duration = Duration::from_secs(3);

/// The pause before another try: the first and the longest.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
tokio::task_local! {
    /// How often a task has asked etcd.
    pub(super) static ASKED: std::cell::Cell<usize>;
}

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
    async fn pause(&mut self) {
        sleep(self.pause.mul_f64(0.5 + fastrand::f64())).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// What is left of the time.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The answer to one try, which may take a part of the time.
    pub(super) async fn one<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        #[cfg(test)]
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1)); // nobody counts elsewhere
        match timeout(self.left().min(TRY), answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::GRpcStatus(Status::deadline_exceeded("no answer in time"))),
        }
    }
}

/// Asks until there is an answer. Only for what may be done twice.
pub(super) async fn ask<T, Answer>(mut question: impl FnMut() -> Answer) -> Result<T, StoreError>
where
    Answer: Future<Output = Result<T, Error>>,
{
    let mut tries = Tries::begin();
    loop {
        match tries.one(question()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => tries.again(error).await?,
        }
    }
}
