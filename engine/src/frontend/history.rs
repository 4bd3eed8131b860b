//! Who changed what, and when: the journal, as the API shows it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use legation_proto::v1::{self, JournalEntry};
use legation_proto::version::Transaction;
use serde_json::{Value, json};

use super::change_set::Outcome;
use super::command::Query;
use super::error::ApiError;
use super::{Frontend, FrontendSettings, aside, response};
use crate::model::shape::error::quote;
use crate::model::{DecodeError, Definition, Kind, ResourceId, Tags, check_name};

/// The most transactions of an answer, and how many there are if the client does not say.
const LIMIT_MAX: usize = 100;

/// How many entries of the journal are looked at for one answer.
const LOOKED_AT_MAX: usize = 10_000;

/// How many are read at once: a single one may be large.
const READ_AT_ONCE: usize = 16;

/// How many changes an entry may have to be shown on a thread of the runtime.
const CHANGES_AT_ONCE: usize = 32;

/// Where an answer ends, with the definitions of at least one transaction, in bytes as they are stored.
const DEFINITIONS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Which part of the history is asked for.
#[derive(Debug)]
pub(super) struct HistoryRequest {
    concerning: Arc<Concerning>,
    /// How many transactions at most.
    limit: usize,
    /// Only those before this one.
    before: Transaction,
    /// Only those after this one.
    after: Transaction,
}

/// What is of interest.
#[derive(Debug)]
enum Concerning {
    Everything,
    Mesh(String),
    Resource(ResourceId),
}

impl HistoryRequest {
    /// What a query asks for.
    pub(super) fn decode(query: &Query) -> Result<Self, ApiError> {
        let bad = ApiError::BadRequest;
        let number = |name: &str, default: u64| match query.get(name).map(|text| text.parse()) {
            None => Ok(default),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => {
                Err(bad(format!("{name}: {} is not the number of a transaction", quote(&query[name]))))
            }
        };
        let concerning = match (query.get("mesh"), query.get("resource")) {
            (None, None) => Concerning::Everything,
            (Some(mesh), None) => {
                check_name(Kind::Mesh, mesh).map_err(|error| ApiError::Invalid(vec![error]))?;
                Concerning::Mesh(mesh.clone())
            }
            (mesh, Some(name)) => {
                let Some(id) = ResourceId::from_name(name) else {
                    return Err(bad(format!(
                        "resource: {} is no path of a resource and no ARN",
                        quote(name)
                    )));
                };
                if mesh.is_some_and(|mesh| mesh != id.mesh_name()) {
                    return Err(bad(format!("mesh: {id} is in another")));
                }
                Concerning::Resource(id)
            }
        };
        let limit = match query.get("limit").map(|limit| limit.parse()) {
            None => LIMIT_MAX,
            Some(Ok(limit @ 1..=LIMIT_MAX)) => limit,
            Some(_) => {
                return Err(bad(format!(
                    "limit: {} is not an integer in 1..={LIMIT_MAX}",
                    quote(&query["limit"])
                )));
            }
        };
        Ok(Self {
            concerning: Arc::new(concerning),
            limit,
            before: number("before", Transaction::MAX)?,
            after: number("after", 0)?,
        })
    }
}

impl HistoryRequest {
    /// The mesh that it is about; nothing where that is everything.
    pub(super) fn mesh(&self) -> Option<&str> {
        match self.concerning.as_ref() {
            Concerning::Everything => None,
            Concerning::Mesh(mesh) => Some(mesh),
            Concerning::Resource(id) => Some(id.mesh_name()),
        }
    }
}

impl Concerning {
    fn is(&self, id: &ResourceId) -> bool {
        match self {
            Self::Everything => true,
            Self::Mesh(mesh) => id.mesh_name() == mesh,
            Self::Resource(resource) => id == resource,
        }
    }
}

