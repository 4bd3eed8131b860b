//! What is made of the definitions of a mesh, before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use legation_proto::fragment::Fragment;
use legation_proto::id::FragmentKey;
use legation_proto::version::Version;

use super::{FragmentChange, MeshChange};
use crate::transformer::transform::{Problem, Transformed, transform};

/// The fragments of a mesh as hosts have them, and as they would.
#[derive(Debug)]
pub(super) struct Fragments {
    before: BTreeMap<FragmentKey, Fragment>,
    after: BTreeMap<FragmentKey, Fragment>,
}

impl Fragments {
    /// The fragments, and what could not be transformed afterwards.
    pub(super) fn of(mesh: &MeshChange) -> (Self, Vec<Problem>) {
        let Transformed { fragments: mut before, problems: problems_before } = transform(&mesh.before);
        for Problem { key, .. } in problems_before {
            let stored = mesh.stored.get(&key).cloned();
            // the API lets nothing be stored that cannot be read
            if let Some(Ok(last_good)) = stored.map(Fragment::decode) {
                before.insert(key, last_good);
            }
        }
        let Transformed { fragments: mut after, problems } = transform(&mesh.after);
        for Problem { key, .. } in &problems {
            if let Some(last_good) = before.get(key) {
                after.insert(key.clone(), last_good.clone());
            }
        }
        (Self { before, after }, problems)
    }

    /// Every fragment that there is or would be.
    pub(super) fn keys(&self) -> impl Iterator<Item = &FragmentKey> {
        let new = self.after.keys().filter(|key| !self.before.contains_key(key));
        self.before.keys().chain(new)
    }

    pub(super) fn before(&self, key: &FragmentKey) -> Option<&Fragment> {
        self.before.get(key)
    }

    pub(super) fn after(&self, key: &FragmentKey) -> Option<&Fragment> {
        self.after.get(key)
    }

    /// Those that differ.
    pub(super) fn changed(&self) -> BTreeSet<&FragmentKey> {
        self.keys().filter(|key| self.before(key) != self.after(key)).collect()
    }

    /// The virtual services that the node of `key` may reach, before or after.
    pub(super) fn backends(&self, key: &FragmentKey) -> impl Iterator<Item = FragmentKey> {
        let names = backend_names(self.before(key)).iter().chain(backend_names(self.after(key)));
        names.map(|name| FragmentKey::virtual_service(&key.mesh, name))
    }

    /// How the fragment of `key` differs.
    pub(super) fn change(&self, key: &FragmentKey) -> FragmentChange {
        let version = |fragment: &Fragment| Version::of(fragment.transaction(), &fragment.encode());
        FragmentChange {
            key: key.clone(),
            before: self.before(key).map(version),
            after: self.after(key).map(version),
        }
    }
}

fn backend_names(fragment: Option<&Fragment>) -> &[Arc<str>] {
    match fragment {
        Some(Fragment::Node(node)) => &node.backends,
        Some(Fragment::Service(_)) | None => &[],
    }
}
