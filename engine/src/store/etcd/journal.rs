//! The journal: its entries by number, and which number a transaction has.
//!
//! etcd forgets old revisions whenever its operators say so; the past is therefore read from entries, which stay until they are pruned.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp};
use legation_proto::v1::JournalEntry;
use legation_proto::version::Transaction;
use prost::Message;

use super::ask::ask;
use super::keys::Number;
use super::reads::Reader;
use super::stored::{ChangedKeys, Head, Horizon, StoredEntry, decode, transaction};
use crate::store::error::StoreError;
use crate::store::record::{Event, Record};
use crate::store::retention::{Kept, Pruned};

/// Entries that are read with one request: each may have more than a mebibyte.
const ENTRIES_AT_ONCE: u64 = 64;

/// Lists of changed keys that are read with one request.
const CHANGED_AT_ONCE: u64 = 512;

/// Entries among which one that is new is looked for first, with one request.
const RECENT: u64 = 128;

/// Entries that are pruned at once, so that commits wait a moment only.
const PRUNED_AT_ONCE: u64 = 256;

/// The entries that there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) head: Head,
    pub(super) horizon: Horizon,
}

impl Extent {
    /// The number of the oldest entry that is kept.
    pub(super) fn first(&self) -> Number {
        self.horizon.number + 1
    }

    /// The oldest transaction whose state is known.
    pub(super) fn oldest(&self) -> Transaction {
        self.horizon.transaction
    }

    /// Whether there is a state at `asked`.
    pub(super) fn check(&self, asked: Transaction) -> Result<(), StoreError> {
        let (oldest, newest) = (self.oldest(), self.head.transaction);
        if asked > newest {
            return Err(StoreError::InFuture { asked, newest });
        }
        if asked < oldest {
            return Err(StoreError::TooOld { asked, oldest });
        }
        Ok(())
    }
}

impl Reader {
    /// The entries that there are now, and the revision that this is the state of.
    pub(super) async fn extent(&self) -> Result<(i64, Extent), StoreError> {
        // what is found in between is there unless it is pruned since, which is found out then
        let names = [self.keys.head(), self.keys.horizon()];
        let (revision, found) =
            self.get_at_once(names.into_iter().map(|name| TxnOp::get(name, None)).collect()).await?;
        let mut found = found.iter().map(|found| found.kvs().first());
        let head = Head::read(found.next().flatten())?;
        let horizon = found.next().flatten().map(decode).transpose()?.unwrap_or_default();
        Ok((revision, Extent { head, horizon }))
    }

