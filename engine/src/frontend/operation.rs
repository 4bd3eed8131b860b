//! What can be asked: five verbs for each of the seven kinds.

use std::fmt::{self, Display};

use crate::model::Kind;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A resource is made.
    Create,
    /// A resource is shown.
    Describe,
    /// A collection is shown.
    List,
    /// The specification of a resource is replaced.
    Update,
    /// A resource is taken away.
    Delete,
}

/// An operation of the API. It is displayed by App Mesh's name for it, such as `CreateRoute` or `ListMeshes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What is done.
    pub verb: Verb,
    /// To which kind of resource.
    pub kind: Kind,
}

impl Operation {
    /// Whether it changes anything.
    pub fn is_write(self) -> bool {
        !matches!(self.verb, Verb::Describe | Verb::List)
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = match self.verb {
            Verb::List => self.kind.plural(),
            _ => self.kind.wire_name(),
        };
        let (initial, rest) = object.split_at(1);
        write!(f, "{:?}{}{rest}", self.verb, initial.to_ascii_uppercase())
    }
}
