//! A request, decoded: everything that can be refused without a look into the store has been.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::error::ApiError;
use super::list::Collection;
use super::page::Page;
use super::request::{self, CreateBody};
use super::response::{self, Status};
use super::{Frontend, Operation, Verb};
use crate::model::{Definition, Kind, ResourceId, Spec, Tag, check_name};

/// How often an operation starts over when what it relied on has changed. Each time somebody else got on, so it
/// takes this many changes of one resource at the same time to lose for good.
pub(super) const ATTEMPTS_MAX: usize = 100;

/// The names in a path.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Names {
    pub(super) mesh: Option<String>,
    pub(super) parent: Option<String>,
    pub(super) name: Option<String>,
}

/// The parameters of a query, by their names.
pub(super) type Query = HashMap<String, String>;

/// Something to execute.
#[derive(Debug)]
pub(super) enum Command {
    /// Create a resource.
    Create { id: ResourceId, spec: Spec, tags: Vec<Tag> },
    /// Show a resource.
    Describe { id: ResourceId },
    /// Show a page of a collection.
    List { collection: Collection, page: Page },
    /// Replace the specification of a resource.
    Update { id: ResourceId, spec: Spec },
    /// Delete a resource.
    Delete { id: ResourceId },
}

impl Command {
    /// What a request asks for. `body` is looked at where the operation takes one.
    pub(super) fn decode(
        operation: Operation,
        names: &Names,
        query: &Query,
        body: &[u8],
    ) -> Result<Command, ApiError> {
        let kind = operation.kind;
        match operation.verb {
            Verb::Create => {
                let CreateBody { name, spec, tags } = request::create(kind, body)?;
                let id = id(kind, names, Some(&name))?;
                Ok(Command::Create { id, spec, tags })
            }
            Verb::Describe => Ok(Command::Describe { id: id(kind, names, names.name.as_deref())? }),
            Verb::List => {
                let collection = collection(kind, names)?;
                let parameter = |name| query.get(name).map(String::as_str);
                let page = Page::parse(parameter("limit"), parameter("nextToken"), &collection.prefix())?;
                Ok(Command::List { collection, page })
            }
            Verb::Update => Ok(Command::Update {
                id: id(kind, names, names.name.as_deref())?,
                spec: request::update(kind, body)?,
            }),
            Verb::Delete => Ok(Command::Delete { id: id(kind, names, names.name.as_deref())? }),
        }
    }
}

/// The resource that a path, and the name in it or in the body, are about.
fn id(kind: Kind, names: &Names, name: Option<&str>) -> Result<ResourceId, ApiError> {
    let mesh = if kind == Kind::Mesh { name.or(names.mesh.as_deref()) } else { names.mesh.as_deref() };
    let mesh = checked(Kind::Mesh, mesh)?;
    let parent = match kind.parent() {
        Some(kind) => Some(checked(kind, names.parent.as_deref())?),
        None => None,
    };
    let name = if kind == Kind::Mesh { mesh } else { checked(kind, name)? };
    ResourceId::from_parts(kind, mesh, parent, name).ok_or_else(|| nameless(kind))
}

/// The collection that a path is about.
fn collection(kind: Kind, names: &Names) -> Result<Collection, ApiError> {
    let container = match kind {
        Kind::Mesh => None,
        _ => {
            let container_kind = kind.parent().unwrap_or(Kind::Mesh);
            Some(id(container_kind, names, names.parent.as_deref())?)
        }
    };
    Ok(Collection { kind, container })
}

fn checked(kind: Kind, name: Option<&str>) -> Result<&str, ApiError> {
    let name = name.ok_or_else(|| nameless(kind))?;
    check_name(kind, name).map_err(|error| ApiError::Invalid(vec![error]))?;
    Ok(name)
}

fn nameless(kind: Kind) -> ApiError {
    ApiError::BadRequest(format!("{}: is required", kind.name_key()))
}

impl Frontend {
    /// Executes a `command` of `caller` and gives the body of the answer.
    pub(super) async fn execute(&self, caller: &Caller, command: &Command) -> Result<Value, ApiError> {
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(caller, command).await {
                Err(ApiError::Raced) => {}
                outcome => return outcome,
            }
        }
        Err(ApiError::Raced)
    }

    async fn attempt(&self, caller: &Caller, command: &Command) -> Result<Value, ApiError> {
        let shown = |definition: &Definition, status| response::data(definition, status, &self.settings);
        match command {
            Command::Create { id, spec, tags } => {
                let created = self.create(caller, id, spec, tags).await?;
                Ok(shown(&created, Status::Active))
            }
            Command::Describe { id } => Ok(shown(&self.describe(id).await?, Status::Active)),
            Command::List { collection, page } => {
                let listed = self.list(collection, page).await?;
                let references: Vec<Value> = listed
                    .definitions
                    .iter()
                    .map(|definition| {
                        response::reference(&definition.id, &definition.metadata, &self.settings)
                    })
                    .collect();
                let mut body = Map::new();
                body.insert(collection.kind.plural().to_owned(), Value::Array(references));
                if let Some(token) = listed.next_token {
                    body.insert("nextToken".to_owned(), json!(token));
                }
                Ok(Value::Object(body))
            }
            Command::Update { id, spec } => Ok(shown(&self.update(caller, id, spec).await?, Status::Active)),
            Command::Delete { id } => Ok(shown(&self.delete(caller, id).await?, Status::Deleted)),
        }
    }
}
