//! Making several changes as one transaction.

use legation_proto::version::Transaction;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::change_set::{Change, ChangeSet, Current, Making, Refusal, Resolved};
use super::error::ApiError;
use super::{Frontend, now_ms, request, response};
use crate::model::document::{self, Document};
use crate::model::key::mesh_prefix;
use crate::model::shape::error::{excerpt, quote};
use crate::model::shape::json;
use crate::model::{FieldError, Path, ResourceId};
use crate::store::{At, Batch, Record};

/// What this is called in the journal.
const OPERATION: &str = "ApplyChanges";

/// A set of changes that is asked for.
#[derive(Debug)]
pub(super) struct TransactionRequest {
    pub(super) set: ChangeSet,
    /// The meshes of the set must not have changed after this transaction.
    pub(super) if_transaction: Option<Transaction>,
}

/// What a commit requires beyond what its set relies on: that nothing under a prefix changed since it was listed.
#[derive(Debug, Default)]
pub(super) struct Untouched(pub(super) Vec<(String, Transaction)>);

impl TransactionRequest {
    /// The set in a body, or everything that is wrong with it.
    pub(super) fn decode(body: &[u8]) -> Result<Self, ApiError> {
        let members = members(body, &["apply", "delete", "ifTransaction"])?;
        let mut errors = Vec::new();
        let mut changes = Vec::new();
        for (index, document) in list(&members, "apply", &mut errors).iter().enumerate() {
            match put(document, index) {
                Ok(put) => changes.push(put),
                Err(wrong) => errors.extend(wrong),
            }
        }
        for (index, name) in list(&members, "delete", &mut errors).iter().enumerate() {
            match resource(name) {
                Ok(id) => changes.push(Change::Delete { id }),
                Err(problem) => errors.push(Path::root("delete").index(index).error(problem)),
            }
        }
        let if_transaction = optional_number(&members, "ifTransaction", &mut errors);
        if !errors.is_empty() {
            return Err(ApiError::Invalid(errors));
        }
        if changes.is_empty() {
            return Err(ApiError::BadRequest("apply, delete: there is nothing in them".to_owned()));
        }
        Ok(Self { set: ChangeSet { changes }, if_transaction })
    }
}

/// The change that a document asks for.
fn put(document: &Value, index: usize) -> Result<Change, Vec<FieldError>> {
    let at = Path::root("apply").index(index);
    let Document { id, members } =
        document::recognise(document.clone()).map_err(|problem| vec![at.error(problem)])?;
    let of_resource = |errors: Vec<FieldError>| -> Vec<FieldError> {
        errors.iter().map(|error| FieldError { path: id.to_string(), problem: error.to_string() }).collect()
    };
    let (spec, tags) = request::spec_and_tags(id.kind(), &members).map_err(of_resource)?;
    Ok(Change::Put { id, spec, tags })
}

/// The members of the object in `body` that are not null, of which others than `known` are refused.
pub(super) fn members(body: &[u8], known: &[&str]) -> Result<Map<String, Value>, ApiError> {
    let value = json::from_slice(body)
        .map_err(|error| ApiError::BadRequest(format!("the body is not valid JSON: {error}")))?;
    let Value::Object(mut members) = value else {
        return Err(ApiError::BadRequest("the body is not a JSON object".to_owned()));
    };
    members.retain(|_, member| !member.is_null());
    let unknown = members.keys().find(|name| !known.contains(&name.as_str()));
    match unknown {
        Some(name) => Err(ApiError::BadRequest(format!(
            "{}: is not a field here; known fields are {}",
            excerpt(name),
            known.join(", ")
        ))),
        None => Ok(members),
    }
}

fn list<'a>(members: &'a Map<String, Value>, name: &str, errors: &mut Vec<FieldError>) -> &'a [Value] {
    match members.get(name) {
        Some(Value::Array(items)) => items,
        Some(_) => {
            errors.push(Path::root(name).error("is not a list"));
            &[]
        }
        None => &[],
    }
}

/// The transaction number in a member, if it is there.
pub(super) fn optional_number(
    members: &Map<String, Value>,
    name: &str,
    errors: &mut Vec<FieldError>,
) -> Option<Transaction> {
    let member = members.get(name)?;
    let number = member.as_u64();
    if number.is_none() {
        errors.push(Path::root(name).error("is not the number of a transaction"));
    }
    number
}

/// The resource that a text names, by its path or its ARN.
pub(super) fn resource(name: &Value) -> Result<ResourceId, String> {
    let Value::String(name) = name else {
        return Err("is not a string".to_owned());
    };
    ResourceId::from_name(name)
        .ok_or_else(|| format!("{} is no resource; say mesh/M/virtualNode/N, or its ARN", quote(name)))
}

impl Frontend {
    /// Makes the set that `request` asks for, and tells what became of each resource.
    pub(super) async fn apply_changes(
        &self,
        caller: &Caller,
        request: &TransactionRequest,
    ) -> Result<Value, ApiError> {
        let mut untouched = Untouched::default();
        if let Some(since) = request.if_transaction {
            let mut meshes: Vec<&str> =
                request.set.changes.iter().map(|change| change.id().mesh_name()).collect();
            meshes.sort_unstable();
            meshes.dedup();
            for mesh in meshes {
                let prefix = mesh_prefix(mesh);
                let (_, at) = self.list_unless_changed(&prefix, Some(since)).await?;
                untouched.0.push((prefix, at));
            }
        }
        let resolved = self.resolve(&request.set).await?;
        let transaction = self.commit_set(caller, OPERATION, &resolved, untouched).await?;
        let changes: Vec<Value> =
            resolved.effects.iter().map(|effect| response::effect(effect, &self.settings)).collect();
        Ok(json!({"transaction": transaction, "changes": changes}))
    }

    /// What a set does to the definitions as they are.
    pub(super) async fn resolve(&self, set: &ChangeSet) -> Result<Resolved, ApiError> {
        let current = Current::read(self.store.as_ref(), set).await?;
        let new_uid = || Uuid::new_v4().to_string();
        let making = Making { account: &self.settings.account, now_ms: now_ms(), new_uid: &new_uid };
        set.resolve(&current, &making).map_err(|refusal| match refusal {
            Refusal::Wrong(errors) => ApiError::Changes(errors),
            Refusal::Damaged(error) => ApiError::Damaged(error),
        })
    }

    /// Commits what was resolved. The answer is the transaction with which everything is as it should be: where there is
    /// nothing to change, the newest.
    pub(super) async fn commit_set(
        &self,
        caller: &Caller,
        operation: &str,
        resolved: &Resolved,
        untouched: Untouched,
    ) -> Result<Transaction, ApiError> {
        if resolved.changes_nothing() {
            return self.newest().await;
        }
        let batch = untouched
            .0
            .into_iter()
            .fold(resolved.batch(caller.name(), operation), |batch: Batch, (prefix, since)| {
                batch.if_untouched(prefix, since)
            });
        self.commit(batch).await
    }

    /// The records under `prefix` and the transaction that they are the state of. Refused if they changed after
    /// `since`.
    pub(super) async fn list_unless_changed(
        &self,
        prefix: &str,
        since: Option<Transaction>,
    ) -> Result<(Vec<Record>, Transaction), ApiError> {
        let now = self.store.list(prefix, At::Newest).await?;
        if let Some(since) = since.filter(|since| *since != now.transaction) {
            let then = self.store.list(prefix, At::Transaction(since)).await.map_err(ApiError::past)?;
            if then.records != now.records {
                return Err(ApiError::ChangedSince { since });
            }
        }
        Ok((now.records, now.transaction))
    }
}
