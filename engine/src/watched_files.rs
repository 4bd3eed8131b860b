//! What is made of files, and made again when they change.
//!
//! Files are read again and again, and what they hold is compared: that finds every way to change a file, be it
//! written over, replaced by another of its name, or reached by a symbolic link that is turned, as Kubernetes does it. What
//! cannot be used is told once, and what was made last stays. Files that belong together, such as a certificate and its
//! key, are looked at together, so that it does no harm that one is replaced before the other.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use legation_proto::version::content_hash;
use metrics::{counter, describe_counter};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

const RELOADS_TOTAL: &str = "legation_file_reloads_total";

/// How often the files are read.
const INTERVAL: Duration = Duration::from_secs(1);

/// Largest file that is taken, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What makes something of the contents of files, in their order.
type Make<T> = dyn Fn(&[Vec<u8>]) -> Result<T, Box<dyn Error + Send + Sync>> + Send;

/// Files that cannot be used.
#[derive(Debug, Error)]
pub enum WatchedFilesError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing can be made of the files.
    #[error("{paths}: {reason}")]
    Unusable {
        /// The files.
        paths: String,
        /// Why.
        reason: String,
    },
}

/// Files, and who has what is made of them.
pub struct WatchedFiles<T> {
    name: &'static str,
    paths: Vec<PathBuf>,
    make: Box<Make<T>>,
    current: watch::Sender<Arc<T>>,
    /// The hash of what was looked at last, if it could be read.
    seen: Option<u64>,
    is_unreadable: bool,
}

impl<T: Send + Sync + 'static> WatchedFiles<T> {
    /// What `make` makes of the files at `paths`, and what keeps it current; `name` is what metrics and logs call it.
    pub fn open<E>(
        name: &'static str,
        paths: Vec<PathBuf>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, E> + Send + 'static,
    ) -> Result<(Self, watch::Receiver<Arc<T>>), WatchedFilesError>
    where
        E: Error + Send + Sync + 'static,
    {
        describe_counter!(RELOADS_TOTAL, "changed files that were taken or refused, by what they hold");
        let make: Box<Make<T>> = Box::new(move |contents| make(contents).map_err(Into::into));
        let contents = read(&paths)?;
        let made = make(&contents).map_err(|error| unusable(&paths, error.as_ref()))?;
        let (current, receiver) = watch::channel(Arc::new(made));
        let seen = Some(hash(&contents));
        Ok((Self { name, paths, make, current, seen, is_unreadable: false }, receiver))
    }

    /// Keeps what is made of the files current, for ever; the error says that making it has panicked.
    pub async fn keep_current(mut self) -> Result<(), JoinError> {
        loop {
            sleep(INTERVAL).await;
            // a file system may take its time
            self = spawn_blocking(move || {
                self.look();
                self
            })
            .await?;
        }
    }

    /// Looks at the files once.
    fn look(&mut self) {
        let name = self.name;
        let contents = match read(&self.paths) {
            Ok(contents) => contents,
            Err(error) => {
                if !self.is_unreadable {
                    self.is_unreadable = true;
                    self.refused(&error);
                }
                return;
            }
        };
        self.is_unreadable = false;
        let hash = hash(&contents);
        if self.seen == Some(hash) {
            return;
        }
        self.seen = Some(hash);
        match (self.make)(&contents) {
            Ok(made) => {
                self.current.send_replace(Arc::new(made));
                counter!(RELOADS_TOTAL, "file" => name, "outcome" => "taken").increment(1);
                tracing::info!(file = name, "a changed file was taken");
            }
            Err(error) => self.refused(&unusable(&self.paths, error.as_ref())),
        }
    }

    fn refused(&self, error: &WatchedFilesError) {
        counter!(RELOADS_TOTAL, "file" => self.name, "outcome" => "refused").increment(1);
        let error = error as &dyn Error;
        tracing::warn!(
            file = self.name,
            error,
            "a changed file cannot be used, so what was read before stays"
        );
    }
}

