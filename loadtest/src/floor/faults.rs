//! What a floor can be told to do wrong, so that tests can see whether the harness notices.

use std::time::Duration;

/// What goes wrong with pushes. The answers to first requests are always right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// One push in so many is left out, counted over all streams: the last of each so many. Nothing is with 0.
    pub drop_one_in: u64,
    /// A change goes out so long after its call was answered. Changes stay in order.
    pub delay: Duration,
    /// Each push is sent to the first node that no variant of its change is for, too, if there is one.
    pub misdirect: bool,
    /// The stream of one push in so many is ended instead, counted over all streams. None is with 0.
    pub end_one_in: u64,
    /// Each push is sent twice.
    pub twice: bool,
}
