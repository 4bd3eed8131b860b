//! redb without the embedded store, as the least that a commit can cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use tempfile::TempDir;

use crate::run::directory;

// the tables of the embedded store: what is current, every commit, and which commit changed what
const CURRENT: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("definitions");
const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");
const HISTORY: TableDefinition<(&str, u64), bool> = TableDefinition::new("history");

/// A database of redb that takes what the embedded store writes, and does nothing else.
#[derive(Debug)]
pub struct Bare {
    database: Database,
    transaction: u64,
    _directory: TempDir,
}

impl Bare {
    /// An empty one.
    pub fn create() -> Self {
        let directory = directory();
        let database = Database::create(directory.path().join("bare.redb")).unwrap();
        Self { database, transaction: 0, _directory: directory }
    }

    /// How long so many commits take, each of what all the writers have.
    pub fn commit(&mut self, writers: &[Vec<(Arc<str>, Bytes)>], rounds: u64) -> Duration {
        let started = Instant::now();
        for _ in 0..rounds {
            let write = self.database.begin_write().unwrap();
            let mut definitions = write.open_table(CURRENT).unwrap();
            let mut journal = write.open_table(JOURNAL).unwrap();
            let mut history = write.open_table(HISTORY).unwrap();
            for batch in writers {
                self.transaction += 1;
                let mut entry = Vec::new();
                for (key, value) in batch {
                    definitions.insert(&**key, (self.transaction, &**value)).unwrap();
                    history.insert((&**key, self.transaction), true).unwrap();
                    // the value before and the value after
                    for part in [key.as_bytes(), value, value] {
                        entry.extend_from_slice(part);
                    }
                }
                journal.insert(self.transaction, entry.as_slice()).unwrap();
            }
            drop((definitions, journal, history));
            write.commit().unwrap();
        }
        let elapsed = started.elapsed();
        let table = self.database.begin_read().unwrap().open_table(CURRENT).unwrap();
        assert_eq!(table.len().unwrap(), writers.iter().flatten().count() as u64);
        elapsed
    }
}
