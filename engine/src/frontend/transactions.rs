//! Making several changes as one transaction.

use std::sync::Arc;

use legation_proto::version::Transaction;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::change_set::{Change, ChangeSet, Current, Making, Outcome, Refusal, Resolved};
use super::error::ApiError;
use super::{Frontend, aside, now_ms, request, response};
use crate::model::document::{self, Document};
use crate::model::key::mesh_prefix;
use crate::model::shape::error::{excerpt, quote};
use crate::model::shape::json;
use crate::model::{FieldError, Path, ResourceId};
use crate::store::{At, Batch, Precondition, Record};

/// What this is called in the journal.
pub(super) const OPERATION: &str = "ApplyChanges";

/// How many changes a set may have: some times what a transaction may change, for sets of which most is as it should be.
const CHANGES_MAX: usize = 50_000;

/// From how many wrong fields on the rest of a set is not looked at: a body of some megabytes has room for millions.
const ERRORS_MAX: usize = 100;

/// A set of changes that is asked for.
#[derive(Debug)]
pub(super) struct TransactionRequest {
    pub(super) set: Arc<ChangeSet>,
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
        let if_transaction = optional_number(&members, "ifTransaction", &mut errors);
        let (documents, names) =
            (list(&members, "apply", &mut errors), list(&members, "delete", &mut errors));
        let count = documents.len() + names.len();
        if count > CHANGES_MAX {
            let problem = format!("apply, delete: have {count} changes; at most {CHANGES_MAX} are allowed");
            return Err(ApiError::BadRequest(problem));
        }
        let documents = documents.iter().enumerate().map(|(index, document)| put(document, index));
        let names = names.iter().enumerate().map(|(index, name)| deletion(name, index));
        let mut changes = Vec::with_capacity(count);
        for change in documents.chain(names) {
            match change {
                Ok(change) => changes.push(change),
                Err(wrong) => errors.extend(wrong),
            }
            if errors.len() >= ERRORS_MAX {
                errors.truncate(ERRORS_MAX);
                errors.push(Path::root("apply, delete").error("may have more errors; these are the first"));
                break;
            }
        }
        if !errors.is_empty() {
            return Err(ApiError::Invalid(errors));
        }
        if changes.is_empty() {
            return Err(ApiError::BadRequest("apply, delete: there is nothing in them".to_owned()));
        }
        Ok(Self { set: Arc::new(ChangeSet { changes }), if_transaction })
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

/// The deletion that a name asks for.
fn deletion(name: &Value, index: usize) -> Result<Change, Vec<FieldError>> {
    let at = Path::root("delete").index(index);
    resource(name).map(|id| Change::Delete { id }).map_err(|problem| vec![at.error(problem)])
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
        let (resolved, untouched) = self.resolve_request(caller, request).await?;
        let transaction = self.commit_set(caller, OPERATION, &resolved, untouched).await?;
        let settings = Arc::clone(&self.settings);
        let shown = aside(move || {
            let changes = resolved.effects.iter().map(|effect| response::effect(effect, &settings));
            json!({"transaction": transaction, "changes": changes.collect::<Vec<_>>()})
        });
        Ok(shown.await?)
    }

    /// What a request of `caller` does to the definitions as they are, and what must not have changed for it.
    pub(super) async fn resolve_request(
        &self,
        caller: &Caller,
        request: &TransactionRequest,
    ) -> Result<(Resolved, Untouched), ApiError> {
        let mut untouched = Untouched::default();
        if let Some(since) = request.if_transaction {
            for mesh in request.set.meshes() {
                let prefix = mesh_prefix(mesh);
                let (_, at) = self.list_unless_changed(&prefix, Some(since)).await?;
                untouched.0.push((prefix, at));
            }
        }
        Ok((self.resolve(caller, &request.set).await?, untouched))
    }

    /// What a set of `caller` does to the definitions as they are, if the policies allow each change of it.
    pub(super) async fn resolve(&self, caller: &Caller, set: &Arc<ChangeSet>) -> Result<Resolved, ApiError> {
        let current = Arc::new(Current::read(self.store.as_ref(), set).await?);
        let mut relies_on = Vec::new();
        if let Some(policies) = self.authoriser.policies() {
            // before anything is said about what exists
            let effects = self.make(set, &current, ChangeSet::effects).await??;
            relies_on = self.authorise_effects(caller, &policies, &current, &effects).await?;
        }
        let resolved =
            self.make(set, &current, ChangeSet::resolve).await?.map_err(|refusal| match refusal {
                Refusal::Wrong(errors) => ApiError::Changes(errors),
                Refusal::Damaged(error) => ApiError::Damaged(error),
            })?;
        for spec in resolved.new_specs() {
            self.settings.quotas.check(spec)?;
        }
        Ok(resolved.relying_on(relies_on))
    }

    /// What `work` makes of a set and of the definitions as they are.
    async fn make<T: Send + 'static>(
        &self,
        set: &Arc<ChangeSet>,
        current: &Arc<Current>,
        work: fn(&ChangeSet, &Current, &Making<'_>) -> T,
    ) -> Result<T, ApiError> {
        let (set, current) = (Arc::clone(set), Arc::clone(current));
        let settings = Arc::clone(&self.settings);
        let made = aside(move || {
            let new_uid = || Uuid::new_v4().to_string();
            let making = Making { account: &settings.account, now_ms: now_ms(), new_uid: &new_uid };
            work(&set, &current, &making)
        });
        Ok(made.await?)
    }

    /// Commits what was resolved, for who has the turn. The answer is the transaction with which everything is as it
    /// should be: where there is nothing to change, the newest.
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
        self.commit_now(self.set_batch(caller, operation, resolved, untouched)).await
    }

    /// What is committed for what was resolved.
    pub(super) fn set_batch(
        &self,
        caller: &Caller,
        operation: &str,
        resolved: &Resolved,
        untouched: Untouched,
    ) -> Batch {
        let mut batch = resolved.batch(caller.name(), operation);
        for (prefix, since) in untouched.0 {
            batch = batch.if_untouched(prefix, since);
        }
        // last: what has changed since it was read may have made room, or taken it
        for room in self.room(resolved) {
            batch = batch.require(room);
        }
        batch
    }

    /// That there is room for what is created.
    pub(super) fn room(&self, resolved: &Resolved) -> Vec<Precondition> {
        let (created, deleted) =
            (resolved.with_outcome(Outcome::Created), resolved.with_outcome(Outcome::Deleted));
        self.settings.quotas.room(created, deleted)
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
