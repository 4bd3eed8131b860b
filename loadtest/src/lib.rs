//! Simulated fleets of Envoys, and what they see of a control plane.
//!
//! | module | holds |
//! |---|---|
//! | [`content`] | recorded content, for servers without a mesh of their own |
//! | [`report`] | what becomes of runs: tables, JSON, HTML, checks of budgets, Markdown |
//! | [`run`] | what a run has measured |

pub mod content;
pub mod report;
pub mod run;
