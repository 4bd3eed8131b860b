//! What is known of a connected Envoy.

use std::net::SocketAddr;
use std::time::SystemTime;

use legation_proto::id::NodeId;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use legation_proto::service::Service;
use legation_proto::version::{Transaction, Version};

use crate::composition::{Client, Problems};
use crate::request::Rejection;
use crate::session::ResourceStatus;

/// What is known of one connected Envoy.
#[derive(Clone, Debug)]
pub struct EnvoyStatus {
    /// The virtual node or gateway that it is.
    pub node: NodeId,
    /// Numbers the streams of this host since its start.
    pub stream: u64,
    /// What it is.
    pub client: Client,
    /// Where its connection comes from.
    pub peer: Option<SocketAddr>,
    /// The service that its stream is on. An Envoy that uses separate services has a stream, and a status, for each.
    pub service: Service,
    /// The form of the protocol that it speaks.
    pub protocol: Protocol,
    /// When its stream was opened.
    pub connected_at: SystemTime,
    /// The newest definition that went into what it should have; `None` while that is not known.
    pub transaction: Option<Transaction>,
    /// Whether it has accepted everything that it should have.
    pub synced: bool,
    /// What its node asks for and it does not get, a sentence each.
    pub problems: Problems,
    /// What was sent, accepted and rejected, in the order of [`ResourceType::ALL`].
    pub types: [TypeStatus; ResourceType::COUNT],
    /// When that was, in the same order.
    pub times: [Times; ResourceType::COUNT],
}

/// What is known of one connected Envoy, and of each of its resources.
#[derive(Clone, Debug)]
pub struct EnvoyDetails {
    /// What is known of it.
    pub status: EnvoyStatus,
    /// What it should have and what it has, at the same moment.
    pub resources: Vec<ResourceStatus>,
}

/// When something was last sent, accepted and rejected, of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// The last response.
    pub sent: Option<SystemTime>,
    /// The last that was accepted.
    pub acked: Option<SystemTime>,
    /// The last that was rejected.
    pub nacked: Option<SystemTime>,
}

/// What was sent, accepted and rejected of one type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TypeStatus {
    /// The version of the last response.
    pub sent: Option<Version>,
    /// The version of the last response that was accepted.
    pub acked: Option<Version>,
    /// The last response that was rejected, until one is accepted while nothing stands rejected any more.
    pub nacked: Option<Nack>,
}

/// A response that an Envoy rejected.
#[derive(Clone, Debug, PartialEq)]
pub struct Nack {
    /// The version of the response.
    pub version: Version,
    /// What the Envoy said of it.
    pub rejection: Rejection,
}
