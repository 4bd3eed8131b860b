//! The sections of a template.

use serde_json::{Map, Value};

/// A template.
pub(super) struct Template<'a> {
    /// What is to be made, by logical id.
    pub(super) resources: &'a Map<String, Value>,
    members: &'a Map<String, Value>,
}

/// Something that is to be made.
#[derive(Clone, Copy)]
pub(super) struct Resource<'a> {
    /// Its type, such as `AWS::AppMesh::Mesh`.
    pub(super) type_name: &'a str,
    /// The condition under which it is made.
    pub(super) condition: Option<&'a str>,
    /// What it is.
    pub(super) properties: Option<&'a Map<String, Value>>,
}

impl<'a> Template<'a> {
    /// The template in a value that is one.
    pub(super) fn of(value: &'a Value) -> Option<Template<'a>> {
        let members = value.as_object()?;
        let resources = members.get("Resources")?.as_object()?;
        Some(Template { resources, members })
    }

    /// A member of a section, such as a parameter.
    pub(super) fn member(&self, section: &str, name: &str) -> Option<&'a Value> {
        self.members.get(section)?.as_object()?.get(name)
    }

    /// The names of the parameters.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &'a String> {
        self.members.get("Parameters").and_then(Value::as_object).into_iter().flat_map(Map::keys)
    }

    /// A resource.
    pub(super) fn resource(&self, logical_id: &str) -> Option<Resource<'a>> {
        self.resources.get(logical_id).and_then(resource)
    }

    /// The names of the macros that are applied to the template as a whole, with their places. Those that make the
    /// language of a template are none.
    pub(super) fn macros(&self) -> Vec<(&'a str, &'static str)> {
        let transform = self.members.get("Transform");
        let names = match transform {
            Some(Value::Array(names)) => names.as_slice(),
            Some(name) => std::slice::from_ref(name),
            None => &[],
        };
        let names = names.iter().map(|name| {
            let name = name.get("Name").unwrap_or(name);
            (name.as_str().unwrap_or("?"), "Transform")
        });
        names.filter(|(name, _)| !name.starts_with("AWS::LanguageExtensions")).collect()
    }
}

/// The resource in a value that is one.
pub(super) fn resource(value: &Value) -> Option<Resource<'_>> {
    let members = value.as_object()?;
    Some(Resource {
        type_name: members.get("Type")?.as_str()?,
        condition: members.get("Condition").and_then(Value::as_str),
        properties: members.get("Properties").and_then(Value::as_object),
    })
}
