//! The way in: start the actors, connect an Envoy, publish a fragment, ask for status.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use actix::{Actor, Addr};
use bytes::Bytes;
use dashmap::DashMap;
use legation_proto::id::{FragmentKey, NodeId};
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_stream::Stream;

use crate::arbiters::{Arbiters, ArbitersError};
use crate::composition::Compose;
use crate::directory::Directory;
pub use crate::directory::FragmentSource;
use crate::envoy_actor::{Ask, End, EnvoyActor, GetStatus, Identity};
use crate::fragment_actor::StreamNumber;
pub use crate::inbox::Publication;
use crate::metrics;
use crate::request::Request;
use crate::session::Violation;
use crate::status::EnvoyStatus;

/// Frames that wait for a stream to take them. The session has at most one response a type un-ACKed, so that more than
/// this can only wait where an Envoy accepts what it has not read.
const FRAMES_WAITING_MAX: usize = 2 * ResourceType::COUNT;

/// How long an actor may take to tell its status before it is left out.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// How a fleet is held.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Threads for actors.
    pub arbiters: usize,
    /// Most Envoys that may be connected at once.
    pub envoys_max: usize,
    /// `control_plane.identifier` in every response (conformance 9).
    pub control_plane: String,
}

/// The Envoys that are connected to this host, and everything that they follow.
pub struct Fleet {
    directory: Arc<Directory>,
    envoys: Arc<DashMap<StreamNumber, Addr<EnvoyActor>>>,
    connected: Arc<AtomicUsize>,
    streams: AtomicU64,
    arbiters: Arc<Arbiters>,
    envoys_max: usize,
    control_plane: Arc<str>,
}

/// Why a stream ends that the Envoy did not end.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StreamEnd {
    /// The node does not exist, or was deleted.
    #[error("{0} does not exist; create it, or correct node.id in the bootstrap")]
    NodeNotFound(NodeId),
    /// The Envoy broke the protocol.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The Envoy accepts responses but does not read them.
    #[error("responses are not read")]
    Stalled,
    /// A request names no type.
    #[error("the request has no type_url; on an aggregated stream every request names its type")]
    NoTypeUrl,
    /// The connection has lived its time, or this host shuts down.
    #[error("connect again, through the balancer if there is one")]
    Reconnect,
    /// The Envoy ended it.
    #[error("the envoy closed the stream")]
    Closed,
    /// The actor of this Envoy failed.
    #[error("this stream failed; connect again")]
    Failed,
}

/// The host holds as many Envoys as it may.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("this host holds {envoys_max} envoys and takes no more; connect again to reach another")]
pub struct FleetFull {
    /// The limit that is reached.
    pub envoys_max: usize,
}

/// The Envoy's actor has ended; the stream of frames tells why.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the stream has ended")]
pub struct StreamEnded;

impl Fleet {
    /// Starts the threads of the actors. Fragments come from `source` on demand and through [`Fleet::publish`].
    pub fn start(
        settings: FleetSettings,
        source: Arc<dyn FragmentSource>,
        compose: Compose,
    ) -> Result<Self, ArbitersError> {
        let arbiters = Arc::new(Arbiters::start(settings.arbiters)?);
        metrics::describe();
        Ok(Self {
            directory: Arc::new(Directory::new(Arc::clone(&arbiters), source, compose)),
            envoys: Arc::default(),
            connected: Arc::default(),
            streams: AtomicU64::new(1),
            arbiters,
            envoys_max: settings.envoys_max,
            control_plane: settings.control_plane.into(),
        })
    }

