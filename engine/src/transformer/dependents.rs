//! Which fragments a definition went into.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashSet};
use legation_proto::id::FragmentKey;

use super::sources::Source;

/// The fragments that were made of a definition, beside those that are named after it.
///
/// A fragment that is made of a definition no longer stays here, and is made once too often when that changes. Whoever makes
/// all fragments begins anew.
#[derive(Debug, Default)]
pub(super) struct Dependents(HashMap<Source, HashSet<FragmentKey>>);

impl Dependents {
    /// The fragment `key` was made of `sources`.
    pub(super) fn add(&mut self, key: &FragmentKey, sources: BTreeSet<Source>) {
        for source in sources {
            let dependents = self.0.entry(source).or_default();
            if !dependents.contains(key) {
                dependents.insert(key.clone());
            }
        }
    }

    /// What was made of `source`.
    pub(super) fn of(&self, source: &Source) -> impl Iterator<Item = &FragmentKey> {
        self.0.get(source).into_iter().flatten()
    }
}
