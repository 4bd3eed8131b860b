//! Applying everything as one transaction.

use serde_json::{Value, json};
use ureq::http::Method;

use super::document::Document;
use super::upsert::Change;
use crate::cli::client::{Client, ClientError};
use crate::frontend::path;
use crate::model::ResourceId;

/// Makes everything what the documents say, and deletes `surplus`, or changes nothing; tells what became of each.
pub(super) fn apply(
    client: &Client,
    documents: &[Document],
    surplus: &[ResourceId],
) -> Result<Vec<(Change, ResourceId)>, ClientError> {
    let apply: Vec<Value> = documents.iter().map(Document::to_json).collect();
    let delete: Vec<String> = surplus.iter().map(ResourceId::path).collect();
    let body = json!({"apply": apply, "delete": delete});
    let answer = client.request(Method::POST, path::TRANSACTIONS, &[], Some(&body))?;
    let changes = answer["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(changes.iter().filter_map(change).collect())
}

fn change(shown: &Value) -> Option<(Change, ResourceId)> {
    let change = match shown["change"].as_str()? {
        "created" => Change::Created,
        "updated" => Change::Updated,
        "deleted" => Change::Deleted,
        _ => Change::Unchanged,
    };
    Some((change, ResourceId::from_path(shown["resource"].as_str()?)?))
}
