//! How many keys there are of the families that somebody asked for.
//!
//! A family is counted once, when it is asked for first; from then on each key that comes or goes is.

use std::collections::HashMap;
use std::sync::Arc;

use super::view::{Records, under};
use crate::store::family::Family;
use crate::store::record::is_definition;

/// The counts, by what the keys of the families begin with.
#[derive(Default)]
pub(super) struct Families(HashMap<Arc<str>, Vec<Counted>>);

struct Counted {
    after: Arc<str>,
    count: usize,
}

impl Families {
    /// Counts a family, unless that was done.
    pub(super) fn count(&mut self, family: &Family, records: &Records) {
        if self.get(family).is_some() {
            return;
        }
        let count = under(records, &family.before).filter(|record| family.contains(&record.key)).count();
        let counted = Counted { after: Arc::clone(&family.after), count };
        self.0.entry(Arc::clone(&family.before)).or_default().push(counted);
    }

    /// How many keys of a family there are, if it is counted.
    pub(super) fn get(&self, family: &Family) -> Option<usize> {
        let counted = self.0.get(&family.before)?;
        counted.iter().find(|counted| counted.after == family.after).map(|counted| counted.count)
    }

    /// A key has come that was not there.
    pub(super) fn add(&mut self, key: &str) {
        self.for_each_of(key, |counted| counted.count += 1);
    }

    /// A key has gone that was there.
    pub(super) fn remove(&mut self, key: &str) {
        self.for_each_of(key, |counted| counted.count = counted.count.saturating_sub(1));
    }

    fn for_each_of(&mut self, key: &str, change: impl Fn(&mut Counted)) {
        if self.0.is_empty() || !is_definition(key) {
            return;
        }
        for (slash, _) in key.match_indices('/') {
            let (before, rest) = key.split_at(slash + 1);
            let Some(families) = self.0.get_mut(before) else { continue };
            let after = rest.find('/').map_or("", |end| &rest[end..]);
            families.iter_mut().filter(|counted| *counted.after == *after).for_each(&change);
            // an empty one costs nothing to count again, and is most likely gone for good
            families.retain(|counted| counted.count > 0);
            if families.is_empty() {
                self.0.remove(before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::Record;

    fn records(keys: &[&str]) -> Records {
        let record = |key: &&str| {
            let key: Arc<str> = (*key).into();
            (Arc::clone(&key), Record { key, value: "".into(), transaction: 1 })
        };
        keys.iter().map(record).collect()
    }

    #[test]
    fn counts_follow_what_comes_and_goes() {
        let meshes = Family::new("definitions/", "/mesh");
        let nodes = Family::new("definitions/m/virtualNode/", "");
        let records = records(&["definitions/m/mesh", "definitions/m/virtualNode/mesh"]);
        let mut families = Families::default();
        for family in [&meshes, &nodes] {
            assert_eq!(families.get(family), None);
            families.count(family, &records);
            assert_eq!(families.get(family), Some(1), "{family}");
        }
        for key in ["definitions/n/mesh", "definitions/m/virtualNode/a", "definitions/n/virtualNode/a"] {
            families.add(key);
        }
        families.add("definitions/m/referrer/virtualNode/a/uid");
        families.add("derived/fragment/m/virtualNode/a");
        assert_eq!([&meshes, &nodes].map(|family| families.get(family)), [Some(2), Some(2)]);
        families.remove("definitions/m/mesh");
        families.remove("definitions/m/virtualNode/a");
        assert_eq!([&meshes, &nodes].map(|family| families.get(family)), [Some(1), Some(1)]);
        families.remove("definitions/m/virtualNode/mesh");
        assert_eq!(families.get(&nodes), None, "nothing is kept of an empty family");
        assert_eq!(families.0.len(), 1);
    }
}
