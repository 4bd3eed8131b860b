//! The way in: start the actors, connect an Envoy, publish a fragment, ask for status.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, MailboxError};
use dashmap::DashMap;
use legation_proto::id::{FragmentKey, NodeId};
use legation_proto::response::Protocol;
use legation_proto::service::Service;
use tokio_stream::Stream;

use crate::admission::{Admission, Place};
pub use crate::admission::{Limits, Places, Refused};
use crate::arbiters::{Arbiters, ArbitersError};
use crate::composition::{Client, Composer};
use crate::directory::Directory;
pub use crate::directory::FragmentSource;
use crate::envoy_actor::{EnvoyActor, GetDetails, GetStatus, Identity, Shared};
use crate::fragment_actor::StreamNumber;
pub use crate::inbox::Publication;
use crate::metrics::{self, ResponseMetrics};
use crate::moment::Moment;
use crate::request::Request;
use crate::status::{EnvoyDetails, EnvoyStatus};
use crate::stream::{Outbox, StreamEnd, StreamHandle, Transport};

/// How long an actor may take to tell its status before it is left out.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// The actors of the connected Envoys.
pub(crate) type Envoys = DashMap<StreamNumber, Addr<EnvoyActor>>;

/// How a fleet is held.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Threads for actors.
    pub arbiters: usize,
    /// How many Envoys may be connected.
    pub limits: Limits,
    /// How long an Envoy may leave a response unanswered before its stream is ended.
    pub stall_timeout: Duration,
    /// `control_plane.identifier` in every response (conformance 9).
    pub control_plane: String,
}

/// An Envoy that opens a stream.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The virtual node or gateway that it is.
    pub node: NodeId,
    /// What it is.
    pub client: Client,
    /// Where its connection comes from.
    pub peer: Option<SocketAddr>,
    /// The service that the stream is on.
    pub service: Service,
    /// The form of the protocol that it speaks.
    pub protocol: Protocol,
    /// The places of its connection.
    pub places: Places,
}

/// The Envoys that are connected to this host, and everything that they follow.
pub struct Fleet {
    shared: Arc<Shared>,
    envoys: Arc<Envoys>,
    admission: Arc<Admission>,
    streams: AtomicU64,
    arbiters: Arc<Arbiters>,
}

