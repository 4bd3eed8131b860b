//! Opening the database file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, StorageError};
use thiserror::Error;

use crate::store::error::StoreError;

const FILE: &str = "legation.redb";
/// The database while it is being created.
const UNFINISHED_FILE: &str = "legation.redb.new";
/// Locked while the database is being opened.
const LOCK_FILE: &str = "legation.lock";

/// What redb may cache, in bytes. Little: only the past is read from it, the present is in memory.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// A store that cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory cannot be created or synced.
    #[error("the data directory {} cannot be used: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has the store open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The database file.
        path: PathBuf,
    },
    /// The file is not a database, or a damaged one.
    #[error("{} is damaged or not a store of legation: {detail}", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file was written by a newer version of Legation.
    #[error("{} has format {found}, this version of legation knows up to {supported}", path.display())]
    NewerFormat {
        /// The database file.
        path: PathBuf,
        /// The format of the file.
        found: u64,
        /// The newest known here.
        supported: u64,
    },
    /// What is stored cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// The database file.
        path: PathBuf,
        /// Why.
        error: StoreError,
    },
    /// The file cannot be opened or written.
    #[error("{} cannot be opened: {error}", path.display())]
    File {
        /// The database file.
        path: PathBuf,
        /// Why.
        error: Box<redb::Error>,
    },
    /// A thread cannot be started.
    #[error("a thread of the store cannot be started: {0}")]
    Thread(io::Error),
}

/// The database file in `dir`.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Opens the database in `dir`, and creates both if needed. After a crash redb checks the whole file here.
pub(super) fn database(dir: &Path) -> Result<Database, OpenError> {
    let unusable = |error| OpenError::Directory { path: dir.to_owned(), error };
    fs::create_dir_all(dir).map_err(unusable)?;
    // one process at a time decides whether the file is to be created; redb's own lock holds from then on
    let opening = File::create(dir.join(LOCK_FILE)).map_err(unusable)?;
    opening.lock().map_err(unusable)?;
    let path = path(dir);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() == 0 => {
            // redb would take it for a new one, and what was in it would be gone without a word
            let detail =
                "it is empty; put it back from a copy, or remove it to start with an empty store".to_owned();
            return Err(OpenError::Damaged { path, detail });
        }
        Ok(_) => {}
        Err(_) => create(dir, &path)?,
    }
    open(&path)
}

/// Creates an empty database. It gets its name when it is whole, so that a crash meanwhile leaves no file that
/// could be taken for a damaged one.
fn create(dir: &Path, path: &Path) -> Result<(), OpenError> {
    let unusable = |error| OpenError::Directory { path: dir.to_owned(), error };
    let unfinished = dir.join(UNFINISHED_FILE);
    File::create(&unfinished).map_err(unusable)?;
    drop(open(&unfinished)?);
    fs::rename(&unfinished, path).map_err(unusable)?;
    // the file is durable only once the directories that lead to it are
    sync_directory(dir).map_err(unusable)?;
    let Some(parent) = dir.canonicalize().map_err(unusable)?.parent().map(Path::to_owned) else {
        return Ok(());
    };
    sync_directory(&parent).map_err(unusable)
}

fn open(path: &Path) -> Result<Database, OpenError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.create(path).map_err(|error| refusal(error, path))
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        // a parent may be closed to us, or on a file system without the call; then it is not ours to sync
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) =>
        {
            Ok(())
        }
        result => result,
    }
}

fn refusal(error: DatabaseError, path: &Path) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked { path },
        DatabaseError::Storage(StorageError::Corrupted(detail)) => OpenError::Damaged { path, detail },
        DatabaseError::Storage(StorageError::Io(error)) if is_damage(error.kind()) => {
            OpenError::Damaged { path, detail: error.to_string() }
        }
        other => OpenError::File { path, error: Box::new(other.into()) },
    }
}

fn is_damage(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
