//! Simulated fleets of Envoys, and what they see of a control plane.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | the bytes of HTTP/2, gRPC and protobuf, as few as a cheap stream takes |
//! | [`envoy`] | what one simulated Envoy asks for, has and answers |
//! | [`fleet`] | many of them, on one thread |
//! | [`mesh`] | the mesh that a scenario needs |
//! | [`server`] | the server under test |
//! | [`lab`] | where scenarios happen: it starts servers and puts meshes on them |
//! | [`site`] | a server with a mesh and a fleet, and what is measured there |
//! | [`scenario`] | the scenarios, a subcommand each |
//! | [`content`], [`record`] | recorded content, for servers without a mesh of their own |
//! | [`floor`] | servers without logic, which serve it: the yardstick |
//! | [`run`], [`histogram`], [`machine`] | what a run has measured |
//! | [`open_files`] | how many files may be open |
//! | [`progress`], [`report`] | what people and pipelines see of it |
//! | [`compare`] | scenarios against several servers, interleaved and repeated |
//! | [`rebalance`] | a simulation of many hosts behind a balancer, which needs none of the above but the back-off |

mod arguments;
pub mod compare;
pub mod content;
pub mod envoy;
pub mod fleet;
pub mod floor;
pub mod histogram;
pub mod lab;
pub mod machine;
pub mod mesh;
pub mod open_files;
pub mod progress;
pub mod rebalance;
pub mod record;
pub mod report;
pub mod run;
pub mod scenario;
pub mod server;
pub mod site;
pub mod wire;
