//! What functions and references in a template come to.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::findings::shown;
use super::template::{Resource, Template};
use super::{Settings, kind, pascal_case};
use crate::model::{Kind, ResourceId};

/// How deep functions may be in each other, references included.
const DEPTH_MAX: usize = 100;

/// How many values are looked at for one resource. References can double with every step.
const STEPS_MAX: usize = 100_000;

/// Longest text that functions may make, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A parameter that CloudFormation gives to every template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pseudo {
    /// `AWS::Region`
    Region,
    /// `AWS::AccountId`
    AccountId,
    /// `AWS::Partition`
    Partition,
    /// `AWS::StackName`
    StackName,
    /// `AWS::URLSuffix`
    UrlSuffix,
}

impl Pseudo {
    const ALL: [Pseudo; 5] =
        [Pseudo::Region, Pseudo::AccountId, Pseudo::Partition, Pseudo::StackName, Pseudo::UrlSuffix];

    /// Its name in templates.
    pub(super) fn name(self) -> &'static str {
        match self {
            Pseudo::Region => "AWS::Region",
            Pseudo::AccountId => "AWS::AccountId",
            Pseudo::Partition => "AWS::Partition",
            Pseudo::StackName => "AWS::StackName",
            Pseudo::UrlSuffix => "AWS::URLSuffix",
        }
    }

    /// How it can be given.
    pub(super) fn flag(self) -> &'static str {
        match self {
            Pseudo::Region => "--region",
            Pseudo::AccountId => "--account",
            Pseudo::Partition => "--partition",
            Pseudo::StackName => "--stack-name",
            Pseudo::UrlSuffix => "--set 'AWS::URLSuffix=VALUE'",
        }
    }

    fn given(self, settings: &Settings) -> Option<&String> {
        match self {
            Pseudo::Region => settings.region.as_ref(),
            Pseudo::AccountId => settings.account.as_ref(),
            Pseudo::Partition => settings.partition.as_ref(),
            Pseudo::StackName => settings.stack_name.as_ref(),
            Pseudo::UrlSuffix => None,
        }
    }

    fn default(self) -> Option<&'static str> {
        match self {
            Pseudo::Region => Some("us-east-1"),
            Pseudo::AccountId => Some("000000000000"),
            Pseudo::Partition => Some("aws"),
            Pseudo::StackName => None,
            Pseudo::UrlSuffix => Some("amazonaws.com"),
        }
    }
}

/// A value that is not known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Where it is needed.
    pub(super) at: String,
    /// What it is, and how it can be given.
    pub(super) what: String,
}

/// The evaluation of one resource.
pub(super) struct Evaluation<'a> {
    template: &'a Template<'a>,
    settings: &'a Settings,
    missing: Vec<Missing>,
    assumed: BTreeMap<Pseudo, &'static str>,
    depth: usize,
    steps: usize,
}

impl<'a> Evaluation<'a> {
    /// Of a resource of `template`.
    pub(super) fn new(template: &'a Template<'a>, settings: &'a Settings) -> Self {
        Evaluation { template, settings, missing: Vec::new(), assumed: BTreeMap::new(), depth: 0, steps: 0 }
    }

    /// Whether every value was known so far.
    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The values that were not known.
    pub(super) fn into_missing(self) -> Vec<Missing> {
        self.missing
    }

    /// What was taken to be as it often is.
    pub(super) fn assumed(&self) -> Vec<(Pseudo, &'static str)> {
        self.assumed.iter().map(|(pseudo, value)| (*pseudo, *value)).collect()
    }

    /// The value at `at` is not known.
    pub(super) fn miss(&mut self, at: &str, what: impl Into<String>) {
        let missing = Missing { at: at.to_owned(), what: what.into() };
        if !self.missing.contains(&missing) {
            self.missing.push(missing);
        }
    }

    /// What a value comes to: nothing, where it is not known or `AWS::NoValue`.
    pub(super) fn value(&mut self, value: &Value, at: &str) -> Option<Value> {
        self.steps += 1;
        if self.depth >= DEPTH_MAX || self.steps > STEPS_MAX {
            self.miss(at, "functions and references go too deep here, or in a circle");
            return None;
        }
        self.depth += 1;
        let outcome = self.any(value, at);
        self.depth -= 1;
        outcome
    }

