//! An object of Kubernetes, and what selects it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::findings::shown;

/// Which object among those of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Its namespace; a mesh has none.
    pub(super) namespace: Option<String>,
    /// Its name.
    pub(super) name: String,
}

/// An object.
#[derive(Debug)]
pub(super) struct Object {
    /// What it is, such as `VirtualNode`.
    pub(super) kind: String,
    /// Which one.
    pub(super) key: Key,
    /// Its labels.
    pub(super) labels: BTreeMap<String, String>,
    /// What it should be.
    pub(super) spec: Map<String, Value>,
    /// Where it is.
    pub(super) origin: String,
}

impl Object {
    /// The object of this kind with these members; nothing, if it has no name.
    pub(super) fn of(kind: &str, mut members: Map<String, Value>, place: &str) -> Option<Object> {
        let metadata = members.remove("metadata")?;
        let name = metadata.get("name")?.as_str()?.to_owned();
        let namespace = metadata.get("namespace").and_then(Value::as_str).map(str::to_owned);
        let in_namespace = namespace.as_ref().map(|namespace| format!(" in {}", shown(namespace)));
        let origin = format!("{place}: {} {}{}", shown(kind), shown(&name), in_namespace.unwrap_or_default());
        let namespace = namespace.filter(|_| kind != "Mesh");
        let spec = match members.remove("spec") {
            Some(Value::Object(spec)) => spec,
            _ => Map::new(),
        };
        let labels = labels(metadata.get("labels"));
        Some(Object { kind: kind.to_owned(), key: Key { namespace, name }, labels, spec, origin })
    }

    /// Something such as `${NAMESPACE}` in its names or its specification: manifests are often made of templates.
    pub(super) fn placeholder(&self) -> Option<&str> {
        let names = [Some(self.key.name.as_str()), self.key.namespace.as_deref()];
        let in_names = names.into_iter().flatten().find_map(placeholder);
        in_names.or_else(|| self.spec.values().find_map(placeholder_in))
    }

    /// The name that the controller gives to the resource in App Mesh.
    pub(super) fn aws_name(&self) -> String {
        match self.spec.get("awsName").and_then(Value::as_str) {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => default_aws_name(&self.kind, &self.key),
        }
    }
}

/// The name of a resource that does not say how it is called in App Mesh.
pub(super) fn default_aws_name(kind: &str, key: &Key) -> String {
    let (name, namespace) = (&key.name, key.namespace.as_deref().unwrap_or_default());
    match kind {
        "Mesh" => name.clone(),
        "VirtualService" => format!("{name}.{namespace}"),
        _ => format!("{name}_{namespace}"),
    }
}

fn labels(value: Option<&Value>) -> BTreeMap<String, String> {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Whether a label selector selects what has these labels. An empty one selects everything.
pub(super) fn selects(selector: &Value, of: &BTreeMap<String, String>) -> bool {
    let is_matched =
        labels(selector.get("matchLabels")).iter().all(|(key, value)| of.get(key) == Some(value));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    is_matched
        && expressions.into_iter().all(|expression| {
            let text = |key: &str| expression.get(key).and_then(Value::as_str).unwrap_or_default();
            let label = of.get(text("key"));
            let values = expression.get("values").and_then(Value::as_array);
            let is_in = label.is_some_and(|label| {
                values.is_some_and(|values| values.iter().any(|value| value.as_str() == Some(label)))
            });
            match text("operator") {
                "In" => is_in,
                "NotIn" => !is_in,
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        })
}

fn placeholder_in(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => placeholder(text),
        Value::Array(items) => items.iter().find_map(placeholder_in),
        Value::Object(members) => members.values().find_map(placeholder_in),
        _ => None,
    }
}

/// The first of the form `${NAME}`.
fn placeholder(text: &str) -> Option<&str> {
    let start = text.find("${")?;
    let end = start + text[start..].find('}')?;
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name(&text[start + 2..end]).then_some(&text[start..=end])
}
