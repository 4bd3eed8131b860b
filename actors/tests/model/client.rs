//! A client that sends anything in any order, and behaves in the end.

use std::collections::{BTreeSet, VecDeque};

use legation_actors::request::{Interest, Rejection, Request};
use legation_actors::session::{Outcome, Session, Violation};
use legation_actors::snapshot::Snapshot;
use legation_proto::nonce::Nonce;
use legation_proto::resource_type::ResourceType::{
    self, Cluster, Endpoints, Listener, RouteConfiguration, Secret,
};
use legation_proto::response::{Protocol, Response};

use super::choices::Choices;
use super::world::{CLUSTERS, ROUTES, State, World, wanted};

/// Most responses of a type that have one cause: what should be there, and then that something goes.
const RESPONSES_OF_A_CAUSE: u8 = 2;

/// The same for clusters in state of the world: if what is going is rejected, it is sent as it was accepted.
const RESPONSES_OF_A_CAUSE_FOR_CLUSTERS: u8 = 3;

/// How much longer than that of a session without a past the description of a session may be, in bytes: nonces have more
/// digits, a rejection is remembered.
const PAST_BYTES_MAX: usize = 1000;

/// Most responses that a stream takes to come to rest.
const RESPONSES_TO_REST_MAX: usize = 100;

/// What the client is subscribed to, of one type; written from the protocol's description, not from the session.
#[derive(Clone, Default)]
struct Subscription {
    started: bool,
    wildcard: Wildcard,
    names: BTreeSet<String>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Wildcard {
    #[default]
    No,
    Legacy,
    Explicit,
}

impl Subscription {
    fn covers(&self, name: &str) -> bool {
        self.wildcard != Wildcard::No || self.names.contains(name)
    }

    /// Takes in what the client asks; whether that is something to answer.
    fn ask(&mut self, resource_type: ResourceType, interest: &Interest) -> bool {
        let first = !std::mem::replace(&mut self.started, true);
        let legacy = first && resource_type.is_full_state();
        let before = (self.wildcard, self.names.clone());
        match interest {
            Interest::Sotw { names, .. } => {
                let wildcard = names.iter().any(|name| name == "*");
                self.wildcard = match () {
                    () if wildcard => Wildcard::Explicit,
                    () if names.is_empty() && (legacy || self.wildcard == Wildcard::Legacy) => {
                        Wildcard::Legacy
                    }
                    () => Wildcard::No,
                };
                self.names = names.iter().filter(|name| *name != "*").cloned().collect();
                first || before != (self.wildcard, self.names.clone())
            }
            Interest::Delta { subscribe, unsubscribe, .. } => {
                if legacy && subscribe.is_empty() && unsubscribe.is_empty() {
                    self.wildcard = Wildcard::Legacy;
                }
                for name in subscribe {
                    if name == "*" {
                        self.wildcard = Wildcard::Explicit;
                    } else {
                        self.names.insert(name.clone());
                    }
                }
                for name in unsubscribe {
                    if name == "*" {
                        self.wildcard = Wildcard::No;
                    } else {
                        self.names.remove(name);
                    }
                }
                first || !subscribe.is_empty() || !unsubscribe.is_empty()
            }
        }
    }

    /// All of it, as names.
    fn as_names(&self) -> Vec<String> {
        let wildcard = (self.wildcard == Wildcard::Explicit).then(|| "*".to_owned());
        wildcard.into_iter().chain(self.names.iter().cloned()).collect()
    }
}

struct Client {
    protocol: Protocol,
    session: Session,
    current: Snapshot,
    subscriptions: [Subscription; ResourceType::COUNT],
    state: [State; ResourceType::COUNT],
    /// Responses that the client has not read.
    to_client: VecDeque<Response>,
    /// The nonces that were ever given.
    nonces: BTreeSet<Nonce>,
    /// Those that the client has read, of every type.
    nonces_read: [Vec<Nonce>; ResourceType::COUNT],
    /// The nonce of the response that waits for an answer.
    unanswered: [Option<Nonce>; ResourceType::COUNT],
    /// How many more responses have a cause.
    caused: [u8; ResourceType::COUNT],
}

impl Client {
    fn connect(protocol: Protocol, current: Snapshot) -> Self {
        let mut session = Session::new(protocol);
        session.on_snapshot(current.clone());
        Self {
            protocol,
            session,
            current,
            subscriptions: Default::default(),
            state: Default::default(),
            to_client: VecDeque::new(),
            nonces: BTreeSet::new(),
            nonces_read: Default::default(),
            unanswered: Default::default(),
            caused: Default::default(),
        }
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.below(8) {
            0 => self.publish(&World::chosen(choices)),
            1 => {
                self.read();
            }
            2 | 3 => self.accept(),
            4 => self.reject(),
            5 => match choices.below(4) {
                0 => *self = Self::connect(self.protocol, self.current.clone()),
                1 => {
                    self.session.end_opening();
                    self.pump();
                }
                2 => self.ask_in_the_other_form(choices),
                _ => self.read_to_the_end(),
            },
            _ => self.ask_anything(choices),
        }
    }

