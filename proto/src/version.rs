//! Versions on the wire.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

/// The number of a commit to the store; it only grows.
pub type Transaction = u64;

/// The version of a resource, or of all resources of a type: `<transaction>-<content hash>`.
///
/// The transaction is for people, the hash decides equality: any host, and the same host after a restart, gives
/// the same content the same version, so a reconnect sends nothing that did not change (conformance 29, 58).
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// The newest definition that went into the content.
    pub transaction: Transaction,
    /// XXH3-64 of the content, or of the hashes of its parts ([`Body::hash`](crate::body::Body::hash)).
    pub hash: u64,
}

impl Version {
    /// The version of a content made at `transaction`.
    pub fn of(transaction: Transaction, content: &[u8]) -> Self {
        Self { transaction, hash: content_hash(content) }
    }

    /// The version of a set of named versions; give them in the order of their names.
    pub fn of_set<'a>(members: impl IntoIterator<Item = (&'a str, Version)>) -> Self {
        let mut hasher = Xxh3::new();
        let mut transaction = 0;
        for (name, version) in members {
            hasher.write(&(name.len() as u64).to_le_bytes());
            hasher.write(name.as_bytes());
            hasher.write(&version.hash.to_le_bytes());
            transaction = transaction.max(version.transaction);
        }
        Self { transaction, hash: hasher.finish() }
    }
}

/// The hash that decides whether two contents are equal.
pub fn content_hash(content: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(content)
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.transaction, self.hash)
    }
}

/// A version that was not made by Legation.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a version of this control plane; it has the form <transaction>-<16 hexadecimal digits>")]
pub struct UnknownVersion;

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let (transaction, hash) = text.split_once('-').ok_or(UnknownVersion)?;
        if hash.len() != 16 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(UnknownVersion);
        }
        Ok(Self {
            transaction: transaction.parse().map_err(|_| UnknownVersion)?,
            hash: u64::from_str_radix(hash, 16).map_err(|_| UnknownVersion)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_alone_decides_equality() {
        assert_eq!(Version::of(1, b"content"), Version::of(9, b"content"));
        assert_ne!(Version::of(1, b"content"), Version::of(1, b"other"));
    }

    #[test]
    fn text_round_trips() {
        let version = Version::of(42, b"content");
        let text = version.to_string();
        assert_eq!(text, "42-55f2b31a6acfaa64");
        let parsed: Version = text.parse().expect("own text parses");
        assert_eq!((parsed.transaction, parsed.hash), (42, version.hash));
    }

    #[test]
    fn foreign_versions_are_refused() {
        for text in
            ["", "1", "-", "1-", "1-12", "x-0000000000000000", "1-000000000000000g", "1-+000000000000000"]
        {
            assert_eq!(text.parse::<Version>(), Err(UnknownVersion), "{text}");
        }
    }

    #[test]
    fn a_set_differs_by_name_by_content_and_by_member() {
        let (a, b) = (Version::of(1, b"a"), Version::of(2, b"b"));
        let set = Version::of_set([("x", a), ("y", b)]);
        assert_eq!(set.transaction, 2);
        assert_ne!(set, Version::of_set([("x", a)]));
        assert_ne!(set, Version::of_set([("x", b), ("y", a)]));
        assert_ne!(Version::of_set([("xy", a)]), Version::of_set([("x", a), ("y", a)]));
    }
}
