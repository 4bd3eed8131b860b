//! What an endpoint of App Mesh's API has: its lists are walked, and everything in them is described.

use http::Method;
use serde_json::{Map, Value};

use super::app_mesh;
use super::findings::{Findings, shown};
use crate::cli::client::{ApiArgs, Client, ClientError};
use crate::frontend::path;
use crate::model::{Kind, ResourceId};

/// How many pages a list has at most: an endpoint that gives the same token again and again must not be followed forever.
const PAGES_MAX: usize = 10_000;

/// Everything at the endpoint, or in the mesh `only`. An error if something there cannot be read: half of a mesh is none.
pub(super) fn read(api: &ApiArgs, only: Option<&str>) -> Result<Findings, String> {
    let client = Client::new(api).map_err(|error| error.to_string())?;
    let mut walk = Walk { client, endpoint: &api.endpoint, findings: Findings::default(), has_tags: true };
    let meshes = match only {
        Some(mesh) => vec![ResourceId::mesh(mesh)],
        None => walk.list(Kind::Mesh, "", None)?,
    };
    for mesh in meshes {
        walk.describe(&mesh)?;
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Mesh && kind.parent().is_none()) {
            for id in walk.list(kind, mesh.name(), None)? {
                walk.describe(&id)?;
                if let Some(child) = kind.child() {
                    for id in walk.list(child, mesh.name(), Some(id.name()))? {
                        walk.describe(&id)?;
                    }
                }
            }
        }
    }
    Ok(walk.findings)
}

struct Walk<'a> {
    client: Client,
    endpoint: &'a str,
    findings: Findings,
    /// Whether the endpoint tells tags, as far as it is known.
    has_tags: bool,
}

impl Walk<'_> {
    /// The resources of `kind` in `mesh`, and in `parent` where there is one.
    fn list(&self, kind: Kind, mesh: &str, parent: Option<&str>) -> Result<Vec<ResourceId>, String> {
        // the collection does not depend on the name
        let any = match kind {
            Kind::Mesh => Some(ResourceId::mesh("any")),
            _ => ResourceId::from_parts(kind, mesh, parent, "any"),
        };
        let any = any.ok_or_else(|| format!("{}: a name is empty", self.endpoint))?;
        let path = path::collection(&any);
        let mut listed = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let query: Vec<(&str, &str)> = token.iter().map(|token| ("nextToken", token.as_str())).collect();
            let page = self.get(&path, &query).map_err(|error| self.failed(&path, &error))?;
            let Some(items) = page.get(kind.plural()).and_then(Value::as_array) else {
                return Err(format!("{}: {path} has no {}", self.endpoint, kind.plural()));
            };
            for item in items {
                let name = item.get(kind.name_key()).and_then(Value::as_str).unwrap_or_default();
                let mesh = if kind == Kind::Mesh { name } else { mesh };
                let id = ResourceId::from_parts(kind, mesh, parent, name);
                listed
                    .push(id.ok_or_else(|| format!("{}: {path} has an item without a name", self.endpoint))?);
            }
            token = page.get("nextToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
                return Ok(listed);
            }
        }
        Err(format!("{}: {path} has more than {PAGES_MAX} pages", self.endpoint))
    }

    fn describe(&mut self, id: &ResourceId) -> Result<(), String> {
        let path = path::item(id);
        let mut described = match self.get(&path, &[]) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err(format!("{}: {path} is no object", self.endpoint)),
            // deleted since it was listed
            Err(error) if error.is_not_found() && id.kind() != Kind::Mesh => return Ok(()),
            Err(error) => return Err(self.failed(&path, &error)),
        };
        let arn = described.get("metadata").and_then(|metadata| metadata.get("arn")).and_then(Value::as_str);
        if let Some(tags) = arn.and_then(|arn| self.tags(arn)) {
            described.insert("tags".to_owned(), tags);
        }
        app_mesh::resource(
            described,
            &format!("{}: {}", self.endpoint, shown(&id.path())),
            None,
            &mut self.findings,
        );
        Ok(())
    }

    /// The tags of a resource; nothing if it has none, or if they cannot be read, which is said once.
    fn tags(&mut self, arn: &str) -> Option<Value> {
        if !self.has_tags {
            return None;
        }
        let mut tags = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("resourceArn", arn)];
            query.extend(token.iter().map(|token| ("nextToken", token.as_str())));
            let page: Map<String, Value> = match self.get(&format!("{}/tags", path::PREFIX), &query) {
                Ok(Value::Object(page)) => page,
                Ok(_) => return None,
                Err(error) => {
                    self.has_tags = false;
                    self.findings.left_out(self.endpoint, format_args!("tags cannot be read: {error}"));
                    return None;
                }
            };
            tags.extend(page.get("tags").and_then(Value::as_array).into_iter().flatten().cloned());
            token = page.get("nextToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        tags.sort_by_key(|tag| tag["key"].as_str().unwrap_or_default().to_owned());
        (!tags.is_empty()).then(|| tags.into())
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ClientError> {
        self.client.request(Method::GET, path, query, None)
    }

    fn failed(&self, path: &str, error: &ClientError) -> String {
        match error {
            ClientError::Refused { .. } => format!("{}: {path}: {error}", self.endpoint),
            _ => error.to_string(),
        }
    }
}
