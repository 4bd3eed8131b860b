//! To which mesh and gateway an object belongs. The controller goes by the labels of namespaces when an object is created,
//! and writes into it what it found; what was not in a cluster yet does not have it.

use serde_json::Value;

use super::super::findings::shown;
use super::object::{Key, Object, default_aws_name, selects};
use super::{Import, Objects};

impl Import<'_> {
    /// The name of the mesh of `object`; nothing, if it is not known, which is said.
    pub(super) fn mesh_of(&mut self, object: &Object) -> Option<String> {
        if let Some(name) = object.spec.get("meshRef").and_then(|reference| reference["name"].as_str()) {
            let key = Key { namespace: None, name: name.to_owned() };
            return Some(
                self.objects
                    .find("Mesh", &key)
                    .map_or_else(|| default_aws_name("Mesh", &key), Object::aws_name),
            );
        }
        let meshes: Vec<&Object> = self.objects.of_kind("Mesh").collect();
        if let Some(mesh) = self.mesh
            && !matches!(self.selecting(object, &meshes).as_deref(), Some([_]))
        {
            return Some(mesh.to_owned());
        }
        self.one_of(object, &meshes, "mesh", "give it with --mesh NAME").map(Object::aws_name)
    }

    /// The name of the virtual gateway of a gateway route; nothing, if it is not known, which is said.
    pub(super) fn gateway_of(&mut self, object: &Object) -> Option<String> {
        if let Some(reference) = object.spec.get("virtualGatewayRef") {
            return self.name_of_reference(reference, "VirtualGateway", object, &object.origin);
        }
        let takes = |gateway: &&Object| {
            gateway.spec.get("gatewayRouteSelector").is_none_or(|selector| selects(selector, &object.labels))
        };
        let gateways: Vec<&Object> = self.objects.of_kind("VirtualGateway").filter(takes).collect();
        let advice = "export it from the cluster (kubectl get gatewayroutes -A -o yaml), where its virtualGatewayRef says so";
        self.one_of(object, &gateways, "virtual gateway", advice).map(Object::aws_name)
    }

    /// Those of `candidates` whose namespace selectors select the namespace of `object`, if its labels are known.
    fn selecting<'a>(&self, object: &Object, candidates: &[&'a Object]) -> Option<Vec<&'a Object>> {
        let labels = self.objects.namespaces.get(object.key.namespace.as_deref().unwrap_or_default())?;
        let selects = |candidate: &&&Object| {
            candidate.spec.get("namespaceSelector").is_some_and(|selector| selects(selector, labels))
        };
        Some(candidates.iter().filter(selects).copied().collect())
    }

    /// The one of `candidates` whose namespace selector selects the namespace of `object`, or the only one there is if the
    /// labels of the namespace are not known.
    fn one_of<'a>(
        &mut self,
        object: &Object,
        candidates: &[&'a Object],
        what: &str,
        advice: &str,
    ) -> Option<&'a Object> {
        let namespace = object.key.namespace.as_deref().unwrap_or_default();
        if let Some(selected) = self.selecting(object, candidates) {
            if let [one] = selected.as_slice() {
                return Some(one);
            }
            let (count, namespace) = (selected.len(), shown(namespace));
            self.findings.left_out(&object.origin, format_args!(
                "its {what} is not known: {count} of those here select namespace {namespace} by its labels; {advice}"
            ));
            return None;
        }
        match candidates {
            [one] => {
                self.findings.note(&object.origin, format_args!(
                    "is taken to belong to {what} {}, the only one here: the labels of namespace {} are not here",
                    shown(&one.key.name), shown(namespace),
                ));
                Some(one)
            }
            _ => {
                self.findings.left_out(&object.origin, format_args!(
                    "its {what} is not known: the controller goes by the labels of namespace {}, which is not here, and {} \
                     could be meant; {advice}, or add the Namespace",
                    shown(namespace), candidates.len(),
                ));
                None
            }
        }
    }

    /// The name in App Mesh of the object of `kind` that `reference` names; nothing if it names none, which is said.
    pub(super) fn name_of_reference(
        &mut self,
        reference: &Value,
        kind: &str,
        from: &Object,
        at: &str,
    ) -> Option<String> {
        let Some(name) = reference.get("name").and_then(Value::as_str) else {
            self.findings.left_out(at, "the reference names nothing");
            return None;
        };
        let namespace = reference.get("namespace").and_then(Value::as_str).map(str::to_owned);
        let namespace =
            namespace.filter(|namespace| !namespace.is_empty()).or_else(|| from.key.namespace.clone());
        let key = Key { namespace, name: name.to_owned() };
        Some(name_of(self.objects, kind, &key).unwrap_or_else(|| {
            let name = default_aws_name(kind, &key);
            self.findings.note(at, format_args!(
                "{kind} {} is not here; it is taken to be called {}, as the controller calls it by default",
                shown(&key.name), shown(&name),
            ));
            name
        }))
    }
}

fn name_of(objects: &Objects, kind: &str, key: &Key) -> Option<String> {
    objects.find(kind, key).map(Object::aws_name)
}
