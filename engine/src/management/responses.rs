//! The responses on a stream, as gRPC frames them: what the actors have encoded goes out as it is, and is not copied.
//!
//! tonic has a body as well, whose buffer stays as large as the largest response was, as long as the stream lives.

use std::convert::Infallible;
use std::io::Cursor;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::{Body, Frame};
use legation_actors::stream::Frames;
use tokio_stream::Stream;
use tonic::Status;

use super::discovery::status_of;
use super::requests::PREFIX_BYTES;

/// The body of a response: messages, then the status of the stream. None of both where that stands in its headers.
#[derive(Debug, Default)]
pub struct Responses {
    frames: Option<Frames>,
}

impl Responses {
    /// A response with these messages.
    pub fn response(frames: Frames) -> Response<Self> {
        let mut response = Response::new(Self { frames: Some(frames) });
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

impl Body for Responses {
    type Data = Chain<Cursor<[u8; PREFIX_BYTES]>, Bytes>;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        let Some(frames) = &mut self.frames else {
            return Poll::Ready(None);
        };
        let frame = match ready!(Pin::new(frames).poll_next(context)) {
            Some(Ok(message)) => Frame::data(framed(message)),
            Some(Err(end)) => self.end(&status_of(&end)),
            None => self.end(&Status::ok("")),
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_none()
    }
}

impl Responses {
    fn end<D>(&mut self, status: &Status) -> Frame<D> {
        self.frames = None;
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            // a text that no header can hold: the code is what matters
            trailers.insert("grpc-status", HeaderValue::from(status.code() as i32));
        }
        Frame::trailers(trailers)
    }
}

/// Not compressed, and its length, which is below that of the largest response by far.
fn framed(message: Bytes) -> Chain<Cursor<[u8; PREFIX_BYTES]>, Bytes> {
    let [a, b, c, d] = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    Cursor::new([0, a, b, c, d]).chain(message)
}
