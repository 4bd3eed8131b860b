//! Which of several routes is tried first. Envoy takes the first one that matches, so that their order decides.

use std::cmp::Reverse;

use crate::model::matching::Priority;

/// The rank of a route among its siblings; the smallest is tried first.
///
/// The lowest priority value wins, and a route without one comes after those with one (documented). Among equals the most
/// specific match wins: first by path, then by the number of further conditions, then by host. Names decide the rest, so
/// that the order is the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'a> {
    priority: i64,
    path: PathRank,
    conditions: Reverse<usize>,
    host: HostRank,
    name: &'a str,
}

/// How specific a condition on the path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathRank {
    /// One path.
    Exact,
    /// What matches a regular expression.
    Regex,
    /// What starts with so many characters: the more, the more specific.
    Prefix(Reverse<usize>),
}

impl PathRank {
    /// Of paths that start with `prefix`.
    pub(super) fn prefix(prefix: &str) -> Self {
        Self::Prefix(Reverse(prefix.len()))
    }
}

/// How specific a condition on the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostRank {
    /// One host.
    Exact,
    /// What ends with so many characters: the more, the more specific.
    Suffix(Reverse<usize>),
    /// Every host.
    Any,
}

/// How specific a match is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Specificity {
    /// By path.
    pub(super) path: PathRank,
    /// By the number of other conditions, that on the host included.
    pub(super) conditions: usize,
    /// By host.
    pub(super) host: HostRank,
}

impl<'a> Rank<'a> {
    /// The rank of the route `name`.
    pub(super) fn new(priority: Option<Priority>, specificity: Specificity, name: &'a str) -> Self {
        Self {
            priority: priority_rank(priority),
            path: specificity.path,
            conditions: Reverse(specificity.conditions),
            host: specificity.host,
            name,
        }
    }
}

/// The rank of a priority, of which the smallest comes first.
pub(super) fn priority_rank(priority: Option<Priority>) -> i64 {
    priority.map_or(i64::MAX, Priority::get)
}
