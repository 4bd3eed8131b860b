//! What becomes of measured runs.
//!
//! | module | holds |
//! |---|---|
//! | [`numbers`](mod@numbers) | the flat, named figures of a run, which everything below takes |
//! | [`table`](mod@table) | the table at the end of a run, for a terminal |
//! | [`json`] | runs in a file, and back |
//! | [`html`] | a page to look at |
//! | [`check`] | budgets, and whether runs are within them |
//! | [`markdown`] | comparisons, for a page of the documentation |
//! | [`plots`] | SVG files, for the same page |
//! | [`rebalance`] | all of this for simulations |
//!
//! Beneath them: [`figures`] knows how a number is called and written, [`groups`] puts repetitions together, [`spread`]
//! sums them up, `page` is what pages have in common, and `chart`
//! draws.

mod chart;
pub mod check;
mod drawings;
pub mod figures;
pub mod groups;
pub mod html;
pub mod json;
pub mod markdown;
pub mod numbers;
mod page;
pub mod plots;
pub mod rebalance;
pub mod spread;
pub mod table;

#[cfg(test)]
mod made_up;
