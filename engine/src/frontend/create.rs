//! Creating a resource.

use uuid::Uuid;

use super::authorisation::Permitted;
use super::client_token::Repeated;
use super::error::ApiError;
use super::lookup::containers;
use super::references::referrer_key;
use super::{Frontend, Operation, now_ms};
use crate::model::{Definition, Metadata, ResourceId, Spec, Tags};

impl Frontend {
    /// Creates `id`. What it lies in and what it refers to must exist, it must not, and there must be room for it.
    pub(super) async fn create(
        &self,
        permitted: &Permitted<'_>,
        id: &ResourceId,
        spec: &Spec,
        tags: &Tags,
        token: Option<&str>,
    ) -> Result<Definition, ApiError> {
        let operation = Operation::Create(id.kind());
        let remembering = match self.repeated(permitted.caller, operation, token, (id, spec, tags)).await? {
            Repeated::Yes(definition) => return Ok(*definition),
            Repeated::No(remembering) => remembering,
        };
        self.require_containers(id).await?;
        let key = id.key();
        if self.store.get(&key).await?.is_some() {
            return Err(ApiError::AlreadyExists(id.clone()));
        }
        let targets = self.require_targets(id.mesh_name(), spec).await?;
        self.settings.quotas.check(spec)?;

        let uid = Uuid::new_v4().to_string();
        let definition = Definition {
            id: id.clone(),
            spec: spec.clone(),
            metadata: Metadata::created(uid.clone(), &self.settings.account, now_ms()),
        };
        let mut batch =
            Self::batch(permitted, operation).if_absent(key.clone()).put(key.clone(), definition.encode());
        if !tags.is_empty() {
            batch = batch.put(id.tags_key(), tags.encode());
        }
        for container in containers(id) {
            batch = batch.if_present(container.key());
        }
        for target in targets {
            batch = batch.if_present(target.key()).put(referrer_key(&target, &uid), key.clone());
        }
        for room in self.settings.quotas.room([id], []) {
            batch = batch.require(room);
        }
        self.commit(remembering.add_to(batch, &definition)).await?;
        Ok(definition)
    }
}
