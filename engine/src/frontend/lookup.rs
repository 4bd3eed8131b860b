//! What all operations read from the store.

use super::Frontend;
use super::error::ApiError;
use crate::model::key::kind_prefix;
use crate::model::{Definition, Kind, ResourceId};
use crate::store::Record;

/// A definition and the record that it was read from.
pub(super) struct Found {
    pub(super) definition: Definition,
    pub(super) record: Record,
}

/// Everything that `id` lies in, the outermost first.
pub(super) fn containers(id: &ResourceId) -> Vec<ResourceId> {
    let mut containers: Vec<ResourceId> =
        std::iter::successors(id.container(), ResourceId::container).collect();
    containers.reverse();
    containers
}

/// The prefixes of everything that lies in `id`, without itself.
pub(super) fn children_prefixes(id: &ResourceId) -> Vec<String> {
    if id.kind() != Kind::Mesh {
        return id.children_prefix().into_iter().collect();
    }
    let in_mesh = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Mesh);
    in_mesh.map(|kind| kind_prefix(id.name(), kind)).collect()
}

impl Frontend {
    /// The definition of `id`; the error names the outermost resource that is missing.
    pub(super) async fn find(&self, id: &ResourceId) -> Result<Found, ApiError> {
        let Some(record) = self.store.get(&id.key()).await? else {
            self.require_containers(id).await?;
            return Err(ApiError::NotFound(id.clone()));
        };
        Ok(Found { definition: Definition::decode(id, &record.value)?, record })
    }

    /// Refuses what lies in something that does not exist.
    pub(super) async fn require_containers(&self, id: &ResourceId) -> Result<(), ApiError> {
        for container in containers(id) {
            self.require(container).await?;
        }
        Ok(())
    }

    /// Refuses what does not exist.
    pub(super) async fn require(&self, id: ResourceId) -> Result<(), ApiError> {
        match self.store.get(&id.key()).await? {
            Some(_) => Ok(()),
            None => Err(ApiError::NotFound(id)),
        }
    }
}
