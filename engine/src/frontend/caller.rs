//! Who makes a request.

use std::sync::Arc;

/// Who makes a request. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: Arc<str>,
}

impl Caller {
    /// Whoever it is, while nobody is asked for a signature.
    pub fn anonymous() -> Self {
        Self { name: "anonymous".into() }
    }

    /// The name, to which the journal ascribes what is changed.
    pub fn name(&self) -> &str {
        &self.name
    }
}
