//! An Envoy that accepts everything, and what it is sent: at the other end is the session that real ones have.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use legation_actors::request::{Interest, Request};
use legation_actors::session::Session;
use legation_actors::snapshot::Snapshot;
use legation_proto::nonce::Nonce;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::{Protocol, Response};

/// What an Envoy is sent of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many responses.
    pub responses: usize,
    /// Their bytes, with what gRPC puts before each.
    pub bytes: usize,
}

/// What is sent by type, in the order of [`ResourceType::ALL`].
type SentByType = [Sent; ResourceType::COUNT];

/// What a delta Envoy that has all of `before` is sent to have all of `after`; without `before`, what one is sent that connects
/// and has nothing.
pub(super) fn sent(before: Option<&Snapshot>, after: &Snapshot, control_plane: &str) -> SentByType {
    let mut envoy = Envoy::new(control_plane);
    let Some(before) = before else {
        envoy.take(after);
        return envoy.connect();
    };
    envoy.take(before);
    envoy.connect();
    envoy.take(after);
    envoy.run()
}

/// An Envoy and its session. It asks as Envoys do: for all clusters and listeners, and for the endpoints and routes that
/// those name. It stops asking for endpoints once their cluster is gone, or is one that looks them up itself, and goes on asking
/// for routes: listeners that are replaced live until their connections were drained.
struct Envoy<'a> {
    session: Session,
    control_plane: &'a str,
    endpoints: BTreeSet<Arc<str>>,
    routes: BTreeSet<Arc<str>>,
    unanswered: VecDeque<Response>,
    sent: SentByType,
}

impl<'a> Envoy<'a> {
    fn new(control_plane: &'a str) -> Self {
        Self {
            session: Session::new(Protocol::Delta),
            control_plane,
            endpoints: BTreeSet::new(),
            routes: BTreeSet::new(),
            unanswered: VecDeque::new(),
            sent: SentByType::default(),
        }
    }

    fn take(&mut self, snapshot: &Snapshot) {
        self.session.on_snapshot(snapshot.clone());
    }

    /// Opens the stream and runs. Listeners are asked for when the clusters are there.
    fn connect(&mut self) -> SentByType {
        self.ask(ResourceType::Cluster, None, Vec::new(), Vec::new());
        let clusters = self.run();
        self.ask(ResourceType::Listener, None, Vec::new(), Vec::new());
        self.sent = clusters;
        self.run()
    }

    /// Accepts whatever comes until nothing does. The answer is what came.
    fn run(&mut self) -> SentByType {
        self.receive();
        while let Some(response) = self.unanswered.pop_front() {
            match response.resource_type {
                ResourceType::Cluster => self.follow_clusters(&response),
                ResourceType::Listener => self.follow_routes(),
                ResourceType::Endpoints | ResourceType::Secret | ResourceType::RouteConfiguration => {}
            }
            self.ask(response.resource_type, Some(response.nonce), Vec::new(), Vec::new());
            self.receive();
        }
        std::mem::take(&mut self.sent)
    }

    fn receive(&mut self) {
        while let Some(response) = self.session.next_response() {
            let sent = &mut self.sent[response.resource_type.index()];
            sent.responses += 1;
            sent.bytes += response.encode(Protocol::Delta, self.control_plane).len();
            self.unanswered.push_back(response);
        }
    }

    /// Asks for the endpoints of clusters that came, no more for those of clusters that went.
    fn follow_clusters(&mut self, response: &Response) {
        let Some(snapshot) = self.session.snapshot() else { return };
        // endpoints have the name of their cluster
        let known = snapshot.set(ResourceType::Endpoints);
        let came = response.resources.iter().map(|resource| &resource.name);
        let mut wanted = self.endpoints.clone();
        for name in response.removed.iter().chain(came.clone()) {
            wanted.remove(name);
        }
        wanted.extend(came.filter(|name| known.get(name).is_some()).cloned());
        let come = names(wanted.difference(&self.endpoints));
        let gone = names(self.endpoints.difference(&wanted));
        self.endpoints = wanted;
        self.ask_for_others(ResourceType::Endpoints, come, gone);
    }

    /// Asks for the routes of listeners that came.
    fn follow_routes(&mut self) {
        let Some(snapshot) = self.session.snapshot() else { return };
        let wanted = snapshot.set(ResourceType::RouteConfiguration).resources();
        let wanted: Vec<Arc<str>> = wanted.iter().map(|resource| Arc::clone(&resource.name)).collect();
        let come = names(wanted.iter().filter(|name| !self.routes.contains(*name)));
        self.routes.extend(wanted);
        self.ask_for_others(ResourceType::RouteConfiguration, come, Vec::new());
    }

    fn ask_for_others(&mut self, resource_type: ResourceType, come: Vec<String>, gone: Vec<String>) {
        if !come.is_empty() || !gone.is_empty() {
            self.ask(resource_type, None, come, gone);
            self.receive();
        }
    }

    fn ask(
        &mut self,
        resource_type: ResourceType,
        nonce: Option<Nonce>,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
    ) {
        let interest = Interest::Delta { subscribe, unsubscribe, initial_versions: Vec::new() };
        // nothing else is refused than more names than there are
        let _ = self.session.on_request(Request { resource_type, nonce, error: None, interest });
    }
}

fn names<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> Vec<String> {
    names.map(ToString::to_string).collect()
}
