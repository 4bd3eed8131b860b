//! Finding and reading the files that a command is given: a bounded amount of them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::text::Text;

/// The bounds of all commands.
const LIMITS: Limits =
    Limits { file_bytes: 64 << 20, total_bytes: 256 << 20, files: 10_000, directory_depth: 32 };

/// How much is read.
struct Limits {
    /// Largest file, in bytes.
    file_bytes: u64,
    /// How many bytes all files have together at most.
    total_bytes: u64,
    /// How many files there are in a directory at most.
    files: usize,
    /// How deep directories are looked into.
    directory_depth: usize,
}

/// A file that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// What it is called.
    pub(super) name: String,
    /// Why it cannot be read.
    pub(super) problem: String,
}

/// The texts of all files that `arguments` name, `-` being standard input, in the order of the arguments and sorted within
/// directories; an error in the place of what cannot be read. Of a directory only files with one of these `endings` are taken.
pub(super) fn read_all(arguments: &[String], endings: &[&str]) -> Vec<Result<Text, Unreadable>> {
    LIMITS.read_all(arguments, endings)
}

impl Limits {
    fn read_all(&self, arguments: &[String], endings: &[&str]) -> Vec<Result<Text, Unreadable>> {
        let mut read = Vec::new();
        let mut bytes_left = self.total_bytes;
        for argument in arguments {
            let mut take = |name: &str, bytes: io::Result<Vec<u8>>| {
                let bytes = bytes.and_then(|bytes| {
                    let size = bytes.len() as u64;
                    let left = bytes_left.checked_sub(size);
                    bytes_left = left.unwrap_or_default();
                    left.map(|_| bytes).ok_or_else(|| {
                        io::Error::other(format!(
                            "with it there are more than {} MiB",
                            self.total_bytes >> 20
                        ))
                    })
                });
                read.push(text(name, bytes));
            };
            if argument == "-" {
                take("standard input", self.read(io::stdin().lock()));
                continue;
            }
            let mut files = Vec::new();
            match self.find(Path::new(argument), endings, 0, &mut files) {
                Ok(()) => files.iter().for_each(|file| {
                    take(&file.display().to_string(), fs::File::open(file).and_then(|file| self.read(file)));
                }),
                Err(error) => take(argument, Err(error)),
            }
        }
        read
    }

    fn read(&self, reader: impl Read) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        reader.take(self.file_bytes + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.file_bytes {
            return Err(io::Error::other(format!("it has more than {} MiB", self.file_bytes >> 20)));
        }
        Ok(bytes)
    }

    /// The file itself, or the files in the directory and below, sorted. Hidden ones are left out, so the cache that
    /// Terraform keeps of modules is too.
    fn find(&self, path: &Path, endings: &[&str], depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
        if !fs::metadata(path)?.is_dir() {
            found.push(path.to_owned());
            return Ok(());
        }
        if depth > self.directory_depth {
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
                self.find(&path, endings, depth + 1, found)?;
            } else if has_ending(&path, endings) && path.is_file() {
                found.push(path);
            }
            if found.len() > self.files {
                return Err(io::Error::other(format!("there are more than {} files", self.files)));
            }
        }
        Ok(())
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn text(name: &str, bytes: io::Result<Vec<u8>>) -> Result<Text, Unreadable> {
    let unreadable = |problem| Unreadable { name: name.to_owned(), problem };
    let bytes = bytes.map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| unreadable(format!("is not UTF-8 text: {error}")))?;
    // what editors of Windows put before the text
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(Text { name: name.to_owned(), text })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use tempfile::TempDir;

    use super::*;

    const ENDINGS: [&str; 2] = ["yaml", "json"];

    fn check(limits: &Limits, files: &[(&str, &[u8])], expected: Expect) {
        let dir = TempDir::new().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let arguments = ["", "missing.yaml"].map(|name| dir.path().join(name).display().to_string());
        let lines: Vec<String> = limits
            .read_all(&arguments, &ENDINGS)
            .into_iter()
            .map(|read| match read {
                Ok(Text { name, text }) => format!("{name}: {text:?}"),
                Err(Unreadable { name, problem }) => format!("{name}: {problem}"),
            })
            .collect();
        expected.assert_eq(&lines.join("\n").replace(&dir.path().display().to_string(), "DIR"));
    }

    #[test]
    fn what_cannot_be_read_is_told_in_its_place() {
        check(
            &LIMITS,
            &[
                ("b.YAML", "\u{feff}b: 1\r\n".as_bytes()),
                ("a/c.json", b"{}"),
                ("a/.hidden/x.yaml", b"x"),
                ("binary.yaml", b"\xff"),
                ("notes.txt", b"x"),
            ],
            expect![[r#"
                DIR/a/c.json: "{}"
                DIR/b.YAML: "b: 1\r\n"
                DIR/binary.yaml: is not UTF-8 text: invalid utf-8 sequence of 1 bytes from index 0
                DIR/missing.yaml: cannot be read: No such file or directory (os error 2)"#]],
        );
    }

    #[test]
    fn what_is_read_is_bounded() {
        let mebibyte = vec![b'#'; 1 << 20];
        let larger = [mebibyte.as_slice(), b"#"].concat();
        let limits = Limits { file_bytes: 1 << 20, total_bytes: 1 << 20, files: 3, directory_depth: 1 };
        check(
            &limits,
            &[("a.yaml", b"a"), ("b.yaml", &mebibyte), ("c.yaml", &larger)],
            expect![[r#"
                DIR/a.yaml: "a"
                DIR/b.yaml: cannot be read: with it there are more than 1 MiB
                DIR/c.yaml: cannot be read: it has more than 1 MiB
                DIR/missing.yaml: cannot be read: No such file or directory (os error 2)"#]],
        );
        let file = |name| (name, b"".as_slice());
        check(
            &limits,
            &[file("a.yaml"), file("b.yaml"), file("c.yaml"), file("d.yaml")],
            expect![[r#"
                DIR/: cannot be read: there are more than 3 files
                DIR/missing.yaml: cannot be read: No such file or directory (os error 2)"#]],
        );
        check(
            &limits,
            &[file("a/b/c.yaml")],
            expect![[r#"
                DIR/: cannot be read: there are too many directories in each other
                DIR/missing.yaml: cannot be read: No such file or directory (os error 2)"#]],
        );
    }
}
