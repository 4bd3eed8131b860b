//! One actor for every connected Envoy: it follows the fragment of its node and those of its backends, composes what
//! the Envoy should have, and drives its session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, MessageResult, StreamHandler};
use legation_proto::fragment::Fragment;
use legation_proto::id::{FragmentKey, FragmentKind, NodeId};
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use legation_proto::service::Service;

use crate::composition::{Client, Composition, Problems};
use crate::directory::Directory;
use crate::fleet::Registration;
use crate::fragment_actor::StreamNumber;
use crate::inbox::{Inbox, Wake};
use crate::metrics::{self, ResponseMetrics};
use crate::moment::Moment;
use crate::propagation::Propagation;
use crate::request::Request;
use crate::session::{Outcome, Session};
use crate::snapshot::Snapshot;
use crate::status::{EnvoyDetails, EnvoyStatus, Times};
use crate::stream::{Outbox, StreamEnd};

/// How long a new stream may take to ask for everything that its Envoy follows from an earlier one. Envoys ask at once.
const OPENING: Duration = Duration::from_secs(1);

/// What is known of an Envoy from the start of its stream.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) stream: StreamNumber,
    pub(crate) node: NodeId,
    pub(crate) client: Client,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) service: Service,
    pub(crate) connected: Moment,
}

/// What the Envoys' actors share.
pub(crate) struct Shared {
    pub(crate) directory: Arc<Directory>,
    /// `control_plane.identifier` of this host.
    pub(crate) control_plane: String,
    /// How long a response may stay unanswered.
    pub(crate) stall_timeout: Duration,
    pub(crate) metrics: ResponseMetrics,
}

/// Drives the stream of one Envoy.
pub(crate) struct EnvoyActor {
    identity: Identity,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    composition: Option<Arc<Composition>>,
    node: Option<Arc<Fragment>>,
    /// The backends of the node, in the order of their names: all of them are looked at with every change.
    backends: Vec<Backend>,
    /// Whether the session knows what the Envoy should have by now: nothing that it takes is on its way, and it could be
    /// composed.
    is_composed: bool,
    /// Commits of which the Envoy has not accepted yet what came of them.
    propagations: Vec<Arc<Propagation>>,
    session: Session,
    outbox: Outbox,
    /// What its node asks for and the Envoy does not get.
    problems: Problems,
    /// Whether the check for a stalled Envoy is on its way.
    stall_check_due: bool,
    last: [Last; ResourceType::COUNT],
    _registration: Registration,
}

/// When something last happened, of one type.
#[derive(Clone, Copy, Default)]
struct Last {
    sent: Option<Instant>,
    acked: Option<Instant>,
    nacked: Option<Instant>,
    /// Whether what was sent waits for its answer.
    is_waiting: bool,
}

/// A virtual service that the node may reach.
struct Backend {
    name: Arc<str>,
    state: BackendState,
}

/// What is known of a backend.
enum BackendState {
    /// Its fragment's actor has not told yet.
    Unknown,
    /// The node names it, and it does not exist yet.
    Missing,
    Present(Arc<Fragment>),
}

impl Backend {
    /// Its name and its fragment, if it exists.
    fn present(&self) -> Option<(&Arc<str>, &Arc<Fragment>)> {
        match &self.state {
            BackendState::Present(fragment) => Some((&self.name, fragment)),
            BackendState::Unknown | BackendState::Missing => None,
        }
    }
}

impl EnvoyActor {
    pub(crate) fn new(
        identity: Identity,
        protocol: Protocol,
        shared: Arc<Shared>,
        outbox: Outbox,
        registration: Registration,
        context: &mut Context<Self>,
    ) -> Self {
        let session = Session::on_service(protocol, identity.service);
        Self {
            identity,
            shared,
            inbox: Arc::new(Inbox::new(context.address().recipient())),
            composition: None,
            node: None,
            backends: Vec::new(),
            is_composed: false,
            propagations: Vec::new(),
            session,
            outbox,
            problems: Problems::default(),
            stall_check_due: false,
            last: Default::default(),
            _registration: registration,
        }
    }

    fn end(&mut self, reason: StreamEnd, context: &mut Context<Self>) {
        if self.outbox.has_ended() {
            return;
        }
        tracing::info!(node = %self.identity.node, stream = self.identity.stream, %reason, "stream ends");
        if reason == StreamEnd::Stalled {
            metrics::stalled();
        }
        self.outbox.end(reason);
        context.stop();
    }

    fn backend_key(&self, name: &str) -> FragmentKey {
        FragmentKey::virtual_service(&self.identity.node.key().mesh, name)
    }

    /// The backend of this name, which the directory gave: names are compared where they are not the very same.
    fn backend(&mut self, name: &Arc<str>) -> Option<&mut Backend> {
        let is_it = |backend: &Backend| Arc::ptr_eq(&backend.name, name);
        let place = self.backends.iter().position(is_it).or_else(|| {
            self.backends.binary_search_by(|backend| backend.name.as_ref().cmp(name.as_ref())).ok()
        })?;
        self.backends.get_mut(place)
    }

