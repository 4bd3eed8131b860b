//! Who changed what, and when: the journal, as the API shows it.

use std::time::{Duration, UNIX_EPOCH};

use legation_proto::v1::{self, JournalEntry};
use legation_proto::version::Transaction;
use serde_json::{Value, json};

use super::command::Query;
use super::error::ApiError;
use super::{Frontend, response};
use crate::model::key::{ALL_DEFINITIONS, mesh_prefix};
use crate::model::{Definition, Kind, ResourceId, check_name};

/// The most transactions of an answer, and how many there are if the client does not say.
const LIMIT_MAX: usize = 100;

/// How many entries of the journal are looked at for one answer.
const LOOKED_AT_MAX: usize = 10_000;

/// How many are read at once: a single one may be large.
const READ_AT_ONCE: usize = 16;

/// Where an answer ends, with the definitions of at least one transaction, in bytes as they are stored.
const DEFINITIONS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Which part of the history is asked for.
#[derive(Debug)]
pub(super) struct HistoryRequest {
    concerning: Concerning,
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
            Some(Err(_)) => Err(bad(format!("{name}: {:?} is not the number of a transaction", query[name]))),
        };
        let concerning = match (query.get("mesh"), query.get("resource")) {
            (None, None) => Concerning::Everything,
            (Some(mesh), None) => {
                check_name(Kind::Mesh, mesh).map_err(|error| ApiError::Invalid(vec![error]))?;
                Concerning::Mesh(mesh_prefix(mesh))
            }
            (mesh, Some(name)) => {
                let Some(id) = ResourceId::from_name(name) else {
                    return Err(bad(format!("resource: {name:?} is no path of a resource and no ARN")));
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
                return Err(bad(format!("limit: {:?} is not an integer in 1..={LIMIT_MAX}", query["limit"])));
            }
        };
        Ok(Self {
            concerning,
            limit,
            before: number("before", Transaction::MAX)?,
            after: number("after", 0)?,
        })
    }
}

impl Concerning {
    fn is(&self, id: &ResourceId, key: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Mesh(prefix) => key.starts_with(prefix),
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
            let entries = match &request.concerning {
                Concerning::Resource(id) => self.store.journal_of(&id.key(), before, READ_AT_ONCE).await?,
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
                let changes = self.changes(&entry, &request.concerning)?;
                if !changes.is_empty() {
                    let sizes = entry.changes.iter().map(|change| {
                        change.before.as_ref().map_or(0, |value| value.len())
                            + change.after.as_ref().map_or(0, |value| value.len())
                    });
                    bytes += sizes.sum::<usize>();
                    shown.push(transaction(&entry, changes));
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

    /// What an entry changed of what is of interest.
    fn changes(&self, entry: &JournalEntry, concerning: &Concerning) -> Result<Vec<Value>, ApiError> {
        let mut changes = Vec::new();
        for change in &entry.changes {
            // who refers to whom stands beside the definitions; and what was put again as it was is not changed
            let Some(id) = ResourceId::from_key(&change.key).filter(|_| change.before != change.after) else {
                continue;
            };
            if concerning.is(&id, &change.key) {
                let (before, after) = definitions(&id, change)?;
                changes.push(response::change(&id, before, after, &self.settings));
            }
        }
        Ok(changes)
    }

    /// The newest transaction.
    pub(super) async fn newest(&self) -> Result<Transaction, ApiError> {
        // no name is empty, so nothing is listed
        let nothing = format!("{ALL_DEFINITIONS}/");
        Ok(self.store.list(&nothing, crate::store::At::Newest).await?.transaction)
    }
}

type BeforeAndAfter = (Option<Definition>, Option<Definition>);

fn definitions(id: &ResourceId, change: &v1::Change) -> Result<BeforeAndAfter, ApiError> {
    let decode =
        |value: &Option<bytes::Bytes>| value.as_ref().map(|value| Definition::decode(id, value)).transpose();
    Ok((decode(&change.before)?, decode(&change.after)?))
}

fn transaction(entry: &JournalEntry, changes: Vec<Value>) -> Value {
    let since_epoch = Duration::from_millis(u64::try_from(entry.committed_at_ms).unwrap_or(0));
    json!({
        "transaction": entry.transaction,
        "committedAt": humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch).to_string(),
        "author": entry.author,
        "operation": entry.operation,
        "changes": changes,
    })
}