    /// Starts an actor for an Envoy whose stream has just begun. It lives as long as the connection that is returned.
    pub fn connect(
        &self,
        node: NodeId,
        peer: Option<SocketAddr>,
        protocol: Protocol,
    ) -> Result<(Connection, Frames), FleetFull> {
        let place = Place::take(&self.connected, self.envoys_max)?;
        let stream = self.streams.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel(FRAMES_WAITING_MAX);
        let reason = Arc::new(OnceLock::new());
        let outbox = Outbox {
            frames: sender,
            reason: Arc::clone(&reason),
        };
        let identity = Identity {
            stream,
            node,
            peer,
            connected_at: SystemTime::now(),
            control_plane: Arc::clone(&self.control_plane),
        };
        tracing::info!(node = %identity.node, stream, ?peer, protocol = protocol.as_str(), "envoy connected");
        let directory = Arc::clone(&self.directory);
        let actor = EnvoyActor::start_in_arbiter(self.arbiters.next(), move |context| {
            EnvoyActor::new(identity, protocol, directory, outbox, context)
        });
        self.envoys.insert(stream, actor.clone());
        let connection = Connection {
            actor,
            stream,
            envoys: Arc::clone(&self.envoys),
            _place: place,
        };
        Ok((
            connection,
            Frames {
                frames: receiver,
                reason,
                ended: false,
            },
        ))
    }

    /// Passes the state of a fragment to the Envoys that depend on it; nobody else is touched.
    pub fn publish(&self, key: &FragmentKey, publication: Publication) {
        self.directory.publish(key, publication);
    }

    /// What is known of every connected Envoy, in the order in which they came.
    pub async fn status(&self) -> Vec<EnvoyStatus> {
        let actors: Vec<_> = self.envoys.iter().map(|envoy| envoy.value().clone()).collect();
        let mut envoys = Vec::with_capacity(actors.len());
        for actor in actors {
            if let Ok(status) = actor.send(GetStatus).timeout(STATUS_TIMEOUT).await {
                envoys.push(status);
            }
        }
        envoys.sort_by_key(|envoy| envoy.stream);
        envoys
    }

    /// How many Envoys are connected.
    pub fn envoys_connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Most Envoys that may be connected.
    pub fn envoys_max(&self) -> usize {
        self.envoys_max
    }

    /// How many virtual services, nodes and gateways connected Envoys depend on.
    pub fn fragments_in_use(&self) -> usize {
        self.directory.len()
    }
}

/// A place among the Envoys that this host may hold; given back when it is dropped.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(connected: &Arc<AtomicUsize>, envoys_max: usize) -> Result<Self, FleetFull> {
        let one_more = |count: usize| (count < envoys_max).then_some(count + 1);
        match connected.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(before) => {
                metrics::envoys_connected(before + 1);
                Ok(Self(Arc::clone(connected)))
            }
            Err(_) => Err(FleetFull { envoys_max }),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::envoys_connected(before.saturating_sub(1));
    }
}

/// The requests' side of a stream. Dropping it ends the Envoy's actor.
#[derive(Debug)]
pub struct Connection {
    actor: Addr<EnvoyActor>,
    stream: StreamNumber,
    envoys: Arc<DashMap<StreamNumber, Addr<EnvoyActor>>>,
    _place: Place,
}

impl Connection {
    /// Passes a request to the session and waits until it was taken in: a stream has at most one request under way.
    pub async fn request(&self, request: Request) -> Result<(), StreamEnded> {
        self.actor.send(Ask(request)).await.map_err(|_| StreamEnded)
    }

    /// Ends the stream because of what the Envoy sent.
    pub fn end(&self, reason: StreamEnd) {
        self.actor.do_send(End(reason));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.envoys.remove(&self.stream);
        self.actor.do_send(End(StreamEnd::Closed));
    }
}

/// The Envoy actor's side of the frames that go out.
pub(crate) struct Outbox {
    frames: mpsc::Sender<Bytes>,
    reason: Arc<OnceLock<StreamEnd>>,
}

impl Outbox {
    /// Queues a frame. The error tells that too many wait.
    pub(crate) fn send(&self, frame: Bytes) -> Result<(), StreamEnded> {
        self.frames.try_send(frame).map_err(|_| StreamEnded)
    }

    /// Says why the frames end, as they do when this is dropped.
    pub(crate) fn end(&self, reason: StreamEnd) {
        let _ = self.reason.set(reason);
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
