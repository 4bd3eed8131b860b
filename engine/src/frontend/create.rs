//! Creating a resource.

use uuid::Uuid;

use super::authorisation::Permitted;
use super::client_token::{Repeatable, Repeated, repeated};
use super::error::ApiError;
use super::lookup::containers;
use super::references::{references, referrer_key, require_targets};
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
        let request =
            token.map(|token| Repeatable::new(permitted.caller, operation, token, (id, spec, tags)));
        let references = references(id.mesh_name(), spec);
        let read = references.iter().map(|reference| reference.target.key());
        let read = read.chain(request.iter().map(|request| request.key().to_owned())).chain([id.key()]);
        let records = self.read(read.chain(containers(id).iter().map(ResourceId::key))).await?;
        let remembering = match repeated(request, (id, spec), &records)? {
            Repeated::Yes(definition) => return Ok(*definition),
            Repeated::No(remembering) => remembering,
        };
        records.require(containers(id))?;
        let key = id.key();
        if records.get(&key).is_some() {
            return Err(ApiError::AlreadyExists(id.clone()));
        }
        let targets = require_targets(references, &records)?;
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
