//! The redb file: the definitions, the journal, and an index of the journal by key.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use legation_proto::v1::{Change, JournalEntry};
use legation_proto::version::Transaction;
use prost::Message;
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};

use super::memory::Remembered;
use super::open::OpenError;
use super::view::Records;
use super::writer::Commit;
use crate::store::error::StoreError;
use crate::store::record::{Event, Record};
use crate::store::retention::{Kept, Pruned};

/// Facts about the file itself.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// The current definitions: the last change of each key, and its value.
const DEFINITIONS: TableDefinition<&str, (Transaction, &[u8])> = TableDefinition::new("definitions");
/// Every commit, as a [`JournalEntry`]. Its last key is the newest transaction.
const JOURNAL: TableDefinition<Transaction, &[u8]> = TableDefinition::new("journal");
/// Every change of every key, and whether the key existed after it. Of the time before the journal begins it has what
/// existed when it begins: the last change of each key.
const HISTORY: TableDefinition<(&str, Transaction), bool> = TableDefinition::new("history");

/// What is remembered: until when in milliseconds since the Unix epoch, the transaction that it came with, and its value.
/// A store that never remembered anything has no such table.
const REMEMBERED: TableDefinition<&str, (i64, Transaction, &[u8])> = TableDefinition::new("remembered");

/// The entry of [`META`] that says how the rest is to be read.
const FORMAT: &str = "format";
const FORMAT_SUPPORTED: u64 = 2;
/// Who knows this format only takes a pruned journal for a damaged one.
const FORMAT_UNPRUNED: u64 = 1;

/// How much of the journal is pruned at once: a commit that comes meanwhile waits for it.
const PRUNED_ENTRIES_MAX: usize = 128;
const PRUNED_CHANGES_MAX: usize = 512;

/// Opens the database, again and again.
pub(super) type OpenDatabase = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

/// What a store starts with.
pub(super) struct Loaded {
    /// The newest transaction.
    pub(super) transaction: Transaction,
    /// The oldest whose state is known.
    pub(super) oldest: Transaction,
    /// Every definition.
    pub(super) records: Records,
    /// What is remembered.
    pub(super) remembered: Vec<Remembered>,
}

/// The durable part of the store.
pub(super) struct Disk {
    /// None while it could not be opened again after a failed write.
    database: RwLock<Option<Database>>,
    open: OpenDatabase,
    /// A write has failed, and redb refuses further ones until the database is opened again.
    has_failed: AtomicBool,
}

impl Disk {
    /// Opens a database, and makes a store of it if it is empty. `path` names it in errors.
    pub(super) fn prepare(open: OpenDatabase, path: &Path) -> Result<Self, OpenError> {
        let database = RwLock::new(Some(open()?));
        let disk = Self { database, open, has_failed: AtomicBool::new(false) };
        let unreadable = |error| OpenError::Unreadable { path: path.to_owned(), error };
        match disk.format().map_err(unreadable)? {
            None => disk.initialise().map_err(unreadable)?,
            Some(found) if found > FORMAT_SUPPORTED => {
                return Err(OpenError::NewerFormat {
                    path: path.to_owned(),
                    found,
                    supported: FORMAT_SUPPORTED,
                });
            }
            Some(_) => {}
        }
        Ok(disk)
    }

