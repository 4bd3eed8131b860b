//! States and plans of Terraform in JSON: what `terraform show -json` prints of either, and the state file itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::documents::{tags, tags_form};
use super::findings::{Findings, Names, shown};
use super::fit::{Dialect, fit};
use super::given::Given;
use super::tree::Part;
use crate::model::{Kind, Spec};

/// The only version of state files that is read; all of Terraform since 0.12 write it.
const STATE_VERSION: u64 = 4;

/// How deep modules may be in each other.
const MODULE_DEPTH_MAX: usize = 64;

/// How deep unknown values are looked for.
const VALUE_DEPTH_MAX: usize = 64;

/// What only App Mesh itself knows of a resource, and its region, which some versions of the provider write.
const PASSED_OVER: [&str; 9] = [
    "arn",
    "id",
    "created_date",
    "last_updated_date",
    "mesh_owner",
    "resource_owner",
    "region",
    "tags",
    "tags_all",
];

/// Whether this is a state or a plan.
pub(super) fn is_state_or_plan(value: &Value) -> bool {
    let has = |key: &str| value.get(key).is_some();
    let is_shown =
        has("format_version") && (has("values") || has("planned_values") || has("terraform_version"));
    is_shown || (value["version"].is_u64() && has("lineage") && value["resources"].is_array())
}

/// Imports the resources of App Mesh in a state or a plan.
pub(super) fn import(part: &Part, given: &Given, findings: &mut Findings) -> Result<(), String> {
    let mut import = Import { place: &part.place, given, findings, unknown: BTreeMap::new() };
    let value = &part.value;
    if let Some(planned) = value.get("planned_values") {
        import.take_unknown(value);
        import.module(planned.get("root_module"), 0);
        return Ok(());
    }
    if let Some(version) = value["version"].as_u64() {
        if version != STATE_VERSION {
            return Err(format!(
                "{}: is a state of version {version}; only {STATE_VERSION} is read: terraform show -json prints it in another form",
                part.place
            ));
        }
        import.state_file(value);
        return Ok(());
    }
    if value.get("format_version").is_none() {
        return Err(format!("{}: is neither a state of Terraform nor a plan in JSON", part.place));
    }
    import.module(value.get("values").and_then(|values| values.get("root_module")), 0);
    Ok(())
}

struct Import<'a> {
    place: &'a str,
    given: &'a Given,
    findings: &'a mut Findings,
    /// What is not known before a plan is applied, by address: `true` stands in its place.
    unknown: BTreeMap<String, &'a Value>,
}

impl<'a> Import<'a> {
    fn take_unknown(&mut self, plan: &'a Value) {
        for change in plan.get("resource_changes").and_then(Value::as_array).into_iter().flatten() {
            let unknown = change.get("change").and_then(|change| change.get("after_unknown"));
            if let (Some(address), Some(unknown)) = (change["address"].as_str(), unknown) {
                self.unknown.insert(address.to_owned(), unknown);
            }
        }
    }

