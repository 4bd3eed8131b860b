//! The file with the access keys.
//!
//! ```toml
//! [[access-key]]
//! id = "AKIDALICE1"
//! secret = "at least 16 characters, better 40"
//! user = "alice"
//! groups = ["payments"]           # none unless said
//! disabled = false                # unless said
//! expires = 2027-01-31T00:00:00Z  # never unless said
//! ```
//!
//! It is taken apart by hand, because the errors of a parser show what they stumble upon, and that may be a secret.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use thiserror::Error;
use tokio::sync::watch;
use toml::{Table, Value};

use super::access_key::{AccessKey, AccessKeys};
use crate::frontend::caller::{ANONYMOUS, Caller};
use crate::watched_files::{self, WatchedFiles, WatchedFilesError};

/// The name of the tables.
const TABLES: &str = "access-key";

/// What a table may say.
const MEMBERS: [&str; 6] = ["id", "secret", "user", "groups", "disabled", "expires"];

/// Bounds of what is said, in characters. A secret that is shorter could be found by trying, given one signature.
const ID_CHARS_MAX: usize = 128;
const SECRET_CHARS_MIN: usize = 16;
const SECRET_CHARS_MAX: usize = 256;
const NAME_CHARS_MAX: usize = 128;

/// Access keys that cannot be used. Nothing of what the file says is shown.
#[derive(Debug, Error)]
pub enum AccessKeysError {
    /// The file is no text.
    #[error("is not UTF-8")]
    NotText,
    /// The file is no TOML.
    #[error("line {line} is not TOML")]
    NotToml {
        /// The line, from 1.
        line: usize,
    },
    /// There is no key in the file.
    #[error("has no [[{TABLES}]]; so nobody could be let in")]
    Empty,
    /// Members are missing or wrong: all of them, a line each.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

impl AccessKeys {
    /// The keys in the file at `path`, and what keeps them current.
    pub fn watch(
        path: PathBuf,
    ) -> Result<(WatchedFiles<Self>, watch::Receiver<Arc<Self>>), WatchedFilesError> {
        let paths = vec![path.clone()];
        WatchedFiles::open("access_keys", paths, move |contents| {
            watched_files::warn_if_public(&path, "access keys");
            Self::parse(contents.first().map_or(&[][..], Vec::as_slice))
        })
    }

    /// Reads what a file says.
    pub fn parse(file: &[u8]) -> Result<Self, AccessKeysError> {
        let text = str::from_utf8(file).map_err(|_| AccessKeysError::NotText)?;
        let file: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
            AccessKeysError::NotToml { line }
        })?;
        let mut problems = Vec::new();
        if file.keys().any(|name| name != TABLES) {
            problems.push(format!("the only tables here are [[{TABLES}]]"));
        }
        let tables = match file.get(TABLES) {
            Some(Value::Array(tables)) => tables.as_slice(),
            Some(_) => {
                problems.push(format!("{TABLES}: is written [[{TABLES}]]"));
                &[]
            }
            None => &[],
        };
        let mut keys = HashMap::new();
        let mut callers: HashMap<String, Caller> = HashMap::new();
        for (index, table) in tables.iter().enumerate() {
            let mut members = Members { at: format!("{TABLES}[{index}]"), table: table.as_table(), problems };
            if let Some(key) = members.key() {
                let known = callers.entry(key.caller.name().to_owned()).or_insert_with(|| key.caller.clone());
                if *known != key.caller {
                    members.report("groups", "are others than in an earlier key of the same user");
                }
                if keys.insert(key.credentials.access_key_id().to_owned(), key).is_some() {
                    members.report("id", "is that of an earlier key");
                }
            }
            problems = members.problems;
        }
        if !problems.is_empty() {
            return Err(AccessKeysError::Invalid(problems));
        }
        if keys.is_empty() {
            return Err(AccessKeysError::Empty);
        }
        Ok(Self(keys))
    }
}

/// The members of one key, and everything that is wrong so far.
struct Members<'a> {
    at: String,
    table: Option<&'a Table>,
    problems: Vec<String>,
}

