//! CloudFormation templates.
//!
//! | module | holds |
//! |---|---|
//! | `template` | the sections of a template |
//! | `evaluate` | what functions and references come to |
//! | here | the resources of App Mesh in it |

mod evaluate;
mod template;

use serde_json::{Map, Value};

use self::evaluate::Evaluation;
use self::template::{Resource, Template};
use super::documents::tags_form;
use super::findings::{Findings, Names, shown};
use super::fit::{Dialect, fit};
use super::given::Given;
use super::tree::Part;
use crate::model::{Kind, ResourceId, Spec};

/// What the caller knows of a deployment of the templates.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The parameters.
    pub(super) parameters: Given,
    /// What a template does not tell: attributes of other resources, exports of other stacks.
    pub(super) values: Given,
    /// The region; us-east-1 if absent.
    pub(super) region: Option<String>,
    /// The account; 000000000000 if absent.
    pub(super) account: Option<String>,
    /// The partition; aws if absent.
    pub(super) partition: Option<String>,
    /// The name of the stack.
    pub(super) stack_name: Option<String>,
}

/// Whether this is a template.
pub(super) fn is_template(value: &Value) -> bool {
    let Some(members) = value.as_object() else { return false };
    let has_types = |resources: &Map<String, Value>| {
        resources.values().any(|resource| resource.get("Type").is_some_and(Value::is_string))
    };
    members.contains_key("AWSTemplateFormatVersion")
        || members.get("Resources").and_then(Value::as_object).is_some_and(has_types)
}

/// Imports the resources of App Mesh in a template.
pub(super) fn import(part: &Part, settings: &Settings, findings: &mut Findings) -> Result<(), String> {
    let template = Template::of(&part.value)
        .ok_or_else(|| format!("{}: is no CloudFormation template: it has no Resources", part.place))?;
    // those that only other resources need are no mistake
    for name in template.parameters() {
        let _ = settings.parameters.get(name);
    }
    for (macro_name, at) in template.macros() {
        findings.note(
            format_args!("{}: {at}", part.place),
            format_args!(
                "what the macro {} would change is not known here; import the processed template (aws \
                cloudformation get-template --template-stage Processed) if it makes resources of App Mesh",
                shown(macro_name)
            ),
        );
    }
    for (logical_id, value) in template.resources {
        let at = format!("Resources.{}", shown(logical_id));
        match template::resource(value) {
            Some(resource) => match kind(resource.type_name) {
                Some(kind) => {
                    Import { place: &part.place, template: &template, settings, findings }
                        .resource(logical_id, resource, kind, &at);
                }
                None if resource.type_name.starts_with("AWS::AppMesh::") => {
                    let what = format!("{} is not known", shown(resource.type_name));
                    findings.left_out(format_args!("{}: {at}", part.place), what);
                }
                None => findings.pass_over(resource.type_name),
            },
            None if logical_id.starts_with("Fn::") => {
                let what = "is a macro, which is not expanded here; import the processed template";
                findings.left_out(format_args!("{}: {at}", part.place), what);
            }
            None => findings.left_out(format_args!("{}: {at}", part.place), "is no resource: it has no Type"),
        }
    }
    Ok(())
}

/// The kind of a type such as `AWS::AppMesh::VirtualNode`.
fn kind(type_name: &str) -> Option<Kind> {
    let name = type_name.strip_prefix("AWS::AppMesh::")?;
    Kind::ALL.into_iter().find(|kind| pascal_case(kind.wire_name()) == name)
}

fn pascal_case(camel_case: &str) -> String {
    let mut chars = camel_case.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

struct Import<'a> {
    place: &'a str,
    template: &'a Template<'a>,
    settings: &'a Settings,
    findings: &'a mut Findings,
}

