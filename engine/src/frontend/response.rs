//! The wire form of resources.

use serde_json::{Map, Value, json};

use super::FrontendSettings;
use super::change_set::{Effect, Tagged};
use crate::model::{Definition, Metadata, ResourceId, Tags};

/// Whether a resource is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It is.
    Active,
    /// It was, until now.
    Deleted,
}

/// A resource in full, as App Mesh's `*Data` objects have it.
pub(super) fn data(definition: &Definition, status: Status, settings: &FrontendSettings) -> Value {
    let metadata = &definition.metadata;
    let mut shown = common(&definition.id, metadata, settings);
    shown.insert("uid".to_owned(), json!(metadata.uid));
    let status = match status {
        Status::Active => "ACTIVE",
        Status::Deleted => "DELETED",
    };
    let mut data = names(&definition.id);
    data.insert("metadata".to_owned(), Value::Object(shown));
    data.insert("spec".to_owned(), definition.spec.to_json());
    data.insert("status".to_owned(), json!({"status": status}));
    Value::Object(data)
}

/// A resource in a list, as App Mesh's `*Ref` objects have it.
pub(super) fn reference(id: &ResourceId, metadata: &Metadata, settings: &FrontendSettings) -> Value {
    let mut reference = common(id, metadata, settings);
    reference.extend(names(id));
    Value::Object(reference)
}

/// What becomes of a resource of a set of changes, in short.
pub(super) fn effect(effect: &Effect, settings: &FrontendSettings) -> Value {
    let mut shown = changed(&effect.id, effect.outcome.word(), settings);
    if let Some(Tagged { definition: Definition { metadata, .. }, .. }) = &effect.after {
        shown.insert("uid".to_owned(), json!(metadata.uid));
        shown.insert("version".to_owned(), json!(metadata.version));
    }
    Value::Object(shown)
}

/// What becomes of a resource, with what it was and what it will be.
pub(super) fn effect_in_full(effect: &Effect, settings: &FrontendSettings) -> Value {
    let content = |tagged: &Option<Tagged>| {
        let Tagged { definition, tags } = tagged.as_ref()?;
        Some(content(Some(definition), Some(tags), settings))
    };
    let (before, after) = (content(&effect.before), content(&effect.after));
    change(&effect.id, effect.outcome.word(), before, after, settings)
}

/// What became of a resource, with what was known of it and what was then.
pub(super) fn change(
    id: &ResourceId,
    word: &str,
    before: Option<Value>,
    after: Option<Value>,
    settings: &FrontendSettings,
) -> Value {
    let mut shown = changed(id, word, settings);
    for (name, content) in [("before", before), ("after", after)] {
        shown.extend(content.map(|content| (name.to_owned(), content)));
    }
    Value::Object(shown)
}

/// What is known of a resource at some time: what users wrote, with its metadata.
pub(super) fn content(
    definition: Option<&Definition>,
    tags: Option<&Tags>,
    settings: &FrontendSettings,
) -> Value {
    let mut content = Map::new();
    if let Some(definition) = definition {
        let mut metadata = common(&definition.id, &definition.metadata, settings);
        metadata.remove("arn");
        metadata.insert("uid".to_owned(), json!(definition.metadata.uid));
        content.insert("metadata".to_owned(), Value::Object(metadata));
        content.insert("spec".to_owned(), definition.spec.to_json());
    }
    if let Some(tags) = tags {
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        content.insert("tags".to_owned(), json!(tags));
    }
    Value::Object(content)
}

fn changed(id: &ResourceId, word: &str, settings: &FrontendSettings) -> Map<String, Value> {
    let members = [
        ("resource", json!(id.path())),
        ("arn", json!(id.arn(&settings.region, &settings.account))),
        ("change", json!(word)),
    ];
    members.map(|(name, member)| (name.to_owned(), member)).into_iter().collect()
}

fn names(id: &ResourceId) -> Map<String, Value> {
    let mut names = Map::new();
    names.insert("meshName".to_owned(), json!(id.mesh_name()));
    if let (Some(kind), Some(parent)) = (id.kind().parent(), id.parent_name()) {
        names.insert(kind.name_key().to_owned(), json!(parent));
    }
    names.insert(id.kind().name_key().to_owned(), json!(id.name()));
    names
}

fn common(id: &ResourceId, metadata: &Metadata, settings: &FrontendSettings) -> Map<String, Value> {
    let members = [
        ("arn", json!(id.arn(&settings.region, &settings.account))),
        ("createdAt", json!(seconds(metadata.created_at_ms))),
        ("lastUpdatedAt", json!(seconds(metadata.last_updated_at_ms))),
        ("meshOwner", json!(metadata.mesh_owner)),
        ("resourceOwner", json!(metadata.resource_owner)),
        ("version", json!(metadata.version)),
    ];
    members.map(|(name, member)| (name.to_owned(), member)).into_iter().collect()
}

/// Seconds with a fraction. A double counts milliseconds exactly for longer than anybody needs.
#[allow(clippy::cast_precision_loss)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
