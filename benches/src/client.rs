//! An Envoy's end of a session.

use legation_actors::request::{Interest, Request};
use legation_actors::session::{Outcome, Session};
use legation_actors::snapshot::Snapshot;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::{Protocol, Response};

/// `control_plane.identifier` of the responses.
pub const CONTROL_PLANE: &str = "bench";

/// The types that an Envoy asks for, in the order in which it does. It asks for route configurations by name.
pub const TYPES: [ResourceType; 3] =
    [ResourceType::Cluster, ResourceType::Listener, ResourceType::RouteConfiguration];

/// The requests with which an Envoy opens its stream: clusters and listeners, and the route configurations that it will
/// learn of. If it `has` the snapshot from an earlier stream, it says so.
pub fn opening_requests(protocol: Protocol, snapshot: &Snapshot, has: bool) -> Vec<Request> {
    let request = |resource_type: ResourceType| {
        let set = snapshot.set(resource_type);
        let all = || set.resources().iter();
        let names = match resource_type {
            ResourceType::RouteConfiguration => all().map(|resource| resource.name.to_string()).collect(),
            _ => Vec::new(),
        };
        let interest = match protocol {
            Protocol::Sotw => {
                let version_info = if has { set.version().to_string() } else { String::new() };
                Interest::Sotw { version_info, names }
            }
            Protocol::Delta => {
                let versions = all().map(|had| (had.name.to_string(), had.version.to_string()));
                let initial_versions = if has { versions.collect() } else { Vec::new() };
                Interest::Delta { subscribe: names, unsubscribe: Vec::new(), initial_versions }
            }
        };
        Request { resource_type, nonce: String::new(), error: None, interest }
    };
    TYPES.map(request).into()
}

/// The request that accepts a response.
pub fn ack(protocol: Protocol, response: Response) -> Request {
    let Response { resource_type, version, nonce, resources, .. } = response;
    let interest = match protocol {
        Protocol::Sotw => {
            let by_name = resource_type == ResourceType::RouteConfiguration;
            let names = resources.iter().filter(|_| by_name).map(|resource| resource.name.to_string());
            Interest::Sotw { version_info: version.to_string(), names: names.collect() }
        }
        Protocol::Delta => {
            Interest::Delta { subscribe: Vec::new(), unsubscribe: Vec::new(), initial_versions: Vec::new() }
        }
    };
    Request { resource_type, nonce, error: None, interest }
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

/// Passes the requests to the session.
pub fn ask(session: &mut Session, requests: Vec<Request>) {
    for request in requests {
        assert_eq!(session.on_request(request), Ok(Outcome::Subscribed));
    }
}

/// Encodes every response that the session has, and accepts it, until both are in sync.
pub fn settle(session: &mut Session) -> Exchange {
    let protocol = session.protocol();
    let mut exchange = Exchange::default();
    while let Some(response) = session.next_response() {
        exchange.responses += 1;
        exchange.resources += response.resources.len();
        exchange.bytes += response.encode(protocol, CONTROL_PLANE).len();
        assert_eq!(session.on_request(ack(protocol, response)), Ok(Outcome::Acked));
    }
    assert!(session.is_synced());
    exchange
}