impl Frontend {
    /// The part of the history that `request` asks for, newest first.
    pub(super) async fn history(&self, request: &HistoryRequest) -> Result<Value, ApiError> {
        let (oldest, newest) = (self.store.oldest().await?, self.newest().await?);
        let mut shown: Vec<Value> = Vec::new();
        let (mut looked_at, mut bytes) = (0, 0);
        let mut before = request.before;
        let next_before = 'reading: loop {
            let entries = match request.concerning.as_ref() {
                Concerning::Resource(id) => self.journal_of(id, before).await?,
                _ => self.store.journal_before(before, READ_AT_ONCE).await?,
            };
            if entries.is_empty() {
                break None;
            }
            for entry in entries {
                if entry.transaction <= request.after {
                    break 'reading None;
                }
                before = entry.transaction;
                looked_at += 1;
                let size = entry.changes.iter().map(|change| {
                    change.before.as_ref().map_or(0, Bytes::len) + change.after.as_ref().map_or(0, Bytes::len)
                });
                let size: usize = size.sum();
                if let Some(transaction) = self.transaction(entry, &request.concerning).await? {
                    bytes += size;
                    shown.push(transaction);
                }
                let is_enough = shown.len() == request.limit
                    || looked_at >= LOOKED_AT_MAX
                    || bytes >= DEFINITIONS_BYTES_MAX;
                if is_enough {
                    break 'reading Some(before).filter(|before| *before > oldest.max(request.after) + 1);
                }
            }
        };
        let mut answer = json!({"transactions": shown, "oldest": oldest, "newest": newest});
        if let Some(next_before) = next_before {
            answer["nextBefore"] = json!(next_before);
        }
        Ok(answer)
    }

    /// The next entries that changed the definition of `id` or its tags.
    async fn journal_of(&self, id: &ResourceId, before: Transaction) -> Result<Vec<JournalEntry>, ApiError> {
        let mut entries = self.store.journal_of(&id.key(), before, READ_AT_ONCE).await?;
        entries.extend(self.store.journal_of(&id.tags_key(), before, READ_AT_ONCE).await?);
        entries.sort_by_key(|entry| Reverse(entry.transaction));
        entries.dedup_by_key(|entry| entry.transaction);
        entries.truncate(READ_AT_ONCE);
        Ok(entries)
    }

    /// What is shown of an entry: nothing, if it changed nothing of what is of interest.
    async fn transaction(
        &self,
        entry: JournalEntry,
        concerning: &Arc<Concerning>,
    ) -> Result<Option<Value>, ApiError> {
        if entry.changes.len() <= CHANGES_AT_ONCE {
            return Ok(transaction(&entry, concerning, &self.settings)?);
        }
        let (concerning, settings) = (Arc::clone(concerning), Arc::clone(&self.settings));
        Ok(aside(move || transaction(&entry, &concerning, &settings)).await??)
    }

    /// The newest transaction.
    pub(super) async fn newest(&self) -> Result<Transaction, ApiError> {
        Ok(self.store.newest().await?)
    }
}

/// What an entry changed of a resource.
#[derive(Default)]
struct Changed<'a> {
    definition: Option<&'a v1::Change>,
    tags: Option<&'a v1::Change>,
}

impl Changed<'_> {
    /// What is said of the resource `id` before or after: nothing where it did not exist.
    fn content(
        &self,
        id: &ResourceId,
        side: impl Fn(&v1::Change) -> Option<&Bytes>,
        settings: &FrontendSettings,
    ) -> Result<Option<Value>, DecodeError> {
        let definition = self.definition.and_then(&side);
        if self.definition.is_some() && definition.is_none() {
            return Ok(None);
        }
        let definition = definition.map(|value| Definition::decode(id, value)).transpose()?;
        let tags = match self.tags {
            Some(change) => {
                let tags = side(change).map(|value| Tags::decode(id, value)).transpose()?;
                Some(tags.unwrap_or_default())
            }
            None => None,
        };
        Ok(Some(response::content(definition.as_ref(), tags.as_ref(), settings)))
    }

    fn word(&self) -> &'static str {
        let outcome = match self.definition {
            Some(change) if change.before.is_none() => Outcome::Created,
            Some(change) if change.after.is_none() => Outcome::Deleted,
            _ => Outcome::Updated,
        };
        outcome.word()
    }
}

/// A time in milliseconds since 1970 in UTC, as people write it.
pub(super) fn time(ms: i64) -> String {
    let since_epoch = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch).to_string()
}

/// An entry as it is shown, with what it changed of what is of interest: nothing, if that is nothing.
fn transaction(
    entry: &JournalEntry,
    concerning: &Concerning,
    settings: &FrontendSettings,
) -> Result<Option<Value>, DecodeError> {
    let mut changed: BTreeMap<ResourceId, Changed<'_>> = BTreeMap::new();
    // what was put again as it was is not changed
    for change in entry.changes.iter().filter(|change| change.before != change.after) {
        if let Some(id) = ResourceId::from_key(&change.key) {
            changed.entry(id).or_default().definition = Some(change);
        } else if let Some(id) = ResourceId::from_tags_key(&change.key) {
            changed.entry(id).or_default().tags = Some(change);
        }
    }
    let mut changes = Vec::new();
    for (id, changed) in changed.iter().filter(|(id, _)| concerning.is(id)) {
        let before = changed.content(id, |change| change.before.as_ref(), settings)?;
        let after = changed.content(id, |change| change.after.as_ref(), settings)?;
        changes.push(response::change(id, changed.word(), before, after, settings));
    }
    if changes.is_empty() {
        return Ok(None);
    }
    Ok(Some(json!({
        "transaction": entry.transaction,
        "committedAt": time(entry.committed_at_ms),
        "author": entry.author,
        "operation": entry.operation,
        "changes": changes,
    })))
}
