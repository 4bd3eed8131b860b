//! What is remembered of a fragment: enough to tell whether it is the same.

use xxhash_rust::xxh3::xxh3_128;

/// A fragment as it stands in the store. The fragments of a large mesh are some tens of megabytes, of which a transformer needs
/// nothing but whether what it makes is what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint {
    hash: u128,
    /// How many bytes it has.
    pub(super) bytes: usize,
}

impl Fingerprint {
    /// That of an encoded fragment.
    pub(super) fn of(encoded: &[u8]) -> Self {
        Self { hash: xxh3_128(encoded), bytes: encoded.len() }
    }
}
