//! A document: a resource as users write it down. It is shaped as the request to create it, and its name keys say which
//! resource it is.

use serde_json::{Map, Value};

use super::shape::error::excerpt;
use super::{Kind, ResourceId, check_name};

/// The members that a document may have besides names.
const OTHER_KEYS: [&str; 3] = ["spec", "tags", "clientToken"];

/// A resource as it should be.
#[derive(Debug)]
pub struct Document {
    /// The resource.
    pub id: ResourceId,
    /// Everything that is said of it and is not null, its names included. What the specification and the tags are is not
    /// checked.
    pub members: Map<String, Value>,
}

/// The resource that a document is about, by its name keys; or what is wrong with it.
pub fn recognise(value: Value) -> Result<Document, String> {
    let Value::Object(mut members) = value else {
        return Err("is not an object".to_owned());
    };
    members.retain(|_, member| !member.is_null());
    let name_keys = Kind::ALL.map(Kind::name_key);
    for key in members.keys() {
        if !name_keys.contains(&key.as_str()) && !OTHER_KEYS.contains(&key.as_str()) {
            let known = [&name_keys[..], &OTHER_KEYS[..]].concat().join(", ");
            return Err(format!("{}: is not a key here; known keys are {known}", excerpt(key)));
        }
    }
    let kind = kind(&members)?;
    let mesh = name(&members, Kind::Mesh)?;
    let parent = kind.parent().map(|parent| name(&members, parent)).transpose()?;
    let name = name(&members, kind)?;
    let id = ResourceId::from_parts(kind, mesh, parent, name).ok_or("a name is empty")?;
    if !members.contains_key("spec") {
        return Err(format!("{id}: spec: is required"));
    }
    Ok(Document { id, members })
}

/// The kind whose name keys are exactly those of the document.
fn kind(members: &Map<String, Value>) -> Result<Kind, String> {
    let given: Vec<&str> =
        Kind::ALL.map(Kind::name_key).into_iter().filter(|key| members.contains_key(*key)).collect();
    let is_kind = |kind: &Kind| {
        let mut keys = vec![Kind::Mesh.name_key(), kind.name_key()];
        keys.extend(kind.parent().map(Kind::name_key));
        given.iter().all(|key| keys.contains(key)) && keys.iter().all(|key| given.contains(key))
    };
    if let Some(kind) = Kind::ALL.into_iter().find(is_kind) {
        return Ok(kind);
    }
    if !given.contains(&Kind::Mesh.name_key()) {
        return Err("meshName: is required".to_owned());
    }
    for child in [Kind::Route, Kind::GatewayRoute] {
        let parent = child.parent().map_or("", Kind::name_key);
        if given == [Kind::Mesh.name_key(), child.name_key()] {
            return Err(format!("{parent}: is required for a {child}"));
        }
    }
    Err(format!("{} name no one resource", given.join(", ")))
}

fn name(members: &Map<String, Value>, kind: Kind) -> Result<&str, String> {
    let key = kind.name_key();
    match members.get(key) {
        Some(Value::String(name)) => {
            check_name(kind, name).map_err(|error| error.to_string())?;
            Ok(name)
        }
        Some(other) => Err(format!("{key}: {} is not a string", excerpt(&other.to_string()))),
        None => Err(format!("{key}: is required")),
    }
}