    /// The number of the first entry after the transaction `after`; one more than that of the newest if there is none.
    pub(super) async fn first_after(
        &self,
        extent: &Extent,
        after: Transaction,
    ) -> Result<Number, StoreError> {
        if after >= extent.head.transaction {
            return Ok(extent.head.number + 1);
        }
        if after + 1 == extent.head.transaction {
            return Ok(extent.head.number);
        }
        let mut low = extent.first();
        if after <= extent.oldest() {
            return Ok(low);
        }
        // most ask for what is new
        let end = extent.head.number + 1;
        let mut high = low.max(end.saturating_sub(RECENT));
        let options = GetOptions::new().with_range(self.keys.changed(end)).with_keys_only();
        let recent = self.get(self.keys.changed(high), options).await?;
        let is_newer = |found: &&KeyValue| transaction(found.mod_revision()) > after;
        let newer = recent.kvs().iter().filter(is_newer).count() as Number;
        if newer < end - high {
            return Ok(end - newer); // numbers have no gaps, and what was pruned since is the oldest
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.transaction_of(middle).await? <= after {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The numbers of up to `limit` entries before the transaction `before`.
    pub(super) async fn numbers_before(
        &self,
        before: Transaction,
        limit: usize,
    ) -> Result<Range<Number>, StoreError> {
        let (_, extent) = self.extent().await?;
        let end = self.first_after(&extent, before.saturating_sub(1)).await?;
        Ok(extent.first().max(end.saturating_sub(limit as u64))..end)
    }

    /// The transaction of an entry; 0 of one that was pruned.
    async fn transaction_of(&self, number: Number) -> Result<Transaction, StoreError> {
        let found = self.get(self.keys.changed(number), GetOptions::new().with_keys_only()).await?;
        Ok(found.kvs().first().map_or(0, |found| transaction(found.mod_revision())))
    }

    /// The entries with these numbers, oldest first; those that were pruned are not there.
    pub(super) async fn stored_entries(
        &self,
        numbers: Range<Number>,
    ) -> Result<Vec<(JournalEntry, StoredEntry)>, StoreError> {
        let mut entries = Vec::new();
        let mut from = numbers.start;
        while from < numbers.end {
            let end = numbers.end.min(from + ENTRIES_AT_ONCE);
            let options = GetOptions::new().with_range(self.keys.journal(end));
            for found in self.get(self.keys.journal(from), options).await?.kvs() {
                entries.push(StoredEntry::read(found)?);
            }
            from = end;
        }
        Ok(entries)
    }

    /// The same, as the journal tells them.
    pub(super) async fn entries(&self, numbers: Range<Number>) -> Result<Vec<JournalEntry>, StoreError> {
        let entries = self.stored_entries(numbers).await?;
        Ok(entries.into_iter().map(|(entry, _)| entry).collect())
    }

    /// The keys that the entries with these numbers are about, oldest first.
    pub(super) async fn changed(
        &self,
        numbers: Range<Number>,
    ) -> Result<Vec<(Transaction, ChangedKeys)>, StoreError> {
        let mut changed = Vec::new();
        let mut from = numbers.start;
        while from < numbers.end {
            let end = numbers.end.min(from + CHANGED_AT_ONCE);
            let options = GetOptions::new().with_range(self.keys.changed(end));
            for found in self.get(self.keys.changed(from), options).await?.kvs() {
                changed.push((transaction(found.mod_revision()), decode(found)?));
            }
            from = end;
        }
        Ok(changed)
    }

    /// Up to `limit` entries before the transaction `before` that changed `key`, newest first.
    pub(super) async fn entries_of(
        &self,
        extent: &Extent,
        key: &str,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let mut entries = Vec::new();
        let mut end = self.first_after(extent, before.saturating_sub(1)).await?;
        while end > extent.first() && entries.len() < limit {
            let start = extent.first().max(end.saturating_sub(CHANGED_AT_ONCE));
            let changed = self.changed(start..end).await?;
            // numbers have no gaps, unless some were pruned in the meantime: those are the first
            let first = end - changed.len() as Number;
            for (number, (_, keys)) in (first..end).rev().zip(changed.into_iter().rev()) {
                if entries.len() < limit && keys.keys.iter().any(|changed| changed == key) {
                    entries.extend(self.entries(number..number + 1).await?);
                }
            }
            end = start;
        }
        Ok(entries)
    }

    /// What changed under `prefix` after the transaction `after`, the last change of each key, in their order.
    pub(super) async fn changes(
        &self,
        extent: &Extent,
        prefix: &str,
        after: Transaction,
    ) -> Result<Vec<Event>, StoreError> {
        let mut from = self.first_after(extent, after).await?;
        let newest = extent.head.number;
        let mut events: BTreeMap<Arc<str>, (usize, Event)> = BTreeMap::new();
        let mut place = 0;
        while from <= newest {
            let end = (newest + 1).min(from + ENTRIES_AT_ONCE);
            for entry in self.entries(from..end).await? {
                for change in entry.changes.into_iter().filter(|change| change.key.starts_with(prefix)) {
                    let key: Arc<str> = change.key.into();
                    let event =
                        Event { key: Arc::clone(&key), value: change.after, transaction: entry.transaction };
                    events.insert(key, (place, event));
                    place += 1;
                }
            }
            from = end;
        }
        let mut events: Vec<(usize, Event)> = events.into_values().collect();
        events.sort_unstable_by_key(|(place, _)| *place);
        Ok(events.into_iter().map(|(_, event)| event).collect())
    }

    /// The definitions under `prefix` as they were right after a transaction: those of now, with all changes since taken back.
    pub(super) async fn past(&self, prefix: &str, at: Transaction) -> Result<Vec<Record>, StoreError> {
        let (_, extent) = self.extent().await?;
        extent.check(at)?;
        let now = self.list(prefix).await?.listing;
        let mut records: BTreeMap<Arc<str>, Record> =
            now.records.into_iter().map(|record| (Arc::clone(&record.key), record)).collect();
        let (_, newest) = self.extent().await?;
        newest.check(at)?;
        let first = self.first_after(&newest, at).await?;
        let mut end = newest.head.number + 1;
        while end > first {
            let start = first.max(end.saturating_sub(ENTRIES_AT_ONCE));
            let entries = self.stored_entries(start..end).await?;
            let since = entries.into_iter().rev().filter(|(entry, _)| entry.transaction <= now.transaction);
            since.for_each(|(entry, stored)| take_back(&mut records, prefix, entry, &stored));
            end = start;
        }
        let (_, after) = self.extent().await?;
        after.check(at)?; // what is needed may have been pruned in between
        Ok(records.into_values().collect())
    }

    /// The number of the first entry that was committed at this time or later.
    async fn first_since(&self, extent: &Extent, since_ms: i64) -> Result<Number, StoreError> {
        let (mut low, mut high) = (extent.first(), extent.head.number);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entries(middle..middle + 1).await?;
            if entry.first().is_none_or(|entry| entry.committed_at_ms < since_ms) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Prunes a piece of what is not kept.
    pub(super) async fn prune(&self, kept: Kept) -> Result<Pruned, StoreError> {
        let (_, extent) = self.extent().await?;
        let nothing = Pruned { oldest: extent.oldest(), has_more: false };
        let Head { number: newest, .. } = extent.head;
        if newest <= extent.first() {
            return Ok(nothing);
        }
        let by_count = newest.saturating_sub(kept.entries_max.max(1)) + 1;
        let by_age =
            if kept.since_ms == i64::MIN { 0 } else { self.first_since(&extent, kept.since_ms).await? };
        let first_kept = by_count.max(by_age).min(newest);
        if first_kept <= extent.first() {
            return Ok(nothing);
        }
        let number = (first_kept - 1).min(extent.horizon.number + PRUNED_AT_ONCE);
        let horizon = Horizon { number, transaction: self.transaction_of(number).await? };
        let seen = self.get(self.keys.horizon(), GetOptions::new()).await?;
        let seen = seen.kvs().first();
        if seen.map(decode::<Horizon>).transpose()?.unwrap_or_default() != extent.horizon {
            return Ok(Pruned { oldest: extent.oldest(), has_more: true }); // somebody else prunes
        }
        let unchanged = Compare::mod_revision(
            self.keys.horizon(),
            CompareOp::Equal,
            seen.map_or(0, KeyValue::mod_revision),
        );
        let until = |names: fn(&super::keys::Keys, Number) -> String| {
            let options = etcd_client::DeleteOptions::new().with_range(names(&self.keys, number + 1));
            TxnOp::delete(names(&self.keys, 0), Some(options))
        };
        let operations = [
            TxnOp::put(self.keys.horizon(), horizon.encode_to_vec(), None),
            until(super::keys::Keys::journal),
            until(super::keys::Keys::changed),
        ];
        let change = Txn::new().when([unchanged]).and_then(operations);
        let answer = ask(|| {
            let (mut client, change) = (self.client.clone(), change.clone());
            async move { client.txn(change).await }
        });
        let is_done = answer.await?.succeeded();
        let oldest = if is_done { horizon.transaction } else { extent.oldest() };
        Ok(Pruned { oldest, has_more: !is_done || number + 1 < first_kept })
    }
}

/// Makes of the definitions after an entry those before it.
fn take_back(
    records: &mut BTreeMap<Arc<str>, Record>,
    prefix: &str,
    entry: JournalEntry,
    stored: &StoredEntry,
) {
    for (change, transaction) in entry.changes.into_iter().zip(&stored.before_transactions) {
        if !change.key.starts_with(prefix) {
            continue;
        }
        let key: Arc<str> = change.key.into();
        match change.before {
            Some(value) => {
                records.insert(Arc::clone(&key), Record { key, value, transaction: *transaction });
            }
            None => drop(records.remove(&key)),
        }
    }
}
