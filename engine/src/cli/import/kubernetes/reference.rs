//! Names in the place of references: to objects of the cluster, or to resources of App Mesh by their ARN.

use serde_json::{Map, Value, json};

use super::super::findings::shown;
use super::Import;
use super::object::{Key, Object};
use crate::model::{Kind, ResourceId};

/// The references that a specification may have: their members, by object and by ARN; the member of the API, and the kind.
const REFERENCES: [(&str, &str, &str, Kind); 3] = [
    ("virtualNodeRef", "virtualNodeARN", "virtualNodeName", Kind::VirtualNode),
    ("virtualServiceRef", "virtualServiceARN", "virtualServiceName", Kind::VirtualService),
    ("virtualRouterRef", "virtualRouterARN", "virtualRouterName", Kind::VirtualRouter),
];

impl Import<'_> {
    /// Puts names in the place of all references in `value`, which stands at `at`. Whether all are known.
    pub(super) fn name_references(&mut self, value: &mut Value, from: &Object, at: &str) -> bool {
        match value {
            Value::Array(items) => {
                let mut is_known = true;
                for (index, item) in items.iter_mut().enumerate() {
                    is_known &= self.name_references(item, from, &format!("{at}[{index}]"));
                }
                is_known
            }
            Value::Object(members) => {
                let mut is_known = true;
                for (key, member) in members.iter_mut() {
                    // what a reference says is no reference
                    if !REFERENCES.iter().any(|(reference, ..)| reference == key) {
                        is_known &= self.name_references(member, from, &format!("{at}.{}", shown(key)));
                    }
                }
                self.name_here(members, from, at) && is_known
            }
            _ => true,
        }
    }

    fn name_here(&mut self, members: &mut Map<String, Value>, from: &Object, at: &str) -> bool {
        let mut is_known = true;
        for (by_object, by_arn, name_key, kind) in REFERENCES {
            let name =
                if let Some(reference) = members.remove(by_object).filter(|reference| !reference.is_null()) {
                    self.name_of_reference(&reference, kind.type_name(), from, &format!("{at}.{by_object}"))
                } else if let Some(arn) = members.remove(by_arn).filter(|arn| !arn.is_null()) {
                    let id = arn.as_str().and_then(ResourceId::from_arn).filter(|id| id.kind() == kind);
                    if id.is_none() {
                        let what = format!("{} is no ARN of a {kind}", shown(&arn.to_string()));
                        self.findings.left_out(format_args!("{at}.{by_arn}"), what);
                    }
                    id.map(|id| id.name().to_owned())
                } else {
                    continue;
                };
            // a weighted target calls its virtual node so
            let name_key = if members.contains_key("weight") { "virtualNode" } else { name_key };
            match name {
                Some(name) => {
                    members.insert(name_key.to_owned(), name.into());
                }
                None => is_known = false,
            }
        }
        is_known
    }

    /// Adds the virtual services of the backend groups that a virtual node names, without those that are backends already.
    pub(super) fn add_backend_groups(&mut self, node: &Object, spec: &mut Map<String, Value>) {
        let Some(Value::Array(groups)) = spec.get("backendGroups").cloned() else { return };
        let mut services: Vec<(Key, Value)> = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let at = format!("{}: spec.backendGroups[{index}]", node.origin);
            let text = |key: &str| group.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let namespace = text("namespace").map(str::to_owned).or_else(|| node.key.namespace.clone());
            let name = text("name").unwrap_or_default();
            if name == "*" {
                let all = self
                    .objects
                    .of_kind("VirtualService")
                    .filter(|service| service.key.namespace == namespace);
                services.extend(all.map(|service| (service.key.clone(), reference(&service.key))));
                let what = "names all virtual services of a namespace: those that are here are written, later ones are not added";
                self.findings.note(at, what);
                continue;
            }
            let key = Key { namespace, name: name.to_owned() };
            let Some(found) = self.objects.find("BackendGroup", &key) else {
                let what =
                    format!("BackendGroup {} is not here, so its backends are missing; add it", shown(name));
                self.findings.left_out(at, what);
                continue;
            };
            for service in found.spec.get("virtualservices").and_then(Value::as_array).into_iter().flatten() {
                let text = |key: &str| service.get(key).and_then(Value::as_str).map(str::to_owned);
                let namespace = text("namespace").or_else(|| found.key.namespace.clone());
                let key = Key { namespace, name: text("name").unwrap_or_default() };
                services.push((key.clone(), reference(&key)));
            }
        }
        let backends = spec.entry("backends").or_insert_with(|| json!([]));
        let Some(backends) = backends.as_array_mut() else { return };
        let mut given: Vec<Key> = backends.iter().filter_map(|backend| key_of(backend, node)).collect();
        for (key, reference) in services {
            if !given.contains(&key) {
                backends.push(json!({"virtualService": {"virtualServiceRef": reference}}));
                given.push(key);
            }
        }
    }
}

fn reference(key: &Key) -> Value {
    json!({"namespace": key.namespace, "name": key.name})
}

fn key_of(backend: &Value, node: &Object) -> Option<Key> {
    let reference = backend.get("virtualService")?.get("virtualServiceRef")?;
    let namespace = reference.get("namespace").and_then(Value::as_str).map(str::to_owned);
    let namespace = namespace.or_else(|| node.key.namespace.clone());
    Some(Key { namespace, name: reference.get("name")?.as_str()?.to_owned() })
}
