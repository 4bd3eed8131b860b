//! An Envoy that applies responses in the order in which they come, and asks as Envoys do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use legation_actors::request::{Interest, Rejection, Request};
use legation_actors::session::Session;
use legation_actors::snapshot::Snapshot;
use legation_proto::nonce::Nonce;
use legation_proto::resource_type::ResourceType::{
    self, Cluster, Endpoints, Listener, RouteConfiguration, Secret,
};
use legation_proto::response::{Protocol, Response};

use super::choices::Choices;
use super::world::{State, World, names_in, wanted};

/// So small that most answers with more than one resource are split.
const RESPONSE_BYTES_MAX: usize = 150;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Publish(World),
    ServerReads,
    EnvoyAccepts,
    EnvoyRejects,
    /// The Envoy answers with a nonce that it was never given.
    StaleAnswer,
    Reconnect,
}

impl Step {
    pub(crate) fn chosen(choices: &mut Choices<'_>) -> Self {
        match choices.below(8) {
            0 => Self::Publish(World::chosen(choices)),
            1 => Self::EnvoyRejects,
            2 => Self::StaleAnswer,
            3 => Self::Reconnect,
            4 | 5 => Self::EnvoyAccepts,
            _ => Self::ServerReads,
        }
    }
}

/// Clusters that were taken in and are not warm: their ACK waits until what they need has come, for better or worse.
struct Warming {
    nonce: Nonce,
    needed: [BTreeSet<String>; ResourceType::COUNT],
}

/// A nonce that is never given.
const STALE: Nonce = Nonce(u64::MAX);

/// An Envoy, and the stream between it and a session.
struct Run {
    protocol: Protocol,
    session: Session,
    current: Snapshot,
    to_server: VecDeque<Request>,
    to_envoy: VecDeque<Response>,
    state: [State; ResourceType::COUNT],
    versions: [String; ResourceType::COUNT],
    /// Names subscribed on this stream, of the types that are asked for by name.
    subscribed: [BTreeSet<String>; ResourceType::COUNT],
    un_acked: [usize; ResourceType::COUNT],
    warming: Option<Warming>,
    /// Secrets of which the Envoy has had any answer since it subscribed to them: clusters wait for them no more.
    answered_secrets: BTreeSet<String>,
    /// Whether the session may believe that the Envoy has less than it has.
    doubtful: [bool; ResourceType::COUNT],
    /// In state of the world a new host cannot know which clusters have gone since: it cannot keep them.
    clusters_may_be_missing: bool,
}

impl Run {
    fn new(protocol: Protocol) -> Self {
        let empty = World { clusters: BTreeMap::new(), routes: BTreeMap::new(), listener: None, secret: 0 }
            .snapshot();
        let mut run = Self {
            protocol,
            session: Session::with_response_bytes_max(protocol, RESPONSE_BYTES_MAX),
            current: empty,
            to_server: VecDeque::new(),
            to_envoy: VecDeque::new(),
            state: Default::default(),
            versions: Default::default(),
            subscribed: Default::default(),
            un_acked: Default::default(),
            warming: None,
            answered_secrets: BTreeSet::new(),
            doubtful: Default::default(),
            clusters_may_be_missing: false,
        };
        run.connect();
        run
    }

    fn connect(&mut self) {
        self.session = Session::with_response_bytes_max(self.protocol, RESPONSE_BYTES_MAX);
        self.session.on_snapshot(self.current.clone());
        self.to_server.clear();
        self.to_envoy.clear();
        self.subscribed = Default::default();
        self.un_acked = Default::default();
        self.warming = None;
        self.doubtful = Default::default();
        for resource_type in [Cluster, Listener] {
            let interest = match self.protocol {
                Protocol::Sotw => Interest::Sotw {
                    version_info: self.versions[resource_type.index()].clone(),
                    names: Vec::new(),
                },
                Protocol::Delta => Interest::Delta {
                    subscribe: Vec::new(),
                    unsubscribe: Vec::new(),
                    initial_versions: self.held_versions(resource_type),
                },
            };
            self.to_server.push_back(Request { resource_type, nonce: None, error: None, interest });
        }
        for resource_type in [Endpoints, Secret, RouteConfiguration] {
            self.resubscribe(resource_type);
        }
    }

    fn held_versions(&self, resource_type: ResourceType) -> Vec<(String, String)> {
        let held = self.state[resource_type.index()].iter();
        held.map(|(name, (_, version))| (name.clone(), version.to_string())).collect()
    }