    fn publish(&mut self, world: &World) {
        let next = world.snapshot();
        for resource_type in ResourceType::ALL {
            if next.set(resource_type) != self.current.set(resource_type) {
                self.cause(resource_type);
            }
        }
        self.current = next.clone();
        self.session.on_snapshot(next);
        self.pump();
    }

    fn cause(&mut self, resource_type: ResourceType) {
        self.caused[resource_type.index()] = match (self.protocol, resource_type) {
            (Protocol::Sotw, Cluster) => RESPONSES_OF_A_CAUSE_FOR_CLUSTERS,
            _ => RESPONSES_OF_A_CAUSE,
        };
    }

    fn pump(&mut self) {
        while let Some(response) = self.session.next_response() {
            let resource_type = response.resource_type;
            let index = resource_type.index();
            let subscription = &self.subscriptions[index];
            assert!(self.unanswered[index].is_none(), "67: a second response: {response:?}");
            assert!(self.nonces.insert(response.nonce), "6: {response:?}");
            self.caused[index] = self.caused[index]
                .checked_sub(1)
                .unwrap_or_else(|| panic!("27: without cause: {response:?}"));
            let names: BTreeSet<&str> = response.resources.iter().map(|resource| &*resource.name).collect();
            assert_eq!(names.len(), response.resources.len(), "26, 65: {response:?}");
            assert!(self.protocol == Protocol::Delta || response.removed.is_empty(), "25: {response:?}");
            let removed: BTreeSet<&str> = response.removed.iter().map(|name| &**name).collect();
            assert!(names.is_disjoint(&removed), "66: {response:?}");
            let mut all = names.union(&removed);
            assert!(all.all(|name| subscription.covers(name)), "20, 50: not asked for: {response:?}");
            self.unanswered[index] = Some(response.nonce);
            if resource_type == Cluster {
                self.cause(Endpoints);
            }
            self.to_client.push_back(response);
        }
    }

    fn request(
        &mut self,
        resource_type: ResourceType,
        nonce: Option<Nonce>,
        error: Option<Rejection>,
        interest: Interest,
    ) {
        let index = resource_type.index();
        let outcome = match (&error, self.unanswered[index].take_if(|unanswered| Some(*unanswered) == nonce))
        {
            (_, None) => Outcome::Subscribed,
            (None, Some(_)) => Outcome::Acked,
            (Some(_), Some(_)) => Outcome::Nacked,
        };
        if self.subscriptions[index].ask(resource_type, &interest) {
            self.cause(resource_type);
        }
        let subscription = &self.subscriptions[index];
        self.state[index].retain(|name, _| subscription.covers(name));
        let request = Request { resource_type, nonce, error, interest };
        assert_eq!(self.session.on_request(request), Ok(outcome), "31, 32, 36");
        self.pump();
    }

