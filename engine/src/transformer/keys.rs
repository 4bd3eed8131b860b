//! Where the transformer's output stands in the store.
//!
//! ```text
//! derived/fragment/<mesh>/<kind>/<name>      a fragment
//! derived/transformed/<mesh>                 the newest change of the mesh that was transformed
//! derived/owner/<mesh>                       which transformer may write them, where there are several
//! ```

use std::sync::Arc;

use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::version::Transaction;

use crate::model::key::{escape, unescape};

/// The prefix of everything that the transformer writes.
pub const DERIVED: &str = "derived/";

/// The prefix of all fragments.
pub const FRAGMENTS: &str = "derived/fragment/";

/// The prefix of the marks of meshes that were transformed.
pub const TRANSFORMED: &str = "derived/transformed/";

/// The prefix of the claims of transformers to meshes.
pub const OWNERS: &str = "derived/owner/";

/// What a key of the transformer's stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DerivedKey {
    /// A fragment.
    Fragment(FragmentKey),
    /// The mark of a mesh that was transformed; its value is a transaction.
    Transformed(Arc<str>),
}

/// The key of a fragment.
pub fn fragment(key: &FragmentKey) -> String {
    format!("{FRAGMENTS}{}/{}/{}", escape(&key.mesh), key.kind.as_str(), escape(&key.name))
}

/// The prefix of the fragments of a mesh.
pub fn fragments_of(mesh: &str) -> String {
    format!("{FRAGMENTS}{}/", escape(mesh))
}

/// The key of the mark of a mesh.
pub fn transformed(mesh: &str) -> String {
    format!("{TRANSFORMED}{}", escape(mesh))
}

/// The key of the claim to a mesh.
pub fn owner(mesh: &str) -> String {
    format!("{OWNERS}{}", escape(mesh))
}

/// The transaction in the value of a mark.
pub fn transaction_of_mark(value: &[u8]) -> Option<Transaction> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl DerivedKey {
    /// What `key` stands for, if it is the transformer's.
    pub fn parse(key: &str) -> Option<Self> {
        if let Some(mesh) = key.strip_prefix(TRANSFORMED) {
            return Some(Self::Transformed(unescape(mesh)?.into()));
        }
        let mut segments = key.strip_prefix(FRAGMENTS)?.split('/');
        let (mesh, kind, name) = (segments.next()?, segments.next()?, segments.next()?);
        if segments.next().is_some() {
            return None;
        }
        Some(Self::Fragment(FragmentKey {
            mesh: unescape(mesh)?.into(),
            kind: FragmentKind::from_name(kind)?,
            name: unescape(name)?.into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip() {
        let key = FragmentKey::virtual_service(&"m m".into(), "a/b%c.local");
        assert_eq!(fragment(&key), "derived/fragment/m%20m/virtualService/a%2Fb%25c.local");
        assert_eq!(DerivedKey::parse(&fragment(&key)), Some(DerivedKey::Fragment(key)));
        assert_eq!(DerivedKey::parse(&transformed("m/m")), Some(DerivedKey::Transformed("m/m".into())));
        for foreign in
            ["derived/fragment/m/route/r", "derived/fragment/m/virtualNode", "definitions/m/mesh", ""]
        {
            assert_eq!(DerivedKey::parse(foreign), None, "{foreign}");
        }
    }
}
