//! Versions on the wire.

use std::fmt::{self, Write};
use std::str::FromStr;

use thiserror::Error;

use crate::decimal::{DIGITS_MAX, Decimal};

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
        let mut content = Vec::with_capacity(SET_BYTES);
        let mut transaction = 0;
        for (name, version) in members {
            content.extend_from_slice(&(name.len() as u64).to_le_bytes());
            content.extend_from_slice(name.as_bytes());
            content.extend_from_slice(&version.hash.to_le_bytes());
            transaction = transaction.max(version.transaction);
        }
        Self::of(transaction, &content)
    }

    /// The text on the wire, without an allocation: every response has some.
    pub fn text(&self) -> VersionText {
        let mut text =
            VersionText { digits: [b'-'; TEXT_BYTES_MAX], start: TEXT_BYTES_MAX - HASH_DIGITS - 1 };
        let (transaction, hash) = text.digits.split_at_mut(text.start);
        for (place, digit) in hash.iter_mut().skip(1).enumerate() {
            let value = self.hash >> (4 * (HASH_DIGITS - 1 - place));
            *digit = b"0123456789abcdef"[(value & 0xf) as usize];
        }
        let decimal = Decimal::of(self.transaction);
        let number = decimal.as_bytes();
        text.start -= number.len();
        transaction[text.start..].copy_from_slice(number);
        text
    }
}

/// Room for what a set of a few members is hashed of, in bytes.
const SET_BYTES: usize = 256;

/// Digits of a hash.
const HASH_DIGITS: usize = 16;

/// Longest text of a version: the digits of the largest transaction, and those of the hash.
const TEXT_BYTES_MAX: usize = DIGITS_MAX + 1 + HASH_DIGITS;

/// The text of a version.
#[derive(Clone, Copy, Debug)]
pub struct VersionText {
    digits: [u8; TEXT_BYTES_MAX],
    /// Where it begins.
    start: usize,
}

impl VersionText {
    /// The text in ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
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
        self.text().as_bytes().iter().try_for_each(|digit| f.write_char(char::from(*digit)))
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
    fn every_number_has_its_text() {
        for (transaction, hash, expected) in [
            (0, 0, "0-0000000000000000"),
            (7, 0x0123_4567_89ab_cdef, "7-0123456789abcdef"),
            (1_234_567_890, 10, "1234567890-000000000000000a"),
            (u64::MAX, u64::MAX, "18446744073709551615-ffffffffffffffff"),
        ] {
            let version = Version { transaction, hash };
            assert_eq!(version.to_string(), expected);
            assert_eq!(version.text().as_bytes(), expected.as_bytes());
        }
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
        assert_eq!(
            set.to_string(),
            "2-e45f658474a0591c",
            "the same set has the same version in every release"
        );
        let many: Vec<String> = (0..20).map(|n| format!("service-{n}")).collect();
        let many = many.iter().zip(0..).map(|(name, n)| (name.as_str(), Version::of(n, name.as_bytes())));
        assert_eq!(Version::of_set(many).to_string(), "19-ffcc8207ec5c8b09", "so has a large one");
        assert_ne!(set, Version::of_set([("x", a)]));
        assert_ne!(set, Version::of_set([("x", b), ("y", a)]));
        assert_ne!(Version::of_set([("xy", a)]), Version::of_set([("x", a), ("y", a)]));
    }
}
