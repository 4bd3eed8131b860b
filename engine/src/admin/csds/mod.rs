//! The client status discovery service: each connected Envoy, what it should have, and how far that has come
//! (conformance 97).
//!
//! It is served on the admin address and not on that of Envoys, because it tells of all Envoys: one that asked there would
//! learn what is configured for others.

mod client_config;
mod matcher;
mod parts;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_server::{
    ClientStatusDiscoveryService, ClientStatusDiscoveryServiceServer, SERVICE_NAME,
};
use envoy_types::pb::envoy::service::status::v3::{ClientStatusRequest, ClientStatusResponse};
use legation_actors::fleet::Fleet;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Service;
use tonic::{Response, Status, Streaming};

use self::client_config::{client_of, config_of};
use self::matcher::EnvoyMatcher;
use self::parts::Parts;

/// Largest response, in bytes: clients take 4 MiB unless they were told otherwise.
const RESPONSE_BYTES_MAX: usize = 3 << 20;

/// How long a call may take to be read, and where it is not a stream, to be answered.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a stream may take to send its next request.
const SILENCE_MAX: Duration = Duration::from_secs(5 * 60);

/// The endpoint of the service.
pub(super) fn router(fleet: Arc<Fleet>) -> Router {
    let server = ClientStatusDiscoveryServiceServer::new(ClientStatus { fleet });
    let call = move |request: Request| {
        let mut server = server.clone();
        async move {
            match timeout(CALL_TIMEOUT, server.call(request)).await {
                Ok(Ok::<_, Infallible>(response)) => response,
                Err(_) => Status::deadline_exceeded("the call took too long").into_http(),
            }
        }
    };
    Router::new().route(&format!("/{SERVICE_NAME}/{{method}}"), any(call))
}

/// Tells of the Envoys of a fleet.
struct ClientStatus {
    fleet: Arc<Fleet>,
}

type Responses = Receiver<Result<ClientStatusResponse, Status>>;

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ClientStatus {
    type StreamClientStatusStream = ReceiverStream<Result<ClientStatusResponse, Status>>;

    async fn stream_client_status(
        &self,
        request: tonic::Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let (sender, responses) = mpsc::channel(1);
        tokio::spawn(answer_all(Arc::clone(&self.fleet), request.into_inner(), sender));
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    async fn fetch_client_status(
        &self,
        request: tonic::Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        let mut responses = answer(&self.fleet, request.into_inner())?;
        let response =
            responses.recv().await.unwrap_or_else(|| Err(Status::internal("there is no answer")))?;
        if responses.recv().await.is_some() {
            return Err(Status::resource_exhausted(
                "the answer is too large; call StreamClientStatus, match fewer nodes, or exclude resource contents",
            ));
        }
        Ok(Response::new(response))
    }
}

/// Answers the requests of a stream, one after the other, until it is closed.
async fn answer_all(
    fleet: Arc<Fleet>,
    mut requests: Streaming<ClientStatusRequest>,
    sender: Sender<Result<ClientStatusResponse, Status>>,
) {
    loop {
        let request = match timeout(SILENCE_MAX, requests.message()).await {
            Ok(Ok(Some(request))) => Ok(request),
            Ok(Ok(None)) => return,
            Ok(Err(status)) => Err(status),
            Err(_) => Err(Status::deadline_exceeded("no request came for a while; open another stream")),
        };
        let mut responses = match request.and_then(|request| answer(&fleet, request)) {
            Ok(responses) => responses,
            Err(status) => {
                let _ = sender.send(Err(status)).await; // unless the client has gone
                return;
            }
        };
        while let Some(response) = responses.recv().await {
            if sender.send(response).await.is_err() {
                return;
            }
        }
    }
}

/// The answer to a request, in as many responses as it takes; made as fast as they are taken.
fn answer(fleet: &Arc<Fleet>, request: ClientStatusRequest) -> Result<Responses, Status> {
    let matcher = EnvoyMatcher::try_from(request.node_matchers)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let (sender, responses) = mpsc::channel(1);
    let fleet = Arc::clone(fleet);
    let with_contents = !request.exclude_resource_contents;
    tokio::spawn(async move {
        let mut parts = Parts::new(RESPONSE_BYTES_MAX);
        for envoy in fleet.status().await {
            if !matcher.takes(&envoy.node) {
                continue;
            }
            let Some(details) = fleet.details(envoy.stream).await else {
                continue; // it has gone in the meantime
            };
            let full = parts.begin(client_of(&details.status));
            send(&sender, full).await?;
            for resource in &details.resources {
                let full = parts.add(config_of(resource, &details.status, with_contents));
                send(&sender, full).await?;
            }
        }
        send(&sender, Some(parts.finish())).await
    });
    Ok(responses)
}

/// Sends a response, if there is one; nothing if nobody waits for it any more.
async fn send(
    sender: &Sender<Result<ClientStatusResponse, Status>>,
    response: Option<ClientStatusResponse>,
) -> Option<()> {
    match response {
        Some(response) => sender.send(Ok(response)).await.ok(),
        None => Some(()),
    }
}