    /// Any nonce, any names, accepting or rejecting.
    fn ask_anything(&mut self, choices: &mut Choices<'_>) {
        let resource_type = choices.one_of(&ResourceType::ALL);
        let read = &self.nonces_read[resource_type.index()];
        let nonce = match choices.below(4) {
            0 => None,
            1 => Some(Nonce(u64::MAX)), // never given
            2 => read.first().copied(),
            _ => read.last().copied(),
        };
        let error = choices.yes().then(|| Rejection::new(13, "no"));
        let interest = match self.protocol {
            Protocol::Sotw => {
                let version = self.current.set(resource_type).version().to_string();
                let versions = [String::new(), version, "of another control plane".to_owned()];
                Interest::Sotw {
                    version_info: versions[usize::from(choices.below(3))].clone(),
                    names: names(choices),
                }
            }
            Protocol::Delta => Interest::Delta {
                subscribe: names(choices),
                unsubscribe: names(choices),
                initial_versions: self.initial_versions(resource_type, choices),
            },
        };
        self.request(resource_type, nonce, error, interest);
    }

    /// What the client says it has, which need not be true.
    fn initial_versions(
        &self,
        resource_type: ResourceType,
        choices: &mut Choices<'_>,
    ) -> Vec<(String, String)> {
        let set = self.current.set(resource_type);
        let versions = names(choices).into_iter().map(|name| {
            let version =
                set.get(&name).filter(|_| choices.yes()).map(|resource| resource.version.to_string());
            (name, version.unwrap_or_else(|| "of another control plane".to_owned()))
        });
        versions.collect()
    }

    /// Ends the stream, as such a request does.
    fn ask_in_the_other_form(&mut self, choices: &mut Choices<'_>) {
        let interest = match self.protocol {
            Protocol::Delta => Interest::Sotw { version_info: String::new(), names: names(choices) },
            Protocol::Sotw => {
                let (subscribe, unsubscribe) = (names(choices), names(choices));
                Interest::Delta { subscribe, unsubscribe, initial_versions: Vec::new() }
            }
        };
        let resource_type = choices.one_of(&ResourceType::ALL);
        let request = Request { resource_type, nonce: None, error: None, interest };
        assert_eq!(self.session.on_request(request), Err(Violation::WrongProtocol(self.protocol)));
        *self = Self::connect(self.protocol, self.current.clone());
    }

    /// Applies the next response and leaves it unanswered.
    fn read(&mut self) -> Option<Response> {
        let response = self.to_client.pop_front()?;
        self.drop_what_goes(&response);
        let index = response.resource_type.index();
        self.nonces_read[index].push(response.nonce);
        for resource in &response.resources {
            if self.subscriptions[index].covers(&resource.name) {
                let body = String::from_utf8(resource.body.to_bytes().to_vec()).unwrap();
                self.state[index].insert(resource.name.to_string(), (body, resource.version));
            }
        }
        Some(response)
    }

    fn read_to_the_end(&mut self) {
        while self.read().is_some() {}
    }

    fn drop_what_goes(&mut self, response: &Response) {
        let state = &mut self.state[response.resource_type.index()];
        if self.protocol == Protocol::Sotw && response.resource_type.is_full_state() {
            state.retain(|name, _| response.resources.iter().any(|resource| *resource.name == **name));
        }
        for name in &response.removed {
            state.remove(&**name);
        }
    }

    fn accept(&mut self) {
        if let Some(response) = self.read() {
            self.answer(response.resource_type, response.nonce, None);
        }
    }

    /// Rejects what a response brings. That something goes cannot be rejected in earnest: nobody tells it twice.
    fn reject(&mut self) {
        if let Some(response) = self.to_client.pop_front() {
            self.drop_what_goes(&response);
            self.answer(response.resource_type, response.nonce, Some(Rejection::new(13, "no")));
        }
    }

    fn answer(&mut self, resource_type: ResourceType, nonce: Nonce, error: Option<Rejection>) {
        let interest = match self.protocol {
            Protocol::Sotw => Interest::Sotw {
                version_info: String::new(),
                names: self.subscriptions[resource_type.index()].as_names(),
            },
            Protocol::Delta => Interest::Delta {
                subscribe: Vec::new(),
                unsubscribe: Vec::new(),
                initial_versions: Vec::new(),
            },
        };
        self.request(resource_type, Some(nonce), error, interest);
    }

    // how it behaves in the end

