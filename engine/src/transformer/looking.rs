//! Looking at a mesh: what the store has of it, and that it is nobody else's to write.

use std::sync::Arc;

use bytes::Bytes;

use super::fingerprint::Fingerprint;
use super::keys::{self, DerivedKey};
use super::mesh::Made;
use super::passes::PassError;
use crate::membership::Sharing;
use crate::model::key::mesh_prefix;
use crate::store::{At, Batch, Listing, Store, StoreError};

/// What the store has of a mesh.
pub(super) struct Look {
    /// What must still stand there for this host to write fragments, where there are others that could.
    pub(super) claim: Option<Bytes>,
    pub(super) made: Made,
    /// Its definitions, and what stands beside them.
    pub(super) definitions: Listing,
}

/// Looks at a mesh, which is claimed before that unless it has been.
///
/// Whoever claimed it before writes no more after this: every write of fragments takes the claim to be there still. Fragments
/// are read after that and definitions last, so that what is made of these is never older than what is in the store.
pub(super) async fn look(
    store: &dyn Store,
    share: Option<&Sharing>,
    claim: Option<Bytes>,
    mesh: &Arc<str>,
) -> Result<Look, PassError> {
    let claim = match (share, claim) {
        (None, _) => None,
        (Some(_), Some(claim)) => Some(claim),
        (Some(share), None) => Some(take(store, share, mesh).await?),
    };
    let mut made = Made::default();
    for record in store.list(&keys::fragments_of(mesh), At::Newest).await?.records {
        if let Some(DerivedKey::Fragment(mut key)) = DerivedKey::parse(&record.key) {
            key.mesh = Arc::clone(mesh); // all share one name of their mesh
            made.fragments.insert(key, Fingerprint::of(&record.value));
        }
    }
    // a mark that cannot be read is one of nothing: it is written anew, or goes with the mesh
    made.mark = match store.get(&keys::transformed(mesh)).await {
        Err(StoreError::Damaged { .. }) => Some(0),
        mark => mark?.map(|mark| keys::transaction_of_mark(&mark.value).unwrap_or_default()),
    };
    let definitions = store.list(&mesh_prefix(mesh), At::Newest).await?;
    Ok(Look { claim, made, definitions })
}

/// Claims a mesh; the answer is what stands in the store for that. No two claims are the same.
async fn take(store: &dyn Store, share: &Sharing, mesh: &str) -> Result<Bytes, PassError> {
    let claim = Bytes::from(format!("{}/{:016x}", share.me(), fastrand::u64(..)));
    let key: Arc<str> = keys::owner(mesh).into();
    // a try that comes late must not take the mesh from one who claimed it since
    let before = match store.get(&key).await {
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::error!(%mesh, %error, "a claim that nobody can have made is taken away");
            // should somebody have made theirs in the meantime they will find that it is gone
            store.commit(Batch::derived().delete(Arc::clone(&key))).await?;
            None
        }
        before => before?,
    };
    let batch = match before {
        Some(before) => Batch::derived().if_equal(Arc::clone(&key), before.value),
        None => Batch::derived().if_absent(Arc::clone(&key)),
    };
    store.commit(batch.put(key, claim.clone())).await?;
    tracing::info!(%mesh, "claimed");
    Ok(claim)
}
