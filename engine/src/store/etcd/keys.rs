//! Where things stand in etcd: everything under one root, so that a cluster may be shared with others.
//!
//! | under the root | is |
//! |---|---|
//! | `data/<key>` | a record |
//! | `journal/<number>` | an entry of the journal; numbers have no gaps, and their order is that of the transactions |
//! | `changed/<number>` | the keys that the entry is about |
//! | `head` | the number of the newest entry: every commit of definitions changes it |
//! | `horizon` | the newest entry that was pruned |

use std::sync::Arc;

/// The number of an entry of the journal, from 1.
pub(super) type Number = u64;

/// Names of keys in etcd.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    root: Arc<str>,
    data: Arc<str>,
}

impl Keys {
    /// The keys under `root`, which has no slash at its end.
    pub(super) fn new(root: &str) -> Self {
        Self { root: root.into(), data: format!("{root}/data/").into() }
    }

    /// The record of `key`, or the beginning of the keys of all records under a prefix.
    pub(super) fn data(&self, key: &str) -> String {
        format!("{}{key}", self.data)
    }

    /// What the record is the record of.
    pub(super) fn of_data<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        str::from_utf8(key).ok()?.strip_prefix(&*self.data)
    }

    pub(super) fn head(&self) -> String {
        format!("{}/head", self.root)
    }

    pub(super) fn horizon(&self) -> String {
        format!("{}/horizon", self.root)
    }

    pub(super) fn journal(&self, number: Number) -> String {
        format!("{}/journal/{number:020}", self.root)
    }

    pub(super) fn changed(&self, number: Number) -> String {
        format!("{}/changed/{number:020}", self.root)
    }
}
