//! Simulated fleets of Envoys, and what they see of a control plane.
//!
//! | module | holds |
//! |---|---|
//! | [`content`] | recorded content, for servers without a mesh of their own |
//! | [`floor`] | servers without logic: the yardstick |
//! | [`run`] | what a run has measured |

pub mod content;
pub mod floor;
pub mod run;
