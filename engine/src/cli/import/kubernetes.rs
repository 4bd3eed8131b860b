//! Resources of the App Mesh controller for Kubernetes, `appmesh.k8s.aws/v1beta2`.
//!
//! | module | holds |
//! |---|---|
//! | `object` | an object of Kubernetes, and what selects it |
//! | `membership` | to which mesh and gateway an object belongs |
//! | `reference` | names in the place of references |
//! | here | what the controller makes of an object |

mod membership;
mod object;
mod reference;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use self::object::{Key, Object};
use super::findings::{Findings, Names, shown};
use super::fit::{Dialect, fit};
use super::tree::Part;
use crate::model::{Kind, Spec};

/// The group of the controller's resources, and their version.
const GROUP: &str = "appmesh.k8s.aws/";
const API_VERSION: &str = "appmesh.k8s.aws/v1beta2";

/// What ties an object to others of Kubernetes: the API of App Mesh has nothing of it.
const PASSED_OVER: [&str; 8] = [
    "awsName",
    "meshRef",
    "meshOwner",
    "podSelector",
    "namespaceSelector",
    "gatewayRouteSelector",
    "virtualGatewayRef",
    "backendGroups",
];

/// The label with its name that every namespace has in a cluster, whether its manifest says so or not.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// How deep lists may be in each other.
const DEPTH_MAX: usize = 8;

/// All objects of all files: references go from one to another.
#[derive(Debug, Default)]
pub(super) struct Objects {
    ours: Vec<Object>,
    /// Labels of the namespaces that are there.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    others: Vec<String>,
    older: Vec<String>,
}

/// Whether this is an object of Kubernetes.
pub(super) fn is_object(value: &Value) -> bool {
    value.get("apiVersion").is_some_and(Value::is_string) && value.get("kind").is_some_and(Value::is_string)
}

impl Objects {
    /// Adds an object, or those in a list.
    pub(super) fn add(&mut self, part: Part) -> Result<(), String> {
        self.add_at(part.value, &part.place, 0)
    }

    fn add_at(&mut self, value: Value, place: &str, depth: usize) -> Result<(), String> {
        let no_object = || format!("{place}: is no object of Kubernetes");
        let Value::Object(mut members) = value else {
            return Err(no_object());
        };
        let text = |key: &str| members.get(key).and_then(Value::as_str).map(str::to_owned);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            return Err(no_object());
        };
        if kind.ends_with("List")
            && depth < DEPTH_MAX
            && let Some(Value::Array(items)) = members.remove("items")
        {
            for (index, mut item) in items.into_iter().enumerate() {
                // a list of one kind need not repeat it
                if let (Value::Object(item), Some(kind)) =
                    (&mut item, kind.strip_suffix("List").filter(|kind| !kind.is_empty()))
                {
                    item.entry("apiVersion").or_insert_with(|| api_version.clone().into());
                    item.entry("kind").or_insert_with(|| kind.into());
                }
                self.add_at(item, &format!("{place}: items[{index}]"), depth + 1)?;
            }
            return Ok(());
        }
        if api_version == API_VERSION {
            match Object::of(&kind, members, place) {
                Some(object) => self.ours.push(object),
                None => return Err(format!("{place}: has no metadata.name")),
            }
        } else if api_version.starts_with(GROUP) {
            self.older.push(format!("{place}: {api_version} {kind}"));
        } else {
            if kind == "Namespace"
                && let Some(namespace) = Object::of(&kind, members, place)
            {
                let Object { key: Key { name, .. }, mut labels, .. } = namespace;
                labels.entry(NAME_LABEL.to_owned()).or_insert_with(|| name.clone());
                self.namespaces.insert(name, labels);
            }
            self.others.push(kind);
        }
        Ok(())
    }

    /// Imports what was added. `mesh` is the mesh of objects that do not say theirs, `namespace` their namespace.
    pub(super) fn import(mut self, mesh: Option<&str>, namespace: &str, findings: &mut Findings) {
        self.others.iter().for_each(|kind| findings.pass_over(kind));
        for older in &self.older {
            findings.left_out(older, "is of an older controller; its versions before v1beta2 are not read");
        }
        for object in &mut self.ours {
            if object.key.namespace.is_none() && object.kind != "Mesh" {
                object.key.namespace = Some(namespace.to_owned());
                let what = format!("has no namespace; {namespace} is taken, --namespace says otherwise");
                findings.note(&object.origin, what);
            }
        }
        for object in &self.ours {
            let kind =
                Kind::ALL.into_iter().find(|kind| kind.type_name() == object.kind && *kind != Kind::Route);
            match (kind, object.kind.as_str()) {
                (Some(kind), _) => {
                    Import { objects: &self, mesh, findings: &mut *findings }.object(object, kind);
                }
                // has done its part where a virtual node refers to it
                (None, "BackendGroup") => {}
                (None, _) => findings.pass_over(&object.kind),
            }
        }
    }

    fn find(&self, kind: &str, key: &Key) -> Option<&Object> {
        self.ours.iter().find(|object| object.kind == kind && object.key == *key)
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.ours.iter().filter(move |object| object.kind == kind)
    }
}

