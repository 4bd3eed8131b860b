//! The states of all types on one stream.

use std::ops::{Index, IndexMut};

use legation_proto::resource_type::ResourceType;

use super::type_state::TypeState;
use crate::snapshot::Snapshot;

/// The states of all types on one stream, and which of them are quiet: nothing has to be sent, taken away or waited for, and
/// nothing stands rejected. Most types are, most of the time, and are not looked at then: a host has many more states than
/// fit into a cache.
#[derive(Debug, Default)]
pub(super) struct TypeStates {
    states: [TypeState; ResourceType::COUNT],
    is_quiet: [bool; ResourceType::COUNT],
}

impl Index<ResourceType> for TypeStates {
    type Output = TypeState;

    fn index(&self, resource_type: ResourceType) -> &TypeState {
        &self.states[resource_type.index()]
    }
}

/// What may have been changed counts as not quiet, until [`TypeStates::settle`] has looked at it.
impl IndexMut<ResourceType> for TypeStates {
    fn index_mut(&mut self, resource_type: ResourceType) -> &mut TypeState {
        self.is_quiet[resource_type.index()] = false;
        &mut self.states[resource_type.index()]
    }
}

impl TypeStates {
    /// Which types are quiet.
    pub(super) fn quiet(&self) -> [bool; ResourceType::COUNT] {
        self.is_quiet
    }

    /// The types that are not quiet, in ADS order.
    pub(super) fn busy(&self) -> impl Iterator<Item = (ResourceType, &TypeState)> {
        let busy =
            ResourceType::ALL.into_iter().filter(|resource_type| !self.is_quiet[resource_type.index()]);
        busy.map(|resource_type| (resource_type, &self[resource_type]))
    }

    /// Finds out which types are quiet, now that `snapshot` is what the Envoy should have and nothing can be sent.
    pub(super) fn settle(&mut self, snapshot: &Snapshot) {
        let states = self.states.iter_mut().zip(&mut self.is_quiet);
        for ((state, is_quiet), resource_type) in states.zip(ResourceType::ALL) {
            if *is_quiet {
                debug_assert!(
                    state.has_nothing_to_say(snapshot.set(resource_type)),
                    "something has changed unnoticed"
                );
            } else {
                state.settle(snapshot.set(resource_type));
                *is_quiet = state.rests() && state.waits_for_nothing();
            }
        }
    }
}
