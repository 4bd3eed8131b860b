//! What one Envoy should have.

use std::sync::Arc;

use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::{Transaction, Version};
use xxhash_rust::xxh3::Xxh3;

/// All resources that one Envoy should have, of every type. Cloning shares them.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Of most types. Snapshots of one node share them all at once: a host has many more sets than fit into a cache, and to
    /// count one more owner of each would take longer than what else there is to do of a change of routes.
    others: Arc<[Arc<ResourceSet>; ResourceType::COUNT - 1]>,
    /// The last of all types, and the one that most changes are of.
    route_configurations: Arc<ResourceSet>,
    transaction: Transaction,
}

impl Snapshot {
    /// A snapshot of these sets, in the order of [`ResourceType::ALL`].
    pub fn new(sets: [ResourceSet; ResourceType::COUNT]) -> Self {
        let transaction = sets.iter().map(|set| set.version.transaction).max().unwrap_or_default();
        Self::at(transaction, sets.map(Arc::new))
    }

    /// A snapshot of these sets. `transaction` is the newest definition that went into it, or could have.
    pub fn at(transaction: Transaction, sets: [Arc<ResourceSet>; ResourceType::COUNT]) -> Self {
        let [clusters, endpoints, secrets, listeners, route_configurations] = sets;
        Self {
            others: Arc::new([clusters, endpoints, secrets, listeners]),
            route_configurations,
            transaction,
        }
    }

    /// The same with other route configurations.
    pub fn with_route_configurations(
        &self,
        transaction: Transaction,
        route_configurations: ResourceSet,
    ) -> Self {
        let route_configurations = Arc::new(route_configurations);
        Self { others: Arc::clone(&self.others), route_configurations, transaction }
    }

    /// The resources of one type.
    pub fn set(&self, resource_type: ResourceType) -> &Arc<ResourceSet> {
        self.others.get(resource_type.index()).unwrap_or(&self.route_configurations)
    }

    /// The newest definition that went into it.
    pub fn transaction(&self) -> Transaction {
        self.transaction
    }
}

/// The resources of one type, each name once.
#[derive(Clone, Debug)]
pub struct ResourceSet {
    version: Version,
    resources: Vec<Resource>,
    /// What it was made of, where that is known.
    source: Option<Source>,
}

impl PartialEq for ResourceSet {
    fn eq(&self, other: &Self) -> bool {
        self.resources == other.resources
    }
}

impl ResourceSet {
    /// Sorts `resources` by name; of several with one name the first stays.
    pub fn new(mut resources: Vec<Resource>) -> Self {
        resources.sort_by(|a, b| a.name.cmp(&b.name));
        resources.dedup_by(|later, earlier| later.name == earlier.name);
        Self { version: version_of(&resources), resources, source: None }
    }

    /// The set that `make` makes of `source`: the same one as `before`, if that was made of the same.
    pub fn made_of<E>(
        source: Source,
        before: Option<&Arc<Self>>,
        make: impl FnOnce() -> Result<Vec<Resource>, E>,
    ) -> Result<Arc<Self>, E> {
        match before {
            Some(before) if before.source == Some(source) => Ok(Arc::clone(before)),
            _ => Ok(Arc::new(Self { source: Some(source), ..Self::new(make()?) })),
        }
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

/// Tells whether two sets are made of the same, by a hash. Building it is much cheaper than making a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(u64);

impl Source {
    /// Begins with nothing.
    pub fn begin() -> SourceBuilder {
        SourceBuilder(Xxh3::new())
    }
}

/// Takes in what a set is made of, piece by piece. The order counts.
#[derive(Clone)]
pub struct SourceBuilder(Xxh3);

impl SourceBuilder {
    /// Some bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&bytes.len().to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// A number.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// Resources as they are: their versions tell what is in them.
    #[must_use]
    pub fn resources(mut self, resources: &[Resource]) -> Self {
        self.0.update(&resources.len().to_le_bytes());
        for resource in resources {
            let Version { transaction, hash } = resource.version;
            self.0.update(&hash.to_le_bytes());
            self.0.update(&transaction.to_le_bytes());
        }
        self
    }

    /// Everything that was taken in.
    pub fn finish(self) -> Source {
        Source(self.0.digest())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn resource(name: &str, transaction: Transaction) -> Resource {
        let version = Version::of(transaction, name.as_bytes());
        Resource { name: name.into(), version, body: bytes::Bytes::copy_from_slice(name.as_bytes()).into() }
    }

    fn made_of(resources: &[Resource], before: Option<&Arc<ResourceSet>>) -> Arc<ResourceSet> {
        let source = Source::begin().resources(resources).finish();
        let Ok(set) = ResourceSet::made_of(source, before, || Ok::<_, Infallible>(resources.to_vec()));
        set
    }

    #[test]
    fn a_set_of_the_same_is_the_same_set() {
        let before = made_of(&[resource("a", 1), resource("b", 1)], None);
        let same = made_of(&[resource("a", 1), resource("b", 1)], Some(&before));
        assert!(Arc::ptr_eq(&before, &same));
        for other in [
            vec![resource("a", 1)],
            vec![resource("a", 1), resource("c", 1)],
            vec![resource("a", 2), resource("b", 1)],
            vec![],
        ] {
            let set = made_of(&other, Some(&before));
            assert!(!Arc::ptr_eq(&before, &set), "{other:?}");
            assert_eq!(set.resources(), other);
        }
    }

    #[test]
    fn a_set_of_which_the_source_is_not_known_is_not_taken_again() {
        let unknown = Arc::new(ResourceSet::new(Vec::new()));
        assert!(!Arc::ptr_eq(&unknown, &made_of(&[], Some(&unknown))));
    }

    #[test]
    fn pieces_do_not_run_together() {
        let two = |a: &[u8], b: &[u8]| Source::begin().bytes(a).bytes(b).finish();
        assert_ne!(two(b"ab", b"c"), two(b"a", b"bc"));
        assert_eq!(two(b"ab", b"c"), two(b"ab", b"c"));
    }
}
