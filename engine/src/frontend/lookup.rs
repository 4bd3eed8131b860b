//! What all operations read from the store.

use std::collections::HashMap;
use std::sync::Arc;

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

/// What was read of the store at one moment.
pub(super) struct Records(HashMap<Arc<str>, Record>);

impl Records {
    pub(super) fn get(&self, key: &str) -> Option<&Record> {
        self.0.get(key)
    }

    /// Refuses the first of these that does not exist.
    pub(super) fn require(&self, ids: Vec<ResourceId>) -> Result<(), ApiError> {
        let missing = ids.into_iter().find(|id| self.get(&id.key()).is_none());
        missing.map_or(Ok(()), |id| Err(ApiError::NotFound(id)))
    }
}

/// Everything that `id` lies in, the outermost first.
pub(super) fn containers(id: &ResourceId) -> Vec<ResourceId> {
    let mut containers: Vec<ResourceId> =
        std::iter::successors(id.container(), ResourceId::container).collect();
    containers.reverse();
    containers
}

/// The same, and `id` itself.
pub(super) fn with_containers(id: &ResourceId) -> Vec<ResourceId> {
    let mut ids = containers(id);
    ids.push(id.clone());
    ids
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
    /// The records of those of these keys that there are, all of one moment.
    pub(super) async fn read(&self, keys: impl IntoIterator<Item = String>) -> Result<Records, ApiError> {
        let keys: Vec<Arc<str>> = keys.into_iter().map(Arc::from).collect();
        Ok(Records(self.store.get_all(&keys).await?))
    }

    /// The definition of `id`; the error names the outermost resource that is missing.
    pub(super) async fn find(&self, id: &ResourceId) -> Result<Found, ApiError> {
        let records = self.read([id.key()]).await?;
        self.find_among(&records, id).await
    }

    /// The same, where it is known what its record is.
    pub(super) async fn find_among(&self, records: &Records, id: &ResourceId) -> Result<Found, ApiError> {
        let Some(record) = records.get(&id.key()).cloned() else {
            self.require(containers(id)).await?;
            return Err(ApiError::NotFound(id.clone()));
        };
        Ok(Found { definition: Definition::decode(id, &record.value)?, record })
    }

    /// Refuses the first of these that does not exist.
    pub(super) async fn require(&self, ids: Vec<ResourceId>) -> Result<(), ApiError> {
        self.read(ids.iter().map(ResourceId::key)).await?.require(ids)
    }
}