impl Fleet {
    /// Starts the threads of the actors. Fragments come from `source` on demand and through [`Fleet::publish`].
    pub fn start(
        settings: FleetSettings,
        source: Arc<dyn FragmentSource>,
        composer: Composer,
    ) -> Result<Self, ArbitersError> {
        let arbiters = Arc::new(Arbiters::start(settings.arbiters)?);
        metrics::describe();
        let shared = Shared {
            directory: Arc::new(Directory::new(Arc::clone(&arbiters), source, composer)),
            control_plane: settings.control_plane,
            stall_timeout: settings.stall_timeout,
            metrics: ResponseMetrics::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            envoys: Arc::default(),
            admission: Arc::new(Admission::new(settings.limits)),
            streams: AtomicU64::new(1),
            arbiters,
        })
    }

    /// Runs a connection of an Envoy on a thread of the actors, where the actors of its streams will live too: a request and a
    /// response never change threads.
    pub fn spawn<F>(&self, connection: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.arbiters.spawn(connection);
    }

    /// Takes a place for an Envoy whose stream has just begun.
    pub fn admit(&self, caller: Caller) -> Result<Admitted<'_>, Refused> {
        let place = caller.places.of(&caller.node, &self.admission)?;
        Ok(Admitted { fleet: self, caller, place })
    }

    /// Passes the state of a fragment to the Envoys that depend on it; nobody else is touched.
    pub fn publish(&self, key: &FragmentKey, publication: Publication) {
        self.shared.directory.publish(key, publication);
    }

    /// What is known of every connected Envoy, in the order in which they came. Those are left out whose actors do not tell in
    /// time.
    pub async fn status(&self) -> Vec<EnvoyStatus> {
        self.ask_all().await.0
    }

    /// The same, and whether all have told.
    async fn ask_all(&self) -> (Vec<EnvoyStatus>, bool) {
        let actors: Vec<_> = self.envoys.iter().map(|envoy| envoy.value().clone()).collect();
        let mut envoys = Vec::with_capacity(actors.len());
        let mut have_all_told = true;
        for actor in actors {
            match actor.send(GetStatus).timeout(STATUS_TIMEOUT).await {
                Ok(status) => envoys.push(status),
                Err(MailboxError::Timeout) => have_all_told = false,
                Err(MailboxError::Closed) => {} // it has gone
            }
        }
        envoys.sort_by_key(|envoy| envoy.stream);
        (envoys, have_all_told)
    }

    /// What is known of the Envoy on this stream and of each of its resources, if it is connected.
    pub async fn details(&self, stream: u64) -> Option<EnvoyDetails> {
        let actor = self.envoys.get(&stream).map(|envoy| envoy.value().clone())?;
        actor.send(GetDetails).timeout(STATUS_TIMEOUT).await.ok()
    }

    /// Waits until everything that was published before has reached the actors of its consumers, and tells what is known of
    /// every Envoy then. `None` if one of them did not tell in time.
    pub async fn settled_status(&self) -> Option<Vec<EnvoyStatus>> {
        self.shared.directory.settle().await;
        let (envoys, have_all_told) = self.ask_all().await;
        have_all_told.then_some(envoys)
    }

    /// How many Envoys are connected.
    pub fn envoys_connected(&self) -> usize {
        self.admission.connected()
    }

    /// How many Envoys of each node are connected, of those that any are of.
    pub fn envoys_by_node(&self) -> HashMap<NodeId, usize> {
        self.admission.connected_by_node()
    }

    /// Whether a balancer had better send Envoys elsewhere; those that come nevertheless are taken until the limit.
    pub fn is_nearly_full(&self) -> bool {
        self.admission.is_nearly_full()
    }

    /// How many virtual services, nodes and gateways connected Envoys depend on.
    pub fn fragments_in_use(&self) -> usize {
        self.shared.directory.len()
    }
}

/// An Envoy that may connect.
pub struct Admitted<'a> {
    fleet: &'a Fleet,
    caller: Caller,
    place: Arc<Place>,
}

impl Admitted<'_> {
    /// Starts the actor of the Envoy, on the thread that this is called on if it is one of the actors'. It lives as long as
    /// there are requests to come, unless it ends the stream itself.
    pub fn open(
        self,
        requests: impl Stream<Item = Result<Request, StreamEnd>> + Send + 'static,
        transport: impl Transport,
    ) -> StreamHandle {
        let Self { fleet, caller, place } = self;
        let Caller { node, client, peer, service, protocol, .. } = caller;
        let stream = fleet.streams.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            %node,
            stream,
            client = client.as_str(),
            ?peer,
            service = service.label(),
            protocol = protocol.as_str(),
            "envoy connected"
        );
        let identity = Identity { stream, node, client, peer, service, connected: Moment::now() };
        let (outbox, news) = Outbox::new(transport);
        let (shared, envoys) = (Arc::clone(&fleet.shared), Arc::clone(&fleet.envoys));
        let actor = EnvoyActor::start_in_arbiter(&fleet.arbiters.here_or_next(), move |context| {
            let registration = Registration::new(envoys, stream, context.address(), place);
            context.add_stream(requests);
            EnvoyActor::new(identity, protocol, shared, outbox, registration, context)
        });
        StreamHandle::new(actor, news)
    }
}

/// Counts an Envoy among those that are connected, for as long as its actor lives.
pub(crate) struct Registration {
    envoys: Arc<Envoys>,
    stream: StreamNumber,
    _place: Arc<Place>,
}

impl Registration {
    pub(crate) fn new(
        envoys: Arc<Envoys>,
        stream: StreamNumber,
        actor: Addr<EnvoyActor>,
        place: Arc<Place>,
    ) -> Self {
        envoys.insert(stream, actor);
        Self { envoys, stream, _place: place }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.envoys.remove(&self.stream);
    }
}
