//! The Legation process: the model it keeps, and what it does with it.
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | the definitions: App Mesh's seven kinds of resource, and what is valid |
//! | [`store`] | where definitions and fragments are kept: transactions, journal, watches |

pub mod model;
pub mod store;
