//! How far the transformers have come with a transaction, whoever they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use legation_proto::version::Transaction;

use super::keys;
use crate::model::ResourceId;
use crate::model::key::{is_beside, mesh_of_key};
use crate::store::{Store, StoreError};

/// How many transactions before the one that is asked for are looked at: what is older has been transformed long ago, or is
/// told of by the transformer that is behind.
const LOOKED_BACK: usize = 100;

/// The meshes of which changes are still to be transformed.
#[derive(Debug)]
pub struct Progress {
    /// With the last change of each until the transaction that is asked for.
    meshes: BTreeMap<String, Transaction>,
}

impl Progress {
    /// Everything that `transaction` and those before it changed.
    pub async fn until(store: &dyn Store, transaction: Transaction) -> Result<Self, StoreError> {
        let mut meshes = BTreeMap::new();
        for (changed, keys) in store.changed_before(transaction.saturating_add(1), LOOKED_BACK).await? {
            for mesh in keys.iter().filter(|key| !is_beside(key)).filter_map(|key| mesh_of_key(key)) {
                meshes.entry(mesh.into_owned()).or_insert(changed); // the newest comes first
            }
        }
        Ok(Self { meshes })
    }

    /// Whether all of it has been transformed.
    pub async fn is_done(&mut self, store: &dyn Store) -> Result<bool, StoreError> {
        let marks: Vec<Arc<str>> = self.meshes.keys().map(|mesh| keys::transformed(mesh).into()).collect();
        if marks.is_empty() {
            return Ok(true);
        }
        let marks = store.get_all(&marks).await?;
        let mut unmarked = Vec::new();
        self.meshes.retain(|mesh, transaction| match marks.get(keys::transformed(mesh).as_str()) {
            Some(mark) => keys::transaction_of_mark(&mark.value).is_none_or(|mark| mark < *transaction),
            None => {
                unmarked.push(mesh.clone());
                true
            }
        });
        for mesh in unmarked {
            if !is_gone(store, &mesh).await? {
                break; // the others are asked for when this one is done
            }
            self.meshes.remove(&mesh);
        }
        Ok(self.meshes.is_empty())
    }
}

/// Whether a mesh is not there, and nothing of what it had. Such a one has no mark.
async fn is_gone(store: &dyn Store, mesh: &str) -> Result<bool, StoreError> {
    let is_defined = store.get(&ResourceId::mesh(mesh).key()).await?.is_some();
    Ok(!is_defined && store.segments(&keys::fragments_of(mesh)).await?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, EmbeddedStore};

    #[tokio::test]
    async fn a_transaction_is_transformed_when_the_marks_of_its_meshes_say_so() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path()).unwrap();
        let commit = async |batch: Batch| store.commit(batch).await.unwrap();
        let define =
            async |id: ResourceId| commit(Batch::definitions("test", "Create").put(id.key(), "{}")).await;
        let mark = async |mesh: &str, at: Transaction| {
            commit(Batch::derived().put(keys::transformed(mesh), at.to_string())).await;
        };
        let is_done = async |transaction| {
            Progress::until(&store, transaction).await.unwrap().is_done(&store).await.unwrap()
        };
        assert!(is_done(0).await, "nothing was ever changed");
        let a = define(ResourceId::mesh("a")).await;
        let b = define(ResourceId::mesh("b")).await;
        assert!(!is_done(a).await);
        mark("a", a).await;
        assert!(is_done(a).await);
        assert!(!is_done(b).await, "another mesh");
        mark("b", b).await;
        assert!(is_done(b).await);

        let node = define(ResourceId::virtual_node("a", "n")).await;
        assert!(is_done(b).await && !is_done(node).await);
        let tags =
            commit(Batch::definitions("test", "Tag").put(ResourceId::mesh("b").tags_key(), "{}")).await;
        mark("a", node).await;
        assert!(is_done(tags).await, "tags are in no fragment");

        let mesh_and_all = Batch::definitions("test", "Delete").delete(ResourceId::mesh("a").key());
        let gone = commit(mesh_and_all.delete(ResourceId::virtual_node("a", "n").key())).await;
        assert!(!is_done(gone).await);
        commit(Batch::derived().put("derived/fragment/a/virtualNode/n", "f").delete(keys::transformed("a")))
            .await;
        assert!(!is_done(gone).await, "a fragment is left");
        commit(Batch::derived().delete("derived/fragment/a/virtualNode/n")).await;
        assert!(is_done(gone).await);
    }
}
