//! Deleting a resource.

use super::authorisation::Permitted;
use super::error::ApiError;
use super::lookup::children_prefixes;
use super::references::{referrer_key, referrers_prefix, targets};
use super::{Frontend, Operation};
use crate::model::{Definition, ResourceId};

impl Frontend {
    /// Deletes `id`, which nothing may lie in or refer to, and gives what it was.
    pub(super) async fn delete(
        &self,
        permitted: &Permitted<'_>,
        id: &ResourceId,
    ) -> Result<Definition, ApiError> {
        let found = self.find(id).await?;
        let users = self.users(id).await?;
        if !users.is_empty() {
            return Err(ApiError::InUse { id: id.clone(), by: users });
        }

        let deleted = found.definition;
        let key = id.key();
        let mut batch = Self::batch(permitted, Operation::Delete(id.kind()))
            .if_equal(key.clone(), found.record.value)
            .if_empty(referrers_prefix(id))
            .delete(key)
            .delete(id.tags_key());
        for prefix in children_prefixes(id) {
            batch = batch.if_empty(prefix);
        }
        for target in targets(id.mesh_name(), &deleted.spec) {
            batch = batch.delete(referrer_key(&target, &deleted.metadata.uid));
        }
        if let Some(parent) = id.container().filter(|_| id.parent_name().is_some()) {
            // What is made of a router or gateway carries the transaction of the newest definition that went into
            // it. A deletion leaves none, so the parent takes its number. Its value stays: whoever deletes
            // another of its routes at the same time is not in the way.
            let value = self.find(&parent).await?.record.value;
            let parent_key = parent.key();
            batch = batch.if_equal(parent_key.clone(), value.clone()).put(parent_key, value);
        }
        self.commit(batch).await?;
        Ok(deleted)
    }
}
