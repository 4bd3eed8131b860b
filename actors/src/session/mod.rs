//! One xDS stream as a pure state machine: requests and snapshots go in, responses come out.
//!
//! The session knows what the Envoy has been sent and accepted, and what it should have, and answers with the
//! difference. It is level-driven: [`Session::next_response`] looks at both states, never at a queue of changes, so
//! changes that come faster than the Envoy accepts them coalesce (conformance 67).
//!
//! Order, within a stream:
//!
//! ```text
//!   CDS ──▶ EDS, SDS ──ACKs of all three──▶ LDS ──ACK──▶ RDS ──ACK──▶ removals of LDS, RDS, CDS, EDS, SDS
//!   └────────────── additions and updates ──────────────┘
//! ```
//!
//! An Envoy keeps the ACK of clusters back until they are warm, which takes their endpoints and secrets: these follow at
//! once, and the ACK says that routes may lead there. Nothing refers to what the Envoy does not have yet, nothing is removed
//! that something still refers to (conformance 68 to 71). Types that the stream never asked for do not count. State of the
//! world can only send whole sets of clusters: there the first set keeps the clusters that are going (conformance 70).

mod introspection;
mod rejections;
mod subscription;
mod type_state;
mod type_states;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use legation_proto::nonce::Nonce;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::{Protocol, Response};
use legation_proto::service::Service;
use legation_proto::version::Version;
use thiserror::Error;

use crate::request::{Interest, Request};
use crate::snapshot::{ResourceSet, Snapshot, version_of};
use crate::status::TypeStatus;
pub use introspection::{Progress, ResourceStatus};
use type_state::InFlight;
use type_states::TypeStates;

/// Most names that a stream may subscribe to, of one type (conformance 103).
pub const NAMES_MAX: usize = 100_000;

/// Most bytes that these names may have: as many as fit into one request.
pub const NAMES_BYTES_MAX: usize = 8 << 20;

/// Most bytes that a response carries, where there is a choice: what is left follows after the ACK. Clients of gRPC take
/// 4 MiB, unless they were told otherwise (conformance 62).
pub const RESPONSE_BYTES_MAX: usize = 3 << 20;

/// One xDS stream.
#[derive(Debug)]
pub struct Session {
    protocol: Protocol,
    service: Service,
    response_bytes_max: usize,
    snapshot: Option<Snapshot>,
    types: TypeStates,
    nonces: u64,
    /// The stream has not had the time to ask for everything that its Envoy follows.
    opening: bool,
}

/// What a request meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It accepts the last response of its type.
    Acked,
    /// It rejects the last response of its type.
    Nacked,
    /// It answers no response, or one that was superseded; only its subscription counted.
    Subscribed,
}

/// A request that no client may send. The stream ends with it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Violation {
    /// More names than a stream may subscribe to, or longer ones.
    #[error(
        "a stream may subscribe to at most {NAMES_MAX} {0} resources by name, \
         and their names may have at most {NAMES_BYTES_MAX} bytes"
    )]
    TooManyNames(ResourceType),
    /// A request in the other form of the protocol.
    #[error("the stream is {} and cannot take a request of the other form", .0.as_str())]
    WrongProtocol(Protocol),
}

impl Session {
    /// A session for a new aggregated stream.
    pub fn new(protocol: Protocol) -> Self {
        Self::with_response_bytes_max(protocol, RESPONSE_BYTES_MAX)
    }

    /// A session for a new stream of `service`.
    pub fn on_service(protocol: Protocol, service: Service) -> Self {
        Self { service, ..Self::new(protocol) }
    }

    /// A session whose responses are split where they are larger than this.
    pub fn with_response_bytes_max(protocol: Protocol, response_bytes_max: usize) -> Self {
        Self {
            protocol,
            service: Service::Aggregated,
            response_bytes_max,
            snapshot: None,
            types: Default::default(),
            nonces: 0,
            opening: true,
        }
    }

    /// The form of the protocol that the stream speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What the Envoy should have, once that is known.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Sets what the Envoy should have from now on.
    pub fn on_snapshot(&mut self, snapshot: Snapshot) {
        let before = self.snapshot.take();
        for resource_type in ResourceType::ALL {
            let before = before.as_ref().map(|before| before.set(resource_type));
            let keeps_what_goes = self.protocol == Protocol::Sotw && resource_type == ResourceType::Cluster;
            if resource_type == ResourceType::Endpoints
                && self.protocol == Protocol::Sotw
                && let Some(before) = before
            {
                self.keep_endpoints_of_what_goes(before);
            }
            let set = snapshot.set(resource_type);
            // most changes are of one type
            let is_same = |before: &Arc<_>| Arc::ptr_eq(before, set) || before.version() == set.version();
            if !before.is_some_and(is_same) {
                self.types[resource_type].retarget(set, before.filter(|_| keeps_what_goes).map(Arc::as_ref));
            }
        }
        self.snapshot = Some(snapshot);
    }

