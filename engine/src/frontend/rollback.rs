//! Taking changes back: a new transaction that makes the definitions what they were.
//!
//! What comes back is what users wrote, specifications and tags. A resource that was deleted since comes back as a new one,
//! with a new uid and version 1; one that was changed gets the next version. So a version of a uid never stands for
//! two contents, and history only grows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use legation_proto::version::Transaction;
use serde_json::{Value, json};

use super::caller::Caller;
use super::change_set::{Change, ChangeSet};
use super::error::ApiError;
use super::transactions::{Untouched, members, optional_number};
use super::{Frontend, aside, response};
use crate::model::key::{ALL_DEFINITIONS, mesh_prefix};
use crate::model::{DecodeError, Definition, Kind, Path, ResourceId, Tags, check_name};
use crate::store::{At, Record};

/// What this is called in the journal.
const OPERATION: &str = "Rollback";

/// What is to be restored.
#[derive(Debug)]
pub(super) struct RollbackRequest {
    /// The definitions as they were right after this transaction.
    to: Transaction,
    /// Of this mesh only.
    pub(super) mesh: Option<String>,
    /// Only tell what would be done.
    dry_run: bool,
    /// Nothing of it must have changed after this transaction.
    if_transaction: Option<Transaction>,
}

impl RollbackRequest {
    /// What a body asks for, or everything that is wrong with it.
    pub(super) fn decode(body: &[u8]) -> Result<Self, ApiError> {
        let members = members(body, &["to", "mesh", "dryRun", "ifTransaction"])?;
        let mut errors = Vec::new();
        let to = optional_number(&members, "to", &mut errors);
        if !members.contains_key("to") {
            errors.push(Path::root("to").error("is required"));
        }
        let mesh = match members.get("mesh") {
            None => None,
            Some(Value::String(mesh)) => {
                errors.extend(check_name(Kind::Mesh, mesh).err());
                Some(mesh.clone())
            }
            Some(_) => {
                errors.push(Path::root("mesh").error("is not a string"));
                None
            }
        };
        let dry_run = match members.get("dryRun") {
            None => Some(false),
            Some(Value::Bool(dry_run)) => Some(*dry_run),
            Some(_) => {
                errors.push(Path::root("dryRun").error("is not a boolean"));
                None
            }
        };
        let if_transaction = optional_number(&members, "ifTransaction", &mut errors);
        match (to, dry_run) {
            (Some(to), Some(dry_run)) if errors.is_empty() => Ok(Self { to, mesh, dry_run, if_transaction }),
            _ => Err(ApiError::Invalid(errors)),
        }
    }
}

impl Frontend {
    /// Restores what `request` asks for, and tells what became of each resource that is not what it was.
    pub(super) async fn rollback(
        &self,
        caller: &Caller,
        request: &RollbackRequest,
    ) -> Result<Value, ApiError> {
        let prefix = request.mesh.as_deref().map_or_else(|| ALL_DEFINITIONS.to_owned(), mesh_prefix);
        let then =
            self.store.list(&prefix, At::Transaction(request.to)).await.map_err(ApiError::past)?.records;
        let (now, newest) = self.list_unless_changed(&prefix, request.if_transaction).await?;
        if let Some(mesh) = request.mesh.as_ref().filter(|_| then.is_empty() && now.is_empty()) {
            return Err(ApiError::NotFound(ResourceId::mesh(mesh)));
        }
        let differences = aside(move || differences(&then, &now)).await??;
        let resolved = self.resolve(caller, &Arc::new(differences)).await?;
        let transaction = if request.dry_run {
            newest
        } else {
            let untouched = Untouched(vec![(prefix, newest)]);
            self.commit_set(caller, OPERATION, &resolved, untouched).await?
        };
        let (settings, to) = (Arc::clone(&self.settings), request.to);
        let shown = aside(move || {
            let changes = resolved.effects.iter().map(|effect| response::effect_in_full(effect, &settings));
            json!({"transaction": transaction, "to": to, "changes": changes.collect::<Vec<_>>()})
        });
        Ok(shown.await?)
    }
}

/// What turns the definitions that are `now` into those of `then`.
fn differences(then: &[Record], now: &[Record]) -> Result<ChangeSet, DecodeError> {
    let (then, now) = (by_id(then), by_id(now));
    let mut changes = Vec::new();
    for (id, old) in &then {
        if now.get(id) == Some(old) {
            continue;
        }
        let Definition { spec, .. } = Definition::decode(id, &old.value)?;
        if let Some(current) = now.get(id)
            && current.tags == old.tags
            && Definition::decode(id, &current.value)?.spec == spec
        {
            continue;
        }
        let tags = old.tags.as_ref().map(|value| Tags::decode(id, value)).transpose()?.unwrap_or_default();
        changes.push(Change::Restore { id: id.clone(), spec, tags });
    }
    for id in now.keys().filter(|id| !then.contains_key(id)) {
        changes.push(Change::Delete { id: id.clone() });
    }
    Ok(ChangeSet { changes })
}

/// What is stored of a resource.
#[derive(PartialEq, Eq)]
struct Stored {
    value: Bytes,
    tags: Option<Bytes>,
}

fn by_id(records: &[Record]) -> BTreeMap<ResourceId, Stored> {
    let tags: HashMap<ResourceId, &Bytes> = records
        .iter()
        .filter_map(|record| Some((ResourceId::from_tags_key(&record.key)?, &record.value)))
        .collect();
    let stored = |record: &Record| {
        let id = ResourceId::from_key(&record.key)?;
        let tags = tags.get(&id).copied().cloned();
        Some((id, Stored { value: record.value.clone(), tags }))
    };
    records.iter().filter_map(stored).collect()
}