struct Import<'a> {
    objects: &'a Objects,
    mesh: Option<&'a str>,
    findings: &'a mut Findings,
}

impl Import<'_> {
    fn object(&mut self, object: &Object, kind: Kind) {
        if let Some(placeholder) = object.placeholder() {
            let what =
                format!("{} is not filled in; do so first, as before kubectl apply", shown(placeholder));
            return self.findings.left_out(&object.origin, what);
        }
        let own = object.aws_name();
        let mesh = if kind == Kind::Mesh { Some(own.clone()) } else { self.mesh_of(object) };
        let parent = match kind.parent() {
            Some(_) => self.gateway_of(object),
            None => Some(String::new()),
        };
        let (Some(mesh), Some(parent)) = (mesh, parent) else {
            return;
        };
        let mut spec = object.spec.clone();
        self.note_what_is_passed_over(object);
        match kind {
            // the one name that differs in more than its case
            Kind::Mesh => {
                if let Some(discovery) = spec.remove("meshServiceDiscovery") {
                    spec.insert("serviceDiscovery".to_owned(), discovery);
                }
            }
            Kind::VirtualNode => self.add_backend_groups(object, &mut spec),
            _ => {}
        }
        let routes = if kind == Kind::VirtualRouter { spec.remove("routes") } else { None };
        spec.retain(|key, _| !PASSED_OVER.contains(&key.as_str()));
        let names = Names { mesh: &mesh, parent: kind.parent().map(|_| parent.as_str()), own: &own };
        let at = format!("{}: spec", object.origin);
        self.resource(object, kind, names, Value::Object(spec), &at, &object.origin);
        if let Some(Value::Array(routes)) = routes {
            self.routes(object, &mesh, &own, routes);
        }
    }

    fn routes(&mut self, object: &Object, mesh: &str, router: &str, routes: Vec<Value>) {
        for (index, route) in routes.into_iter().enumerate() {
            let at = format!("{}: spec.routes[{index}]", object.origin);
            let Value::Object(mut route) = route else {
                self.findings.left_out(at, "is no object");
                continue;
            };
            let Some(Value::String(name)) = route.remove("name") else {
                self.findings.left_out(at, "has no name");
                continue;
            };
            let names = Names { mesh, parent: Some(router), own: &name };
            self.resource(object, Kind::Route, names, Value::Object(route), &at, &at);
        }
    }

    fn resource(
        &mut self,
        object: &Object,
        kind: Kind,
        names: Names<'_>,
        mut spec: Value,
        at: &str,
        origin: &str,
    ) {
        let is_known = self.name_references(&mut spec, object, at);
        let mut unfit = Vec::new();
        let spec = fit(spec, Spec::form(kind), Dialect::Kubernetes, at, &mut unfit);
        for problem in unfit {
            self.findings.left_out(problem.at, problem.problem);
        }
        if is_known {
            let spec = spec.unwrap_or_else(|| Map::new().into());
            self.findings.resource(kind, names, spec, Value::Array(Vec::new()), origin);
        }
    }

    fn note_what_is_passed_over(&mut self, object: &Object) {
        for (key, what) in [
            (
                "podSelector",
                "is dropped: nothing injects an Envoy into pods here; start each one with what `legation bootstrap` prints",
            ),
            ("meshOwner", "is dropped: there are no meshes of other accounts"),
        ] {
            if object.spec.contains_key(key) {
                self.findings.note(format_args!("{}: spec.{key}", object.origin), what);
            }
        }
    }
}