impl Import<'_> {
    fn resource(&mut self, logical_id: &str, resource: Resource<'_>, kind: Kind, at: &str) {
        let origin = format!("{}: {at}", self.place);
        let mut evaluation = Evaluation::new(self.template, self.settings);
        let is_wanted = resource
            .condition
            .is_none_or(|condition| evaluation.condition(condition, &format!("{at}.Condition")));
        if is_wanted && evaluation.is_complete() {
            self.wanted(logical_id, resource.properties, kind, at, &mut evaluation);
        } else if evaluation.is_complete() {
            self.findings.note(&origin, "is passed over, since its condition does not hold");
        }
        for (pseudo, value) in evaluation.assumed() {
            let flag = pseudo.flag();
            let what = format!("{} is taken to be {value}; {flag} says otherwise", pseudo.name());
            self.findings.note(self.place, what);
        }
        for missing in evaluation.into_missing() {
            let what = format!("{}; {logical_id} is left out without it", missing.what);
            self.findings.left_out(format_args!("{}: {}", self.place, missing.at), what);
        }
    }

    fn wanted(
        &mut self,
        logical_id: &str,
        properties: Option<&Map<String, Value>>,
        kind: Kind,
        at: &str,
        evaluation: &mut Evaluation<'_>,
    ) {
        let origin = format!("{}: {at}", self.place);
        let empty = Map::new();
        let properties = properties.unwrap_or(&empty);
        let mut name = |of: Kind| self.name(logical_id, properties, of, kind == of, at, evaluation);
        let own = name(kind);
        let mesh = if kind == Kind::Mesh { own.clone() } else { name(Kind::Mesh) };
        let parent = kind.parent().map(&mut name);
        let mut value = |key: &str| {
            let value = properties.get(key)?;
            evaluation.value(value, &format!("{at}.Properties.{key}"))
        };
        let spec = value("Spec");
        let tags = value("Tags");
        if !evaluation.is_complete() {
            return;
        }
        let known: Vec<String> = [Some(Kind::Mesh), kind.parent(), Some(kind)]
            .into_iter()
            .flatten()
            .map(|kind| pascal_case(kind.name_key()))
            .chain(["Spec", "Tags", "MeshOwner"].map(str::to_owned))
            .collect();
        for key in properties.keys().filter(|key| !known.contains(key)) {
            let what = "is no property of such a resource";
            self.findings.left_out(format_args!("{origin}.Properties.{}", shown(key)), what);
        }
        if properties.contains_key("MeshOwner") {
            let what = "is passed over: there are no meshes of other accounts";
            self.findings.note(format_args!("{origin}.Properties.MeshOwner"), what);
        }
        let mut unfit = Vec::new();
        let mut fitted = |value: Option<Value>, form, key: &str| {
            let at = format!("{origin}.Properties.{key}");
            value.and_then(|value| fit(value, form, Dialect::CloudFormation, &at, &mut unfit))
        };
        let spec = fitted(spec, Spec::form(kind), "Spec").unwrap_or_else(|| Map::new().into());
        let tags = fitted(tags, tags_form(), "Tags").unwrap_or_else(|| Value::Array(Vec::new()));
        for problem in unfit {
            self.findings.left_out(problem.at, problem.problem);
        }
        let names = Names { mesh: &mesh, parent: parent.as_deref(), own: &own };
        self.findings.resource(kind, names, spec, tags, &origin);
    }

    /// The name of the kind `of` in the properties of a resource, or its own, which CloudFormation makes up if it is not
    /// given.
    fn name(
        &mut self,
        logical_id: &str,
        properties: &Map<String, Value>,
        of: Kind,
        is_own: bool,
        at: &str,
        evaluation: &mut Evaluation<'_>,
    ) -> String {
        let key = pascal_case(of.name_key());
        let at = format!("{at}.Properties.{key}");
        if is_own && !properties.contains_key(&key) {
            let (name, is_made_up) = evaluation.own_name(logical_id, &key);
            if is_made_up {
                self.findings.left_out(format_args!("{}: {at}", self.place), format_args!(
                    "is not given, so CloudFormation made up a name; {name} is written: give the real one with --set \
                     '{logical_id}.{key}=NAME'"
                ));
            }
            return name;
        }
        let Some(value) = properties.get(&key).and_then(|value| evaluation.value(value, &at)) else {
            return String::new();
        };
        let Some(name) = evaluate::text(&value) else {
            evaluation.miss(&at, "is no text");
            return String::new();
        };
        match ResourceId::from_arn(&name).filter(|id| id.kind() == of) {
            Some(id) => {
                let what =
                    format!("is an ARN where a name belongs; the name in it is taken: {}", shown(id.name()));
                self.findings.note(format_args!("{}: {at}", self.place), what);
                id.name().to_owned()
            }
            None => name,
        }
    }
}
