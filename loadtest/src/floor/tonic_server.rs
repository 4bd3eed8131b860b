//! A floor of tonic, as those who know it would write it: streams of prepared bytes, and a codec that passes them through.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http::{Request, Response};
use legation_proto::response::Protocol;
use legation_proto::service::Service as DiscoveryService;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, StreamingService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Status, Streaming};

use super::fanout::{Fanout, Gone, Outlet};
use super::prepared::PREFIX_BYTES;
use super::session::Session;

/// Serves Envoys for ever.
pub(super) async fn serve(listener: TcpListener, fanout: Arc<Fanout>) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let _ = Server::builder().serve_with_incoming(Discovery(fanout), incoming).await; // it never ends
}

/// The aggregated discovery service, in one form of the protocol.
#[derive(Clone, Debug)]
struct Discovery(Arc<Fanout>);

impl Discovery {
    fn serves(&self, path: &str) -> bool {
        DiscoveryService::of_method(path) == Some((DiscoveryService::Aggregated, self.0.prepared.protocol))
    }
}

impl Service<Request<Body>> for Discovery {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !self.serves(request.uri().path()) {
            return Box::pin(ready(Ok(unimplemented(self.0.prepared.protocol).into_http())));
        }
        let streams = Streams(Arc::clone(&self.0));
        Box::pin(async move { Ok(Grpc::new(Passed).streaming(streams, request).await) })
    }
}

/// There is nothing else.
pub(super) fn unimplemented(protocol: Protocol) -> Status {
    Status::unimplemented(format!(
        "only the aggregated discovery service is served, and of it {}",
        protocol.as_str()
    ))
}

/// Answers a call with a stream.
struct Streams(Arc<Fanout>);

impl StreamingService<Bytes> for Streams {
    type Response = Bytes;
    type ResponseStream = UnboundedReceiverStream<Result<Bytes, Status>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let (sender, responses) = mpsc::unbounded_channel();
        let outlet = Arc::new(ToTonic(sender));
        let session = Session::new(Arc::clone(&self.0), Arc::clone(&outlet) as Arc<dyn Outlet>);
        tokio::spawn(read(request.into_inner(), session, outlet));
        ready(Ok(tonic::Response::new(UnboundedReceiverStream::new(responses))))
    }
}

/// Reads requests until either side ends the stream.
async fn read(mut requests: Streaming<Bytes>, mut session: Session, outlet: Arc<ToTonic>) {
    loop {
        let taken = match requests.message().await {
            Ok(Some(request)) => session.take(request),
            Ok(None) => return,
            Err(status) => Err(status),
        };
        if let Err(status) = taken {
            outlet.end(status);
            return;
        }
    }
}

#[derive(Debug)]
struct ToTonic(UnboundedSender<Result<Bytes, Status>>);

impl Outlet for ToTonic {
    fn send(&self, frame: Bytes) -> Result<(), Gone> {
        self.0.send(Ok(frame)).map_err(|_| Gone)
    }

    fn end(&self, status: Status) {
        let _ = self.0.send(Err(status)); // it has ended
    }
}

/// Passes messages through. tonic writes the prefix by itself.
#[derive(Debug)]
struct Passed;

impl Codec for Passed {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Passed {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, mut frame: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame.advance(PREFIX_BYTES);
        buffer.put(frame);
        Ok(())
    }
}

impl Decoder for Passed {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
