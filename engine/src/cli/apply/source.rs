//! Finding and reading the files.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::{fs, str};

use super::document::{Malformed, Place};

/// The endings of the files that are taken from a directory.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The text of a file.
#[derive(Debug)]
pub(super) struct Source {
    /// What to call it.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
}

/// The texts of all files that `arguments` name; an error in the place of what cannot be read.
pub(super) fn read_all(arguments: &[String]) -> Vec<Result<Source, Malformed>> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument == "-" {
            sources.push(source("standard input", read_standard_input()));
            continue;
        }
        match files(Path::new(argument)) {
            Ok(files) => sources.extend(files.iter().map(|file| read(file))),
            Err(error) => sources.push(Err(unreadable(argument, &error))),
        }
    }
    sources
}

/// The file itself, or the files in the directory and below, sorted. Hidden ones are left out.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        entries.push(entry?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // a directory behind a link is not followed: it could lead back to here
        if entry.file_type()?.is_dir() {
            found.extend(files(&path)?);
        } else if has_ending(&path) && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

fn has_ending(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn read(path: &Path) -> Result<Source, Malformed> {
    source(&path.display().to_string(), fs::read(path))
}

fn read_standard_input() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn source(name: &str, bytes: io::Result<Vec<u8>>) -> Result<Source, Malformed> {
    let bytes = bytes.map_err(|error| unreadable(name, &error))?;
    let text = str::from_utf8(&bytes).map_err(|error| Malformed {
        place: Place::file(name),
        problem: format!("is not UTF-8 text: {error}"),
    })?;
    Ok(Source { name: name.to_owned(), text: text.strip_prefix('\u{feff}').unwrap_or(text).to_owned() })
}

fn unreadable(name: &str, error: &io::Error) -> Malformed {
    Malformed { place: Place::file(name), problem: format!("cannot be read: {error}") }
}