    fn subscribe(&mut self, resource_type: ResourceType, more: BTreeSet<String>) {
        let interest = match self.protocol {
            Protocol::Sotw => {
                let mut names = self.subscriptions[resource_type.index()].as_names();
                names.extend(more);
                Interest::Sotw { version_info: String::new(), names }
            }
            Protocol::Delta => Interest::Delta {
                subscribe: more.into_iter().collect(),
                unsubscribe: Vec::new(),
                initial_versions: Vec::new(),
            },
        };
        self.request(resource_type, None, None, interest);
    }

    /// Answers what it has read and not answered, and subscribes to everything.
    fn begin_to_behave(&mut self) {
        self.read_to_the_end();
        for resource_type in ResourceType::ALL {
            if let Some(nonce) = self.unanswered[resource_type.index()] {
                self.answer(resource_type, nonce, None);
            }
        }
        for resource_type in [Cluster, Listener] {
            self.subscribe(resource_type, BTreeSet::from(["*".to_owned()]));
        }
        self.session.end_opening();
        self.pump();
    }

    /// Accepts everything, and asks for what that refers to, until nothing more comes.
    fn come_to_rest(&mut self) {
        for _ in 0..RESPONSES_TO_REST_MAX {
            if self.to_client.is_empty() {
                return;
            }
            self.accept();
            for resource_type in [Endpoints, Secret, RouteConfiguration] {
                let subscription = &self.subscriptions[resource_type.index()];
                let more = wanted(resource_type, &self.state);
                let more: BTreeSet<_> = more.into_iter().filter(|name| !subscription.covers(name)).collect();
                if !more.is_empty() {
                    self.subscribe(resource_type, more);
                }
            }
        }
        panic!("the stream never comes to rest: {:?}", self.to_client);
    }

    fn assert_converged(&self) {
        assert!(self.session.is_synced(), "not in sync: {:?}", self.session);
        for resource_type in ResourceType::ALL {
            let subscription = &self.subscriptions[resource_type.index()];
            let mut has = self.state[resource_type.index()].clone();
            let set = self.current.set(resource_type);
            let visible = set.resources().iter().filter(|resource| subscription.covers(&resource.name));
            for resource in visible {
                let version = has.remove(&*resource.name).map(|(_, version)| version);
                assert_eq!(version, Some(resource.version), "{resource_type} {}", resource.name);
            }
            // state of the world cannot take endpoints, secrets or routes away
            let can_remove = self.protocol == Protocol::Delta || resource_type.is_full_state();
            assert!(!can_remove || has.is_empty(), "{resource_type}: {has:?}");
        }
    }

    /// The session remembers nothing that a new one would not have.
    fn assert_small(&self) {
        let mut fresh = Self::connect(self.protocol, self.current.clone());
        for resource_type in ResourceType::ALL {
            let subscription = &self.subscriptions[resource_type.index()];
            if subscription.started {
                fresh.subscribe(resource_type, subscription.as_names().into_iter().collect());
            }
        }
        fresh.begin_to_behave();
        fresh.come_to_rest();
        let size = |client: &Self| format!("{:?}", client.session).len();
        let (size, without_past) = (size(self), size(&fresh));
        assert!(
            size <= without_past + PAST_BYTES_MAX,
            "{size} bytes, not {without_past}: {:?}",
            self.session
        );
    }
}

/// Up to seven names: of what there may be, of what there never is, and the wildcard.
fn names(choices: &mut Choices<'_>) -> Vec<String> {
    (0..choices.below(8))
        .map(|_| match choices.below(4) {
            0 => choices.one_of(&CLUSTERS).to_owned(),
            1 => choices.one_of(&ROUTES).to_owned(),
            2 => choices.one_of(&["*", "l", "of-listener", ""]).to_owned(),
            _ => format!("x{}", choices.below(u8::MAX)),
        })
        .collect()
}

/// Whatever the client does, the session sends nothing without cause; and once the client behaves, it has everything, and
/// the session remembers no more than it has to.
pub(crate) fn check(protocol: Protocol, choices: &mut Choices<'_>) {
    let mut client = Client::connect(protocol, World::chosen(choices).snapshot());
    let last = World::chosen(choices);
    while !choices.are_over() {
        client.act(choices);
    }
    client.begin_to_behave();
    client.publish(&last.fresh());
    client.come_to_rest();
    client.assert_converged();
    client.publish(&last);
    client.come_to_rest();
    client.assert_converged();
    client.assert_small();
}