    /// Whether a write has failed since the database was opened.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Opens the database again after a failed write. What that write left on the disk is whole or not there.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = None; // it holds the lock of the file
        *database = Some((self.open)().map_err(|error| StoreError::Storage(Arc::new(error)))?);
        self.has_failed.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().ok_or_else(not_open)?.begin_read().map_err(failure)
    }

    fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().ok_or_else(not_open)?.begin_write().map_err(failure)
    }

    fn format(&self) -> Result<Option<u64>, StoreError> {
        let read = self.begin_read()?;
        let meta = match read.open_table(META) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            result => result.map_err(failure)?,
        };
        let format = meta.get(FORMAT).map_err(failure)?;
        Ok(format.map(|format| format.value()))
    }

    /// Creates every table, so that no reader ever misses one.
    fn initialise(&self) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        write.open_table(DEFINITIONS).map_err(failure)?;
        write.open_table(JOURNAL).map_err(failure)?;
        write.open_table(HISTORY).map_err(failure)?;
        let mut meta = write.open_table(META).map_err(failure)?;
        meta.insert(FORMAT, FORMAT_UNPRUNED).map_err(failure)?;
        drop(meta);
        write.commit().map_err(failure)
    }

    /// What is there.
    pub(super) fn load(&self) -> Result<Loaded, StoreError> {
        let read = self.begin_read()?;
        let mut records = Records::new();
        let definitions = read.open_table(DEFINITIONS).map_err(failure)?;
        for row in definitions.iter().map_err(failure)? {
            let (key, row) = row.map_err(failure)?;
            let (transaction, value) = row.value();
            let key: Arc<str> = key.value().into();
            let record = Record { key: Arc::clone(&key), value: Bytes::copy_from_slice(value), transaction };
            records.insert(key, record);
        }
        let journal = read.open_table(JOURNAL).map_err(failure)?;
        let newest = journal.last().map_err(failure)?;
        let transaction = newest.map_or(0, |(transaction, _)| transaction.value());
        Ok(Loaded { transaction, oldest: oldest(&journal)?, records, remembered: self.remembered()? })
    }

    /// What is remembered, and until when.
    pub(super) fn remembered(&self) -> Result<Vec<Remembered>, StoreError> {
        let read = self.begin_read()?;
        let table = match read.open_table(REMEMBERED) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            result => result.map_err(failure)?,
        };
        let mut remembered = Vec::new();
        for row in table.iter().map_err(failure)? {
            let (key, row) = row.map_err(failure)?;
            let (until_ms, transaction, value) = row.value();
            let (key, value) = (key.value().into(), Bytes::copy_from_slice(value));
            remembered.push(Remembered { record: Record { key, value, transaction }, until_ms });
        }
        Ok(remembered)
    }

    /// Makes all of `commits` durable and forgets what is `forgotten`, or neither. After an error redb refuses to write until it is opened again,
    /// since nobody knows what of it reached the disk.
    pub(super) fn commit(&self, commits: &[Commit], forgotten: &[Arc<str>]) -> Result<(), StoreError> {
        if commits.is_empty() {
            return Ok(());
        }
        let written = self.write(commits, forgotten);
        if written.is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        written
    }

    fn write(&self, commits: &[Commit], forgotten: &[Arc<str>]) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        let mut definitions = write.open_table(DEFINITIONS).map_err(failure)?;
        let mut journal = write.open_table(JOURNAL).map_err(failure)?;
        let mut history = write.open_table(HISTORY).map_err(failure)?;
        for Commit { entry, events, .. } in commits {
            for Event { key, value, .. } in events {
                let key = key.as_ref();
                match value {
                    Some(value) => definitions.insert(key, (entry.transaction, value.as_ref())),
                    None => definitions.remove(key),
                }
                .map_err(failure)?;
                let exists = value.is_some();
                history.insert((key, entry.transaction), exists).map_err(failure)?;
            }
            let encoded = entry.encode_to_vec();
            journal.insert(entry.transaction, encoded.as_slice()).map_err(failure)?;
        }
        drop((definitions, journal, history));
        let mut remembered = commits.iter().flat_map(|commit| &commit.remembered).peekable();
        if remembered.peek().is_some() || !forgotten.is_empty() {
            let mut table = write.open_table(REMEMBERED).map_err(failure)?;
            for key in forgotten {
                table.remove(key.as_ref()).map_err(failure)?;
            }
            for Remembered { record, until_ms } in remembered {
                let row = (*until_ms, record.transaction, record.value.as_ref());
                table.insert(record.key.as_ref(), row).map_err(failure)?;
            }
        }
        write.commit().map_err(failure)
    }

    /// Up to `limit` journal entries after `after` and not after `newest`, oldest first.
    pub(super) fn journal(
        &self,
        after: Transaction,
        newest: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let read = self.begin_read()?;
        let journal = read.open_table(JOURNAL).map_err(failure)?;
        let mut entries = Vec::new();
        for row in journal.range(after + 1..=newest).map_err(failure)?.take(limit) {
            let (transaction, encoded) = row.map_err(failure)?;
            entries.push(decode(transaction.value(), encoded.value())?);
        }
        Ok(entries)
    }

    /// Up to `limit` journal entries before `before`, newest first.
    pub(super) fn journal_before(
        &self,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let read = self.begin_read()?;
        let journal = read.open_table(JOURNAL).map_err(failure)?;
        let mut entries = Vec::new();
        for row in journal.range(..before).map_err(failure)?.rev().take(limit) {
            let (transaction, encoded) = row.map_err(failure)?;
            entries.push(decode(transaction.value(), encoded.value())?);
        }
        Ok(entries)
    }

    /// Up to `limit` journal entries before `before` that changed `key`, newest first.
    pub(super) fn journal_of(
        &self,
        key: &str,
        before: Transaction,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let read = self.begin_read()?;
        let history = read.open_table(HISTORY).map_err(failure)?;
        let journal = read.open_table(JOURNAL).map_err(failure)?;
        let mut entries = Vec::new();
        for row in history.range((key, 0)..(key, before)).map_err(failure)?.rev().take(limit) {
            let (row_key, _) = row.map_err(failure)?;
            let (_, transaction) = row_key.value();
            // of the last change before the journal begins only the number is left
            if let Some(encoded) = journal.get(transaction).map_err(failure)? {
                entries.push(decode(transaction, encoded.value())?);
            }
        }
        Ok(entries)
    }

    /// Forgets the oldest entries that are not `kept`, a bounded number, but never the one of `newest`.
    ///
    /// Nothing is synced: the next commit does that. After a crash before it the entries are there again.
    pub(super) fn prune(&self, kept: Kept, newest: Transaction) -> Result<Pruned, StoreError> {
        let (expired, has_more) = self.expired(kept, newest)?;
        if !expired.is_empty() {
            let pruned = self.forget(&expired);
            if pruned.is_err() {
                self.has_failed.store(true, Ordering::Relaxed);
            }
            pruned?;
        }
        let read = self.begin_read()?;
        let journal = read.open_table(JOURNAL).map_err(failure)?;
        Ok(Pruned { oldest: oldest(&journal)?, has_more })
    }

    /// The first entries that are not `kept`, and whether there may be more.
    fn expired(&self, kept: Kept, newest: Transaction) -> Result<(Vec<JournalEntry>, bool), StoreError> {
        let read = self.begin_read()?;
        let journal = read.open_table(JOURNAL).map_err(failure)?;
        let mut expired = Vec::new();
        let mut changes = 0;
        for row in journal.range(..newest).map_err(failure)? {
            if expired.len() == PRUNED_ENTRIES_MAX || changes >= PRUNED_CHANGES_MAX {
                return Ok((expired, true));
            }
            let (transaction, encoded) = row.map_err(failure)?;
            let transaction = transaction.value();
            let entry = decode(transaction, encoded.value())?;
            // there is an entry for each number
            if newest - transaction < kept.entries_max && entry.committed_at_ms >= kept.since_ms {
                break;
            }
            changes += entry.changes.len();
            expired.push(entry);
        }
        Ok((expired, false))
    }

    /// Removes the first entries of the journal, and of the history what the state after them does not need.
    fn forget(&self, expired: &[JournalEntry]) -> Result<(), StoreError> {
        let mut write = self.begin_write()?;
        write.set_durability(Durability::None).map_err(failure)?;
        let mut journal = write.open_table(JOURNAL).map_err(failure)?;
        let mut history = write.open_table(HISTORY).map_err(failure)?;
        for entry in expired {
            journal.remove(entry.transaction).map_err(failure)?;
            for Change { key, after, .. } in &entry.changes {
                let end = if after.is_some() { entry.transaction } else { entry.transaction + 1 };
                history.retain_in((key.as_str(), 0)..(key.as_str(), end), |_, _| false).map_err(failure)?;
            }
        }
        let mut meta = write.open_table(META).map_err(failure)?;
        meta.insert(FORMAT, FORMAT_SUPPORTED).map_err(failure)?;
        drop((journal, history, meta));
        write.commit().map_err(failure)
    }

    /// The last change of each key under `prefix` that changed after `after` and not after `newest`, in order.
    pub(super) fn changes(
        &self,
        prefix: &str,
        after: Transaction,
        newest: Transaction,
    ) -> Result<Vec<Event>, StoreError> {
        let read = self.begin_read()?;
        let journal = read.open_table(JOURNAL).map_err(failure)?;
        check_known(&journal, after)?;
        let mut events = Vec::new();
        let mut seen = HashSet::new();
        // newest first: what was seen already has changed again since
        for row in journal.range(after + 1..=newest).map_err(failure)?.rev() {
            let (transaction, encoded) = row.map_err(failure)?;
            let transaction = transaction.value();
            for change in decode(transaction, encoded.value())?.changes.into_iter().rev() {
                let key: Arc<str> = change.key.into();
                if key.starts_with(prefix) && seen.insert(Arc::clone(&key)) {
                    events.push(Event { key, value: change.after, transaction });
                }
            }
        }
        events.reverse();
        Ok(events)
    }

    /// The definitions under `prefix` as they were right after transaction `at`, sorted by key.
    ///
    /// The value of a key is in the journal twice: after the change that made it, and before the next one. The first may
    /// have been pruned, and where there is no next one the value is the current one.
    pub(super) fn past(&self, prefix: &str, at: Transaction) -> Result<Vec<Record>, StoreError> {
        let read = self.begin_read()?;
        let journal = read.open_table(JOURNAL).map_err(failure)?;
        check_known(&journal, at)?;
        let history = read.open_table(HISTORY).map_err(failure)?;
        let mut found: BTreeMap<Arc<str>, Found> = BTreeMap::new();
        for row in history.range((prefix, 0)..).map_err(failure)? {
            let (row_key, exists) = row.map_err(failure)?;
            let (key, transaction) = row_key.value();
            if !key.starts_with(prefix) {
                break;
            }
            if transaction > at {
                if let Some(found) = found.get_mut(key) {
                    found.next_change.get_or_insert(transaction);
                }
            } else if exists.value() {
                found.insert(key.into(), Found { last_change: transaction, next_change: None });
            } else {
                found.remove(key);
            }
        }

        let begin = oldest(&journal)?;
        let mut in_journal: BTreeMap<Transaction, Vec<Arc<str>>> = BTreeMap::new();
        let mut records = Vec::with_capacity(found.len());
        let definitions = read.open_table(DEFINITIONS).map_err(failure)?;
        for (key, Found { last_change, next_change }) in &found {
            if *last_change > begin {
                in_journal.entry(*last_change).or_default().push(Arc::clone(key));
            } else if let Some(next_change) = next_change {
                in_journal.entry(*next_change).or_default().push(Arc::clone(key));
            } else {
                let current = definitions.get(key.as_ref()).map_err(failure)?;
                let value = current.as_ref().map(|row| Bytes::copy_from_slice(row.value().1));
                records.push(record(key, value, *last_change)?);
            }
        }
        for (transaction, keys) in in_journal {
            let Some(encoded) = journal.get(transaction).map_err(failure)? else {
                let detail = format!("the journal has no entry {transaction}");
                return Err(StoreError::Damaged { detail });
            };
            let entry = decode(transaction, encoded.value())?;
            let mut changes: HashMap<&str, &Change> =
                entry.changes.iter().map(|change| (change.key.as_str(), change)).collect();
            for key in keys {
                let (Some(found), Some(change)) = (found.get(&key), changes.remove(key.as_ref())) else {
                    let detail = format!("journal entry {transaction} does not change {key}");
                    return Err(StoreError::Damaged { detail });
                };
                let is_last = found.last_change == transaction;
                let value = if is_last { change.after.clone() } else { change.before.clone() };
                records.push(record(&key, value, found.last_change)?);
            }
        }
        records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(records)
    }
}

