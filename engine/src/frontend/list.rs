//! Showing a collection, a page at a time.

use super::Frontend;
use super::error::ApiError;
use super::lookup::with_containers;
use super::page::{self, Page};
use crate::model::key::{ALL_DEFINITIONS, kind_prefix};
use crate::model::{Definition, Kind, ResourceId};
use crate::store::{At, Record};

/// All resources of a kind that lie in one other resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collection {
    /// Their kind.
    pub(crate) kind: Kind,
    /// What they lie in; nothing for meshes.
    pub(crate) container: Option<ResourceId>,
}

/// Some of a collection, and the token for the next.
pub(super) struct Listed {
    pub(super) definitions: Vec<Definition>,
    pub(super) next_token: Option<String>,
}

impl Collection {
    /// The prefix of the keys of all its resources; under that of meshes there are others as well.
    pub(super) fn prefix(&self) -> String {
        match &self.container {
            None => ALL_DEFINITIONS.to_owned(),
            Some(container) => container
                .children_prefix()
                .filter(|_| container.kind() != Kind::Mesh)
                .unwrap_or_else(|| kind_prefix(container.mesh_name(), self.kind)),
        }
    }

    fn id(&self, record: &Record) -> Option<ResourceId> {
        if self.kind == Kind::Mesh && !record.key.ends_with("/mesh") {
            return None;
        }
        ResourceId::from_key(&record.key).filter(|id| id.kind() == self.kind)
    }
}

impl Frontend {
    /// One page of `collection`, sorted by name.
    pub(super) async fn list(&self, collection: &Collection, page: &Page) -> Result<Listed, ApiError> {
        if let Some(container) = &collection.container {
            self.require(with_containers(container)).await?;
        }
        let prefix = collection.prefix();
        let listing = self.store.list(&prefix, At::Newest).await?;
        let is_after = |id: &ResourceId| page.after.as_deref().is_none_or(|after| id.name() > after);
        let mut found: Vec<(ResourceId, Record)> = listing
            .records
            .into_iter()
            .filter_map(|record| Some((collection.id(&record)?, record)))
            .filter(|(id, _)| is_after(id))
            .collect();
        // keys are escaped, and sorted otherwise than names
        found.sort_unstable_by(|(one, _), (other, _)| one.name().cmp(other.name()));

        let is_last = found.len() <= page.limit;
        found.truncate(page.limit);
        let last = found.last().filter(|_| !is_last);
        let next_token = last.map(|(id, _)| page::token(id.name(), &prefix));
        let mut definitions = Vec::with_capacity(found.len());
        for (id, record) in &found {
            definitions.push(Definition::decode(id, &record.value)?);
        }
        Ok(Listed { definitions, next_token })
    }
}
