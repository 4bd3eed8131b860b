//! What an Envoy says on its ADS stream, without IO: bytes of a response in, requests and what was learned out.
//!
//! | module | holds |
//! |---|---|
//! | `delta` | the incremental form |
//! | `sotw` | the state of the world form |
//! | `holdings` | what it has, what it asks for and what it waits for |
//! | [`references`] | the names that clusters and listeners refer to |
//! | [`markers`] | the changes that a response carries |
//! | [`requests`] | what it has to say |

#[cfg(test)]
mod conversation_tests;
mod delta;
mod holdings;
pub mod markers;
pub mod references;
pub mod requests;
mod sotw;

use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;

use crate::content::RecordedResource;
use crate::wire::Violation;
use crate::wire::protobuf::{put_bytes, put_number};
use holdings::Holdings;
use requests::Requests;
use sotw::Sotw;

/// What it asks for when a stream begins, in this order: everything of clusters and listeners, the others by name.
const ASKED_FOR: [ResourceType; 4] = [
    ResourceType::Cluster,
    ResourceType::Endpoints,
    ResourceType::Listener,
    ResourceType::RouteConfiguration,
];

/// `google.rpc.Code.INVALID_ARGUMENT`, with which Envoy rejects.
const INVALID_ARGUMENT: u64 = 3;
/// Why a simulated Envoy rejects.
const REJECTED: &str = "rejected, as the scenario wants it";

/// What is done with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken in and ACKed.
    Accept,
    /// It is NACKed, and what the Envoy has stays as it is.
    Reject,
}

/// What a response was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The type of its resources; none if it is one that was not asked for, which is not answered.
    pub resource_type: Option<ResourceType>,
    /// The resources in it.
    pub resources: u64,
    /// Whether it changed anything that the Envoy has.
    pub news: bool,
}

/// The xDS part of one simulated Envoy.
#[derive(Debug)]
pub struct Envoy {
    /// The encoded `Node`.
    node: Vec<u8>,
    holdings: Holdings,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Delta,
    Sotw(Box<Sotw>),
}

impl Envoy {
    /// An Envoy that has nothing yet.
    pub fn new(protocol: Protocol, node_id: &str, keep_content: bool) -> Self {
        let mut node = Vec::new();
        put_bytes(&mut node, 1, node_id.as_bytes());
        put_bytes(&mut node, 2, b"simulated");
        put_bytes(&mut node, 6, b"envoy");
        let form = match protocol {
            Protocol::Delta => Form::Delta,
            Protocol::Sotw => Form::Sotw(Box::default()),
        };
        Self { node, holdings: Holdings::new(keep_content), form }
    }

    /// What it says first on a stream, telling what it has.
    pub fn open(&mut self, requests: &mut Requests) {
        match &mut self.form {
            Form::Delta => delta::open(&self.holdings, &self.node, requests),
            Form::Sotw(sotw) => sotw.open(&self.holdings, &self.node, requests),
        }
    }

    /// Takes in a response and says what an Envoy says to it.
    ///
    /// # Errors
    ///
    /// If it is malformed.
    pub fn receive(
        &mut self,
        response: &[u8],
        verdict: Verdict,
        requests: &mut Requests,
    ) -> Result<Learned, Violation> {
        match &mut self.form {
            Form::Delta => delta::receive(&mut self.holdings, response, verdict, requests),
            Form::Sotw(sotw) => sotw.receive(&mut self.holdings, response, verdict, requests),
        }
    }

    /// Whether it has an answer to everything that it asks for.
    pub fn has_everything(&self) -> bool {
        self.holdings.has_everything()
    }

    /// What it has, sorted by type and name. Bodies are there only if it keeps content.
    pub fn contents(&self) -> Vec<RecordedResource> {
        self.holdings.contents()
    }
}

/// An encoded `google.rpc.Status` for a NACK.
fn error_detail() -> Vec<u8> {
    let mut status = Vec::new();
    put_number(&mut status, 1, INVALID_ARGUMENT);
    put_bytes(&mut status, 2, REJECTED.as_bytes());
    status
}