    /// Asks for the names that are wanted now; forgets what is no longer.
    fn resubscribe(&mut self, resource_type: ResourceType) {
        let wanted = wanted(resource_type, &self.state);
        let first = self.subscribed[resource_type.index()].is_empty();
        let before = std::mem::replace(&mut self.subscribed[resource_type.index()], wanted.clone());
        self.state[resource_type.index()].retain(|name, _| wanted.contains(name));
        if resource_type == Secret {
            self.answered_secrets.retain(|name| wanted.contains(name));
        }
        if wanted == before {
            return;
        }
        let interest = match self.protocol {
            Protocol::Sotw => Interest::Sotw {
                version_info: self.versions[resource_type.index()].clone(),
                names: wanted.into_iter().collect(),
            },
            Protocol::Delta => Interest::Delta {
                subscribe: wanted.difference(&before).cloned().collect(),
                unsubscribe: before.difference(&wanted).cloned().collect(),
                initial_versions: if first { self.held_versions(resource_type) } else { Vec::new() },
            },
        };
        self.to_server.push_back(Request { resource_type, nonce: None, error: None, interest });
    }

    fn publish(&mut self, world: &World) {
        self.current = world.snapshot();
        self.session.on_snapshot(self.current.clone());
        self.pump();
    }

    fn pump(&mut self) {
        while let Some(response) = self.session.next_response() {
            let index = response.resource_type.index();
            self.un_acked[index] += 1;
            assert_eq!(self.un_acked[index], 1, "67: a second {} response", response.resource_type);
            let names: BTreeSet<_> = response.resources.iter().map(|resource| &resource.name).collect();
            assert_eq!(names.len(), response.resources.len(), "26, 65: {response:?}");
            assert!(response.removed.iter().all(|name| !names.contains(name)), "66: {response:?}");
            let whole = self.protocol == Protocol::Sotw && response.resource_type.is_full_state();
            let bytes: usize = response.resources.iter().map(|resource| resource.body.len()).sum();
            assert!(whole || names.len() <= 1 || bytes <= RESPONSE_BYTES_MAX, "62: {response:?}");
            self.to_envoy.push_back(response);
        }
    }

    fn server_reads(&mut self) {
        let Some(request) = self.to_server.pop_front() else {
            return;
        };
        if request.nonce.is_some_and(|nonce| nonce != STALE) {
            self.un_acked[request.resource_type.index()] -= 1;
        }
        self.session.on_request(request).unwrap();
        self.pump();
    }

    fn answer(&mut self, resource_type: ResourceType, nonce: Nonce, error: Option<Rejection>) {
        let interest = match self.protocol {
            Protocol::Sotw => Interest::Sotw {
                version_info: self.versions[resource_type.index()].clone(),
                names: self.subscribed[resource_type.index()].iter().cloned().collect(),
            },
            Protocol::Delta => Interest::Delta {
                subscribe: Vec::new(),
                unsubscribe: Vec::new(),
                initial_versions: Vec::new(),
            },
        };
        self.to_server.push_back(Request { resource_type, nonce: Some(nonce), error, interest });
    }

    /// Rejects a response that carries something; nobody rejects that something goes.
    fn envoy_rejects(&mut self) {
        let Some(response) = self.to_envoy.pop_front_if(|response| !response.resources.is_empty()) else {
            return;
        };
        let resource_type = response.resource_type;
        self.doubtful[resource_type.index()] = true;
        self.answer(resource_type, response.nonce, Some(Rejection::new(13, "no")));
        // whoever waits for something of this type is told of the failure
        self.came(resource_type, self.subscribed[resource_type.index()].clone());
    }