impl Members<'_> {
    /// The key, or nothing where something of it is wrong.
    fn key(&mut self) -> Option<AccessKey> {
        let before = self.problems.len();
        if self.table.is_some_and(|table| table.keys().any(|name| !MEMBERS.contains(&name.as_str()))) {
            self.problems.push(format!("{}: has other members than {}", self.at, MEMBERS.join(", ")));
        }
        let id = self.text("id", 1..=ID_CHARS_MAX, |c| c.is_ascii_alphanumeric() || "_-".contains(c));
        let secret = self.text("secret", SECRET_CHARS_MIN..=SECRET_CHARS_MAX, |c| c.is_ascii_graphic());
        let user = self.text("user", 1..=NAME_CHARS_MAX, |c| !c.is_control());
        let groups = self.groups();
        let is_disabled = match self.get("disabled") {
            None => false,
            Some(Value::Boolean(is_disabled)) => *is_disabled,
            Some(_) => {
                self.report("disabled", "is neither true nor false");
                false
            }
        };
        let expires = self.expires();
        if user.as_deref() == Some(ANONYMOUS) {
            self.report("user", "is the name of those without a key");
        }
        let (Some(id), Some(secret), Some(user)) = (id, secret, user) else {
            return None;
        };
        let credentials = Credentials::new(id, secret, None, None, "access key file");
        let key = AccessKey { credentials, caller: Caller::new(&user, groups), is_disabled, expires };
        Some(key).filter(|_| self.problems.len() == before)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.table?.get(name)
    }

    fn report(&mut self, name: &str, problem: &str) {
        self.problems.push(format!("{}.{name}: {problem}", self.at));
    }

    fn text(
        &mut self,
        name: &str,
        chars: std::ops::RangeInclusive<usize>,
        is_allowed: impl Fn(char) -> bool,
    ) -> Option<String> {
        let problem = match self.get(name) {
            None => "is required".to_owned(),
            Some(Value::String(text)) => {
                if !chars.contains(&text.chars().count()) {
                    format!("does not have {} to {} characters", chars.start(), chars.end())
                } else if !text.chars().all(is_allowed) {
                    "has a character that is not allowed".to_owned()
                } else {
                    return Some(text.clone());
                }
            }
            Some(_) => "is not a string".to_owned(),
        };
        self.report(name, &problem);
        None
    }

    /// The groups, sorted, each once.
    fn groups(&mut self) -> Vec<String> {
        let is_name = |group: &Value| {
            let chars = group.as_str().map_or(0, |name| name.chars().count());
            (1..=NAME_CHARS_MAX).contains(&chars)
        };
        let mut groups: Vec<String> = match self.get("groups") {
            None => Vec::new(),
            Some(Value::Array(groups)) if groups.iter().all(is_name) => {
                groups.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) => {
                let problem = format!("is not a list of strings of 1 to {NAME_CHARS_MAX} characters");
                self.report("groups", &problem);
                Vec::new()
            }
        };
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    fn expires(&mut self) -> Option<SystemTime> {
        let time = match self.get("expires") {
            None => return None,
            Some(Value::Datetime(time)) => humantime::parse_rfc3339(&time.to_string()).ok(),
            Some(_) => None,
        };
        if time.is_none() {
            self.report(
                "expires",
                "is not a time such as 2027-01-31T00:00:00Z, in UTC and without quotation marks",
            );
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(file: &str, expected: Expect) {
        let outcome = AccessKeys::parse(file.as_bytes());
        let text = match &outcome {
            Ok(keys) => {
                let mut lines: Vec<String> = keys.0.values().map(describe).collect();
                lines.sort();
                lines.join("\n")
            }
            Err(error) => format!("refused: {error}"),
        };
        assert!(!text.contains("hushhush") && !format!("{outcome:?}").contains("hushhush"), "{text}");
        expected.assert_eq(&text);
    }

    fn describe(key: &AccessKey) -> String {
        format!(
            "{} {:?} {} {:?}",
            key.credentials.access_key_id(),
            key.caller,
            key.is_disabled,
            key.expires.map(|time| humantime::format_rfc3339(time).to_string())
        )
    }

    const SECRET: &str = "secret = \"hushhushhushhush\"";

    #[test]
    fn keys_of_users() {
        check(
            &format!(
                "[[access-key]]\nid = \"A\"\nuser = \"alice\"\n{SECRET}\ngroups = [\"b\", \"a\", \"b\"]\n\
                 [[access-key]]\nid = \"B\"\nuser = \"alice\"\n{SECRET}\ngroups = [\"a\", \"b\"]\ndisabled = true\n\
                 [[access-key]]\nid = \"C\"\nuser = \"bob\"\n{SECRET}\nexpires = 2027-01-31T00:00:00Z\n"
            ),
            expect![[r#"
                A Caller { name: "alice", groups: ["a", "b"] } false None
                B Caller { name: "alice", groups: ["a", "b"] } true None
                C Caller { name: "bob", groups: [] } false Some("2027-01-31T00:00:00Z")"#]],
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_a_secret() {
        for (file, expected) in [
            ("", expect!["refused: has no [[access-key]]; so nobody could be let in"]),
            ("# a comment\nsecret = \"hushhushhushhush\nid = 1", expect!["refused: line 2 is not TOML"]),
            ("hushhush", expect!["refused: line 1 is not TOML"]),
            ("[access-key]\nhushhush = 1", expect!["refused: access-key: is written [[access-key]]"]),
            (
                "[[access-keys]]\nsecret = 'hushhush'",
                expect!["refused: the only tables here are [[access-key]]"],
            ),
            (
                "[[access-key]]\nid = 'a/b'\nsecret = 'hushhush'\nuser = 'anonymous'\ngroups = 'hushhush'\ndisabled = 'hushhush'\nexpires = '2027-01-31'\nhushhush = 1",
                expect![[r#"
                    refused: access-key[0]: has other members than id, secret, user, groups, disabled, expires
                    access-key[0].id: has a character that is not allowed
                    access-key[0].secret: does not have 16 to 256 characters
                    access-key[0].groups: is not a list of strings of 1 to 128 characters
                    access-key[0].disabled: is neither true nor false
                    access-key[0].expires: is not a time such as 2027-01-31T00:00:00Z, in UTC and without quotation marks
                    access-key[0].user: is the name of those without a key"#]],
            ),
            (
                "[[access-key]]\nid = 'A'\nuser = 'a'\nsecret = 'hushhushhushhush'\n[[access-key]]\nid = 'A'\nuser = 'a'\ngroups = ['g']\nsecret = 'hushhushhushhush'\n[[access-key]]",
                expect![[r#"
                    refused: access-key[1].groups: are others than in an earlier key of the same user
                    access-key[1].id: is that of an earlier key
                    access-key[2].id: is required
                    access-key[2].secret: is required
                    access-key[2].user: is required"#]],
            ),
        ] {
            check(file, expected);
        }
        assert_eq!(AccessKeys::parse(b"\xff").unwrap_err().to_string(), "is not UTF-8");
    }
}
