//! The Legation process: the model it keeps, and what it does with it.
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | the definitions: App Mesh's seven kinds of resource, and what is valid |
//! | [`store`] | where definitions and fragments are kept: transactions, journal, watches |
//! | [`frontend`] | App Mesh's API |
//! | [`transformer`] | from definitions to fragments |
//! | [`lint`] | what would black-hole traffic |
//! | [`management`] | from fragments to the streams of Envoys |
//! | [`membership`] | which hosts there are, and whose a mesh is |
//! | [`envoy`] | builders of Envoy's messages |
//! | [`plan`] | what a change would do to Envoys |
//! | [`serve`] | the process that holds them together; [`admin`], [`settings`], [`telemetry`], [`http_server`] are its edges |
//! | [`tls`], [`watched_files`] | certificates and other files, taken anew when they change |
//! | [`cli`] | the commands |

pub mod admin;
pub mod cli;
pub mod envoy;
pub mod frontend;
pub mod http_server;
pub mod lint;
pub mod management;
pub mod membership;
pub mod model;
pub mod plan;
pub mod serve;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod transformer;
pub mod watched_files;
