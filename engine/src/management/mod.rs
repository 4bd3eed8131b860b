//! The Envoy management service: from fragments in the store to responses on the streams of this host's Envoys.
//!
//! | module | holds |
//! |---|---|
//! | [`server`] | accepts connections, paces and counts them, ends them after their time |
//! | [`connection`] | one connection: its HTTP/2, the calls on it, and the ways in which it ends |
//! | [`packed_stream`] | the bytes of a connection, the first of them in fewer packets |
//! | [`connection_life`] | what a stream knows of its connection, and tells of itself |
//! | `interruption` | what ends a connection before its peer does |
//! | [`open_connections`] | the connections that are open |
//! | [`draining`] | emptying a host that goes on living |
//! | [`pacer`] | at most so many a second |
//! | [`discovery`] | the discovery services on a connection |
//! | [`requests`] | the requests on a stream, as gRPC frames them |
//! | [`responses`] | the responses on a stream, likewise |
//! | [`discovery_request`] | requests of both forms of the protocol, made alike |
//! | [`ack`] | the requests of which there are most, without decoding them |
//! | [`feed`] | brings fragments from the store to the actors that need them |
//! | `metrics` | what is counted here |
//! | [`compose`] | what an Envoy should have, made of the fragments of its node and its backends |

pub mod ack;
pub mod compose;
pub mod connection;
pub mod connection_life;
pub mod discovery;
pub mod discovery_request;
pub mod draining;
pub mod feed;
mod interruption;
mod metrics;
pub mod open_connections;
pub mod pacer;
pub mod packed_stream;
pub mod requests;
pub mod responses;
pub mod server;
