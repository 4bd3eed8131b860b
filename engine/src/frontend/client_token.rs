//! Client tokens: who repeats a request with its token is answered as the first time, and nothing is done twice.
//!
//! What is remembered of a request is a hash of it, and the metadata that its answer showed: the specification in the
//! answer is that of the request, so the answer can be made again. It is committed with the change, so it holds on every
//! host and after a restart, and goes by itself after [`TIME_TO_LIVE`].

use std::time::Duration;

use prost::Message;
use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::Operation;
use super::caller::Caller;
use super::error::ApiError;
use super::lookup::Records;
use crate::model::{Definition, Metadata, ResourceId, Spec, Tags};
use crate::store::{Batch, REMEMBERED, Record};

/// How long a token is remembered at least. Clients repeat a request within minutes.
const TIME_TO_LIVE: Duration = Duration::from_secs(60 * 60);

/// A request that came with a client token.
pub(super) struct Repeatable {
    key: String,
    request: u128,
}

/// What is remembered of a request that was done.
#[derive(Clone, PartialEq, Message)]
struct Done {
    /// The hash of the request.
    #[prost(bytes = "vec", tag = "1")]
    request: Vec<u8>,
    /// The metadata in the answer.
    #[prost(bytes = "vec", tag = "2")]
    uid: Vec<u8>,
    #[prost(uint64, tag = "3")]
    version: u64,
    #[prost(int64, tag = "4")]
    created_at_ms: i64,
    #[prost(int64, tag = "5")]
    last_updated_at_ms: i64,
}

/// Whether a request was done before.
pub(super) enum Repeated {
    /// It was, and this came of it.
    Yes(Box<Definition>),
    /// It was not.
    No(Remembering),
}

/// What is needed to remember a request: nothing, if it has no token.
pub(super) struct Remembering(Option<(Repeatable, Option<Record>)>);

impl Remembering {
    /// The batch, which is committed only if nothing was done with the token meanwhile, and is remembered as what gave
    /// `definition`.
    pub(super) fn add_to(&self, batch: Batch, definition: &Definition) -> Batch {
        let Some((request, known)) = &self.0 else {
            return batch;
        };
        let key = request.key.as_str();
        let batch = match known {
            Some(record) => batch.if_equal(key, record.value.clone()),
            None => batch.if_absent(key),
        };
        batch.remember(key, request.done(&definition.metadata).encode_to_vec(), TIME_TO_LIVE)
    }
}

impl Repeatable {
    /// The `operation` of `caller` that is to make this of a resource. A token is the caller's and the operation's: the same one
    /// elsewhere is another.
    pub(super) fn new(
        caller: &Caller,
        operation: Operation,
        token: &str,
        (id, spec, tags): (&ResourceId, &Spec, &Tags),
    ) -> Self {
        // no part can hold the separator: names and tokens have no control characters, JSON escapes them
        let token = xxh3_128(format!("{}\0{operation}\0{token}", caller.name()).as_bytes());
        let mut request = Xxh3::new();
        for part in [id.key().as_bytes(), &spec.encode(), &tags.encode()] {
            request.update(part);
            request.update(b"\0");
        }
        Self { key: format!("{REMEMBERED}clientToken/{token:032x}"), request: request.digest128() }
    }

    /// Where it is remembered.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    fn done(&self, metadata: &Metadata) -> Done {
        Done {
            request: self.request.to_be_bytes().to_vec(),
            uid: Uuid::parse_str(&metadata.uid).unwrap_or_default().as_bytes().to_vec(),
            version: metadata.version,
            created_at_ms: metadata.created_at_ms,
            last_updated_at_ms: metadata.last_updated_at_ms,
        }
    }
}

/// Whether what is asked for with a token was done before, and the resource is still there, as `records` have it of both.
/// Refuses a token that came with another request.
pub(super) fn repeated(
    request: Option<Repeatable>,
    (id, spec): (&ResourceId, &Spec),
    records: &Records,
) -> Result<Repeated, ApiError> {
    let Some(request) = request else {
        return Ok(Repeated::No(Remembering(None)));
    };
    let record = records.get(&request.key).cloned();
    // what a later version wrote and this one cannot read is as good as forgotten
    let done = record.as_ref().and_then(|record| Done::decode(record.value.clone()).ok());
    let Some(done) = done else {
        return Ok(Repeated::No(Remembering(Some((request, record)))));
    };
    if done.request != request.request.to_be_bytes() {
        return Err(ApiError::TokenUsed);
    }
    let uid = Uuid::from_slice(&done.uid).unwrap_or_default().to_string();
    let current = records.get(&id.key());
    let current = current.map(|current| Definition::decode(id, &current.value)).transpose()?;
    match current {
        Some(current) if current.metadata.uid == uid => {
            let metadata = Metadata {
                uid,
                version: done.version,
                created_at_ms: done.created_at_ms,
                last_updated_at_ms: done.last_updated_at_ms,
                ..current.metadata
            };
            let definition = Definition { id: id.clone(), spec: spec.clone(), metadata };
            Ok(Repeated::Yes(Box::new(definition)))
        }
        _ => Ok(Repeated::No(Remembering(Some((request, record))))),
    }
}
