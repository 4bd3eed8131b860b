//! The discovery services, the aggregated one and those of one type, in both forms of the protocol.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use hyper::body::Incoming;
use legation_actors::composition::Client;
use legation_actors::fleet::{Caller, Fleet};
use legation_actors::stream::{Connection, Frames, StreamEnd};
use legation_proto::id::{NodeId, NodeIdError};
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use legation_proto::service::Service;
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use super::connection::ConnectionLife;
use super::discovery_request::StreamRequest;
use super::metrics;
use super::requests::{Requests, Unreadable};
use super::responses::Responses;

/// Largest request that is taken, in bytes: room for the metadata of a node and for thousands of names (conformance 103).
const REQUEST_BYTES_MAX: usize = 8 << 20;

/// How long a stream that is to end waits for its Envoy to be served.
const SERVED_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stream may stay silent before its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Serves streams for the Envoys of a fleet.
#[derive(Clone)]
pub struct DiscoveryService {
    fleet: Arc<Fleet>,
}

impl DiscoveryService {
    /// Serves the Envoys of `fleet`.
    pub fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet }
    }

    /// Runs a connection on the thread on which the actors of its streams will live.
    pub fn spawn<F>(&self, connection: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.fleet.spawn(connection);
    }

    /// Answers a gRPC call that came on `connection`.
    pub async fn call(&self, request: Request<Incoming>, connection: ConnectionLife) -> Response<Responses> {
        let Some((service, protocol)) = Service::of_method(request.uri().path()) else {
            return Status::unimplemented("this is not a method of a discovery service that is served here")
                .into_http();
        };
        let stream = Opening { fleet: &self.fleet, connection: &connection, service };
        match protocol {
            Protocol::Sotw => stream.answer::<DiscoveryRequest>(request.into_body()).await,
            Protocol::Delta => stream.answer::<DeltaDiscoveryRequest>(request.into_body()).await,
        }
    }
}

/// A stream that is being opened.
struct Opening<'a> {
    fleet: &'a Fleet,
    connection: &'a ConnectionLife,
    service: Service,
}

impl Opening<'_> {
    async fn answer<T: StreamRequest>(&self, body: Incoming) -> Response<Responses> {
        match self.open(Requests::<T, _>::new(body, REQUEST_BYTES_MAX)).await {
            Ok(frames) => Responses::response(frames),
            Err(status) => {
                let peer = self.connection.peer;
                tracing::info!(%peer, code = ?status.code(), reason = status.message(), "stream refused");
                self.connection.opened();
                status.into_http()
            }
        }
    }

    async fn open<T: StreamRequest>(&self, mut requests: Requests<T, Incoming>) -> Result<Frames, Status> {
        let first = tokio::time::timeout(FIRST_REQUEST_TIMEOUT, requests.next())
            .await
            .map_err(|_| Status::deadline_exceeded("no request came on this stream"))?
            .map_err(|error| status_of(&error.into()))?
            .ok_or_else(|| Status::invalid_argument("the stream was closed without a request"))?;
        let (id, user_agent) =
            first.node().map_or(("", ""), |node| (node.id.as_str(), node.user_agent_name.as_str()));
        // conformance 4
        let node: NodeId =
            id.parse().map_err(|error: NodeIdError| Status::invalid_argument(error.to_string()))?;
        let caller = Caller {
            node,
            client: Client::of_user_agent(user_agent),
            peer: Some(self.connection.peer),
            service: self.service,
            protocol: T::PROTOCOL,
            places: self.connection.places.clone(),
        };
        let (envoy, frames) = self.fleet.connect(caller).map_err(|refused| {
            self.connection.refuse(&refused);
            Status::resource_exhausted(refused.to_string())
        })?;
        tokio::spawn(drive(first, requests, envoy, self.connection.clone(), self.service));
        Ok(frames)
    }
}

/// Passes the requests of a stream to its Envoy's actor, one after the other, until either of them ends, or the connection
/// is to end.
async fn drive<T: StreamRequest>(
    first: T,
    mut requests: Requests<T, Incoming>,
    envoy: Connection,
    connection: ConnectionLife,
    service: Service,
) {
    let opened = async {
        envoy.served().await;
        connection.opened();
    };
    let told_to_end = async {
        connection.ending().await;
        // an Envoy that was not answered counts that as a failure and waits longer each time (conformance 89)
        let _ = tokio::time::timeout(SERVED_TIMEOUT, envoy.served()).await;
        envoy.end(StreamEnd::Reconnect);
    };
    let requests = async {
        let mut next = Ok(Some(first));
        while let Ok(Some(request)) = next {
            if !take(request, &envoy, service).await {
                return;
            }
            next = requests.next().await;
        }
        if let Err(error) = next {
            envoy.end(error.into());
        }
    };
    let ended = async {
        let (mut opened, mut told_to_end, mut ended) = (pin!(opened), pin!(told_to_end), pin!(envoy.ended()));
        let (mut is_opened, mut is_told) = (false, false);
        loop {
            tokio::select! {
                () = opened.as_mut(), if !is_opened => is_opened = true,
                () = told_to_end.as_mut(), if !is_told => is_told = true,
                end = ended.as_mut() => return end,
            }
        }
    };
    // polled where it is woken itself, and not with every request
    let mut ended = FuturesUnordered::from_iter([ended]);
    let end = tokio::select! {
        () = requests => return,
        Some(end) = ended.next() => end,
    };
    if end == StreamEnd::Stalled {
        connection.abort(); // its end would wait behind what the Envoy does not read
    }
}

/// Passes one request to the Envoy's actor; whether the stream goes on.
async fn take<T: StreamRequest>(request: T, envoy: &Connection, service: Service) -> bool {
    let type_url = service.type_url_of(request.type_url());
    if type_url.is_empty() {
        envoy.end(StreamEnd::NoTypeUrl); // conformance 1
        return true;
    }
    match ResourceType::from_type_url(type_url) {
        Some(resource_type) if service.is_for(resource_type) => {
            envoy.request(request.into_request(resource_type)).await.is_ok()
        }
        None if service == Service::Aggregated => {
            // the Envoy waits for this type alone, the stream goes on (conformance 11)
            metrics::request_ignored();
            true
        }
        _ => {
            envoy.end(StreamEnd::OtherType { type_url: type_url.to_owned(), service }); // conformance 2
            true
        }
    }
}

impl From<Unreadable> for StreamEnd {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Connection(_) => Self::Closed,
            error => Self::Unreadable(error.to_string()),
        }
    }
}

/// The code with which a stream ends: as App Mesh documented them, `INVALID_ARGUMENT` for a node that is not found, and
/// `UNAVAILABLE` where the Envoy is to connect again (conformance 88).
pub(super) fn status_of(end: &StreamEnd) -> Status {
    let code = match end {
        StreamEnd::NodeNotFound(_)
        | StreamEnd::Violation(_)
        | StreamEnd::NoTypeUrl
        | StreamEnd::Unreadable(_)
        | StreamEnd::OtherType { .. } => Code::InvalidArgument,
        StreamEnd::Stalled | StreamEnd::Reconnect | StreamEnd::Failed => Code::Unavailable,
        StreamEnd::Closed => Code::Ok,
    };
    Status::new(code, end.to_string())
}
