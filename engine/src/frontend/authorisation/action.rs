//! What can be allowed.

use std::fmt::{self, Display};

use crate::frontend::Operation;

/// Something that a policy allows or forbids. It is displayed by the name that policies have for it: IAM's for the
/// operations of App Mesh, such as `appmesh:CreateRoute`, and `legation:GetHistory` and the like for what App Mesh never
/// had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// An operation of App Mesh's, on its resource; `List*` on what the collection lies in.
    AppMesh(Operation),
    /// Several changes are made as one transaction: on each mesh that it changes, and besides each of them by itself.
    ApplyChanges,
    /// What would become of changes is shown: on each mesh, and besides each of them by itself.
    Plan,
    /// What changes would black-hole is told: on each mesh.
    Lint,
    /// The definitions of a mesh, or of all, are made what they were; besides each change that it takes by itself.
    Rollback,
    /// The history of a mesh, or of all, is shown.
    GetHistory,
    /// Who was denied what is shown, of a mesh or of all.
    GetDenials,
}

impl Action {
    /// Every action.
    pub fn all() -> impl Iterator<Item = Action> {
        let own =
            [Self::ApplyChanges, Self::Plan, Self::Lint, Self::Rollback, Self::GetHistory, Self::GetDenials];
        Operation::all().map(Self::AppMesh).chain(own)
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::AppMesh(operation) => return write!(f, "appmesh:{operation}"),
            Self::ApplyChanges => "ApplyChanges",
            Self::Plan => "Plan",
            Self::Lint => "Lint",
            Self::Rollback => "Rollback",
            Self::GetHistory => "GetHistory",
            Self::GetDenials => "GetDenials",
        };
        write!(f, "legation:{name}")
    }
}
