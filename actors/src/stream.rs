//! The two ends of an Envoy's stream: requests go in through a [`Connection`], [`Frames`] come out.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use actix::Addr;
use bytes::Bytes;
use legation_proto::id::NodeId;
use legation_proto::resource_type::ResourceType;
use legation_proto::service::Service;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;

use crate::admission::Place;
use crate::envoy_actor::{Ask, End, EnvoyActor};
use crate::fleet::Envoys;
use crate::fragment_actor::StreamNumber;
use crate::request::Request;
use crate::session::Violation;

/// Frames that wait for a stream to take them. The session has at most one response a type un-ACKed, so that more than
/// this can only wait where an Envoy accepts what it has not read.
const FRAMES_WAITING_MAX: usize = 2 * ResourceType::COUNT;

/// Why a stream ends.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StreamEnd {
    /// The node does not exist, or was deleted.
    #[error("{0} does not exist; create it, or correct node.id in the bootstrap")]
    NodeNotFound(NodeId),
    /// The Envoy broke the protocol.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// A request names no type.
    #[error("the request has no type_url; on an aggregated stream every request names its type")]
    NoTypeUrl,
    /// A request names a type that the service is not for.
    #[error("the request is for {type_url}; a stream of this service is for {} only", .service.type_url_of(""))]
    OtherType {
        /// The type that it names.
        type_url: String,
        /// The service.
        service: Service,
    },
    /// A request cannot be read.
    #[error("a request cannot be read: {0}")]
    Unreadable(String),
    /// The Envoy does not read responses, or does not answer them.
    #[error("responses are not read or not answered; connect again")]
    Stalled,
    /// The connection has lived its time, or this host shuts down.
    #[error("connect again, through the balancer if there is one")]
    Reconnect,
    /// The Envoy ended it.
    #[error("the envoy closed the stream")]
    Closed,
    /// The actor of this Envoy, or that of a fragment which it depends on, failed.
    #[error("this stream failed; connect again")]
    Failed,
}

/// The Envoy's actor has ended; [`Connection::ended`] tells why.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the stream has ended")]
pub struct StreamEnded;

/// The Envoy actor's ends of its stream, and what the connection learns of it.
pub(crate) fn channel() -> (Outbox, Frames, watch::Receiver<bool>) {
    let (frames, receiver) = mpsc::channel(FRAMES_WAITING_MAX);
    let (served, is_served) = watch::channel(false);
    let reason = Arc::new(OnceLock::new());
    let outbox = Outbox { frames, served, reason: Arc::clone(&reason) };
    (outbox, Frames { frames: receiver, reason, ended: false }, is_served)
}

/// The requests' side of a stream. Dropping it ends the Envoy's actor.
#[derive(Debug)]
pub struct Connection {
    pub(crate) actor: Addr<EnvoyActor>,
    pub(crate) stream: StreamNumber,
    pub(crate) envoys: Arc<Envoys>,
    pub(crate) served: watch::Receiver<bool>,
    pub(crate) reason: Arc<OnceLock<StreamEnd>>,
    pub(crate) _place: Arc<Place>,
}

impl Connection {
    /// Passes a request to the session and waits until it was taken in: a stream has at most one request under way.
    pub async fn request(&self, request: Request) -> Result<(), StreamEnded> {
        self.actor.send(Ask(request)).await.map_err(|_| StreamEnded)
    }

    /// Ends the stream because of what the Envoy sent, or because its time has come.
    pub fn end(&self, reason: StreamEnd) {
        self.actor.do_send(End(reason));
    }

    /// Waits until the Envoy was sent what it should have, as far as it asked (perhaps nothing, if it has that already), or
    /// its actor has ended.
    pub fn served(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut served = self.served.clone();
        async move {
            let _ = served.wait_for(|served| *served).await; // an error tells that the actor has ended
        }
    }

    /// Waits until the Envoy's actor has ended, and tells why.
    pub fn ended(&self) -> impl Future<Output = StreamEnd> + Send + use<> {
        let mut served = self.served.clone();
        let reason = Arc::clone(&self.reason);
        async move {
            while served.changed().await.is_ok() {}
            reason.get().cloned().unwrap_or(StreamEnd::Failed)
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.envoys.remove(&self.stream);
        self.actor.do_send(End(StreamEnd::Closed));
    }
}

/// The Envoy actor's side of the frames that go out.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: mpsc::Sender<Bytes>,
    served: watch::Sender<bool>,
    reason: Arc<OnceLock<StreamEnd>>,
}

impl Outbox {
    /// Queues a frame. The error tells that too many wait.
    pub(crate) fn send(&self, frame: Bytes) -> Result<(), StreamEnded> {
        self.frames.try_send(frame).map_err(|_| StreamEnded)
    }

    /// Says that everything that was due is on its way.
    pub(crate) fn set_served(&self) {
        self.served.send_if_modified(|served| !std::mem::replace(served, true));
    }

    /// Says why the frames end, as they do when this is dropped.
    pub(crate) fn end(&self, reason: StreamEnd) {
        let _ = self.reason.set(reason);
    }

    pub(crate) fn reason(&self) -> Arc<OnceLock<StreamEnd>> {
        Arc::clone(&self.reason)
    }
}

/// Encoded responses for the Envoy, then the reason why the stream ends, unless the Envoy ended it.
#[derive(Debug)]
pub struct Frames {
    frames: mpsc::Receiver<Bytes>,
    reason: Arc<OnceLock<StreamEnd>>,
    ended: bool,
}

impl Stream for Frames {
    type Item = Result<Bytes, StreamEnd>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.frames.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(match self.reason.get() {
                    Some(StreamEnd::Closed) => None,
                    Some(reason) => Some(Err(reason.clone())),
                    None => Some(Err(StreamEnd::Failed)), // the actor has died
                })
            }
        }
    }
}
