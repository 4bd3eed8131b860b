//! Replacing the specification of a resource.

use super::authorisation::Permitted;
use super::client_token::{Repeatable, Repeated, repeated};
use super::error::ApiError;
use super::references::{references, referrer_key, require_targets, targets};
use super::{Frontend, Operation, now_ms};
use crate::model::{Definition, ResourceId, Spec, Tags};

impl Frontend {
    /// Replaces the specification of `id`; everything that the new one refers to must exist. One that is equal to
    /// the current one changes nothing at all.
    pub(super) async fn update(
        &self,
        permitted: &Permitted<'_>,
        id: &ResourceId,
        spec: &Spec,
        token: Option<&str>,
    ) -> Result<Definition, ApiError> {
        let operation = Operation::Update(id.kind());
        let no_tags = Tags::default();
        let request =
            token.map(|token| Repeatable::new(permitted.caller, operation, token, (id, spec, &no_tags)));
        let references = references(id.mesh_name(), spec);
        let read = references.iter().map(|reference| reference.target.key());
        let read = read.chain(request.iter().map(|request| request.key().to_owned())).chain([id.key()]);
        let records = self.read(read).await?;
        let remembering = match repeated(request, (id, spec), &records)? {
            Repeated::Yes(definition) => return Ok(*definition),
            Repeated::No(remembering) => remembering,
        };
        let found = self.find_among(&records, id).await?;
        let current = found.definition;
        if current.spec == *spec {
            return Ok(current);
        }
        self.settings.quotas.check(spec)?;
        let new_targets = require_targets(references, &records)?;
        let old_targets = targets(id.mesh_name(), &current.spec);

        let now_ms = now_ms().max(current.metadata.last_updated_at_ms);
        let updated =
            Definition { spec: spec.clone(), metadata: current.metadata.updated(now_ms), ..current };
        let key = id.key();
        let uid = &updated.metadata.uid;
        let mut batch = Self::batch(permitted, operation)
            .if_equal(key.clone(), found.record.value)
            .put(key.clone(), updated.encode());
        for target in old_targets.difference(&new_targets) {
            batch = batch.delete(referrer_key(target, uid));
        }
        for target in new_targets.difference(&old_targets) {
            batch = batch.if_present(target.key()).put(referrer_key(target, uid), key.clone());
        }
        self.commit(remembering.add_to(batch, &updated)).await?;
        Ok(updated)
    }
}
