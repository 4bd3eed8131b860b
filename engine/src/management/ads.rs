//! The aggregated discovery service, in both forms of the protocol.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use http::{Request, Response};
use hyper::body::Incoming;
use legation_actors::fleet::{Connection, Fleet, StreamEnd};
use legation_proto::id::NodeId;
use legation_proto::resource_type::ResourceType;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{Grpc, StreamingService};
use tonic::{Code, Status, Streaming};

use super::codec::FrameCodec;
use super::discovery_request::StreamRequest;

const SOTW_PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
const DELTA_PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// Largest request that is taken, in bytes: room for the metadata of a node and for thousands of names (conformance 103).
const REQUEST_BYTES_MAX: usize = 8 << 20;

/// How long a stream may stay silent before its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

const CONNECTIONS_REFUSED: &str = "legation_connections_refused_total";
const REQUESTS_IGNORED: &str = "legation_requests_ignored_total";

/// Serves streams for the Envoys of a fleet.
#[derive(Clone)]
pub struct AdsService {
    fleet: Arc<Fleet>,
}

/// What a stream needs to know of its connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Cancelled when the connection is to end, so that its streams end first.
    pub ending: CancellationToken,
}

impl AdsService {
    /// Serves the Envoys of `fleet`.
    pub fn new(fleet: Arc<Fleet>) -> Self {
        metrics::describe_counter!(CONNECTIONS_REFUSED, "Envoys that were refused");
        metrics::describe_counter!(REQUESTS_IGNORED, "Requests for types that are not served");
        metrics::counter!(CONNECTIONS_REFUSED, "reason" => "full").absolute(0);
        metrics::counter!(REQUESTS_IGNORED).absolute(0);
        Self { fleet }
    }

    /// Answers a gRPC call that came on `connection`.
    pub async fn call(&self, request: Request<Incoming>, connection: ConnectionInfo) -> Response<Body> {
        let opening = Opening {
            fleet: Arc::clone(&self.fleet),
            connection,
        };
        match request.uri().path() {
            SOTW_PATH => stream::<DiscoveryRequest>(opening, request).await,
            DELTA_PATH => stream::<DeltaDiscoveryRequest>(opening, request).await,
            _ => Status::unimplemented("only the aggregated discovery service is served here").into_http(),
        }
    }
}

async fn stream<T: StreamRequest>(opening: Opening, request: Request<Incoming>) -> Response<Body> {
    let mut grpc =
        Grpc::new(FrameCodec::<T>::default()).apply_max_message_size_config(Some(REQUEST_BYTES_MAX), None);
    grpc.streaming(opening, request).await
}

/// A stream that is being opened.
struct Opening {
    fleet: Arc<Fleet>,
    connection: ConnectionInfo,
}

type FrameStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl<T: StreamRequest> StreamingService<T> for Opening {
    type Response = Bytes;
    type ResponseStream = FrameStream;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<FrameStream>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Streaming<T>>) -> Self::Future {
        let fleet = Arc::clone(&self.fleet);
        let connection = self.connection.clone();
        Box::pin(async move {
            let opened = open(&fleet, request.into_inner(), connection).await;
            if let Err(status) = &opened {
                tracing::info!(code = ?status.code(), reason = status.message(), "stream refused");
            }
            opened.map(tonic::Response::new)
        })
    }
}

async fn open<T: StreamRequest>(
    fleet: &Fleet,
    mut requests: Streaming<T>,
    connection: ConnectionInfo,
) -> Result<FrameStream, Status> {
    let first = tokio::time::timeout(FIRST_REQUEST_TIMEOUT, requests.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no request came on this stream"))??
        .ok_or_else(|| Status::invalid_argument("the stream was closed without a request"))?;
    let node: NodeId = first
        .node_id()
        .parse()
        .map_err(|error: legation_proto::id::NodeIdError| {
            Status::invalid_argument(error.to_string()) // conformance 4
        })?;
    let (envoy, frames) = fleet
        .connect(node, Some(connection.peer), T::PROTOCOL)
        .map_err(|full| {
            metrics::counter!(CONNECTIONS_REFUSED, "reason" => "full").increment(1);
            Status::resource_exhausted(full.to_string())
        })?;
    tokio::spawn(take_requests(first, requests, envoy, connection.ending));
    Ok(Box::pin(frames.map(|frame| frame.map_err(|end| status_of(&end)))))
}

/// Passes the requests of a stream to its Envoy's actor, one after the other, until either of them ends.
async fn take_requests<T: StreamRequest>(
    first: T,
    mut requests: Streaming<T>,
    envoy: Connection,
    ending: CancellationToken,
) {
    let mut next = Some(first);
    while let Some(request) = next {
        if request.type_url().is_empty() {
            envoy.end(StreamEnd::NoTypeUrl);
            return;
        }
        match ResourceType::from_type_url(request.type_url()) {
            Some(resource_type) => {
                if envoy.request(request.into_request(resource_type)).await.is_err() {
                    return;
                }
            }
            // the Envoy waits for this type alone, the stream goes on (conformance 11)
            None => metrics::counter!(REQUESTS_IGNORED).increment(1),
        }
        next = tokio::select! {
            received = requests.message() => received.unwrap_or_default(),
            () = ending.cancelled() => {
                envoy.end(StreamEnd::Reconnect);
                return;
            }
        };
    }
}

/// The code with which a stream ends: as App Mesh documented them, `INVALID_ARGUMENT` for a node that is not found, and
/// `UNAVAILABLE` where the Envoy is to connect again (conformance 88).
fn status_of(end: &StreamEnd) -> Status {
    let code = match end {
        StreamEnd::NodeNotFound(_) | StreamEnd::Violation(_) | StreamEnd::NoTypeUrl => Code::InvalidArgument,
        StreamEnd::Stalled | StreamEnd::Reconnect | StreamEnd::Failed => Code::Unavailable,
        StreamEnd::Closed => Code::Ok,
    };
    Status::new(code, end.to_string())
}
