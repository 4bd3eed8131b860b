//! An Envoy's end of a session.

use legation_actors::request::{Interest, Request};
use legation_actors::session::{Outcome, Session};
use legation_actors::snapshot::Snapshot;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::{Protocol, Response};

/// `control_plane.identifier` of the responses.
pub const CONTROL_PLANE: &str = "bench";

/// The types that an Envoy asks for, in the order in which it does.
pub const TYPES: [ResourceType; 3] =
    [ResourceType::Cluster, ResourceType::Listener, ResourceType::RouteConfiguration];

/// An Envoy that accepts whatever it is sent.
#[derive(Clone, Debug)]
pub struct Envoy {
    protocol: Protocol,
    /// The route configurations that its listeners name: it asks for these, and for all clusters and listeners.
    route_configurations: Vec<String>,
}

impl Envoy {
    /// An Envoy whose listeners are, or will be, those of `snapshot`.
    pub fn new(protocol: Protocol, snapshot: &Snapshot) -> Self {
        let route_configurations = snapshot.set(ResourceType::RouteConfiguration).resources();
        let names = route_configurations.iter().map(|resource| resource.name.to_string());
        Self { protocol, route_configurations: names.collect() }
    }

    /// The requests with which it opens a stream. If it `has` resources from an earlier stream, it says so.
    pub fn opening_requests(&self, has: Option<&Snapshot>) -> Vec<Request> {
        let request = |resource_type: ResourceType| {
            let set = has.map(|snapshot| snapshot.set(resource_type));
            let names = self.names(resource_type);
            let interest = match self.protocol {
                Protocol::Sotw => {
                    let version_info = set.map(|set| set.version().to_string()).unwrap_or_default();
                    Interest::Sotw { version_info, names }
                }
                Protocol::Delta => {
                    let had = set.map(|set| set.resources()).unwrap_or_default().iter();
                    let versions = had.map(|had| (had.name.to_string(), had.version.to_string()));
                    let initial_versions = versions.collect();
                    Interest::Delta { subscribe: names, unsubscribe: Vec::new(), initial_versions }
                }
            };
            Request { resource_type, nonce: None, error: None, interest }
        };
        TYPES.map(request).into()
    }

    /// The request that accepts a response.
    pub fn ack(&self, response: Response) -> Request {
        let Response { resource_type, version, nonce, .. } = response;
        let interest = match self.protocol {
            Protocol::Sotw => {
                Interest::Sotw { version_info: version.to_string(), names: self.names(resource_type) }
            }
            Protocol::Delta => {
                let (subscribe, unsubscribe, initial_versions) = Default::default();
                Interest::Delta { subscribe, unsubscribe, initial_versions }
            }
        };
        Request { resource_type, nonce: Some(nonce), error: None, interest }
    }

    /// Accepts every response that the session has, encoded, until both are in sync.
    pub fn settle(&self, session: &mut Session) -> Exchange {
        let mut exchange = Exchange::default();
        while let Some(response) = session.next_response() {
            exchange.responses += 1;
            exchange.resources += response.resources.len();
            exchange.bytes += response.encode(self.protocol, CONTROL_PLANE).len();
            assert_eq!(session.on_request(self.ack(response)), Ok(Outcome::Acked));
        }
        assert!(session.is_synced());
        exchange
    }

    fn names(&self, resource_type: ResourceType) -> Vec<String> {
        match resource_type {
            ResourceType::RouteConfiguration => self.route_configurations.clone(),
            _ => Vec::new(),
        }
    }
}

/// What an exchange came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// How many responses there were.
    pub responses: usize,
    /// How many resources were in them.
    pub resources: usize,
    /// How many bytes their frames have.
    pub bytes: usize,
}

/// Passes the requests that open a stream to its session.
pub fn ask(session: &mut Session, requests: Vec<Request>) {
    for request in requests {
        assert_eq!(session.on_request(request), Ok(Outcome::Subscribed));
    }
}
