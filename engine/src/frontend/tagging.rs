//! The tags of a resource.
//!
//! They have a record of their own beside the definition, so a change of them is no change of the definition: its
//! `version` stays, no update is in its way, and no Envoy hears of it.

use super::authorisation::Permitted;
use super::error::ApiError;
use super::lookup::{Records, with_containers};
use super::page::{self, Page};
use super::{Frontend, Operation};
use crate::model::tags::TAGS_MAX;
use crate::model::{ResourceId, Tags};
use crate::store::Precondition;

/// Some of the tags of a resource, and the token for the next.
pub(super) struct ListedTags {
    pub(super) tags: Vec<(String, String)>,
    pub(super) next_token: Option<String>,
}

/// The tags of `id`, where it is known what their record is, and that they are still those.
pub(super) fn tags_among(records: &Records, id: &ResourceId) -> Result<(Tags, Precondition), ApiError> {
    let key = id.tags_key();
    Ok(match records.get(&key) {
        Some(record) => {
            let tags = Tags::decode(id, &record.value)?;
            (tags, Precondition::Equal { key: key.into(), value: record.value.clone() })
        }
        None => (Tags::default(), Precondition::Absent { key: key.into() }),
    })
}

impl Frontend {
    /// The tags of `id`, whether it exists or not.
    pub(super) async fn tags(&self, id: &ResourceId) -> Result<Tags, ApiError> {
        Ok(self.tags_and_precondition(id).await?.0)
    }

    /// The same, and that they are still those.
    pub(super) async fn tags_and_precondition(
        &self,
        id: &ResourceId,
    ) -> Result<(Tags, Precondition), ApiError> {
        let records = self.read([id.tags_key()]).await?;
        tags_among(&records, id)
    }

    /// Adds `tags` to those of `id`, in place of those with the same keys.
    pub(super) async fn tag(
        &self,
        permitted: &Permitted<'_>,
        id: &ResourceId,
        tags: &Tags,
    ) -> Result<(), ApiError> {
        let with = |current: Tags| current.with(tags);
        self.change_tags(permitted, Operation::TagResource, id, with).await
    }

    /// Takes the tags with these keys from `id`, where there are such.
    pub(super) async fn untag(
        &self,
        permitted: &Permitted<'_>,
        id: &ResourceId,
        keys: &[String],
    ) -> Result<(), ApiError> {
        let without = |current: Tags| current.without(keys);
        self.change_tags(permitted, Operation::UntagResource, id, without).await
    }

    async fn change_tags(
        &self,
        permitted: &Permitted<'_>,
        operation: Operation,
        id: &ResourceId,
        change: impl FnOnce(Tags) -> Tags,
    ) -> Result<(), ApiError> {
        self.require(with_containers(id)).await?;
        let key = id.tags_key();
        let (current, unchanged) = self.tags_and_precondition(id).await?;
        let changed = change(current.clone());
        if changed == current {
            return Ok(());
        }
        if changed.len() > TAGS_MAX {
            return Err(ApiError::TooManyTags { id: id.clone(), count: changed.len() });
        }
        let batch = Self::batch(permitted, operation).if_present(id.key()).require(unchanged);
        let batch = if changed.is_empty() { batch.delete(key) } else { batch.put(key, changed.encode()) };
        self.commit(batch).await.map(drop)
    }

    /// One page of the tags of `id`, sorted by key.
    pub(super) async fn list_tags(&self, id: &ResourceId, page: &Page) -> Result<ListedTags, ApiError> {
        self.require(with_containers(id)).await?;
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
