//! Making one resource what its document says.

use serde_json::Value;
use ureq::http::Method;

use super::document::Document;
use crate::cli::client::{Client, ClientError};
use crate::frontend::path;

/// What applying a document changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The resource was created.
    Created,
    /// Its specification was replaced.
    Updated,
    /// It was as it should be.
    Unchanged,
    /// It was deleted.
    Deleted,
}

/// Creates the resource if it does not exist, and otherwise asks for it to be as the document says: the version
/// that comes back tells whether that was a change.
pub(super) fn upsert(client: &Client, document: &Document) -> Result<Change, ClientError> {
    let item = path::item(&document.id);
    let before = match client.request(Method::GET, &item, &[], None) {
        Ok(described) => version(&described),
        Err(error) if error.is_not_found() => {
            let collection = path::collection(&document.id);
            client.request(Method::PUT, &collection, &[], Some(&document.create_body()))?;
            return Ok(Change::Created);
        }
        Err(error) => return Err(error),
    };
    let updated = client.request(Method::PUT, &item, &[], Some(&document.update_body()))?;
    Ok(if before == version(&updated) { Change::Unchanged } else { Change::Updated })
}

fn version(body: &Value) -> Option<u64> {
    body["metadata"]["version"].as_u64()
}
