//! Keys that can be counted.

use std::fmt;
use std::sync::Arc;

/// The keys of definitions that differ in one segment: those that begin with `before`, which ends with a `/`, end with
/// `after`, which is empty or begins with one, and have no `/` in between. It is displayed with a `*` for the segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family {
    pub(super) before: Arc<str>,
    pub(super) after: Arc<str>,
}

impl Family {
    /// The keys that are `before`, any segment, and `after`.
    pub fn new(before: impl Into<Arc<str>>, after: impl Into<Arc<str>>) -> Self {
        Self { before: before.into(), after: after.into() }
    }

    /// The key of this family with this segment.
    pub fn key(&self, segment: &str) -> String {
        [&self.before, segment, &self.after].concat()
    }

    /// Whether `key` is one of them.
    pub fn contains(&self, key: &str) -> bool {
        let segment = key.strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.after));
        segment.is_some_and(|segment| !segment.contains('/'))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", self.before, self.after)
    }
}
