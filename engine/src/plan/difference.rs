//! How two snapshots differ.

use std::sync::Arc;

use legation_actors::snapshot::ResourceSet;
use legation_proto::resource::Resource;

/// The resources of one type that differ, each list in the order of their names.
#[derive(Debug, Default)]
pub struct Difference {
    /// Those that come.
    pub added: Vec<ChangedResource>,
    /// Those that are others.
    pub updated: Vec<ChangedResource>,
    /// Those that go.
    pub removed: Vec<ChangedResource>,
}

/// A resource that differs.
#[derive(Debug)]
pub struct ChangedResource {
    /// Its name.
    pub name: Arc<str>,
    /// What it was.
    pub before: Option<Resource>,
    /// What it would be.
    pub after: Option<Resource>,
}

impl ChangedResource {
    /// Its bytes as it would be; as it was, where it goes.
    pub fn bytes(&self) -> usize {
        self.after.as_ref().or(self.before.as_ref()).map(|resource| resource.body.len()).unwrap_or_default()
    }
}

/// How `after` differs from `before`. The content alone decides, as it does for Envoys.
pub(super) fn difference(before: &ResourceSet, after: &ResourceSet) -> Difference {
    let mut difference = Difference::default();
    for resource in after.resources() {
        let was = before.get(&resource.name);
        if was.is_some_and(|was| was.version == resource.version) {
            continue;
        }
        let list = if was.is_some() { &mut difference.updated } else { &mut difference.added };
        list.push(changed(was, Some(resource), resource));
    }
    for resource in before.resources().iter().filter(|was| after.get(&was.name).is_none()) {
        difference.removed.push(changed(Some(resource), None, resource));
    }
    difference
}

fn changed(before: Option<&Resource>, after: Option<&Resource>, either: &Resource) -> ChangedResource {
    ChangedResource { name: Arc::clone(&either.name), before: before.cloned(), after: after.cloned() }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use legation_proto::resource_type::ResourceType;

    use super::*;

    fn set(clusters: &[(&str, &str, u64)]) -> ResourceSet {
        let resource = |(name, alias, transaction): &(&str, &str, u64)| {
            let (name, alt_stat_name) = ((*name).to_owned(), (*alias).to_owned());
            let cluster = Cluster { name: name.clone(), alt_stat_name, ..Cluster::default() };
            Resource::encode(ResourceType::Cluster, &name, *transaction, &cluster)
        };
        ResourceSet::new(clusters.iter().map(resource).collect())
    }

    fn shown(before: &[(&str, &str, u64)], after: &[(&str, &str, u64)]) -> String {
        let Difference { added, updated, removed } = difference(&set(before), &set(after));
        let names = |resources: &[ChangedResource]| -> String {
            resources.iter().map(|resource| resource.name.as_ref()).collect::<Vec<_>>().join(",")
        };
        format!("+{} ~{} -{}", names(&added), names(&updated), names(&removed))
    }

    #[test]
    fn the_content_decides_and_the_transaction_does_not() {
        let (a, b, c) = (("a", "", 1), ("b", "", 1), ("c", "", 1));
        for (before, after, expected) in [
            (vec![], vec![], "+ ~ -"),
            (vec![], vec![a, b], "+a,b ~ -"),
            (vec![a, b], vec![a, b], "+ ~ -"),
            (vec![a], vec![("a", "", 2)], "+ ~ -"),
            (vec![a], vec![("a", "other", 1)], "+ ~a -"),
            (vec![a, b], vec![b, c], "+c ~ -a"),
            (vec![a, b, c], vec![], "+ ~ -a,b,c"),
        ] {
            assert_eq!(shown(&before, &after), expected);
        }
    }

    #[test]
    fn bytes_are_those_that_come_or_that_go() {
        let Difference { updated, removed, .. } =
            difference(&set(&[("a", "", 1), ("b", "", 1)]), &set(&[("a", "longer", 1)]));
        let bytes = |changed: &ChangedResource, side: fn(&ChangedResource) -> &Option<Resource>| {
            side(changed).as_ref().unwrap().body.len()
        };
        assert_eq!(updated[0].bytes(), bytes(&updated[0], |changed| &changed.after));
        assert!(updated[0].bytes() > bytes(&updated[0], |changed| &changed.before));
        assert_eq!(removed[0].bytes(), bytes(&removed[0], |changed| &changed.before));
    }
}
