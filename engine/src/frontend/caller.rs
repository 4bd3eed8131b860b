//! Who makes a request.

use std::sync::Arc;

/// The name of those who are not asked for a signature. No user of an access key may have it.
pub const ANONYMOUS: &str = "anonymous";

/// Who makes a request. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: Arc<str>,
    groups: Arc<[String]>,
}

impl Caller {
    /// Whoever it is, while nobody is asked for a signature.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, Vec::new())
    }

    /// The user `name`, who is in `groups`.
    pub fn new(name: &str, groups: Vec<String>) -> Self {
        Self { name: name.into(), groups: groups.into() }
    }

    /// The name, to which the journal ascribes what is changed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The groups that the caller is in.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }
}