    fn module(&mut self, module: Option<&Value>, depth: usize) {
        let Some(module) = module else { return };
        if depth > MODULE_DEPTH_MAX {
            return self.findings.left_out(self.place, "there are too many modules in each other");
        }
        for resource in module.get("resources").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| resource.get(key).and_then(Value::as_str).unwrap_or_default();
            let values = resource.get("values").and_then(Value::as_object);
            self.resource(text("mode"), text("type"), text("address"), values.cloned().unwrap_or_default());
        }
        for child in module.get("child_modules").and_then(Value::as_array).into_iter().flatten() {
            self.module(Some(child), depth + 1);
        }
    }

    fn state_file(&mut self, state: &Value) {
        for resource in state["resources"].as_array().into_iter().flatten() {
            let text = |key: &str| resource.get(key).and_then(Value::as_str).unwrap_or_default();
            let module = text("module");
            let module = if module.is_empty() { String::new() } else { format!("{module}.") };
            let address = format!("{module}{}.{}", text("type"), text("name"));
            for instance in resource.get("instances").and_then(Value::as_array).into_iter().flatten() {
                let address = match &instance["index_key"] {
                    Value::Null => address.clone(),
                    key => format!("{address}[{key}]"),
                };
                if instance.get("deposed").is_some_and(Value::is_string) {
                    let what = "is to be deleted, and passed over";
                    self.findings.note(format_args!("{}: {address}", self.place), what);
                    continue;
                }
                let attributes = instance.get("attributes").and_then(Value::as_object);
                self.resource(text("mode"), text("type"), &address, attributes.cloned().unwrap_or_default());
            }
        }
    }

    fn resource(&mut self, mode: &str, type_name: &str, address: &str, mut values: Map<String, Value>) {
        if mode == "data" {
            return self.findings.pass_over(&format!("data.{type_name}"));
        }
        let Some(kind) = kind(type_name) else {
            return match type_name.strip_prefix("aws_appmesh_") {
                Some(_) => self.left_out(address, format!("{} is not known", shown(type_name))),
                None => self.findings.pass_over(type_name),
            };
        };
        let origin = format!("{}: {}", self.place, shown(address));
        if let Some(unknown) = self.unknown.get(address).copied()
            && !self.fill_in(unknown, &mut values, address)
        {
            return;
        }
        let mut name = |key: &str| match values.remove(key) {
            Some(Value::String(name)) => name,
            _ => String::new(),
        };
        let own = name("name");
        let mesh = if kind == Kind::Mesh { own.clone() } else { name("mesh_name") };
        let parent = kind.parent().map(|parent| name(parent_key(parent)));
        let all_tags = ["tags_all", "tags"].into_iter().find_map(|key| values.get(key)?.as_object().cloned());
        let tags = tags(all_tags.iter().flatten());
        let mut unfit = Vec::new();
        let mut fitted = |value: Option<Value>, form, key: &str| {
            let at = format!("{origin}.{key}");
            value.and_then(|value| fit(value, form, Dialect::Terraform, &at, &mut unfit))
        };
        let spec =
            fitted(values.remove("spec"), Spec::form(kind), "spec").unwrap_or_else(|| Map::new().into());
        let tags = fitted(Some(tags), tags_form(), "tags").unwrap_or_else(|| Value::Array(Vec::new()));
        for problem in unfit {
            self.findings.left_out(problem.at, problem.problem);
        }
        for (key, value) in values {
            if !PASSED_OVER.contains(&key.as_str()) && !value.is_null() {
                self.left_out(&format!("{address}.{}", shown(&key)), "is no argument of such a resource");
            }
        }
        let names = Names { mesh: &mesh, parent: parent.as_deref(), own: &own };
        self.findings.resource(kind, names, spec, tags, &origin);
    }

    /// Fills in what is not known before the plan is applied, as far as it is given. Whether that is everything.
    fn fill_in(&mut self, unknown: &Value, values: &mut Map<String, Value>, address: &str) -> bool {
        let mut is_known = true;
        for (key, unknown) in unknown.as_object().into_iter().flatten() {
            if PASSED_OVER.contains(&key.as_str()) {
                continue;
            }
            let member = values.entry(key.clone()).or_insert(Value::Null);
            is_known &= self.fill_in_value(unknown, member, &format!("{address}.{key}"), 0);
        }
        is_known
    }

    fn fill_in_value(&mut self, unknown: &Value, value: &mut Value, at: &str, depth: usize) -> bool {
        let mut is_known = true;
        match unknown {
            Value::Bool(true) => match self.given.get(at) {
                Some(given) => *value = given.clone().into(),
                // the provider leaves it to App Mesh, which takes the listener's
                None if at.ends_with("health_check[0].port") => {}
                None => {
                    let at = shown(at);
                    self.left_out(
                        &at,
                        format!("is not known before the plan is applied; give it with --set '{at}=VALUE'"),
                    );
                    is_known = false;
                }
            },
            Value::Object(members) if depth < VALUE_DEPTH_MAX => {
                if !value.is_object() && has_true(unknown) {
                    *value = Map::new().into();
                }
                let Some(object) = value.as_object_mut() else { return true };
                for (key, unknown) in members {
                    let member = object.entry(key.clone()).or_insert(Value::Null);
                    is_known &= self.fill_in_value(unknown, member, &format!("{at}.{key}"), depth + 1);
                }
            }
            Value::Array(items) if depth < VALUE_DEPTH_MAX => {
                if !value.is_array() && has_true(unknown) {
                    *value = Value::Array(Vec::new());
                }
                let Some(list) = value.as_array_mut() else { return true };
                for (index, unknown) in items.iter().enumerate() {
                    if list.len() <= index {
                        list.push(Value::Null);
                    }
                    is_known &=
                        self.fill_in_value(unknown, &mut list[index], &format!("{at}[{index}]"), depth + 1);
                }
            }
            _ => {}
        }
        is_known
    }

    fn left_out(&mut self, at: &str, what: impl std::fmt::Display) {
        self.findings.left_out(format_args!("{}: {}", self.place, shown(at)), what);
    }
}

/// The kind of a type such as `aws_appmesh_virtual_node`.
fn kind(type_name: &str) -> Option<Kind> {
    let name = type_name.strip_prefix("aws_appmesh_")?;
    Kind::ALL.into_iter().find(|kind| kind.human_name().replace(' ', "_") == name)
}

fn parent_key(parent: Kind) -> &'static str {
    match parent {
        Kind::VirtualGateway => "virtual_gateway_name",
        _ => "virtual_router_name",
    }
}

fn has_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Array(items) => items.iter().any(has_true),
        Value::Object(members) => members.values().any(has_true),
        _ => false,
    }
}
