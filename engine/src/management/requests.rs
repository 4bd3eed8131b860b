//! The requests on a stream, as gRPC frames them.
//!
//! tonic has a reader as well, whose buffer stays as large as the largest request was, as long as the stream lives: one that
//! describes the node of an Envoy, as the first does, is a thousand times larger than others.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use legation_proto::response::GRPC_PREFIX_BYTES;
use prost::DecodeError;
use thiserror::Error;
use tokio_stream::Stream;

use super::discovery_request::{Incoming, StreamRequest};

/// Reads requests of type `T` one after the other; ends where the peer has ended its side of the stream. Nothing can be read after
/// an error: where the next request begins is not known then.
#[derive(Debug)]
pub struct Requests<T, B> {
    body: B,
    /// What has come of the next request.
    buffer: BytesMut,
    /// Whether one was read.
    has_begun: bool,
    request_bytes_max: usize,
    request: PhantomData<fn() -> T>,
}

/// Why there is no further request that can be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// It is larger than any that is taken.
    #[error("it has {bytes} bytes, and at most {max} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It is compressed, which nobody agreed on.
    #[error("it is compressed, which is not offered")]
    Compressed,
    /// Not a protobuf message of its type.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The stream ended within it.
    #[error("the stream ended before it did")]
    Incomplete,
    /// The stream was reset, or its connection has failed.
    #[error("the stream was reset, or its connection has failed: {0}")]
    Connection(String),
}

impl<T, B> Requests<T, B> {
    /// Reads from `body` requests of at most so many bytes.
    pub fn new(body: B, request_bytes_max: usize) -> Self {
        Self { body, buffer: BytesMut::new(), has_begun: false, request_bytes_max, request: PhantomData }
    }

    /// How many bytes the first request in `bytes` has, if all of it is there.
    fn length_of_first(&self, bytes: &[u8]) -> Result<Option<usize>, Unreadable> {
        let Some(([compressed, length @ ..], content)) = bytes.split_first_chunk::<GRPC_PREFIX_BYTES>()
        else {
            return Ok(None);
        };
        if *compressed != 0 {
            return Err(Unreadable::Compressed);
        }
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.request_bytes_max {
            return Err(Unreadable::TooLarge { bytes: length, max: self.request_bytes_max });
        }
        Ok((content.len() >= length).then_some(length))
    }
}

impl<T: StreamRequest, B> Requests<T, B> {
    /// The first request in `bytes`, if all of it is there, and what follows it.
    fn first_of(&self, bytes: &[u8]) -> Result<Option<(Incoming<T>, BytesMut)>, Unreadable> {
        let Some(length) = self.length_of_first(bytes)? else {
            return Ok(None);
        };
        let (message, rest) = bytes[GRPC_PREFIX_BYTES..].split_at(length);
        let request = if self.has_begun { Incoming::read_later(message)? } else { Incoming::read(message)? };
        Ok(Some((request, BytesMut::from(rest))))
    }

    /// Takes in a piece of the body, and takes the next request, if all of it is there. Most pieces are one request: what is
    /// whole is not copied.
    fn take_in(&mut self, data: &[u8]) -> Result<Option<Incoming<T>>, Unreadable> {
        let first = if self.buffer.is_empty() { self.first_of(data)? } else { None };
        if let Some((request, rest)) = first {
            self.buffer = rest;
            return Ok(Some(request));
        }
        self.buffer.extend_from_slice(data);
        self.take_request()
    }

    /// Takes the next request from the buffer, if all of it is there. Nothing is kept but what belongs to the one after it.
    fn take_request(&mut self) -> Result<Option<Incoming<T>>, Unreadable> {
        let Some((request, rest)) = self.first_of(&self.buffer)? else {
            return Ok(None);
        };
        self.buffer = rest;
        Ok(Some(request))
    }
}

impl<T, B, E> Stream for Requests<T, B>
where
    T: StreamRequest,
    B: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::error::Error,
{
    type Item = Result<Incoming<T>, Unreadable>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut request = self.take_request()?;
        while request.is_none() {
            request = match ready!(Pin::new(&mut self.body).poll_next(context)) {
                Some(Ok(data)) => self.take_in(&data)?,
                Some(Err(error)) => return Poll::Ready(Some(Err(Unreadable::Connection(chain(&error))))),
                None if self.buffer.is_empty() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(Unreadable::Incomplete))),
            }
        }
        self.has_begun = true;
        Poll::Ready(request.map(Ok))
    }
}