    /// Takes in a new fragment of the node: subscribes to the backends that came, leaves those that went.
    fn follow(&mut self, node: Arc<Fragment>) {
        let backends = match node.as_ref() {
            Fragment::Node(fragment) => fragment.backends.as_slice(),
            Fragment::Service(_) => &[],
        };
        let stream = self.identity.stream;
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.backends)
            .into_iter()
            .partition(|backend| backends.binary_search(&backend.name).is_ok());
        for backend in gone {
            self.shared.directory.unsubscribe(&self.backend_key(&backend.name), stream);
        }
        let mut kept = kept.into_iter().peekable();
        for name in backends {
            let backend = kept.next_if(|backend| backend.name == *name).unwrap_or_else(|| {
                let key = self.backend_key(name);
                let subscription = self.shared.directory.subscribe(&key, stream, Arc::clone(&self.inbox));
                Backend { name: subscription.key.name, state: BackendState::Unknown }
            });
            self.backends.push(backend);
        }
        self.node = Some(node);
    }

    /// Composes and passes the result to the session, once everything that it takes is known.
    fn compose(&mut self) {
        self.is_composed = false;
        let (Some(node), Some(composition)) = (&self.node, &self.composition) else {
            return;
        };
        if self.backends.iter().any(|backend| matches!(backend.state, BackendState::Unknown)) {
            return;
        }
        let present = self.backends.iter().filter_map(Backend::present);
        match composition.compose(self.identity.client, node, present) {
            Ok(composed) => {
                self.session.on_snapshot(composed.snapshot);
                self.is_composed = true;
                self.report(composed.problems);
            }
            Err(error) => {
                tracing::error!(node = %self.identity.node, %error, "envoy keeps what it has");
                self.report(vec![error.to_string()].into());
            }
        }
    }

    /// Tells of what the Envoy lacks, once.
    fn report(&mut self, problems: Problems) {
        for problem in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!(node = %self.identity.node, stream = self.identity.stream, problem, "envoy lacks something");
        }
        self.problems = problems;
    }

    fn send_responses(&mut self, context: &mut Context<Self>) {
        while let Some(response) = self.session.next_response() {
            let index = response.resource_type.index();
            let frame = response.encode(self.session.protocol(), &self.shared.control_plane);
            if self.outbox.send(frame).is_err() {
                return self.end(StreamEnd::Stalled, context);
            }
            self.shared.metrics.pushed(response.resource_type);
            let last = &mut self.last[index];
            (last.sent, last.is_waiting) = (Some(Instant::now()), true);
        }
        if let Some(greeting) = self.session.greeting() {
            let frame = greeting.encode(self.session.protocol(), &self.shared.control_plane);
            if self.outbox.send(frame).is_err() {
                return self.end(StreamEnd::Stalled, context);
            }
        }
        if self.session.snapshot().is_some() {
            self.outbox.set_served();
        }
        self.let_go_of_propagations();
        if !self.stall_check_due {
            self.check_for_stall(context);
        }
    }

    fn is_synced(&self) -> bool {
        self.is_composed && self.session.is_synced()
    }

    /// An Envoy in sync has accepted whatever came of the commits so far.
    fn let_go_of_propagations(&mut self) {
        if self.propagations.is_empty() {
            return;
        }
        if self.is_synced() {
            self.propagations.clear();
        } else {
            self.propagations.iter().for_each(|propagation| propagation.reach());
        }
    }

    fn status(&self) -> EnvoyStatus {
        EnvoyStatus {
            node: self.identity.node.clone(),
            stream: self.identity.stream,
            client: self.identity.client,
            peer: self.identity.peer,
            service: self.identity.service,
            protocol: self.session.protocol(),
            connected_at: self.identity.connected.system_time(),
            transaction: self.session.snapshot().filter(|_| self.is_composed).map(Snapshot::transaction),
            synced: self.is_synced(),
            problems: self.problems.clone(),
            types: ResourceType::ALL.map(|resource_type| self.session.status(resource_type)),
            times: self.last.map(|last| self.times(last)),
        }
    }

    fn times(&self, Last { sent, acked, nacked, .. }: Last) -> Times {
        let [sent, acked, nacked] =
            [sent, acked, nacked].map(|instant| Some(self.identity.connected.system_time_of(instant?)));
        Times { sent, acked, nacked }
    }

    /// Ends the stream of an Envoy that leaves a response unanswered; looks again when the oldest one will be due.
    fn check_for_stall(&mut self, context: &mut Context<Self>) {
        let waiting = self.last.iter().filter(|last| last.is_waiting);
        let Some(oldest) = waiting.filter_map(|last| last.sent).min() else {
            return;
        };
        let remaining = self.shared.stall_timeout.saturating_sub(oldest.elapsed());
        if remaining.is_zero() {
            return self.end(StreamEnd::Stalled, context);
        }
        if !self.stall_check_due {
            self.stall_check_due = true;
            let actor = context.address().downgrade();
            // not in the actor's context, which would look at it with every message
            actix::spawn(async move {
                tokio::time::sleep(remaining).await;
                if let Some(actor) = actor.upgrade() {
                    actor.do_send(CheckForStall);
                }
            });
        }
    }

    /// Takes note of how the Envoy answered.
    fn answered(&mut self, resource_type: ResourceType, outcome: Outcome) {
        if outcome == Outcome::Subscribed {
            return;
        }
        let now = Instant::now();
        let last = &mut self.last[resource_type.index()];
        last.is_waiting = false;
        if outcome == Outcome::Acked {
            last.acked = Some(now);
            let after = last.sent.map(|sent| now.duration_since(sent));
            return self.shared.metrics.acked(resource_type, after);
        }
        last.nacked = Some(now);
        self.shared.metrics.nacked(resource_type);
        if let Some(nack) = self.session.status(resource_type).nacked {
            tracing::warn!(
                node = %self.identity.node,
                stream = self.identity.stream,
                r#type = resource_type.label(),
                version = %nack.version,
                code = nack.rejection.code,
                message = nack.rejection.message,
                "envoy rejected a response"
            );
        }
    }
}

