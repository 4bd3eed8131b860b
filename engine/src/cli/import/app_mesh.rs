//! What App Mesh's API answers, as the AWS CLI and boto3 write it down; and documents for `legation apply`, which have the
//! same form.

use serde_json::{Map, Value};

use super::findings::{Findings, Names, shown};
use super::fit::{Dialect, fit};
use super::tree::Part;
use crate::model::{Kind, Spec};

/// How deep lists may be in each other.
const DEPTH_MAX: usize = 8;

/// What an answer may have besides names and specification, and what says nothing about the definition.
const PASSED_OVER: [&str; 4] = ["metadata", "status", "clientToken", "ResponseMetadata"];

/// Whether this is, or holds, an answer of the API.
pub(super) fn is_export(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_export),
        Value::Object(members) => {
            is_data(members) || wrapped(members).is_some() || references(members).is_some()
        }
        _ => false,
    }
}

/// Imports an answer, or a list of them. `mesh` is the mesh of what does not say its own.
pub(super) fn import(part: Part, mesh: Option<&str>, findings: &mut Findings) -> Result<(), String> {
    take(part.value, &part.place, mesh, 0, findings)
}

fn take(
    value: Value,
    place: &str,
    mesh: Option<&str>,
    depth: usize,
    findings: &mut Findings,
) -> Result<(), String> {
    match value {
        Value::Array(items) if depth < DEPTH_MAX => {
            for (index, item) in items.into_iter().enumerate() {
                take(item, &format!("{place}[{index}]"), mesh, depth + 1, findings)?;
            }
            Ok(())
        }
        Value::Object(mut members) => {
            if is_data(&members) {
                resource(members, place, mesh, findings);
                return Ok(());
            }
            if let Some(kind) = wrapped(&members) {
                return match members.remove(kind.wire_name()) {
                    Some(Value::Object(data)) => {
                        resource(data, &format!("{place}: {}", kind.wire_name()), mesh, findings);
                        Ok(())
                    }
                    _ => Err(format!("{place}: {} is no object", kind.wire_name())),
                };
            }
            let Some(kind) = references(&members) else {
                return Err(format!("{place}: is no answer of App Mesh's API, and no document for apply"));
            };
            if members.get(kind.plural()) != Some(&Value::Array(Vec::new())) {
                let problem = format!("is a list of names only; add what describe answers for each {kind}");
                findings.left_out(place, problem);
            }
            Ok(())
        }
        _ => Err(format!("{place}: is no answer of App Mesh's API, and no document for apply")),
    }
}

/// Whether this is what a resource is: in answers on the wire, within the wrapper that clients put around it, and in the
/// input of a command line that names the mesh itself.
fn is_data(members: &Map<String, Value>) -> bool {
    let has_name = Kind::ALL.into_iter().any(|kind| members.contains_key(kind.name_key()));
    has_name && members.contains_key("spec")
}

/// The kind of a wrapper such as `{"virtualNode": {...}}`.
fn wrapped(members: &Map<String, Value>) -> Option<Kind> {
    Kind::ALL
        .into_iter()
        .find(|kind| members.get(kind.wire_name()).and_then(Value::as_object).is_some_and(is_data))
}

/// The kind of a list of references such as `{"virtualNodes": [...]}`.
fn references(members: &Map<String, Value>) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| {
        let items = members.get(kind.plural()).and_then(Value::as_array);
        items.is_some_and(|items| items.iter().all(|item| item.get("arn").is_some()))
    })
}

/// Imports one resource, which is in `mesh` if it does not say its own.
pub(super) fn resource(
    mut data: Map<String, Value>,
    place: &str,
    mesh: Option<&str>,
    findings: &mut Findings,
) {
    data.retain(|_, member| !member.is_null());
    if data.get("status").and_then(|status| status.get("status")).and_then(Value::as_str) == Some("DELETED") {
        findings.note(place, "is deleted, and passed over");
        return;
    }
    // a route names its router besides, so the last in the order of creation that is named and fits is the one
    let kind = Kind::ALL.into_iter().rev().find(|kind| data.contains_key(kind.name_key()));
    let kind = match kind {
        Some(kind) if kind.child().is_some_and(|child| data.contains_key(child.name_key())) => kind.child(),
        kind => kind,
    };
    let Some(kind) = kind else {
        return findings.left_out(place, "has no name");
    };
    let own = name(&mut data, kind);
    let given = mesh.filter(|_| !data.contains_key(Kind::Mesh.name_key()));
    let mut name = |kind: Kind| name(&mut data, kind);
    let mesh =
        if kind == Kind::Mesh { own.clone() } else { given.map_or_else(|| name(Kind::Mesh), str::to_owned) };
    let parent = kind.parent().map(&mut name);
    if mesh.is_empty() {
        return findings.left_out(place, "does not say its mesh; give it with --mesh NAME");
    }
    let mut unfit = Vec::new();
    let mut fitted = |key: &str, form| {
        data.remove(key).and_then(|value| fit(value, form, Dialect::AppMesh, key, &mut unfit))
    };
    let spec = fitted("spec", Spec::form(kind)).unwrap_or_else(|| Map::new().into());
    let tags = fitted("tags", super::documents::tags_form()).unwrap_or_else(|| Value::Array(Vec::new()));
    for problem in unfit {
        findings.left_out(format_args!("{place}: {}", problem.at), problem.problem);
    }
    let unknown: Vec<&String> = data.keys().filter(|key| !PASSED_OVER.contains(&key.as_str())).collect();
    for key in &unknown {
        findings.left_out(format_args!("{place}: {}", shown(key)), "is nothing that a resource has");
    }
    if kind == Kind::Mesh && unknown.iter().any(|key| key.to_lowercase().ends_with("name")) {
        // misspelled, perhaps: what is meant for something in the mesh must not become the mesh
        return findings.left_out(place, "may be something in the mesh, and is not taken for the mesh");
    }
    let names = Names { mesh: &mesh, parent: parent.as_deref(), own: &own };
    findings.resource(kind, names, spec, tags, place);
}

fn name(data: &mut Map<String, Value>, kind: Kind) -> String {
    match data.remove(kind.name_key()) {
        Some(Value::String(name)) => name,
        _ => String::new(),
    }
}
