//! The tags of a resource.
//!
//! They have a record of their own beside the definition, so a change of them is no change of the definition: its
//! `version` stays, no update is in its way, and no Envoy hears of it.

use super::caller::Caller;
use super::error::ApiError;
use super::page::{self, Page};
use super::{Frontend, Operation};
use crate::model::tags::TAGS_MAX;
use crate::model::{ResourceId, Tags};

/// Some of the tags of a resource, and the token for the next.
pub(super) struct ListedTags {
    pub(super) tags: Vec<(String, String)>,
    pub(super) next_token: Option<String>,
}

impl Frontend {
    /// The tags of `id`, whether it exists or not.
    pub(super) async fn tags(&self, id: &ResourceId) -> Result<Tags, ApiError> {
        match self.store.get(&id.tags_key()).await? {
            Some(record) => Ok(Tags::decode(id, &record.value)?),
            None => Ok(Tags::default()),
        }
    }

    /// Adds `tags` to those of `id`, in place of those with the same keys.
    pub(super) async fn tag(&self, caller: &Caller, id: &ResourceId, tags: &Tags) -> Result<(), ApiError> {
        let with = |current: Tags| current.with(tags);
        self.change_tags(caller, Operation::TagResource, id, with).await
    }

    /// Takes the tags with these keys from `id`, where there are such.
    pub(super) async fn untag(
        &self,
        caller: &Caller,
        id: &ResourceId,
        keys: &[String],
    ) -> Result<(), ApiError> {
        let without = |current: Tags| current.without(keys);
        self.change_tags(caller, Operation::UntagResource, id, without).await
    }

    async fn change_tags(
        &self,
        caller: &Caller,
        operation: Operation,
        id: &ResourceId,
        change: impl FnOnce(Tags) -> Tags,
    ) -> Result<(), ApiError> {
        self.require_containers(id).await?;
        self.require(id.clone()).await?;
        let key = id.tags_key();
        let record = self.store.get(&key).await?;
        let current = match &record {
            Some(record) => Tags::decode(id, &record.value)?,
            None => Tags::default(),
        };
        let changed = change(current.clone());
        if changed == current {
            return Ok(());
        }
        if changed.len() > TAGS_MAX {
            return Err(ApiError::TooManyTags { id: id.clone(), count: changed.len() });
        }
        let batch = Self::batch(caller, operation).if_present(id.key());
        let batch = match record {
            Some(record) => batch.if_equal(key.clone(), record.value),
            None => batch.if_absent(key.clone()),
        };
        let batch = if changed.is_empty() { batch.delete(key) } else { batch.put(key, changed.encode()) };
        self.commit(batch).await.map(drop)
    }

    /// One page of the tags of `id`, sorted by key.
    pub(super) async fn list_tags(&self, id: &ResourceId, page: &Page) -> Result<ListedTags, ApiError> {
        self.require_containers(id).await?;
        self.require(id.clone()).await?;
        let tags = self.tags(id).await?;
        let is_after = |key: &str| page.after.as_deref().is_none_or(|after| key > after);
        let rest = tags.iter().filter(|(key, _)| is_after(key));
        let mut tags: Vec<(String, String)> =
            rest.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let is_last = tags.len() <= page.limit;
        tags.truncate(page.limit);
        let last = tags.last().filter(|_| !is_last);
        let next_token = last.map(|(key, _)| page::token(key, &id.tags_key()));
        Ok(ListedTags { tags, next_token })
    }
}