impl Actor for EnvoyActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Identity { node, stream, .. } = &self.identity;
        let subscription = self.shared.directory.subscribe(node.key(), *stream, Arc::clone(&self.inbox));
        self.composition = subscription.composition;
        context.run_later(OPENING, |actor, context| {
            actor.session.end_opening();
            actor.send_responses(context);
        });
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        let stream = self.identity.stream;
        self.shared.directory.unsubscribe(self.identity.node.key(), stream);
        for backend in &self.backends {
            self.shared.directory.unsubscribe(&self.backend_key(&backend.name), stream);
        }
    }
}

impl Handler<Wake> for EnvoyActor {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        if self.inbox.is_cut_off() {
            return self.end(StreamEnd::Failed, context);
        }
        // that of the node, which tells what the backends are, comes before theirs
        for (key, publication) in self.inbox.take() {
            if key.kind != FragmentKind::VirtualService {
                self.propagations.extend(publication.propagation);
                let Some(node) = publication.fragment else {
                    return self.end(StreamEnd::NodeNotFound(self.identity.node.clone()), context);
                };
                self.follow(node);
            } else if let Some(backend) = self.backend(&key.name) {
                // one that is no longer followed may still have been on its way
                backend.state = publication.fragment.map_or(BackendState::Missing, BackendState::Present);
                self.propagations.extend(publication.propagation);
            }
        }
        self.compose();
        self.send_responses(context);
    }
}

/// The requests of the Envoy, one after the other: the next is read once this one was taken in.
impl StreamHandler<Result<Request, StreamEnd>> for EnvoyActor {
    fn handle(&mut self, request: Result<Request, StreamEnd>, context: &mut Context<Self>) {
        if self.outbox.has_ended() {
            return;
        }
        let request = match request {
            Ok(request) => request,
            Err(reason) => return self.end(reason, context),
        };
        let resource_type = request.resource_type;
        match self.session.on_request(request) {
            Ok(outcome) => {
                self.answered(resource_type, outcome);
                self.send_responses(context);
            }
            Err(violation) => self.end(StreamEnd::Violation(violation), context),
        }
    }

    fn finished(&mut self, context: &mut Context<Self>) {
        self.end(StreamEnd::Closed, context);
    }
}

/// Ends the stream.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct End(pub(crate) StreamEnd);

impl Handler<End> for EnvoyActor {
    type Result = ();

    fn handle(&mut self, message: End, context: &mut Context<Self>) {
        self.end(message.0, context);
    }
}

/// Looks again for a response that was left unanswered.
#[derive(Message)]
#[rtype(result = "()")]
struct CheckForStall;

impl Handler<CheckForStall> for EnvoyActor {
    type Result = ();

    fn handle(&mut self, _: CheckForStall, context: &mut Context<Self>) {
        self.stall_check_due = false;
        self.check_for_stall(context);
    }
}

/// Asks what is known of the Envoy.
#[derive(Message)]
#[rtype(result = "EnvoyStatus")]
pub(crate) struct GetStatus;

impl Handler<GetStatus> for EnvoyActor {
    type Result = MessageResult<GetStatus>;

    fn handle(&mut self, _: GetStatus, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.status())
    }
}

/// Asks what is known of the Envoy, and of each of its resources.
#[derive(Message)]
#[rtype(result = "EnvoyDetails")]
pub(crate) struct GetDetails;

impl Handler<GetDetails> for EnvoyActor {
    type Result = MessageResult<GetDetails>;

    fn handle(&mut self, _: GetDetails, _: &mut Context<Self>) -> Self::Result {
        MessageResult(EnvoyDetails { status: self.status(), resources: self.session.resources() })
    }
}