    /// A cluster that goes may still be warming, and waits for its endpoints: the ACK of its response waits for it. Those
    /// that stand rejected it does not wait for.
    fn keep_endpoints_of_what_goes(&mut self, before: &ResourceSet) {
        let clusters = &self.types[ResourceType::Cluster].lingering;
        if clusters.is_empty() && self.types[ResourceType::Endpoints].lingering.is_empty() {
            return;
        }
        let names: Vec<Arc<str>> = clusters.iter().map(|cluster| Arc::clone(&cluster.name)).collect();
        let endpoints = &mut self.types[ResourceType::Endpoints];
        endpoints.stir();
        let kept = std::mem::take(&mut endpoints.lingering).into_iter();
        let mut kept: HashMap<_, _> = kept.map(|resource| (Arc::clone(&resource.name), resource)).collect();
        let going =
            |name| before.get(name).filter(|resource| !endpoints.rejections.contain(resource)).cloned();
        let names = names.iter();
        let lingering = names.filter_map(|name| kept.remove(name).or_else(|| going(name))).collect();
        endpoints.lingering = lingering;
    }

    /// Takes in a request: its subscription counts even where its nonce is stale (conformance 36, 53).
    pub fn on_request(&mut self, request: Request) -> Result<Outcome, Violation> {
        let resource_type = request.resource_type;
        let state = &mut self.types[resource_type];
        let first = !state.started;
        state.started = true;
        if first {
            state.stir();
        }
        // a nonce of an earlier stream on the first request of this one answers nothing here (conformance 6)
        let outcome = if first { Outcome::Subscribed } else { state.answered(request.nonce, request.error) };
        if outcome == Outcome::Nacked
            && let Some(snapshot) = &self.snapshot
        {
            state.drop_outdated_rejections(snapshot.set(resource_type));
        }
        let legacy = first && resource_type.is_full_state();
        let is_resubscribed = match (self.protocol, request.interest) {
            (Protocol::Sotw, Interest::Sotw { version_info, names }) => {
                if first && resource_type.is_full_state() {
                    state.claimed = version_info.parse().ok();
                }
                let change = state.subscription.replace(names, legacy);
                state.resubscribe(change)
            }
            (Protocol::Delta, Interest::Delta { subscribe, unsubscribe, initial_versions }) => {
                let change = state.subscription.update(subscribe, unsubscribe, legacy);
                let is_resubscribed = state.resubscribe(change);
                if first {
                    // Envoys were seen to forget endpoints and secrets across a reconnect: answered always (conformance 56, 78)
                    let trusted = !matches!(resource_type, ResourceType::Endpoints | ResourceType::Secret);
                    state.resume(initial_versions, trusted);
                }
                is_resubscribed
            }
            (protocol, _) => return Err(Violation::WrongProtocol(protocol)),
        };
        // an Envoy has more names only by subscribing to them, so that its ACKs need not be counted through
        if is_resubscribed && (are_too_many(state.subscription.names()) || are_too_many(state.due.iter())) {
            return Err(Violation::TooManyNames(resource_type));
        }
        Ok(outcome)
    }

    /// The stream has had the time to ask for everything that its Envoy follows from an earlier stream: what it did not
    /// ask for until now, nothing that it has refers to.
    pub fn end_opening(&mut self) {
        self.opening = false;
    }

    /// The next response to send now, if there is one; call it until there is none.
    pub fn next_response(&mut self) -> Option<Response> {
        let snapshot = self.snapshot.take()?;
        let response = self.next_response_of(&snapshot);
        self.snapshot = Some(snapshot);
        response
    }

    fn next_response_of(&mut self, snapshot: &Snapshot) -> Option<Response> {
        let quiet = self.types.quiet();
        let busy = |resource_type: &ResourceType| !quiet[resource_type.index()];
        for resource_type in ResourceType::ALL.into_iter().filter(busy) {
            self.types[resource_type].settle_claim(snapshot.set(resource_type));
        }
        for resource_type in ResourceType::ALL.into_iter().filter(busy) {
            if !self.types[resource_type].rests()
                && self.may_upsert(resource_type)
                && let Some(response) = self.upsert(resource_type, snapshot)
            {
                return Some(response);
            }
        }
        // what refers goes before what is referred to
        const REMOVAL_ORDER: [ResourceType; ResourceType::COUNT] = [
            ResourceType::Listener,
            ResourceType::RouteConfiguration,
            ResourceType::Cluster,
            ResourceType::Endpoints,
            ResourceType::Secret,
        ];
        for resource_type in REMOVAL_ORDER.into_iter().filter(busy) {
            let needed = resource_type.is_referred_to() && self.may_ask_for_listeners();
            if !self.types[resource_type].rests()
                && !needed
                && self.is_settled(snapshot)
                && let Some(response) = self.remove(resource_type, snapshot)
            {
                return Some(response);
            }
        }
        self.types.settle(snapshot);
        None
    }

