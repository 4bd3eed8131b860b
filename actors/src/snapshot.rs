//! What one Envoy should have.

use std::sync::Arc;

use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::{Transaction, Version};

/// All resources that one Envoy should have, of every type. Cloning shares them.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    sets: [Arc<ResourceSet>; ResourceType::COUNT],
}

impl Snapshot {
    /// A snapshot of these sets, in the order of [`ResourceType::ALL`].
    pub fn new(sets: [ResourceSet; ResourceType::COUNT]) -> Self {
        Self { sets: sets.map(Arc::new) }
    }

    /// The resources of one type.
    pub fn set(&self, resource_type: ResourceType) -> &ResourceSet {
        &self.sets[resource_type.index()]
    }

    /// The newest definition that went into it.
    pub fn transaction(&self) -> Transaction {
        self.sets.iter().map(|set| set.version.transaction).max().unwrap_or_default()
    }
}

/// The resources of one type, each name once.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceSet {
    version: Version,
    resources: Vec<Resource>,
}

impl ResourceSet {
    /// Sorts `resources` by name; of several with one name the first stays.
    pub fn new(mut resources: Vec<Resource>) -> Self {
        resources.sort_by(|a, b| a.name.cmp(&b.name));
        resources.dedup_by(|later, earlier| later.name == earlier.name);
        Self { version: version_of(&resources), resources }
    }

    /// The version of the whole set.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The resources in the order of their names.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource called `name`.
    pub fn get(&self, name: &str) -> Option<&Resource> {
        let position = self.resources.binary_search_by(|resource| resource.name.as_ref().cmp(name)).ok()?;
        self.resources.get(position)
    }
}

/// The version of resources that are sorted by name.
pub(crate) fn version_of(resources: &[Resource]) -> Version {
    Version::of_set(resources.iter().map(|resource| (resource.name.as_ref(), resource.version)))
}
