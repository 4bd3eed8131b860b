//! What the body of a request says.

use serde_json::{Map, Value};

use super::error::ApiError;
use crate::model::shape::error::{excerpt, quote};
use crate::model::shape::{Errors, List, Path, Shape, Text, json, parse};
use crate::model::tags::{TAGS_MAX, TagKey};
use crate::model::{FieldError, Kind, Spec, Tags, check_name};

/// The name, the specification and the tags of what is to be created, and the client token.
#[derive(Debug)]
pub(super) struct CreateBody {
    pub(super) name: String,
    pub(super) spec: Spec,
    pub(super) tags: Tags,
    pub(super) token: Option<String>,
}

/// The specification that is to be, and the client token.
#[derive(Debug)]
pub(super) struct UpdateBody {
    pub(super) spec: Spec,
    pub(super) token: Option<String>,
}

/// The body of a request to create, or everything that is wrong with it.
pub(super) fn create(kind: Kind, body: &[u8]) -> Result<CreateBody, ApiError> {
    let name_key = kind.name_key();
    let members = object(body)?;
    let mut errors = check_members(&members, &[name_key, "spec", "tags", "clientToken"]);
    let name = collect(name(kind, members.get(name_key)), &mut errors);
    let spec = collect(spec(kind, members.get("spec")), &mut errors);
    let tags = collect(tags(members.get("tags")), &mut errors);
    match (name, spec, tags) {
        (Some(name), Some(spec), Some(tags)) if errors.is_empty() => {
            Ok(CreateBody { name, spec, tags, token: client_token(&members) })
        }
        _ => Err(ApiError::Invalid(errors)),
    }
}

/// The specification of a document that is about a resource of `kind`, and the tags if it has any to say; or everything that
/// is wrong with them.
pub(super) fn spec_and_tags(
    kind: Kind,
    members: &Map<String, Value>,
) -> Result<(Spec, Option<Tags>), Vec<FieldError>> {
    let mut errors = Vec::new();
    let spec = collect(spec(kind, members.get("spec")), &mut errors);
    let tags = collect(tags(members.get("tags")), &mut errors);
    match (spec, tags) {
        (Some(spec), Some(tags)) => Ok((spec, members.contains_key("tags").then_some(tags))),
        _ => Err(errors),
    }
}

/// What is in the body of a request to update, or everything that is wrong with it.
pub(super) fn update(kind: Kind, body: &[u8]) -> Result<UpdateBody, ApiError> {
    let members = object(body)?;
    let mut errors = check_members(&members, &["spec", "clientToken"]);
    match collect(spec(kind, members.get("spec")), &mut errors) {
        Some(spec) if errors.is_empty() => Ok(UpdateBody { spec, token: client_token(&members) }),
        _ => Err(ApiError::Invalid(errors)),
    }
}

/// The tags in the body of a request to tag, or everything that is wrong with it. There may be too many.
pub(super) fn tag(body: &[u8]) -> Result<Tags, ApiError> {
    let parse = |tags: &Value| Tags::parse_any_number(tags, &Path::root("tags"));
    only_member(body, "tags", parse)
}

/// The keys in the body of a request to untag, or everything that is wrong with it.
pub(super) fn untag(body: &[u8]) -> Result<Vec<String>, ApiError> {
    let at = Path::root("tagKeys");
    let keys = only_member(body, "tagKeys", |keys| parse::<List<TagKey, 0, TAGS_MAX>>(keys, &at))?;
    Ok(keys.iter().map(ToString::to_string).collect())
}

/// What `parse` makes of the member `name` of `body`, which has no other.
fn only_member<T>(
    body: &[u8],
    name: &str,
    parse: impl FnOnce(&Value) -> Result<T, Vec<FieldError>>,
) -> Result<T, ApiError> {
    let members = object(body)?;
    let mut errors = check_members(&members, &[name]);
    let missing = || Err(vec![Path::root(name).error("is required")]);
    match collect(members.get(name).map_or_else(missing, parse), &mut errors) {
        Some(found) if errors.is_empty() => Ok(found),
        _ => Err(ApiError::Invalid(errors)),
    }
}

/// The members of the object in `body` that are not null.
fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let value = json::from_slice(body)
        .map_err(|error| ApiError::BadRequest(format!("the body is not valid JSON: {error}")))?;
    let Value::Object(mut members) = value else {
        return Err(ApiError::BadRequest("the body is not a JSON object".to_owned()));
    };
    members.retain(|_, member| !member.is_null());
    Ok(members)
}

/// What is wrong with the members besides those that make up the resource.
fn check_members(members: &Map<String, Value>, known: &[&str]) -> Vec<FieldError> {
    let mut errors = Errors::default();
    for name in members.keys() {
        if !known.contains(&name.as_str()) {
            let problem = format!("is not a field here; known fields are {}", known.join(", "));
            errors.report(&Path::root(&excerpt(name)), problem);
        }
    }
    if let Some(token) = members.get("clientToken") {
        check_client_token(token, &mut errors);
    }
    errors.into_result().err().unwrap_or_default()
}

fn client_token(members: &Map<String, Value>) -> Option<String> {
    members.get("clientToken").and_then(Value::as_str).map(str::to_owned)
}

fn check_client_token(token: &Value, errors: &mut Errors) {
    let at = Path::root("clientToken");
    Text::<1, 36>::check(token, &at, errors);
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if let Value::String(token) = token
        && !token.chars().all(is_allowed)
    {
        let problem = format!("{} has a character that is not in A-Z a-z 0-9 _ -", quote(token));
        errors.report(&at, problem);
    }
}

fn name(kind: Kind, name: Option<&Value>) -> Result<String, Vec<FieldError>> {
    let name: String = required(kind.name_key(), name)?;
    check_name(kind, &name).map_err(|error| vec![error])?;
    Ok(name)
}

/// A mesh may do without a specification, as App Mesh's own clients have it; nothing else may.
fn spec(kind: Kind, spec: Option<&Value>) -> Result<Spec, Vec<FieldError>> {
    match spec {
        Some(spec) => Spec::parse(kind, spec),
        None if kind == Kind::Mesh => Spec::parse(kind, &Value::Object(Map::new())),
        None => Err(vec![Path::root("spec").error("is required")]),
    }
}

fn tags(tags: Option<&Value>) -> Result<Tags, Vec<FieldError>> {
    tags.map_or_else(|| Ok(Tags::default()), |tags| Tags::parse(tags, &Path::root("tags")))
}

fn required<T: Shape>(name: &str, member: Option<&Value>) -> Result<T, Vec<FieldError>> {
    let at = Path::root(name);
    match member {
        Some(member) => parse(member, &at),
        None => Err(vec![at.error("is required")]),
    }
}

/// What was found, if it is right; otherwise what is wrong joins `errors`.
fn collect<T>(outcome: Result<T, Vec<FieldError>>, errors: &mut Vec<FieldError>) -> Option<T> {
    match outcome {
        Ok(found) => Some(found),
        Err(found) => {
            errors.extend(found);
            None
        }
    }
}
