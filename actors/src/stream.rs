//! The ends of an Envoy's stream: requests come in, responses go out through a [`Transport`], and whoever serves the
//! connection learns of it through a [`StreamHandle`].

use std::sync::{Arc, OnceLock};

use actix::Addr;
use bytes::Bytes;
use legation_proto::id::NodeId;
use legation_proto::resource_type::ResourceType;
use legation_proto::service::Service;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::envoy_actor::{End, EnvoyActor};
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

/// How responses leave: the end of a stream that whoever serves its connection holds.
pub trait Transport: Send + 'static {
    /// Queues a response, and never waits. That it cannot be sent is not told here: the requests end then.
    fn send(&mut self, frame: Bytes);

    /// How many responses have been queued and not been written.
    fn waiting(&self) -> usize;

    /// Ends the stream after what has been queued. Called once, and nothing after it.
    fn end(&mut self, reason: &StreamEnd);
}

/// What whoever serves the connection of a stream learns of it, and may do to it.
#[derive(Debug)]
pub struct StreamHandle {
    actor: Addr<EnvoyActor>,
    served: watch::Receiver<bool>,
    reason: Arc<OnceLock<StreamEnd>>,
}

impl StreamHandle {
    pub(crate) fn new(actor: Addr<EnvoyActor>, news: StreamNews) -> Self {
        Self { actor, served: news.served, reason: news.reason }
    }

    /// Ends the stream.
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

/// What an [`Outbox`] tells of its stream.
pub(crate) struct StreamNews {
    served: watch::Receiver<bool>,
    reason: Arc<OnceLock<StreamEnd>>,
}

/// The Envoy actor's way out. Dropping it ends the stream.
pub(crate) struct Outbox {
    transport: Box<dyn Transport>,
    /// Whether it was told that the Envoy is served: a look at the channel with each response would cost more.
    is_served: bool,
    served: watch::Sender<bool>,
    /// Whether there is a reason: a look at it with each response would cost more.
    has_ended: bool,
    reason: Arc<OnceLock<StreamEnd>>,
}

/// The Envoy does not read its responses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread;

impl Outbox {
    pub(crate) fn new(transport: impl Transport) -> (Self, StreamNews) {
        let (served, news_of_served) = watch::channel(false);
        let reason = Arc::new(OnceLock::new());
        let news = StreamNews { served: news_of_served, reason: Arc::clone(&reason) };
        (Self { transport: Box::new(transport), is_served: false, served, has_ended: false, reason }, news)
    }

    /// Queues a response, unless too many wait.
    pub(crate) fn send(&mut self, frame: Bytes) -> Result<(), Unread> {
        if self.transport.waiting() >= FRAMES_WAITING_MAX {
            return Err(Unread);
        }
        self.transport.send(frame);
        Ok(())
    }

    /// Says that everything that was due is on its way.
    pub(crate) fn set_served(&mut self) {
        if !std::mem::replace(&mut self.is_served, true) {
            self.served.send_replace(true);
        }
    }

    /// Ends the stream. The first reason counts.
    pub(crate) fn end(&mut self, reason: StreamEnd) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.transport.end(self.reason.get_or_init(|| reason));
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

impl Drop for Outbox {
    /// An actor that ended without a reason has died.
    fn drop(&mut self) {
        self.end(StreamEnd::Failed);
    }
}

/// A stream in memory, for tests and benchmarks: at most as many responses wait as the channel holds.
impl Transport for mpsc::Sender<Result<Bytes, StreamEnd>> {
    fn send(&mut self, frame: Bytes) {
        let _ = self.try_send(Ok(frame));
    }

    fn waiting(&self) -> usize {
        self.max_capacity() - self.capacity()
    }

    fn end(&mut self, reason: &StreamEnd) {
        let _ = self.try_send(Err(reason.clone()));
    }
}
