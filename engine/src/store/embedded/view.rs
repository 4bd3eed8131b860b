//! What a batch means for the records it would change.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use legation_proto::v1;
use legation_proto::version::Transaction;

use super::deletions::Deletions;
use super::families::Families;
use crate::store::batch::{Change, Precondition};
use crate::store::family::Family;
use crate::store::record::{Event, Record};

/// Records by their keys.
pub(super) type Records = BTreeMap<Arc<str>, Record>;

/// Changes by earlier batches that are not among the records yet; absent values are deletions.
pub(super) type Staged = BTreeMap<Arc<str>, Option<Record>>;

/// The records as they will be after what is staged.
pub(super) struct View<'a> {
    records: &'a Records,
    staged: &'a Staged,
    deletions: &'a Deletions,
    families: &'a Families,
}

/// The records under `prefix`, sorted by key.
pub(super) fn under<'a>(records: &'a Records, prefix: &str) -> impl Iterator<Item = &'a Record> {
    entries_under(records, prefix).map(|(_, record)| record)
}

/// The segments that follow `prefix`, up to the next `/`, each once and sorted.
pub(super) fn segments(records: &Records, prefix: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut after = Bound::Included(prefix.to_owned());
    let next = |after: &Bound<String>| {
        let bounds = (after.as_ref().map(String::as_str), Bound::Unbounded);
        records.range::<str, _>(bounds).next().map(|(key, _)| key)
    };
    while let Some(key) = next(&after) {
        let Some(rest) = key.strip_prefix(prefix) else { break };
        let segment = rest.split('/').next().unwrap_or(rest);
        let is_whole_key = segment.len() == rest.len();
        // the next is looked for after all that lies in this one
        let end = [prefix, segment, if is_whole_key { "\0" } else { "0" }].concat();
        after = Bound::Included(end);
        segments.push(segment.to_owned());
    }
    segments.sort_unstable();
    segments.dedup();
    segments
}

fn entries_under<'a, V>(
    entries: &'a BTreeMap<Arc<str>, V>,
    prefix: &str,
) -> impl Iterator<Item = (&'a Arc<str>, &'a V)> {
    entries
        .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
}

impl<'a> View<'a> {
    pub(super) fn new(
        records: &'a Records,
        staged: &'a Staged,
        deletions: &'a Deletions,
        families: &'a Families,
    ) -> Self {
        Self { records, staged, deletions, families }
    }

    fn get(&self, key: &str) -> Option<&'a Record> {
        match self.staged.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.records.get(key),
        }
    }

    fn is_empty(&self, prefix: &str) -> bool {
        entries_under(self.staged, prefix).all(|(_, record)| record.is_none())
            && entries_under(self.records, prefix).all(|(key, _)| self.staged.contains_key(key))
    }

    fn is_untouched(&self, prefix: &str, since: Transaction) -> bool {
        entries_under(self.staged, prefix).next().is_none()
            && under(self.records, prefix).all(|record| record.transaction <= since)
            && self.deletions.is_none_under(prefix, since)
    }

    /// How many keys of `family` there are. It must be counted.
    fn count(&self, family: &Family) -> usize {
        let mut count = self.families.get(family).unwrap_or_default();
        for (key, record) in entries_under(self.staged, &family.before) {
            if !family.contains(key) {
                continue;
            }
            match (self.records.contains_key(key), record.is_some()) {
                (false, true) => count += 1,
                (true, false) => count = count.saturating_sub(1),
                _ => {}
            }
        }
        count
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::Absent { key } => self.get(key).is_none(),
            Precondition::Present { key } => self.get(key).is_some(),
            Precondition::Unchanged { key, transaction } => {
                self.get(key).is_some_and(|record| record.transaction == *transaction)
            }
            Precondition::Equal { key, value } => self.get(key).is_some_and(|record| record.value == *value),
            Precondition::Empty { prefix } => self.is_empty(prefix),
            Precondition::Fewer { family, than } => self.count(family) < *than,
            Precondition::Untouched { prefix, since } => self.is_untouched(prefix, *since),
        }
    }

    /// The first precondition that does not hold.
    pub(super) fn first_conflict(&self, preconditions: Vec<Precondition>) -> Option<Precondition> {
        preconditions.into_iter().find(|precondition| !self.holds(precondition))
    }

    /// What `changes` do at `transaction`: a deletion of what does not exist does nothing.
    pub(super) fn events(&self, changes: &[Change], transaction: Transaction) -> Vec<Event> {
        let mut events = Vec::with_capacity(changes.len());
        for change in changes {
            let (key, value) = match change {
                Change::Put { key, value, .. } => (key, Some(value.clone())),
                Change::Delete { key } if self.get(key).is_some() => (key, None),
                Change::Remember { .. } | Change::Delete { .. } => continue,
            };
            events.push(Event { key: Arc::clone(key), value, transaction });
        }
        events
    }

    /// What the journal says about `event`.
    pub(super) fn journaled(&self, event: &Event) -> v1::Change {
        v1::Change {
            key: event.key.to_string(),
            before: self.get(&event.key).map(|record| record.value.clone()),
            after: event.value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &'static str) -> (Arc<str>, Record) {
        let record = Record { key: key.into(), value: value.into(), transaction: 1 };
        (key.into(), record)
    }

    #[test]
    fn what_is_staged_hides_what_is_recorded() {
        let records =
            Records::from([record("a/deleted", "1"), record("b/kept", "1"), record("c/changed", "1")]);
        let mut staged = Staged::from([("a/deleted".into(), None)]);
        for (key, record) in [record("c/changed", "2"), record("d/created", "2")] {
            staged.insert(key, Some(record));
        }
        let deletions = Deletions::after(1);
        let family = Family::new("a/", "");
        let mut families = Families::default();
        families.count(&family, &records);
        staged.insert("a/new".into(), Some(record("a/new", "2").1));
        staged.insert("a/newer".into(), Some(record("a/newer", "2").1));
        staged.insert("a/new/deeper".into(), Some(record("a/new/deeper", "2").1));
        let view = View::new(&records, &staged, &deletions, &families);
        assert_eq!(view.count(&family), 2, "one is deleted, two are new");
        staged.retain(|key, _| !key.starts_with("a/new"));
        let view = View::new(&records, &staged, &deletions, &families);
        assert_eq!(view.count(&family), 0);
        let value = |key| view.get(key).map(|record| record.value.as_ref());
        assert_eq!(value("a/deleted"), None);
        assert_eq!(value("b/kept"), Some(&b"1"[..]));
        assert_eq!(value("c/changed"), Some(&b"2"[..]));
        assert_eq!(value("d/created"), Some(&b"2"[..]));
        let empty = ["a/", "b/", "c/", "d/", "e/"].map(|prefix| view.is_empty(prefix));
        assert_eq!(empty, [true, false, false, false, true]);
        let untouched = ["a/", "b/", "c/", "d/", "e/"].map(|prefix| view.is_untouched(prefix, 1));
        assert_eq!(untouched, [false, true, false, false, true]);
        assert!(!view.is_untouched("b/", 0));
    }
}
