//! Values that are given on the command line because no file tells them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The values, by the name under which they are missing otherwise.
#[derive(Debug, Default)]
pub(super) struct Given {
    values: BTreeMap<String, String>,
    used: RefCell<BTreeSet<String>>,
}

impl Given {
    /// What was given on the command line.
    pub(super) fn new(assignments: &[(String, String)]) -> Given {
        Given { values: assignments.iter().cloned().collect(), used: RefCell::default() }
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&String> {
        let value = self.values.get(name);
        if value.is_some() {
            self.used.borrow_mut().insert(name.to_owned());
        }
        value
    }

    /// The names that nothing asked for: they may be misspelt.
    pub(super) fn unused(&self) -> Vec<&String> {
        let used = self.used.borrow();
        self.values.keys().filter(|name| !used.contains(*name)).collect()
    }
}
