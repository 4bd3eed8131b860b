//! What is made of files, and made again when they change.
//!
//! Files are read again and again, and what they hold is compared: that finds every way to change a file, be it
//! written over, replaced by another of its name, or reached by a symbolic link that is turned, as Kubernetes does it. What
//! cannot be used is told once, and what was made last stays. Files that belong together, such as a certificate and its
//! key, are looked at together, so that it does no harm that one is replaced before the other.
//!
//! A change is taken once two looks in a row have found it. What somebody is still writing, and a directory of which some
//! files have been replaced and some have not, may make sense and mean something else: a policy that forbids is not there
//! yet, or the line by which a key is disabled.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

/// What makes something of files, in their order.
type Make<T> = dyn Fn(&[WatchedFile]) -> Result<T, Box<dyn Error + Send + Sync>> + Send;

/// A file as it was read.
#[derive(Debug)]
pub struct WatchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Which files are watched.
enum Watched {
    /// These.
    Files(Vec<PathBuf>),
    /// This one, or if it is a directory those in it that have this extension.
    FileOrDir(PathBuf, &'static str),
}

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
    watched: Watched,
    make: Box<Make<T>>,
    current: watch::Sender<Arc<T>>,
    /// The hash of what was looked at last.
    seen: u64,
    /// The hash of what was taken or refused last.
    settled: u64,
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
        let make = move |files: &[WatchedFile]| {
            let contents: Vec<Vec<u8>> = files.iter().map(|file| file.content.clone()).collect();
            make(&contents)
        };
        Self::open_watched(name, Watched::Files(paths), make)
    }

    /// The same of the file at `path`; or if that is a directory, of the files in it with this `extension`, whose names
    /// begin with no dot, in the order of their names.
    pub fn open_file_or_dir<E>(
        name: &'static str,
        path: PathBuf,
        extension: &'static str,
        make: impl Fn(&[WatchedFile]) -> Result<T, E> + Send + 'static,
    ) -> Result<(Self, watch::Receiver<Arc<T>>), WatchedFilesError>
    where
        E: Error + Send + Sync + 'static,
    {
        Self::open_watched(name, Watched::FileOrDir(path, extension), make)
    }

    fn open_watched<E>(
        name: &'static str,
        watched: Watched,
        make: impl Fn(&[WatchedFile]) -> Result<T, E> + Send + 'static,
    ) -> Result<(Self, watch::Receiver<Arc<T>>), WatchedFilesError>
    where
        E: Error + Send + Sync + 'static,
    {
        describe_counter!(RELOADS_TOTAL, "changed files that were taken or refused, by what they hold");
        let make: Box<Make<T>> = Box::new(move |files| make(files).map_err(Into::into));
        let files = watched.read()?;
        let made = make(&files).map_err(|error| watched.unusable(error.as_ref()))?;
        let (current, receiver) = watch::channel(Arc::new(made));
        let seen = hash(&files);
        Ok((Self { name, watched, make, current, seen, settled: seen, is_unreadable: false }, receiver))
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
        let files = match self.watched.read() {
            Ok(files) => files,
            Err(error) => {
                if !self.is_unreadable {
                    self.is_unreadable = true;
                    self.refused(&error);
                }
                return;
            }
        };
        self.is_unreadable = false;
        let hash = hash(&files);
        let is_still = std::mem::replace(&mut self.seen, hash) == hash;
        if !is_still || self.settled == hash {
            return;
        }
        self.settled = hash;
        match (self.make)(&files) {
            Ok(made) => {
                self.current.send_replace(Arc::new(made));
                counter!(RELOADS_TOTAL, "file" => name, "outcome" => "taken").increment(1);
                tracing::info!(file = name, "a changed file was taken");
            }
            Err(error) => self.refused(&self.watched.unusable(error.as_ref())),
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

impl Watched {
    fn unusable(&self, error: &(dyn Error + Send + Sync)) -> WatchedFilesError {
        let paths: Vec<String> = match self {
            Self::Files(paths) => paths.iter().map(|path| path.display().to_string()).collect(),
            Self::FileOrDir(path, _) => vec![path.display().to_string()],
        };
        WatchedFilesError::Unusable { paths: paths.join(", "), reason: error.to_string() }
    }

    fn read(&self) -> Result<Vec<WatchedFile>, WatchedFilesError> {
        match self {
            Self::Files(paths) => paths.iter().map(|path| read(path)).collect(),
            Self::FileOrDir(path, extension) => read_file_or_dir(path, extension),
        }
    }
}

/// The file at `path`; or if that is a directory, the files in it with this `extension`, whose names begin with no dot, in
/// the order of their names.
pub fn read_file_or_dir(path: &Path, extension: &str) -> Result<Vec<WatchedFile>, WatchedFilesError> {
    if !path.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let unreadable = |source| WatchedFilesError::Unreadable { path: path.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let path = entry.path();
        if !is_hidden && path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<WatchedFile, WatchedFilesError> {
    let mut content = Vec::new();
    let reading = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content));
    let source = match reading {
        Ok(_) if content.len() as u64 <= FILE_BYTES_MAX => {
            return Ok(WatchedFile { path: path.to_owned(), content });
        }
        // a part of it might make sense, and mean something else
        Ok(_) => {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {FILE_BYTES_MAX} bytes"))
        }
        Err(source) => source,
    };
    Err(WatchedFilesError::Unreadable { path: path.to_owned(), source })
}

/// Warns of a file that everybody can read and that holds `what` nobody should. Kubernetes mounts secrets so that everybody in the
/// container can read them, so this is no reason to refuse.
pub fn warn_if_public(path: &Path, what: &str) {
    let is_public = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0);
    if is_public {
        tracing::warn!(
            path = %path.display(),
            "every user of this system can read the {what}; its owner should be the only one: chmod 600"
        );
    }
}

/// The hash of all names and contents and of where each ends. Contents are not kept to be compared: they may be secret.
fn hash(files: &[WatchedFile]) -> u64 {
    let parts = files.iter().flat_map(|file| [file.path.as_os_str().as_encoded_bytes(), &file.content]);
    let hashes: Vec<u8> = parts.flat_map(|part| content_hash(part).to_be_bytes()).collect();
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

    /// Looks as often as it takes until what was changed is taken or refused.
    fn settle(watched: &mut WatchedFiles<Vec<u32>>) {
        watched.look();
        watched.look();
    }

    #[test]
    fn what_is_being_written_is_not_taken() {
        let dir = TempDir::new().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for path in [&a, &b] {
            fs::write(path, "1").unwrap();
        }
        let (mut watched, mut current) = open(&[&a, &b]).unwrap();
        // each state makes sense by itself
        for (path, text) in [(&a, "2"), (&a, "20"), (&b, "3"), (&b, "30")] {
            fs::write(path, text).unwrap();
            watched.look();
            assert_eq!((**current.borrow()).as_slice(), [1, 1]);
        }
        watched.look();
        assert_eq!((**current.borrow_and_update()).as_slice(), [20, 30]);
        // there and back between two looks, and for one look
        fs::write(&a, "4").unwrap();
        watched.look();
        fs::write(&a, "20").unwrap();
        settle(&mut watched);
        assert!(!current.has_changed().unwrap());
    }

    #[test]
    fn no_part_of_a_file_is_taken_for_the_whole() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        let largest = usize::try_from(FILE_BYTES_MAX).unwrap();
        let text = |blanks: usize| ["7", &" ".repeat(blanks), "x"].concat();
        fs::write(&path, text(largest - 1)).unwrap();
        let error = open(&[&path]).map(|_| ()).unwrap_err();
        assert!(matches!(error, WatchedFilesError::Unreadable { .. }), "{error}");
        fs::write(&path, &text(largest - 1)[..largest]).unwrap();
        let (mut watched, current) = open(&[&path]).unwrap();
        assert_eq!((**current.borrow()).as_slice(), [7]);
        fs::write(&path, text(largest - 1).replace('7', "8")).unwrap();
        settle(&mut watched);
        assert_eq!((**current.borrow()).as_slice(), [7]);
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
            settle(&mut watched);
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
            settle(&mut watched);
        }
        fs::remove_file(&path).unwrap();
        settle(&mut watched);
        assert_eq!((**current.borrow()).as_slice(), [1]);
        assert!(!current.has_changed().unwrap());
        fs::write(&path, "2").unwrap();
        settle(&mut watched);
        assert_eq!((**current.borrow_and_update()).as_slice(), [2]);
        // what is read again unchanged is not made again
        settle(&mut watched);
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
        settle(&mut watched);
        fs::write(&a, "3").unwrap();
        settle(&mut watched);
        assert_eq!((**current.borrow()).as_slice(), [1, 2]);
        fs::write(&b, "4").unwrap();
        settle(&mut watched);
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

    #[test]
    fn a_directory_is_all_files_in_it_that_have_the_extension() {
        let dir = TempDir::new().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        for (name, text) in [("b.n", "2"), ("a.n", "1"), (".hidden.n", "9"), ("README", "9"), ("c.n~", "9")] {
            write(name, text);
        }
        let numbers = |files: &[WatchedFile]| {
            let contents: Vec<Vec<u8>> = files.iter().map(|file| file.content.clone()).collect();
            numbers(&contents)
        };
        let (mut watched, current) =
            WatchedFiles::open_file_or_dir("test", dir.path().to_owned(), "n", numbers).unwrap();
        let mut check = |expected: &[u32]| {
            settle(&mut watched);
            assert_eq!(**current.borrow(), expected);
        };
        check(&[1, 2]);
        write("c.n", "3");
        check(&[1, 2, 3]);
        write("a.n", "x");
        check(&[1, 2, 3]);
        fs::remove_file(dir.path().join("a.n")).unwrap();
        check(&[2, 3]);
        fs::rename(dir.path().join("b.n"), dir.path().join("d.n")).unwrap();
        check(&[3, 2]);
    }
}