    /// A response that carries nothing, once, for an Envoy that reconnected and needed nothing. To an Envoy a stream on which
    /// nothing came has failed: it waits longer after each such stream, half a minute in the end (conformance 89). Nobody waits
    /// for the ACK. State of the world has no such response.
    pub fn greeting(&mut self) -> Option<Response> {
        if self.opening || self.nonces > 0 || self.protocol == Protocol::Sotw {
            return None;
        }
        // of the last type in ADS order: no routes are nothing to an Envoy, no clusters are an update that it counts
        let asked_for = |resource_type: &ResourceType| self.types[*resource_type].started;
        let resource_type = ResourceType::ALL.into_iter().rfind(asked_for)?;
        let version = self.snapshot.as_ref()?.set(resource_type).version();
        self.nonces += 1;
        let nonce = Nonce(self.nonces);
        Some(Response { resource_type, version, nonce, resources: Vec::new(), removed: Vec::new() })
    }

    /// What was sent, accepted and rejected of one type.
    pub fn status(&self, resource_type: ResourceType) -> TypeStatus {
        self.types[resource_type].status()
    }

    /// Whether the Envoy asked for something and has accepted everything that it should have.
    pub fn is_synced(&self) -> bool {
        let Some(snapshot) = &self.snapshot else {
            return false;
        };
        ResourceType::ALL.into_iter().any(|resource_type| self.types[resource_type].started)
            && self
                .types
                .busy()
                .all(|(resource_type, state)| !state.started || state.has_all_of(snapshot.set(resource_type)))
            && self.has_asked_for_routes(snapshot)
    }

    /// Whether additions of this type may go out: everything that they could refer to was accepted, and nothing of that
    /// stands rejected (conformance 71, 72). Endpoints and secrets refer to nothing; without them clusters do not warm.
    fn may_upsert(&self, resource_type: ResourceType) -> bool {
        let own = &self.types[resource_type];
        let refers = matches!(resource_type, ResourceType::Listener | ResourceType::RouteConfiguration);
        own.started
            && own.in_flight.is_none()
            && (!refers
                || self.types.busy().take_while(|(earlier, _)| *earlier != resource_type).all(
                    |(earlier, state)| {
                        state.in_flight.is_none() && !(earlier.is_referred_to() && state.rejections.stand())
                    },
                ))
    }

    /// Whether everything that should be there was accepted, so that what should not be may go.
    fn is_settled(&self, snapshot: &Snapshot) -> bool {
        self.types.busy().all(|(_, state)| state.in_flight.is_none() && !state.rejections.stand())
            && self.has_asked_for_routes(snapshot)
    }

    /// Whether the Envoy has asked for the routes of its listeners: a listener that was accepted asks for its route
    /// configuration a moment later. It does so on another stream where this one is for listeners alone.
    fn has_asked_for_routes(&self, snapshot: &Snapshot) -> bool {
        let listeners = &self.types[ResourceType::Listener];
        let routes = &self.types[ResourceType::RouteConfiguration];
        self.service != Service::Aggregated
            || !(listeners.started && listeners.subscription.is_wildcard())
            || snapshot
                .set(ResourceType::RouteConfiguration)
                .resources()
                .iter()
                .all(|resource| routes.subscription.covers(&resource.name))
    }

    /// An Envoy that reconnects asks for clusters first, while it has listeners and routes that refer to them.
    fn may_ask_for_listeners(&self) -> bool {
        self.opening && !self.types[ResourceType::Listener].started
    }

