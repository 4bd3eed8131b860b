//! Finding and reading what is to be imported: a bounded amount of it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The endings of the files that are taken from a directory.
const ENDINGS: [&str; 7] = ["yaml", "yml", "json", "template", "tfstate", "jsonl", "ndjson"];

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How many bytes all files have together at most.
const TOTAL_BYTES_MAX: u64 = 256 << 20;

/// How many files there are at most.
const FILES_MAX: usize = 10_000;

/// How deep directories are looked into.
const DIRECTORY_DEPTH_MAX: usize = 32;

/// The text of a file.
#[derive(Debug)]
pub(super) struct Input {
    /// What to call it.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
}

/// The texts of all files that `arguments` name, in the order of the arguments and sorted within directories; or
/// everything that is wrong with them, with the names of the files.
pub(super) fn read_all(arguments: &[String]) -> Result<Vec<Input>, Vec<String>> {
    let mut reader = Reader { inputs: Vec::new(), problems: Vec::new(), bytes: 0 };
    for argument in arguments {
        if argument == "-" {
            reader.take("standard input", read_bounded(io::stdin().lock()));
            continue;
        }
        let mut files = Vec::new();
        match find(Path::new(argument), 0, &mut files) {
            Ok(()) => files.iter().for_each(|file| {
                reader.take(&file.display().to_string(), fs::File::open(file).and_then(read_bounded));
            }),
            Err(error) => reader.problems.push(format!("{argument}: cannot be read: {error}")),
        }
    }
    if reader.problems.is_empty() { Ok(reader.inputs) } else { Err(reader.problems) }
}

struct Reader {
    inputs: Vec<Input>,
    problems: Vec<String>,
    bytes: u64,
}

impl Reader {
    fn take(&mut self, name: &str, bytes: io::Result<Vec<u8>>) {
        match bytes.map_err(|error| format!("cannot be read: {error}")).and_then(|bytes| self.text(bytes)) {
            Ok(text) => self.inputs.push(Input { name: name.to_owned(), text }),
            Err(problem) => self.problems.push(format!("{name}: {problem}")),
        }
    }

    fn text(&mut self, bytes: Vec<u8>) -> Result<String, String> {
        self.bytes += bytes.len() as u64;
        if self.bytes > TOTAL_BYTES_MAX {
            return Err(format!("with this file there are more than {} MiB", TOTAL_BYTES_MAX >> 20));
        }
        let text = String::from_utf8(bytes).map_err(|error| format!("is not UTF-8 text: {error}"))?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }
}

fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

/// The file itself, or the files in the directory and below, sorted. Hidden ones are left out, so the cache that
/// Terraform keeps of modules is too.
fn find(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth > DIRECTORY_DEPTH_MAX {
        return Err(io::Error::other("there are too many directories in each other"));
    }
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // a directory behind a link is not followed: it could lead back to here
        if entry.file_type()?.is_dir() {
            find(&path, depth + 1, found)?;
        } else if has_ending(&path) && path.is_file() {
            found.push(path);
        }
        if found.len() > FILES_MAX {
            return Err(io::Error::other(format!("there are more than {FILES_MAX} files")));
        }
    }
    Ok(())
}

fn has_ending(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}