fn unusable(paths: &[PathBuf], error: &(dyn Error + Send + Sync)) -> WatchedFilesError {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    WatchedFilesError::Unusable { paths: paths.join(", "), reason: error.to_string() }
}

fn read(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, WatchedFilesError> {
    let read = |path: &PathBuf| {
        let mut content = Vec::new();
        let reading = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content));
        match reading {
            Ok(_) => Ok(content),
            Err(source) => Err(WatchedFilesError::Unreadable { path: path.clone(), source }),
        }
    };
    paths.iter().map(read).collect()
}

/// The hash of all contents and of where each ends. Contents are not kept to be compared: they may be secret.
fn hash(contents: &[Vec<u8>]) -> u64 {
    let hashes: Vec<u8> = contents.iter().flat_map(|content| content_hash(content).to_be_bytes()).collect();
    content_hash(&hashes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;

    /// The numbers in the files, one each.
    fn numbers(contents: &[Vec<u8>]) -> Result<Vec<u32>, std::num::ParseIntError> {
        contents.iter().map(|content| String::from_utf8_lossy(content).trim().parse()).collect()
    }

    type Opened = (WatchedFiles<Vec<u32>>, watch::Receiver<Arc<Vec<u32>>>);

    fn open(paths: &[&Path]) -> Result<Opened, WatchedFilesError> {
        WatchedFiles::open("test", paths.iter().map(|path| path.to_path_buf()).collect(), numbers)
    }

    #[test]
    fn every_way_to_change_a_file_is_noticed() {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (name, number) in [("first", "1"), ("second", "2")] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("file"), number).unwrap();
        }
        // as Kubernetes mounts a secret: file -> ..data/file, ..data -> first
        symlink(path("first"), path("..data")).unwrap();
        symlink(path("..data").join("file"), path("file")).unwrap();
        let (mut watched, current) = open(&[&path("file")]).unwrap();
        let mut check = |expected| {
            watched.look();
            assert_eq!(**current.borrow(), [expected]);
        };
        check(1);

        symlink(path("second"), path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
        check(2);

        fs::write(path("second").join("file"), "3").unwrap();
        check(3);

        fs::write(path("other"), "4").unwrap();
        fs::rename(path("other"), path("file")).unwrap();
        check(4);

        // the same size at the same time
        let modified = fs::metadata(path("file")).unwrap().modified().unwrap();
        fs::write(path("file"), "5").unwrap();
        File::options().write(true).open(path("file")).unwrap().set_modified(modified).unwrap();
        check(5);
    }

    #[test]
    fn what_cannot_be_used_changes_nothing() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "1").unwrap();
        let (mut watched, mut current) = open(&[&path]).unwrap();
        for bad in ["", "one", "\u{0}"] {
            fs::write(&path, bad).unwrap();
            watched.look();
        }
        fs::remove_file(&path).unwrap();
        watched.look();
        assert_eq!((**current.borrow()).as_slice(), [1]);
        assert!(!current.has_changed().unwrap());
        fs::write(&path, "2").unwrap();
        watched.look();
        assert_eq!((**current.borrow_and_update()).as_slice(), [2]);
        // what is read again unchanged is not made again
        watched.look();
        assert!(!current.has_changed().unwrap());
    }

    #[test]
    fn files_are_looked_at_together() {
        let dir = TempDir::new().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "1").unwrap();
        fs::write(&b, "2").unwrap();
        let (mut watched, current) = open(&[&a, &b]).unwrap();
        fs::write(&b, "").unwrap();
        watched.look();
        fs::write(&a, "3").unwrap();
        watched.look();
        assert_eq!((**current.borrow()).as_slice(), [1, 2]);
        fs::write(&b, "4").unwrap();
        watched.look();
        assert_eq!((**current.borrow()).as_slice(), [3, 4]);
    }

    #[test]
    fn there_is_no_start_without_them() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        assert!(matches!(open(&[&path]), Err(WatchedFilesError::Unreadable { .. })));
        fs::write(&path, "x").unwrap();
        let error = open(&[&path]).map(|_| ()).unwrap_err().to_string();
        assert!(error.ends_with("file: invalid digit found in string"), "{error}");
    }
}
