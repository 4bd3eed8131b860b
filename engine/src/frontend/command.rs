//! A request, decoded: everything that can be refused without a look into the store has been.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::authorisation::Permitted;
use super::error::ApiError;
use super::list::Collection;
use super::page::{self, Page};
use super::request::{self, CreateBody, UpdateBody};
use super::response::{self, Status};
use super::{Frontend, FrontendSettings, Operation};
use crate::model::shape::error::{excerpt, quote};
use crate::model::{Definition, Kind, ResourceId, Spec, Tags, check_name};

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
pub(crate) enum Command {
    /// Create a resource.
    Create { id: ResourceId, spec: Spec, tags: Tags, token: Option<String> },
    /// Show a resource.
    Describe { id: ResourceId },
    /// Show a page of a collection.
    List { collection: Collection, page: Page },
    /// Replace the specification of a resource.
    Update { id: ResourceId, spec: Spec, token: Option<String> },
    /// Delete a resource.
    Delete { id: ResourceId },
    /// Add tags to a resource.
    Tag { id: ResourceId, tags: Tags },
    /// Take tags from a resource.
    Untag { id: ResourceId, keys: Vec<String> },
    /// Show a page of the tags of a resource.
    ListTags { id: ResourceId, page: Page },
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// One resource, which need not exist yet.
    Resource(&'a ResourceId),
    /// All resources of a kind that lie in one other, or all meshes.
    Collection(&'a Collection),
}

impl Command {
    /// What a request asks for. `body` is looked at where the operation takes one.
    pub(super) fn decode(
        operation: Operation,
        names: &Names,
        query: &Query,
        body: &[u8],
        settings: &FrontendSettings,
    ) -> Result<Command, ApiError> {
        let named = |kind| id(kind, names, names.name.as_deref());
        match operation {
            Operation::Create(kind) => {
                let CreateBody { name, spec, tags, token } = request::create(kind, body)?;
                let id = id(kind, names, Some(&name))?;
                Ok(Command::Create { id, spec, tags, token })
            }
            Operation::Describe(kind) => Ok(Command::Describe { id: named(kind)? }),
            Operation::List(kind) => {
                let collection = collection(kind, names)?;
                let page = Page::parse(query, &collection.prefix(), page::RESOURCES_MAX)?;
                Ok(Command::List { collection, page })
            }
            Operation::Update(kind) => {
                let id = named(kind)?;
                let UpdateBody { spec, token } = request::update(kind, body)?;
                Ok(Command::Update { id, spec, token })
            }
            Operation::Delete(kind) => Ok(Command::Delete { id: named(kind)? }),
            Operation::TagResource => {
                Ok(Command::Tag { id: of_arn(query, settings)?, tags: request::tag(body)? })
            }
            Operation::UntagResource => {
                Ok(Command::Untag { id: of_arn(query, settings)?, keys: request::untag(body)? })
            }
            Operation::ListTagsForResource => {
                let id = of_arn(query, settings)?;
                let page = Page::parse(query, &id.tags_key(), page::TAGS_MAX)?;
                Ok(Command::ListTags { id, page })
            }
        }
    }

    /// What is done.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Command::Create { id, .. } => Operation::Create(id.kind()),
            Command::Describe { id } => Operation::Describe(id.kind()),
            Command::List { collection, .. } => Operation::List(collection.kind),
            Command::Update { id, .. } => Operation::Update(id.kind()),
            Command::Delete { id } => Operation::Delete(id.kind()),
            Command::Tag { .. } => Operation::TagResource,
            Command::Untag { .. } => Operation::UntagResource,
            Command::ListTags { .. } => Operation::ListTagsForResource,
        }
    }

    /// What it is done to.
    pub(crate) fn subject(&self) -> Subject<'_> {
        match self {
            Command::List { collection, .. } => Subject::Collection(collection),
            Command::Create { id, .. }
            | Command::Describe { id }
            | Command::Update { id, .. }
            | Command::Delete { id }
            | Command::Tag { id, .. }
            | Command::Untag { id, .. }
            | Command::ListTags { id, .. } => Subject::Resource(id),
        }
    }
}

/// The resource that the parameter `resourceArn` is about. It must be its ARN here, to the letter.
fn of_arn(query: &Query, settings: &FrontendSettings) -> Result<ResourceId, ApiError> {
    let refuse = |problem: String| ApiError::BadRequest(format!("resourceArn: {problem}"));
    let arn = query.get("resourceArn").ok_or_else(|| refuse("is required".to_owned()))?;
    let is_not = || refuse(format!("{} is not the ARN of a resource of App Mesh's", quote(arn)));
    let id = ResourceId::from_arn(arn).ok_or_else(is_not)?;
    let here = id.arn(&settings.region, &settings.account);
    if *arn != here {
        return Err(ApiError::OtherArn { arn: excerpt(arn), here });
    }
    Ok(id)
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

/// The answer that shows one page of a list.
fn page_of(member: &str, items: Vec<Value>, next_token: Option<String>) -> Value {
    let mut body = Map::new();
    body.insert(member.to_owned(), Value::Array(items));
    if let Some(token) = next_token {
        body.insert("nextToken".to_owned(), json!(token));
    }
    Value::Object(body)
}

impl Frontend {
    /// Executes a `command` of somebody who is permitted to, and gives the body of the answer.
    pub(super) async fn execute(
        &self,
        mut permitted: Permitted<'_>,
        command: &Command,
    ) -> Result<Value, ApiError> {
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(&permitted, command).await {
                // it may be that what permitted it has changed
                Err(ApiError::Raced) => permitted = self.authorise(permitted.caller, command).await?,
                outcome => return outcome,
            }
        }
        Err(ApiError::Raced)
    }

    async fn attempt(&self, permitted: &Permitted<'_>, command: &Command) -> Result<Value, ApiError> {
        let shown = |definition: &Definition, status| response::data(definition, status, &self.settings);
        match command {
            Command::Create { id, spec, tags, token } => {
                let created = self.create(permitted, id, spec, tags, token.as_deref()).await?;
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
                Ok(page_of(collection.kind.plural(), references, listed.next_token))
            }
            Command::Update { id, spec, token } => {
                let updated = self.update(permitted, id, spec, token.as_deref()).await?;
                Ok(shown(&updated, Status::Active))
            }
            Command::Delete { id } => Ok(shown(&self.delete(permitted, id).await?, Status::Deleted)),
            Command::Tag { id, tags } => self.tag(permitted, id, tags).await.map(|()| json!({})),
            Command::Untag { id, keys } => self.untag(permitted, id, keys).await.map(|()| json!({})),
            Command::ListTags { id, page } => {
                let listed = self.list_tags(id, page).await?;
                let tags = listed.tags.into_iter().map(|(key, value)| json!({"key": key, "value": value}));
                Ok(page_of("tags", tags.collect(), listed.next_token))
            }
        }
    }
}
