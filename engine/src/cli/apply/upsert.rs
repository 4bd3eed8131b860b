//! Making one resource what its document says.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use ureq::http::Method;

use super::document::Document;
use crate::cli::client::{Client, ClientError};
use crate::frontend::path;

/// What applying a document changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The resource was created.
    Created,
    /// Its specification or its tags were replaced.
    Updated,
    /// It was as it should be.
    Unchanged,
    /// It was deleted.
    Deleted,
}

/// Creates the resource if it does not exist, and otherwise asks for it to be as the document says: the version
/// that comes back tells whether that was a change. Tags have none, and are compared here.
pub(super) fn upsert(client: &Client, document: &Document) -> Result<Change, ClientError> {
    let item = path::item(&document.id);
    let described = match client.request(Method::GET, &item, &[], None) {
        Ok(described) => described,
        Err(error) if error.is_not_found() => {
            let collection = path::collection(&document.id);
            client.request(Method::PUT, &collection, &[], Some(&document.create_body()))?;
            return Ok(Change::Created);
        }
        Err(error) => return Err(error),
    };
    let updated = client.request(Method::PUT, &item, &[], Some(&document.update_body()))?;
    let arn = described["metadata"]["arn"].as_str();
    let is_tagged = match (document.tags(), arn) {
        (Some(tags), Some(arn)) => tag(client, arn, tags)?,
        _ => false,
    };
    let is_updated = version(&described) != version(&updated);
    Ok(if is_updated || is_tagged { Change::Updated } else { Change::Unchanged })
}

/// Makes `wanted` the tags of a resource; whether that was a change.
fn tag(client: &Client, arn: &str, wanted: &Value) -> Result<bool, ClientError> {
    let of = [("resourceArn", arn)];
    let listed = client.request(Method::GET, path::TAGS, &of, None)?;
    let current = by_key(&listed["tags"]);
    let told = by_key(wanted);
    // what is no list of tags is for the API to refuse
    let is_list = wanted.as_array().is_some_and(|tags| tags.len() == told.len());
    if is_list && current == told {
        return Ok(false);
    }
    let gone: Vec<&str> = current.keys().filter(|key| !told.contains_key(*key)).copied().collect();
    if is_list && !gone.is_empty() {
        client.request(Method::PUT, path::UNTAG, &of, Some(&json!({"tagKeys": gone})))?;
    }
    if !is_list || !told.is_empty() {
        client.request(Method::PUT, path::TAG, &of, Some(&json!({"tags": wanted})))?;
    }
    Ok(true)
}

/// The tags in a list, each with its value.
fn by_key(tags: &Value) -> BTreeMap<&str, &str> {
    let tags = tags.as_array().map(Vec::as_slice).unwrap_or_default();
    tags.iter()
        .filter_map(|tag| Some((tag["key"].as_str()?, tag["value"].as_str().unwrap_or_default())))
        .collect()
}

fn version(body: &Value) -> Option<u64> {
    body["metadata"]["version"].as_u64()
}
