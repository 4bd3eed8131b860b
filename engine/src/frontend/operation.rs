//! What can be asked: App Mesh's 38 operations.

use std::fmt::{self, Display};

use crate::model::Kind;

/// An operation of the API. It is displayed by App Mesh's name for it, such as `CreateRoute` or `ListMeshes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A resource of this kind is made.
    Create(Kind),
    /// A resource of this kind is shown.
    Describe(Kind),
    /// A collection of this kind is shown.
    List(Kind),
    /// The specification of a resource of this kind is replaced.
    Update(Kind),
    /// A resource of this kind is taken away.
    Delete(Kind),
    /// Tags of a resource are added or replaced.
    TagResource,
    /// Tags of a resource are taken away.
    UntagResource,
    /// The tags of a resource are shown.
    ListTagsForResource,
}

impl Operation {
    /// Every operation.
    pub fn all() -> impl Iterator<Item = Operation> {
        let of_kinds = [Self::Create, Self::Describe, Self::List, Self::Update, Self::Delete];
        let of_kinds = of_kinds.into_iter().flat_map(|of_kind| Kind::ALL.map(of_kind));
        of_kinds.chain([Self::TagResource, Self::UntagResource, Self::ListTagsForResource])
    }

    /// Whether it changes anything.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Describe(_) | Self::List(_) | Self::ListTagsForResource)
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, object) = match self {
            Self::Create(kind) => ("Create", kind.wire_name()),
            Self::Describe(kind) => ("Describe", kind.wire_name()),
            Self::List(kind) => ("List", kind.plural()),
            Self::Update(kind) => ("Update", kind.wire_name()),
            Self::Delete(kind) => ("Delete", kind.wire_name()),
            Self::TagResource => ("Tag", "resource"),
            Self::UntagResource => ("Untag", "resource"),
            Self::ListTagsForResource => ("List", "tagsForResource"),
        };
        let (initial, rest) = object.split_at(1);
        write!(f, "{verb}{}{rest}", initial.to_ascii_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_38_with_names_of_their_own() {
        let names: BTreeSet<String> = Operation::all().map(|operation| operation.to_string()).collect();
        assert_eq!(names.len(), 38);
        for name in ["CreateMesh", "DescribeVirtualNode", "ListMeshes", "ListGatewayRoutes", "UpdateRoute"] {
            assert!(names.contains(name), "{name}");
        }
        for name in ["DeleteVirtualGateway", "TagResource", "UntagResource", "ListTagsForResource"] {
            assert!(names.contains(name), "{name}");
        }
        assert_eq!(Operation::all().filter(|operation| operation.is_write()).count(), 3 * 7 + 2);
    }
}
