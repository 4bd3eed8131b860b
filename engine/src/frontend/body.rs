//! Reading the body of a request, without ever holding more of it than is allowed.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::ApiError;

/// How long a body may take to arrive.
const ARRIVAL_SECONDS_MAX: u64 = 30;

/// How much of a body that is too large is read and dropped. Most clients write their whole request before they
/// read the answer, and would see a reset connection instead of the reason.
const DROPPED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Room for the bodies that are held at the same time, whoever they are from: who sends one has proven nothing before all
/// of it has come. Cheap to clone.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Room for this many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let bytes = u32::try_from(bytes).map_err(|_| ApiError::NoRoom)?;
        Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(|_| ApiError::NoRoom)
    }
}

/// A body, and the room that it takes.
pub(super) struct Held {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole body, which may have `limit` bytes.
pub(super) async fn read(body: Body, limit: usize, room: &Room) -> Result<Held, ApiError> {
    let arrival = Duration::from_secs(ARRIVAL_SECONDS_MAX);
    match timeout(arrival, read_or_drop(body, limit, room)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ApiError::BodyTimeout { seconds: ARRIVAL_SECONDS_MAX }),
    }
}

/// Reads and drops a body that nobody wants, as much of it as [`read`] would: most clients read the answer only then.
pub(super) async fn discard(mut body: Body, limit: usize) {
    let arrival = Duration::from_secs(ARRIVAL_SECONDS_MAX);
    let dropping = async {
        let mut dropped = 0;
        while dropped <= limit
            && let Some(Ok(frame)) = body.frame().await
        {
            dropped += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // the answer is the same whether or not all of it came
    let _ = timeout(arrival, dropping).await;
}

async fn read_or_drop(mut body: Body, limit: usize, room: &Room) -> Result<Held, ApiError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(body, limit).await);
    }
    let (mut read, mut place) = (BytesMut::new(), room.take(0)?);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| ApiError::BadRequest(format!("the body cannot be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > limit {
            drop(read);
            return Err(too_large(body, limit).await);
        }
        match room.take(data.len()) {
            Ok(more) => place.merge(more),
            Err(error) => {
                // who waited for room with half a body would be waited for by others
                drop((read, place));
                discard(body, limit).await;
                return Err(error);
            }
        }
        read.extend_from_slice(&data);
    }
    Ok(Held { bytes: read.freeze(), _place: place })
}

/// The refusal of `body`, once the client has had the chance to send the rest of it.
async fn too_large(mut body: Body, limit: usize) -> ApiError {
    let mut dropped = 0;
    if body.size_hint().lower() <= DROPPED_BYTES_MAX {
        while dropped <= DROPPED_BYTES_MAX {
            let Some(Ok(frame)) = body.frame().await else {
                break;
            };
            dropped += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    }
    ApiError::BodyTooLarge { limit }
}
