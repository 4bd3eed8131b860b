//! What an Envoy has rejected of one type.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::HashMap;
use legation_proto::resource::Resource;
use legation_proto::version::Version;

use crate::snapshot::ResourceSet;
use crate::status::Nack;

/// What stands rejected of one type: not sent again until something in the response with it changes (conformance 33). Most
/// Envoys reject nothing, and this takes the room of a pointer then.
#[derive(Debug, Default)]
pub(super) struct Rejections(Option<Box<Standing>>);

#[derive(Debug)]
struct Standing {
    by_name: HashMap<Arc<str>, Rejected>,
    /// How many responses were rejected.
    responses: u64,
    /// The version of a whole set that was rejected. Only state of the world asks for it.
    set: Option<Version>,
    last: Nack,
}

/// A resource that was rejected.
#[derive(Clone, Copy, Debug)]
struct Rejected {
    hash: u64,
    /// Numbers the response that it was in.
    response: u64,
}

impl Rejections {
    /// Whether something stands rejected as it is.
    pub(super) fn stand(&self) -> bool {
        self.0.as_ref().is_some_and(|standing| !standing.by_name.is_empty())
    }

    /// Whether this stands rejected as it is.
    pub(super) fn contain(&self, resource: &Resource) -> bool {
        let rejected = self.0.as_ref().and_then(|standing| standing.by_name.get(&resource.name));
        rejected.is_some_and(|rejected| rejected.hash == resource.version.hash)
    }

    /// State of the world: whether a whole set of this version stands rejected.
    pub(super) fn contain_set(&self, version: Version) -> bool {
        self.0.as_ref().is_some_and(|standing| standing.set == Some(version))
    }

    /// The last response that was rejected, until everything in it was accepted or has changed and something was accepted
    /// since.
    pub(super) fn last(&self) -> Option<&Nack> {
        self.0.as_ref().map(|standing| &standing.last)
    }

    /// Names and content hashes of what stands rejected.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        let standing = self.0.iter().flat_map(|standing| &standing.by_name);
        standing.map(|(name, rejected)| (name, rejected.hash))
    }

    /// Takes in a NACK: what stands rejected by it, with its content hash, and whether that is the whole set that was sent.
    pub(super) fn add(&mut self, nack: Nack, rejected: Vec<(Arc<str>, u64)>, is_set_rejected: bool) {
        let set = is_set_rejected.then_some(nack.version);
        let standing = match &mut self.0 {
            Some(standing) => {
                standing.set = set;
                standing.last = nack;
                standing
            }
            none => {
                none.insert(Box::new(Standing { by_name: HashMap::default(), responses: 0, set, last: nack }))
            }
        };
        standing.responses += 1;
        let response = standing.responses;
        let rejected = rejected.into_iter().map(|(name, hash)| (name, Rejected { hash, response }));
        standing.by_name.extend(rejected);
    }

    /// Takes in an ACK: names and content hashes of what was accepted after all.
    pub(super) fn accept(&mut self, accepted: &[(Arc<str>, Option<u64>)]) {
        let Some(standing) = &mut self.0 else {
            return;
        };
        for (name, hash) in accepted {
            if standing.by_name.get(name).is_some_and(|rejected| Some(rejected.hash) == *hash) {
                standing.by_name.remove(name);
            }
        }
        if standing.by_name.is_empty() {
            self.0 = None;
        }
    }

    /// Forgets those whose names are no longer `wanted`.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Arc<str>) -> bool) {
        if let Some(standing) = &mut self.0 {
            standing.by_name.retain(|name, _| wanted(name));
        }
    }

    /// Forgets those that have to be answered once more, and that a whole set was rejected.
    pub(super) fn demand(&mut self, is_demanded: impl Fn(&Arc<str>) -> bool) {
        if let Some(standing) = &mut self.0 {
            standing.by_name.retain(|name, _| !is_demanded(name));
            standing.set = None;
        }
    }

    /// Forgets all that was in a response of which something should be there no longer as it was rejected. Tells whether there
    /// was any.
    pub(super) fn drop_outdated(&mut self, set: &ResourceSet) -> bool {
        let Some(standing) = &mut self.0 else {
            return false;
        };
        let changed = standing.by_name.iter().filter(|(name, rejected)| {
            set.get(name).is_none_or(|resource| resource.version.hash != rejected.hash)
        });
        let changed: HashSet<u64> = changed.map(|(_, rejected)| rejected.response).collect();
        standing.by_name.retain(|_, rejected| !changed.contains(&rejected.response));
        if standing.by_name.is_empty() {
            standing.set = None;
        }
        !changed.is_empty()
    }
}