    fn envoy_accepts(&mut self) {
        let Some(response) = self.to_envoy.pop_front() else {
            return;
        };
        let resource_type = response.resource_type;
        let before = self.state[resource_type.index()].clone();
        let state = &mut self.state[resource_type.index()];
        if self.protocol == Protocol::Sotw && resource_type.is_full_state() {
            state.clear();
        }
        for resource in &response.resources {
            let body = String::from_utf8(resource.body.to_bytes().to_vec()).unwrap();
            let wanted = resource_type.is_full_state()
                || self.subscribed[resource_type.index()].contains(&*resource.name);
            if wanted {
                state.insert(resource.name.to_string(), (body, resource.version));
            }
        }
        for name in &response.removed {
            state.remove(&**name);
        }
        if resource_type.is_full_state() && !self.doubtful[resource_type.index()] && !before.is_empty() {
            let bodies =
                |state: &State| state.iter().map(|(name, (body, _))| (name.clone(), body.clone())).collect();
            let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) = (bodies(&before), bodies(state));
            assert_ne!(before, after, "27: {resource_type} was resent without cause");
        }
        self.versions[resource_type.index()] = response.version.to_string();
        self.check_references();
        match resource_type {
            Cluster => {
                self.resubscribe(Endpoints);
                self.resubscribe(Secret);
            }
            Listener => {
                self.resubscribe(RouteConfiguration);
                self.resubscribe(Secret);
            }
            Endpoints | Secret | RouteConfiguration => {}
        }
        if resource_type == Cluster {
            return self.warm(response.nonce, &before);
        }
        self.answer(resource_type, response.nonce, None);
        let resources = response.resources.iter().map(|resource| &resource.name);
        let names = resources.chain(&response.removed).map(ToString::to_string);
        self.came(resource_type, names.collect());
    }

    /// Clusters that changed warm: endpoints have to come again, secrets may be there.
    fn warm(&mut self, nonce: Nonce, before: &State) {
        let mut needed: [BTreeSet<String>; ResourceType::COUNT] = Default::default();
        for (name, (body, _)) in &self.state[Cluster.index()] {
            if before.get(name).is_some_and(|(before, _)| before == body) {
                continue;
            }
            if name.starts_with("eds") {
                needed[Endpoints.index()].insert(name.clone());
            }
            if name.contains("tls") && !self.answered_secrets.contains(name) {
                needed[Secret.index()].insert(name.clone());
            }
        }
        self.warming = Some(Warming { nonce, needed });
        self.came(Cluster, BTreeSet::new());
    }

    /// These came, or are known not to; the clusters are accepted once they need nothing more.
    fn came(&mut self, resource_type: ResourceType, names: BTreeSet<String>) {
        if resource_type == Secret {
            let subscribed = &self.subscribed[Secret.index()];
            self.answered_secrets.extend(names.iter().filter(|name| subscribed.contains(*name)).cloned());
        }
        let is_warm = |warming: &mut Warming| {
            warming.needed[resource_type.index()].retain(|name| !names.contains(name));
            warming.needed.iter().all(BTreeSet::is_empty)
        };
        if let Some(warming) = self.warming.take_if(is_warm) {
            self.answer(Cluster, warming.nonce, None);
        }
    }

    /// An Envoy that waits for a secret that will not come, as state of the world has no word for it, gives up in the end.
    fn gives_up_warming(&mut self) -> bool {
        let Some(warming) = self.warming.take() else {
            return false;
        };
        for resource_type in ResourceType::ALL {
            for name in &warming.needed[resource_type.index()] {
                let comes = self.current.set(resource_type).get(name).is_some();
                assert!(
                    self.protocol == Protocol::Sotw && resource_type == Secret && !comes,
                    "73: a cluster waits for {resource_type} {name}"
                );
            }
        }
        self.answer(Cluster, warming.nonce, None);
        true
    }

    /// No route names a cluster that is not there.
    fn check_references(&mut self) {
        let clusters = &self.state[Cluster.index()];
        for (name, (body, _)) in &self.state[RouteConfiguration.index()] {
            for cluster in names_in(body) {
                let there = clusters.contains_key(&cluster) || self.clusters_may_be_missing;
                assert!(there, "70, 71: route {name} names cluster {cluster}, the envoy has {clusters:?}");
            }
        }
    }

    fn reconnect(&mut self) {
        self.clusters_may_be_missing |= self.protocol == Protocol::Sotw;
        self.connect();
    }

    /// Everything is delivered and accepted.
    fn drain(&mut self) {
        for _ in 0..1000 {
            if self.to_server.is_empty() && self.to_envoy.is_empty() && !self.gives_up_warming() {
                return;
            }
            self.server_reads();
            self.envoy_accepts();
        }
        panic!("the stream never comes to rest: {:?} {:?}", self.to_server, self.to_envoy);
    }

    fn assert_converged(&self) {
        assert!(self.session.is_synced(), "not in sync: {:?}", self.session);
        for resource_type in ResourceType::ALL {
            let has: BTreeMap<_, _> = self.state[resource_type.index()]
                .iter()
                .map(|(name, (body, _))| (name.clone(), body.clone()))
                .collect();
            let wanted = wanted(resource_type, &self.state);
            let should: BTreeMap<_, _> = self
                .current
                .set(resource_type)
                .resources()
                .iter()
                .filter(|resource| resource_type.is_full_state() || wanted.contains(&*resource.name))
                .map(|resource| {
                    (resource.name.to_string(), String::from_utf8(resource.body.to_bytes().to_vec()).unwrap())
                })
                .collect();
            // state of the world cannot take endpoints or routes away; what nothing refers to does no harm
            if self.protocol == Protocol::Delta || resource_type.is_full_state() {
                assert_eq!(has, should, "{resource_type}");
            } else {
                assert!(
                    should.iter().all(|(name, body)| has.get(name) == Some(body)),
                    "{resource_type}: {has:?} {should:?}"
                );
            }
        }
    }
}

pub(crate) fn check(protocol: Protocol, steps: Vec<Step>, last: &World) {
    let mut run = Run::new(protocol);
    for step in steps {
        match step {
            Step::Publish(world) => run.publish(&world),
            Step::ServerReads => run.server_reads(),
            Step::EnvoyAccepts => run.envoy_accepts(),
            Step::EnvoyRejects => run.envoy_rejects(),
            Step::StaleAnswer => run.answer(Cluster, STALE, None),
            Step::Reconnect => run.reconnect(),
        }
    }
    run.publish(&last.fresh());
    run.drain();
    run.session.end_opening();
    run.pump();
    run.drain();
    run.assert_converged();
    run.clusters_may_be_missing = false;
    run.publish(last);
    run.drain();
    run.assert_converged();
}