/// What comes on a stream of the HTTP/2 library: the peer may send more once it was read.
#[derive(Debug)]
pub struct RequestBody(pub RecvStream);

impl Stream for RequestBody {
    type Item = Result<Bytes, h2::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(data) = ready!(self.0.poll_data(context)?) else {
            return Poll::Ready(None);
        };
        self.0.flow_control().release_capacity(data.len())?;
        Poll::Ready(Some(Ok(data)))
    }
}

/// An error and what it comes of.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::Node;
    use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
    use prost::Message;
    use tokio_stream::StreamExt;

    use super::*;

    const BYTES_MAX: usize = 100;

    fn framed(type_url: &str) -> Vec<u8> {
        frame(&DiscoveryRequest { type_url: type_url.to_owned(), ..Default::default() })
    }

    fn frame(request: &DiscoveryRequest) -> Vec<u8> {
        let message = request.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], length.as_slice(), &message].concat()
    }

    /// The type URLs of the requests in these pieces of a body, and how they end.
    async fn read(pieces: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
        let pieces = pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(piece.into()));
        let body = tokio_stream::iter(pieces.collect::<Vec<_>>());
        let mut requests = Requests::<DiscoveryRequest, _>::new(body, BYTES_MAX);
        let mut seen = Vec::new();
        loop {
            match requests.next().await {
                Some(Ok(request)) => seen.push(request.type_url().to_owned()),
                None => return seen,
                Some(Err(error)) => {
                    seen.push(error.to_string());
                    return seen;
                }
            }
        }
    }

    #[tokio::test]
    async fn requests_come_in_pieces_of_any_size() {
        let body = [framed("a"), framed(""), framed(&"b".repeat(50))].concat();
        let expected = ["a".to_owned(), String::new(), "b".repeat(50)];
        for size in [1, 2, 3, 7, body.len()] {
            assert_eq!(read(body.chunks(size).map(<[u8]>::to_vec)).await, expected, "pieces of {size}");
        }
        assert!(read([]).await.is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told() {
        let too_large = [&[0], 101_u32.to_be_bytes().as_slice()].concat();
        for (body, expected) in [
            (too_large, "it has 101 bytes, and at most 100 are taken"),
            (vec![1, 0, 0, 0, 0], "it is compressed, which is not offered"),
            (framed("abc")[..7].to_vec(), "the stream ended before it did"),
            (vec![0, 0], "the stream ended before it did"),
            (vec![0, 0, 0, 0, 1, 0xff], "failed to decode Protobuf message: invalid varint"),
        ] {
            let (start, end) = body.split_at(body.len() / 2);
            assert_eq!(read([framed("first"), start.to_vec(), end.to_vec()]).await, ["first", expected]);
            assert_eq!(read([framed("first"), body]).await, ["first", expected]);
        }
    }

    #[tokio::test]
    async fn a_node_is_told_by_the_first_request() {
        let node = Some(Node { id: "n".to_owned(), ..Default::default() });
        let body = frame(&DiscoveryRequest { node, ..Default::default() }).repeat(3);
        for size in [5, body.len()] {
            let pieces =
                body.chunks(size).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
            let body = tokio_stream::iter(pieces.collect::<Vec<_>>());
            let requests = Requests::<DiscoveryRequest, _>::new(body, BYTES_MAX);
            let has_node = requests.map(|request| request.unwrap().node().is_some());
            assert_eq!(has_node.collect::<Vec<_>>().await, [true, false, false], "pieces of {size}");
        }
    }

    #[tokio::test]
    async fn nothing_of_a_large_request_is_kept() {
        let body = [framed(&"x".repeat(90)), framed("b")[..7].to_vec()].concat();
        for pieces in [1, 2, 5] {
            let pieces: Vec<&[u8]> = body.chunks(body.len().div_ceil(pieces)).collect();
            let body = pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
            let body = tokio_stream::iter(body.collect::<Vec<_>>());
            let mut requests = Requests::<DiscoveryRequest, _>::new(body, BYTES_MAX);
            assert!(requests.next().await.unwrap().is_ok());
            let kept = (requests.buffer.len(), requests.buffer.capacity());
            assert_eq!(kept, (7, 7), "in {} pieces", pieces.len());
        }
    }
}
