//! What the files no longer have, in the meshes that they name.

use std::collections::{BTreeSet, HashSet};

use ureq::http::Method;

use super::document::Document;
use crate::cli::client::{Client, ClientError};
use crate::frontend::path;
use crate::model::{Kind, ResourceId};

/// How many resources are asked for at once: as many as the API gives.
const PAGE: &str = "100";

/// The resources of the meshes that `documents` name that none of them is about, in the order in which they can be deleted. A
/// mesh itself is never among them: it is named by whatever is in it.
pub(super) fn surplus(client: &Client, documents: &[Document]) -> Result<Vec<ResourceId>, ClientError> {
    let meshes: BTreeSet<&str> = documents.iter().map(|document| document.id.mesh_name()).collect();
    let wanted: HashSet<&ResourceId> = documents.iter().map(|document| &document.id).collect();
    let mut surplus = Vec::new();
    for mesh in meshes {
        let found = resources(client, mesh)?;
        surplus.extend(found.into_iter().filter(|id| !wanted.contains(id)));
    }
    // kinds are ordered so that what may need something comes after it
    surplus.sort_by_key(|id| std::cmp::Reverse(id.kind()));
    Ok(surplus)
}

/// Deletes a resource; one that is gone already is what it should be.
pub(super) fn delete(client: &Client, id: &ResourceId) -> Result<(), ClientError> {
    match client.request(Method::DELETE, &path::item(id), &[], None) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Everything in a mesh; nothing, if there is no such mesh.
fn resources(client: &Client, mesh: &str) -> Result<Vec<ResourceId>, ClientError> {
    let mut found = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Mesh && kind.parent().is_none()) {
        for id in list(client, kind, mesh, None)? {
            if let Some(child) = kind.child() {
                found.extend(list(client, child, mesh, Some(id.name()))?);
            }
            found.push(id);
        }
    }
    Ok(found)
}

fn list(
    client: &Client,
    kind: Kind,
    mesh: &str,
    parent: Option<&str>,
) -> Result<Vec<ResourceId>, ClientError> {
    let collection = path::collection_of(kind, mesh, parent);
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(token.as_deref().map(|token| ("nextToken", token)));
        let page = match client.request(Method::GET, &collection, &query, None) {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            page => page?,
        };
        let items = page[kind.plural()].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = items.iter().filter_map(|item| item[kind.name_key()].as_str());
        found.extend(names.filter_map(|name| ResourceId::from_parts(kind, mesh, parent, name)));
        token = page["nextToken"].as_str().map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
}