    fn upsert(&mut self, resource_type: ResourceType, snapshot: &Snapshot) -> Option<Response> {
        let set = snapshot.set(resource_type);
        let state = &mut self.types[resource_type];
        let whole = self.protocol == Protocol::Sotw && resource_type.is_full_state();
        let mut changed: Vec<Resource> = state.upserts(set).cloned().collect();
        if whole {
            if changed.is_empty() && !state.reply_due && state.due.is_empty() {
                return None;
            }
            let mut resources: Vec<Resource> = state.visible(set).cloned().collect();
            resources.extend(state.lingering.iter().cloned());
            resources.sort_by(|a, b| a.name.cmp(&b.name));
            let version = version_of(&resources);
            if state.rejections.contain_set(version) {
                return None;
            }
            // what was rejected goes along, and may be taken in this time
            let again = resources.iter().filter(|resource| state.rejections.contain(resource));
            changed.extend(again.cloned());
            state.answered_everything();
            let response = self.respond(resource_type, version, resources, Vec::new());
            self.types[resource_type].sent_whole(&response.resources);
            self.force_endpoints(resource_type, &changed, snapshot);
            return Some(response);
        }
        changed.extend(state.lingering_to_upsert().cloned());
        let mut missing = match self.protocol {
            Protocol::Delta => state.due_but_missing(set),
            Protocol::Sotw => Vec::new(), // absence cannot be told (conformance 25)
        };
        let answer_anyway = state.reply_due && self.protocol == Protocol::Delta;
        let nothing_to_say = changed.is_empty() && missing.is_empty() && !answer_anyway;
        let mut room = Room::new(self.response_bytes_max);
        room.fit(&mut changed, |resource| resource.name.len() + resource.body.len());
        room.fit(&mut missing, |name| name.len());
        if room.was_enough {
            state.answered_everything();
        }
        if nothing_to_say {
            return None;
        }
        let response = self.respond(resource_type, set.version(), changed, missing);
        if room.was_enough {
            self.types[resource_type].sent_everything();
        }
        self.force_endpoints(resource_type, &response.resources, snapshot);
        Some(response)
    }

    fn remove(&mut self, resource_type: ResourceType, snapshot: &Snapshot) -> Option<Response> {
        let set = snapshot.set(resource_type);
        let state = &mut self.types[resource_type];
        let mut going = state.to_remove(set);
        if going.is_empty() {
            return None;
        }
        if self.protocol == Protocol::Delta {
            Room::new(self.response_bytes_max).fit(&mut going, |name| name.len());
            return Some(self.respond(resource_type, set.version(), Vec::new(), going));
        }
        for name in &going {
            state.held.remove(name);
        }
        state.lingering.clear();
        if !resource_type.is_full_state() {
            return None; // absence cannot be told (conformance 25)
        }
        let resources: Vec<Resource> = state.visible(set).cloned().collect();
        if resource_type == ResourceType::Cluster {
            self.types[ResourceType::Endpoints].lingering.clear();
        }
        let response = self.respond(resource_type, version_of(&resources), resources, Vec::new());
        self.types[resource_type].sent_whole(&response.resources);
        Some(response)
    }

    fn respond(
        &mut self,
        resource_type: ResourceType,
        version: Version,
        resources: Vec<Resource>,
        removed: Vec<Arc<str>>,
    ) -> Response {
        self.nonces += 1;
        let nonce = Nonce(self.nonces);
        let in_flight = InFlight::new(nonce, version, &resources, &removed);
        self.types[resource_type].sent(in_flight);
        Response { resource_type, version, nonce, resources, removed }
    }

    /// An updated cluster warms until its endpoints come, even if they did not change or stand rejected (conformance 73).
    fn force_endpoints(&mut self, resource_type: ResourceType, changed: &[Resource], snapshot: &Snapshot) {
        if resource_type != ResourceType::Cluster {
            return;
        }
        let endpoints = &mut self.types[ResourceType::Endpoints];
        let set = snapshot.set(ResourceType::Endpoints);
        let names = changed.iter().map(|cluster| &cluster.name);
        let forced: BTreeSet<_> = names
            .filter(|name| endpoints.subscription.covers(name) && set.get(name).is_some())
            .cloned()
            .collect();
        endpoints.demand(forced);
    }
}

/// Whether these are more names than a session remembers. Those that have to be answered need not be subscribed any more:
/// a wildcard answers for names that are taken away.
fn are_too_many<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> bool {
    let (count, bytes) =
        names.fold((0_usize, 0_usize), |(count, bytes), name| (count + 1, bytes + name.len()));
    count > NAMES_MAX || bytes > NAMES_BYTES_MAX
}

/// The bytes that are left in a response.
struct Room {
    bytes: usize,
    is_empty: bool,
    /// Whether everything has fitted so far.
    was_enough: bool,
}

impl Room {
    /// What an item takes beside its content, at most: versions, lengths, type URLs.
    const OVERHEAD: usize = 64;

    fn new(bytes: usize) -> Self {
        Self { bytes, is_empty: true, was_enough: true }
    }

    /// Keeps the first of `items`, as many as there is room for, and one in any case where there is nothing else.
    fn fit<T>(&mut self, items: &mut Vec<T>, bytes: impl Fn(&T) -> usize) {
        let fitting = items.iter().take_while(|item| {
            let rest = self.bytes.checked_sub(bytes(item) + Self::OVERHEAD);
            let fits = self.was_enough && (rest.is_some() || self.is_empty);
            self.bytes = rest.unwrap_or_default();
            self.is_empty = false;
            self.was_enough = fits;
            fits
        });
        let count = fitting.count();
        items.truncate(count);
    }
}

#[cfg(test)]
mod tests;