    fn any(&mut self, value: &Value, at: &str) -> Option<Value> {
        match value {
            Value::Object(members) => match function(members) {
                Some((name, argument)) => self.function(name, argument, at),
                None => {
                    let members = members.iter().filter_map(|(key, member)| {
                        Some((key.clone(), self.value(member, &format!("{at}.{}", shown(key)))?))
                    });
                    Some(Value::Object(members.collect()))
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let items = items.filter_map(|(index, item)| self.value(item, &format!("{at}[{index}]")));
                Some(Value::Array(items.collect()))
            }
            Value::String(text) if text.contains("{{resolve:") => {
                let known = self.settings.values.get(text).cloned();
                if known.is_none() {
                    self.miss(
                        at,
                        format!(
                            "{} is looked up at deployment; give it with --set '{}=VALUE'",
                            shown(text),
                            shown(text)
                        ),
                    );
                }
                known.map(Value::String)
            }
            plain => Some(plain.clone()),
        }
    }

    fn function(&mut self, name: &str, argument: &Value, at: &str) -> Option<Value> {
        match (name, argument) {
            ("Ref", Value::String(name)) => self.reference(name, at),
            ("Fn::GetAtt", Value::String(path)) => match path.split_once('.') {
                Some((logical_id, attribute)) => self.attribute(logical_id, attribute, at),
                None => self.malformed(name, at),
            },
            ("Fn::GetAtt", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(logical_id), attribute] => {
                    let attribute = self.text(attribute, at)?;
                    self.attribute(logical_id, &attribute, at)
                }
                _ => self.malformed(name, at),
            },
            ("Fn::Sub", Value::String(pattern)) => self.substituted(pattern, &Map::new(), at),
            ("Fn::Sub", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(pattern), Value::Object(variables)] => {
                    self.substituted(pattern, variables, at)
                }
                [Value::String(pattern)] => self.substituted(pattern, &Map::new(), at),
                _ => self.malformed(name, at),
            },
            ("Fn::Join", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(delimiter), items] => self.joined(delimiter, items, at),
                _ => self.malformed(name, at),
            },
            ("Fn::Split", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(delimiter), text] if !delimiter.is_empty() => {
                    let text = self.text(text, at)?;
                    Some(text.split(delimiter.as_str()).collect())
                }
                _ => self.malformed(name, at),
            },
            ("Fn::Select", Value::Array(parts)) => match parts.as_slice() {
                [index, items] => self.selected(index, items, at),
                _ => self.malformed(name, at),
            },
            ("Fn::FindInMap", Value::Array(parts)) => self.found_in_map(parts, at),
            ("Fn::If", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(condition), then, otherwise] => {
                    let holds = self.condition(condition, at);
                    if !self.is_complete() {
                        return None;
                    }
                    self.value(if holds { then } else { otherwise }, at)
                }
                _ => self.malformed(name, at),
            },
            ("Fn::ImportValue", export) => {
                let export = self.text(export, at)?;
                let known = self.settings.values.get(&export).cloned();
                if known.is_none() {
                    let export = shown(&export);
                    self.miss(at, format!("the value that another stack exports as {export} is not known; give it with --set '{export}=VALUE'"));
                }
                known.map(Value::String)
            }
            ("Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" | "Condition", _) => {
                let holds = self.predicate(name, argument, at);
                Some(Value::Bool(holds))
            }
            (
                "Ref" | "Fn::GetAtt" | "Fn::Sub" | "Fn::Join" | "Fn::Split" | "Fn::Select" | "Fn::FindInMap"
                | "Fn::If",
                _,
            ) => self.malformed(name, at),
            _ => {
                self.miss(
                    at,
                    format!(
                        "the function {} is not known here; write its value in the template",
                        shown(name)
                    ),
                );
                None
            }
        }
    }

    fn malformed<T>(&mut self, name: &str, at: &str) -> Option<T> {
        self.miss(at, format!("{name} does not take such arguments"));
        None
    }

    /// The text that a value comes to.
    fn text(&mut self, value: &Value, at: &str) -> Option<String> {
        let value = self.value(value, at)?;
        let text = text(&value);
        if text.is_none() {
            self.miss(at, "a text is needed here");
        }
        text.and_then(|text| self.bounded(text, at))
    }

    fn bounded(&mut self, text: String, at: &str) -> Option<String> {
        if text.len() > TEXT_BYTES_MAX {
            self.miss(at, format!("comes to a text of more than {TEXT_BYTES_MAX} bytes"));
            return None;
        }
        Some(text)
    }

    fn reference(&mut self, name: &str, at: &str) -> Option<Value> {
        if name == "AWS::NoValue" {
            return None;
        }
        if let Some(value) = self.settings.values.get(name) {
            return Some(value.clone().into());
        }
        if let Some(pseudo) = Pseudo::ALL.into_iter().find(|pseudo| pseudo.name() == name) {
            return self.pseudo(pseudo, at);
        }
        if let Some(parameter) = self.template.member("Parameters", name) {
            return self.parameter(name, parameter, at);
        }
        match self.template.resource(name) {
            Some(resource) if kind(resource.type_name).is_some() => self.attribute(name, "Arn", at),
            Some(_) | None => {
                let name = shown(name);
                self.miss(
                    at,
                    format!("what {name} refers to is not known; give it with --set '{name}=VALUE'"),
                );
                None
            }
        }
    }

    fn pseudo(&mut self, pseudo: Pseudo, at: &str) -> Option<Value> {
        if let Some(given) = pseudo.given(self.settings) {
            return Some(given.clone().into());
        }
        let Some(default) = pseudo.default() else {
            self.miss(at, format!("{} is not known; give it with {} VALUE", pseudo.name(), pseudo.flag()));
            return None;
        };
        if pseudo != Pseudo::UrlSuffix && pseudo != Pseudo::Partition {
            self.assumed.insert(pseudo, default);
        }
        Some(default.into())
    }

    fn parameter(&mut self, name: &str, parameter: &Value, at: &str) -> Option<Value> {
        let type_name = parameter.get("Type").and_then(Value::as_str).unwrap_or_default();
        let given = self.settings.parameters.get(name).cloned();
        // the default of such a parameter is the name under which its value is looked up
        let is_looked_up = type_name.starts_with("AWS::SSM::Parameter::Value");
        let default = parameter.get("Default").filter(|_| !is_looked_up).and_then(text);
        let Some(value) = given.or(default) else {
            let name = shown(name);
            let what = if is_looked_up { "is looked up at deployment" } else { "has no default" };
            self.miss(at, format!("the parameter {name} {what}; give it with --parameter '{name}=VALUE'"));
            return None;
        };
        let is_list = type_name == "CommaDelimitedList" || type_name.contains("List<");
        let values: Vec<&str> =
            if is_list { value.split(',').map(str::trim).collect() } else { vec![value.as_str()] };
        if let Some(allowed) = parameter.get("AllowedValues").and_then(Value::as_array) {
            let is_allowed =
                |value: &str| allowed.iter().any(|allowed| text(allowed).as_deref() == Some(value));
            if !values.iter().all(|value| is_allowed(value)) {
                // its value may be a secret
                let what =
                    format!("the parameter {} has a value that is not among its AllowedValues", shown(name));
                self.miss(at, what);
                return None;
            }
        }
        if is_list {
            return Some(values.into_iter().collect());
        }
        Some(value.into())
    }

    /// An attribute of a resource: one of App Mesh has its names and its ARN.
    fn attribute(&mut self, logical_id: &str, attribute: &str, at: &str) -> Option<Value> {
        let path = format!("{logical_id}.{attribute}");
        if let Some(value) = self.settings.values.get(&path) {
            return Some(value.clone().into());
        }
        let resource = self.template.resource(logical_id);
        let known = resource.and_then(|resource| Some((resource, kind(resource.type_name)?)));
        if let Some((resource, kind)) = known {
            let names = [Some(Kind::Mesh), kind.parent(), Some(kind)];
            let named = names.into_iter().flatten().find(|kind| pascal_case(kind.name_key()) == attribute);
            match (named, attribute) {
                (Some(named), _) => {
                    return self.name(logical_id, resource, kind, named, at).map(Value::String);
                }
                (None, "Arn") => return self.arn(logical_id, resource, kind, at),
                (None, "MeshOwner" | "ResourceOwner") => return self.pseudo(Pseudo::AccountId, at),
                _ => {}
            }
        }
        let path = shown(&path);
        self.miss(at, format!("the attribute {path} is not known; give it with --set '{path}=VALUE'"));
        None
    }

    /// A name that stands in the properties of a resource.
    fn name(
        &mut self,
        logical_id: &str,
        resource: Resource<'_>,
        kind: Kind,
        named: Kind,
        at: &str,
    ) -> Option<String> {
        let key = pascal_case(named.name_key());
        match resource.properties.and_then(|properties| properties.get(&key)) {
            Some(value) => {
                let name = self.text(value, at)?;
                let id = ResourceId::from_arn(&name).filter(|id| id.kind() == named);
                Some(id.map_or(name, |id| id.name().to_owned()))
            }
            None if kind == named => Some(self.own_name(logical_id, &key).0),
            None => {
                self.miss(at, format!("{} has no {key}", shown(logical_id)));
                None
            }
        }
    }

    /// The name of a resource that does not say its own, and whether it is made up here.
    pub(super) fn own_name(&self, logical_id: &str, key: &str) -> (String, bool) {
        match self.settings.values.get(&format!("{logical_id}.{key}")) {
            Some(name) => (name.clone(), false),
            None => (logical_id.to_owned(), true),
        }
    }

    fn arn(&mut self, logical_id: &str, resource: Resource<'_>, kind: Kind, at: &str) -> Option<Value> {
        let own = self.name(logical_id, resource, kind, kind, at)?;
        let mesh = match kind {
            Kind::Mesh => own.clone(),
            _ => self.name(logical_id, resource, kind, Kind::Mesh, at)?,
        };
        let parent = match kind.parent() {
            Some(parent) => Some(self.name(logical_id, resource, kind, parent, at)?),
            None => None,
        };
        let id = ResourceId::from_parts(kind, &mesh, parent.as_deref(), &own)?;
        let mut known = |pseudo| self.pseudo(pseudo, at).as_ref().and_then(text);
        let (partition, region, account) =
            (known(Pseudo::Partition)?, known(Pseudo::Region)?, known(Pseudo::AccountId)?);
        Some(format!("arn:{partition}:appmesh:{region}:{account}:{}", id.path()).into())
    }

    fn substituted(&mut self, pattern: &str, variables: &Map<String, Value>, at: &str) -> Option<Value> {
        let mut result = String::new();
        let mut rest = pattern;
        while let Some(start) = rest.find("${") {
            result += &rest[..start];
            rest = &rest[start + 2..];
            let Some(end) = rest.find('}') else {
                result += "${";
                break;
            };
            let (name, after) = (&rest[..end], &rest[end + 1..]);
            if let Some(literal) = name.strip_prefix('!') {
                result += &format!("${{{literal}}}");
            } else {
                let name = name.trim();
                let value = match (variables.get(name), name.split_once('.')) {
                    (Some(variable), _) => self.value(variable, at),
                    (None, Some((logical_id, attribute))) => self.attribute(logical_id, attribute, at),
                    (None, None) => self.reference(name, at),
                };
                if value.is_none() && !self.is_complete() {
                    return None;
                }
                let Some(text) = value.as_ref().and_then(text) else {
                    self.miss(at, format!("{} is no text", shown(name)));
                    return None;
                };
                result += &text;
            }
            result = self.bounded(result, at)?;
            rest = after;
        }
        result += rest;
        self.bounded(result, at).map(Value::String)
    }

    fn joined(&mut self, delimiter: &str, items: &Value, at: &str) -> Option<Value> {
        let items = self.value(items, at)?;
        let texts: Option<Vec<String>> = items.as_array().and_then(|items| items.iter().map(text).collect());
        let Some(texts) = texts else {
            return self.malformed("Fn::Join", at);
        };
        self.bounded(texts.join(delimiter), at).map(Value::String)
    }

    fn selected(&mut self, index: &Value, items: &Value, at: &str) -> Option<Value> {
        let index = self.text(index, at)?;
        let items = self.value(items, at)?;
        let item = index.parse::<usize>().ok().and_then(|index| items.as_array()?.get(index));
        match item {
            Some(item) => Some(item.clone()),
            None => {
                self.miss(at, format!("Fn::Select finds no item {}", shown(&index)));
                None
            }
        }
    }

    fn found_in_map(&mut self, parts: &[Value], at: &str) -> Option<Value> {
        let [map, first, second, rest @ ..] = parts else {
            return self.malformed("Fn::FindInMap", at);
        };
        let (map, first, second) = (self.text(map, at)?, self.text(first, at)?, self.text(second, at)?);
        let mapping = self.template.member("Mappings", &map);
        if let Some(value) = mapping.and_then(|mapping| mapping.get(&first)?.get(&second)) {
            return Some(value.clone());
        }
        if let [options] = rest
            && let Some(default) = options.get("DefaultValue")
        {
            return self.value(default, at);
        }
        let (map, first, second) = (shown(&map), shown(&first), shown(&second));
        self.miss(at, format!("the mapping {map} has nothing for {first} and {second}"));
        None
    }

    /// Whether a condition of the template holds. Where that is not known, something is missing.
    pub(super) fn condition(&mut self, name: &str, at: &str) -> bool {
        let Some(condition) = self.template.member("Conditions", name) else {
            self.miss(at, format!("there is no condition {}", shown(name)));
            return false;
        };
        match self.value(condition, &format!("Conditions.{}", shown(name))) {
            Some(Value::Bool(holds)) => holds,
            Some(Value::String(text)) if text == "true" || text == "false" => text == "true",
            _ => {
                if self.is_complete() {
                    self.miss(at, format!("the condition {} is neither true nor false", shown(name)));
                }
                false
            }
        }
    }

    fn predicate(&mut self, name: &str, argument: &Value, at: &str) -> bool {
        match (name, argument) {
            ("Condition", Value::String(name)) => self.condition(name, at),
            ("Fn::Equals", Value::Array(sides)) => match sides.as_slice() {
                [left, right] => {
                    let (left, right) = (self.value(left, at), self.value(right, at));
                    let plain = |value: &Option<Value>| value.as_ref().and_then(text);
                    match (plain(&left), plain(&right)) {
                        (Some(left), Some(right)) => left == right,
                        _ => left == right,
                    }
                }
                _ => self.malformed(name, at).unwrap_or_default(),
            },
            ("Fn::Not", Value::Array(conditions)) => match conditions.as_slice() {
                [condition] => !self.holds(condition, at),
                _ => self.malformed(name, at).unwrap_or_default(),
            },
            ("Fn::And", Value::Array(conditions)) => {
                conditions.iter().all(|condition| self.holds(condition, at))
            }
            ("Fn::Or", Value::Array(conditions)) => {
                conditions.iter().any(|condition| self.holds(condition, at))
            }
            _ => self.malformed(name, at).unwrap_or_default(),
        }
    }

    fn holds(&mut self, condition: &Value, at: &str) -> bool {
        match self.value(condition, at) {
            Some(Value::Bool(holds)) => holds,
            Some(Value::String(text)) => text == "true",
            _ => false,
        }
    }
}

/// The function that an object with this one member calls.
fn function(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = members.iter().next().filter(|_| members.len() == 1)?;
    let is_function =
        name.starts_with("Fn::") || name == "Ref" || (name == "Condition" && argument.is_string());
    is_function.then_some((name.as_str(), argument))
}

/// A plain value as a text. A number with a fraction is none: it may have been written with zeros that are not there any
/// more.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
