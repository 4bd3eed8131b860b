//! The discovery services, the aggregated one and those of one type, in both forms of the protocol.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use h2::RecvStream;
use http::Request;
use legation_actors::composition::Client;
use legation_actors::fleet::{Admitted, Caller, Fleet};
use legation_actors::stream::{StreamEnd, StreamHandle};
use legation_proto::id::{NodeId, NodeIdError};
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use legation_proto::service::Service;
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use super::connection_life::ConnectionLife;
use super::discovery_request::{Incoming, StreamRequest};
use super::metrics;
use super::requests::{RequestBody, Requests, Unreadable};
use super::responses::{self, Responses, Unanswered};

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

    /// Answers a gRPC call that came on `connection`, until its stream ends.
    pub fn serve(
        &self,
        request: Request<RecvStream>,
        call: Unanswered,
        connection: ConnectionLife,
    ) -> impl Future<Output = ()> + use<> {
        // in a box: what it takes to open a stream, an Envoy that describes itself above all, is large and over soon
        let opening = Box::pin(open(Arc::clone(&self.fleet), request, call, connection.clone()));
        async move {
            if let Some(envoy) = opening.await {
                attend(&envoy, &connection).await;
            }
        }
    }
}

/// Opens the stream of a call, if it may be.
async fn open(
    fleet: Arc<Fleet>,
    request: Request<RecvStream>,
    call: Unanswered,
    connection: ConnectionLife,
) -> Option<StreamHandle> {
    let Some((service, protocol)) = Service::of_method(request.uri().path()) else {
        let status = "this is not a method of a discovery service that is served here";
        responses::refuse(call, &Status::unimplemented(status));
        return None;
    };
    let stream = OpeningStream { fleet: &fleet, connection: &connection, service };
    let body = RequestBody(request.into_body());
    match protocol {
        Protocol::Sotw => stream.open::<DiscoveryRequest>(body, call).await,
        Protocol::Delta => stream.open::<DeltaDiscoveryRequest>(body, call).await,
    }
}

/// A stream that an Envoy opens.
struct OpeningStream<'a> {
    fleet: &'a Fleet,
    connection: &'a ConnectionLife,
    service: Service,
}

impl OpeningStream<'_> {
    async fn open<T: StreamRequest>(&self, body: RequestBody, call: Unanswered) -> Option<StreamHandle> {
        let mut requests = Requests::<T, _>::new(body, REQUEST_BYTES_MAX);
        let (first, admitted) = match self.admit(&mut requests).await {
            Ok(admitted) => admitted,
            Err(status) => {
                let peer = self.connection.peer();
                tracing::info!(%peer, code = ?status.code(), reason = status.message(), "stream refused");
                self.connection.opened();
                responses::refuse(call, &status);
                return None;
            }
        };
        let responses = Responses::begin(call).ok()?; // an error tells that it has ended already
        let service = self.service;
        let requests = requests.filter_map(move |request| asked(request, service));
        let requests = tokio_stream::iter(asked(Ok(first), service)).chain(requests);
        Some(admitted.open(requests, responses))
    }

    /// Waits for the first request, which tells who the Envoy is, and takes a place for it.
    async fn admit<T: StreamRequest>(
        &self,
        requests: &mut Requests<T, RequestBody>,
    ) -> Result<(Incoming<T>, Admitted<'_>), Status> {
        let first = tokio::time::timeout(FIRST_REQUEST_TIMEOUT, requests.next())
            .await
            .map_err(|_| Status::deadline_exceeded("no request came on this stream"))?
            .ok_or_else(|| Status::invalid_argument("the stream was closed without a request"))?
            .map_err(|error| status_of(&error.into()))?;
        let (id, user_agent) =
            first.node().map_or(("", ""), |node| (node.id.as_str(), node.user_agent_name.as_str()));
        // conformance 4
        let node: NodeId =
            id.parse().map_err(|error: NodeIdError| Status::invalid_argument(error.to_string()))?;
        let caller = Caller {
            node,
            client: Client::of_user_agent(user_agent),
            peer: Some(self.connection.peer()),
            service: self.service,
            protocol: T::PROTOCOL,
            places: self.connection.places().clone(),
        };
        let admitted = self.fleet.admit(caller).map_err(|refused| {
            self.connection.refuse(&refused);
            Status::resource_exhausted(refused.to_string())
        })?;
        Ok((first, admitted))
    }
}

/// Stays with a stream until it has ended: tells its connection how it goes, and the stream where the connection is to end.
async fn attend(envoy: &StreamHandle, connection: &ConnectionLife) {
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
    let (mut opened, mut told_to_end, mut ended) = (pin!(opened), pin!(told_to_end), pin!(envoy.ended()));
    let (mut is_opened, mut is_told) = (false, false);
    let end = loop {
        tokio::select! {
            () = opened.as_mut(), if !is_opened => is_opened = true,
            () = told_to_end.as_mut(), if !is_told => is_told = true,
            end = ended.as_mut() => break end,
        }
    };
    if end == StreamEnd::Stalled {
        connection.abort(); // its end would wait behind what the Envoy does not read
    }
}

/// What a request asks on a stream of `service`, or why the stream ends with it; `None` for what is to be passed over.
fn asked<T: StreamRequest>(
    request: Result<Incoming<T>, Unreadable>,
    service: Service,
) -> Option<Result<legation_actors::request::Request, StreamEnd>> {
    let request = match request {
        Ok(request) => request,
        Err(error) => return Some(Err(error.into())),
    };
    let type_url = service.type_url_of(request.type_url());
    if type_url.is_empty() {
        return Some(Err(StreamEnd::NoTypeUrl)); // conformance 1
    }
    match ResourceType::from_type_url(type_url) {
        Some(resource_type) if service.is_for(resource_type) => Some(Ok(request.into_request(resource_type))),
        None if service == Service::Aggregated => {
            // the Envoy waits for this type alone, the stream goes on (conformance 11)
            metrics::request_ignored();
            None
        }
        // conformance 2
        _ => Some(Err(StreamEnd::OtherType { type_url: type_url.to_owned(), service })),
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
