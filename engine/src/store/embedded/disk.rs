//! The redb file: the definitions, the journal, and an index of the journal by key.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use legation_proto::v1::JournalEntry;
use legation_proto::version::Transaction;
use prost::Message;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};

use super::open::OpenError;
use super::view::Records;
use super::writer::Commit;
use crate::store::error::StoreError;
use crate::store::record::{Event, Record};

/// Facts about the file itself.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// The current definitions: the last change of each key, and its value.
const DEFINITIONS: TableDefinition<&str, (Transaction, &[u8])> = TableDefinition::new("definitions");
/// Every commit, as a [`JournalEntry`]. Its last key is the newest transaction.
const JOURNAL: TableDefinition<Transaction, &[u8]> = TableDefinition::new("journal");
/// Every change of every key, and whether the key existed after it.
const HISTORY: TableDefinition<(&str, Transaction), bool> = TableDefinition::new("history");

/// The entry of [`META`] that says how the rest is to be read.
const FORMAT: &str = "format";
const FORMAT_SUPPORTED: u64 = 1;

/// Opens the database, again and again.
pub(super) type OpenDatabase = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

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
        meta.insert(FORMAT, FORMAT_SUPPORTED).map_err(failure)?;
        drop(meta);
        write.commit().map_err(failure)
    }

    /// The newest transaction and every definition.
    pub(super) fn load(&self) -> Result<(Transaction, Records), StoreError> {
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
        Ok((newest.map_or(0, |(transaction, _)| transaction.value()), records))
    }

    /// Makes all of `commits` durable, or none. After an error redb refuses to write until it is opened again,
    /// since nobody knows what of it reached the disk.
    pub(super) fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        if commits.is_empty() {
            return Ok(());
        }
        let written = self.write(commits);
        if written.is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        written
    }

    fn write(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        let mut definitions = write.open_table(DEFINITIONS).map_err(failure)?;
        let mut journal = write.open_table(JOURNAL).map_err(failure)?;
        let mut history = write.open_table(HISTORY).map_err(failure)?;
        for Commit { entry, events } in commits {
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

    /// The last change of each key under `prefix` that changed after `after` and not after `newest`, in order.
    pub(super) fn changes(
        &self,
        prefix: &str,
        after: Transaction,
        newest: Transaction,
    ) -> Result<Vec<Event>, StoreError> {
        let read = self.begin_read()?;
        let journal = read.open_table(JOURNAL).map_err(failure)?;
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
    pub(super) fn past(&self, prefix: &str, at: Transaction) -> Result<Vec<Record>, StoreError> {
        let read = self.begin_read()?;
        let history = read.open_table(HISTORY).map_err(failure)?;
        let mut last_changes: BTreeMap<Arc<str>, Transaction> = BTreeMap::new();
        for row in history.range((prefix, 0)..).map_err(failure)? {
            let (row_key, exists) = row.map_err(failure)?;
            let (key, transaction) = row_key.value();
            if !key.starts_with(prefix) {
                break;
            }
            if transaction > at {
                continue;
            }
            if exists.value() {
                last_changes.insert(key.into(), transaction);
            } else {
                last_changes.remove(key);
            }
        }
        let journal = read.open_table(JOURNAL).map_err(failure)?;
        let transactions: BTreeSet<Transaction> = last_changes.values().copied().collect();
        let mut records = Vec::with_capacity(last_changes.len());
        for transaction in transactions {
            let Some(encoded) = journal.get(transaction).map_err(failure)? else {
                let detail = format!("the journal has no entry {transaction}");
                return Err(StoreError::Damaged { detail });
            };
            for change in decode(transaction, encoded.value())?.changes {
                let Some((key, last)) = last_changes.get_key_value(change.key.as_str()) else {
                    continue;
                };
                if *last == transaction
                    && let Some(value) = change.after
                {
                    records.push(Record { key: Arc::clone(key), value, transaction });
                }
            }
        }
        records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(records)
    }
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
pub(super) fn set_format(database: &Database, format: u64) {
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert(FORMAT, format).unwrap();
    write.commit().unwrap();
}
