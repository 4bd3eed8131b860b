//! The responses on a stream, as gRPC frames them: what the actors have encoded goes out as it is, and is not copied.
//!
//! They go straight to the stream of the HTTP/2 library: a server of tonic or hyper has a task for each stream and a queue
//! before it, which costs an Envoy a few microseconds a response and a few kilobytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use legation_actors::stream::{StreamEnd, Transport};
use tonic::Status;

use super::discovery::status_of;

/// The answer to a call, for which nothing has been sent.
pub type Unanswered = SendResponse<Message>;

/// Refuses a call.
pub fn refuse(mut call: Unanswered, status: &Status) {
    let mut response = headers();
    put(status, response.headers_mut());
    let _ = call.send_response(response, true); // an error tells that the stream has ended already
}

/// The responses of one stream.
pub struct Responses {
    stream: SendStream<Message>,
    waiting: Arc<AtomicUsize>,
}

impl Responses {
    /// Begins the answer to a call. The error tells that the stream has ended already.
    pub fn begin(mut call: Unanswered) -> Result<Self, h2::Error> {
        Ok(Self { stream: call.send_response(headers(), false)?, waiting: Arc::default() })
    }
}

impl Transport for Responses {
    /// The library keeps what the windows of the stream and its connection have no room for.
    fn send(&mut self, frame: Bytes) {
        let message = Message::new(frame, Arc::clone(&self.waiting));
        let _ = self.stream.send_data(message, false); // an error tells that the stream has ended
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn end(&mut self, reason: &StreamEnd) {
        let mut trailers = HeaderMap::new();
        put(&status_of(reason), &mut trailers);
        if self.stream.send_trailers(trailers).is_err() {
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}

fn headers() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn put(status: &Status, headers: &mut HeaderMap) {
    if status.add_header(headers).is_err() {
        // a text that no header can hold: the code is what matters
        headers.insert("grpc-status", HeaderValue::from(status.code() as i32));
    }
}

/// A message as gRPC frames it. Counts as waiting until all of it was written.
#[derive(Debug)]
pub struct Message {
    frame: Bytes,
    waiting: Arc<AtomicUsize>,
}

impl Message {
    fn new(frame: Bytes, waiting: Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self { frame, waiting }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Buf for Message {
    fn remaining(&self) -> usize {
        self.frame.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.frame.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.frame.advance(count);
    }
}