/// A key that existed.
struct Found {
    /// When it was changed last.
    last_change: Transaction,
    /// When it was changed next.
    next_change: Option<Transaction>,
}

fn record(key: &Arc<str>, value: Option<Bytes>, transaction: Transaction) -> Result<Record, StoreError> {
    match value {
        Some(value) => Ok(Record { key: Arc::clone(key), value, transaction }),
        None => Err(StoreError::Damaged { detail: format!("the value of {key} at {transaction} is lost") }),
    }
}

/// The oldest transaction whose state is known, by the journal: the one before its first.
fn oldest(journal: &impl ReadableTable<Transaction, &'static [u8]>) -> Result<Transaction, StoreError> {
    let first = journal.first().map_err(failure)?;
    Ok(first.map_or(0, |(transaction, _)| transaction.value().saturating_sub(1)))
}

/// Refuses a transaction whose state is not known any more. What was known when it was asked for may have been pruned
/// since, so this is asked of what is read.
fn check_known(
    journal: &impl ReadableTable<Transaction, &'static [u8]>,
    asked: Transaction,
) -> Result<(), StoreError> {
    let oldest = oldest(journal)?;
    if asked < oldest { Err(StoreError::TooOld { asked, oldest }) } else { Ok(()) }
}

fn decode(transaction: Transaction, encoded: &[u8]) -> Result<JournalEntry, StoreError> {
    JournalEntry::decode(Bytes::copy_from_slice(encoded))
        .map_err(|error| StoreError::Damaged { detail: format!("journal entry {transaction}: {error}") })
}

fn not_open() -> StoreError {
    let error = io::Error::other("the database could not be opened again after a failed write");
    StoreError::Storage(Arc::new(error))
}

fn failure(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(detail) => StoreError::Damaged { detail },
        other => StoreError::Storage(Arc::new(other)),
    }
}

#[cfg(test)]
impl Disk {
    /// How many rows there are in the history.
    pub(super) fn history_rows(&self) -> usize {
        let read = self.begin_read().unwrap();
        let history = read.open_table(HISTORY).unwrap();
        history.iter().unwrap().count()
    }
}

#[cfg(test)]
pub(super) fn set_format(database: &Database, format: u64) {
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert(FORMAT, format).unwrap();
    write.commit().unwrap();
}
