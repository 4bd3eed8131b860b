//! What a change set must know of the definitions as they are.

use std::collections::HashMap;

use bytes::Bytes;
use legation_proto::version::Transaction;
use tokio::task::yield_now;

use super::super::lookup::{children_prefixes, containers};
use super::super::references::{references, referrers_prefix, targets};
use super::{Change, ChangeSet, Tagged};
use crate::model::{DecodeError, Definition, ResourceId, Tags};
use crate::store::{At, Precondition, Store, StoreError};

/// After how many changes others have a turn.
const READ_AT_ONCE: usize = 64;

/// The definitions that a change set changes or relies on, as far as they exist, and who needs what it deletes.
#[derive(Debug, Default)]
pub struct Current {
    /// The values of the records.
    values: HashMap<ResourceId, Bytes>,
    /// Those of the tags of what is changed.
    tags: HashMap<ResourceId, Bytes>,
    /// What lies in a resource or refers to it, by the prefixes under which that stands in the store.
    users: HashMap<String, Users>,
}

/// What stands under a prefix, and at which transaction it was listed.
#[derive(Debug)]
struct Users {
    at: Transaction,
    ids: Vec<ResourceId>,
}

impl Current {
    /// What `set` must know, read from `store`. What is read may change meanwhile: whatever a resolution relies on
    /// becomes a precondition.
    pub async fn read(store: &dyn Store, set: &ChangeSet) -> Result<Current, StoreError> {
        let mut current = Current::default();
        for (index, change) in set.changes.iter().enumerate() {
            if index % READ_AT_ONCE == READ_AT_ONCE - 1 {
                yield_now().await;
            }
            let id = change.id();
            current.read_one(store, id).await?;
            if let Some(record) = store.get(&id.tags_key()).await? {
                current.tags.insert(id.clone(), record.value);
            }
            if let Change::Delete { .. } = change {
                current.read_users(store, id).await?;
                if let Some(container) = id.container() {
                    current.read_one(store, &container).await?;
                }
                continue;
            }
            for container in containers(id) {
                current.read_one(store, &container).await?;
            }
            let needed = change.spec().map(|spec| references(id.mesh_name(), spec)).unwrap_or_default();
            for reference in needed {
                current.read_one(store, &reference.target).await?;
            }
        }
        Ok(current)
    }

    /// These definitions with their tags and no other, as they were listed at the transaction `at`.
    pub fn of<'a>(definitions: impl IntoIterator<Item = &'a Tagged>, at: Transaction) -> Current {
        let mut current = Current::default();
        for Tagged { definition, tags } in definitions {
            let id = &definition.id;
            current.values.insert(id.clone(), definition.encode().into());
            if !tags.is_empty() {
                current.tags.insert(id.clone(), tags.encode().into());
            }
            let key = id.key();
            let mut add = |prefix| {
                let users = current.users.entry(prefix).or_insert(Users { at, ids: Vec::new() });
                users.ids.push(id.clone());
            };
            for container in containers(id) {
                children_prefixes(&container)
                    .into_iter()
                    .filter(|prefix| key.starts_with(prefix))
                    .for_each(&mut add);
            }
            targets(id.mesh_name(), &definition.spec).iter().map(referrers_prefix).for_each(add);
        }
        current
    }

    async fn read_one(&mut self, store: &dyn Store, id: &ResourceId) -> Result<(), StoreError> {
        if !self.values.contains_key(id)
            && let Some(record) = store.get(&id.key()).await?
        {
            self.values.insert(id.clone(), record.value);
        }
        Ok(())
    }

    async fn read_users(&mut self, store: &dyn Store, id: &ResourceId) -> Result<(), StoreError> {
        for prefix in users_prefixes(id) {
            let listing = store.list(&prefix, At::Newest).await?;
            let mut ids = Vec::new();
            for record in &listing.records {
                // what lies in it has its own key, what refers to it is in the value of an entry
                let referrer = || ResourceId::from_key(str::from_utf8(&record.value).ok()?);
                ids.extend(ResourceId::from_key(&record.key).or_else(referrer));
            }
            self.users.insert(prefix, Users { at: listing.transaction, ids });
        }
        Ok(())
    }

    pub(super) fn exists(&self, id: &ResourceId) -> bool {
        self.values.contains_key(id)
    }

    pub(super) fn value(&self, id: &ResourceId) -> Option<&Bytes> {
        self.values.get(id)
    }

    /// That the tags of something in the set are those that were read.
    pub fn tags_unchanged(&self, id: &ResourceId) -> Precondition {
        let key = id.tags_key().into();
        match self.tags.get(id) {
            Some(value) => Precondition::Equal { key, value: value.clone() },
            None => Precondition::Absent { key },
        }
    }

    pub(super) fn tagged(&self, id: &ResourceId) -> Result<Option<Tagged>, DecodeError> {
        let Some(value) = self.value(id) else {
            return Ok(None);
        };
        let tags = self.tags.get(id).map(|value| Tags::decode(id, value)).transpose()?;
        let definition = Definition::decode(id, value)?;
        Ok(Some(Tagged { definition, tags: tags.unwrap_or_default() }))
    }

    /// What lies in `id` or refers to it.
    pub(super) fn users(&self, id: &ResourceId) -> impl Iterator<Item = &ResourceId> {
        users_prefixes(id)
            .into_iter()
            .filter_map(|prefix| self.users.get(&prefix))
            .flat_map(|users| &users.ids)
    }

    /// That nobody needs `id` who is not among its users.
    pub(super) fn nobody_else(&self, id: &ResourceId) -> impl Iterator<Item = Precondition> {
        users_prefixes(id).into_iter().map(|prefix| match self.users.get(&prefix) {
            Some(Users { at, ids }) if !ids.is_empty() => {
                Precondition::Untouched { prefix: prefix.into(), since: *at }
            }
            _ => Precondition::Empty { prefix: prefix.into() },
        })
    }
}

/// The prefixes of everything that needs `id` in some way.
fn users_prefixes(id: &ResourceId) -> Vec<String> {
    let mut prefixes = children_prefixes(id);
    prefixes.push(referrers_prefix(id));
    prefixes
}
