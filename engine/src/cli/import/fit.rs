//! Values of other shapes are brought into the model's. The names and types are those that the model itself declares; what a
//! source calls differently differs in case, underscores and number only.

use serde_json::{Map, Value};

use super::findings::shown;
use crate::model::shape::{Field, Form};

/// How a source writes what App Mesh's API takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `PortMapping`, `DNS`; numbers may be texts and texts numbers.
    CloudFormation,
    /// `portMapping`, `certificateARN`.
    Kubernetes,
    /// `port_mapping`; an object is a list of one, items of a list repeat its name in the singular, and what was not
    /// given is zero or empty.
    Terraform,
    /// The API's own.
    AppMesh,
}

/// Something that is not carried over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    /// Where, in the words of the source.
    pub(super) at: String,
    /// What is wrong.
    pub(super) problem: String,
}

/// `value`, which stands at `at`, in the shape of `form`; nothing, if there is nothing of it. What is of another type than
/// it should be is left as it is, for the model's own check to name.
pub(super) fn fit(
    value: Value,
    form: Form,
    dialect: Dialect,
    at: &str,
    unfit: &mut Vec<Unfit>,
) -> Option<Value> {
    Fitting { dialect, unfit }.value(value, form, at)
}

struct Fitting<'a> {
    dialect: Dialect,
    unfit: &'a mut Vec<Unfit>,
}

impl Fitting<'_> {
    fn value(&mut self, value: Value, form: Form, at: &str) -> Option<Value> {
        if value.is_null() && !matches!((self.dialect, form), (Dialect::Terraform, Form::Struct(_))) {
            return None;
        }
        match form {
            Form::Struct(fields) => self.object(value, fields, false, at),
            Form::Union(members) => self.object(value, members, true, at),
            Form::List(item) => self.list(value, item(), at),
            Form::Text | Form::Integer | Form::Boolean => Some(self.plain(value, form)),
        }
    }

    fn object(&mut self, value: Value, fields: &[Field], is_union: bool, at: &str) -> Option<Value> {
        let members = match (value, self.dialect) {
            (Value::Object(members), _) => members,
            (Value::Null, _) => Map::new(),
            (Value::Array(blocks), Dialect::Terraform) => return self.block(blocks, fields, is_union, at),
            (other, _) => return Some(other),
        };
        let mut fitted = Map::new();
        for (key, member) in members {
            let at = format!("{at}.{}", shown(&key));
            let Some(field) = self.field(&key, fields) else {
                if !member.is_null() {
                    self.report(&at, "App Mesh's API has no such field");
                }
                continue;
            };
            let was_given = !member.is_null();
            let is_needed = field.is_required() && !is_union;
            let fitted_member = match self.value(member, field.form(), &at) {
                // a block without anything in it, where there must be one
                None if was_given && is_needed && self.dialect == Dialect::Terraform => match field.form() {
                    Form::Struct(_) => Some(Map::new().into()),
                    _ => None,
                },
                fitted => fitted,
            };
            let Some(member) = fitted_member else { continue };
            if self.dialect == Dialect::Terraform && !is_needed && is_unset(&member, field) {
                continue;
            }
            if fitted.insert(field.wire_name().to_owned(), member).is_some() {
                self.report(&at, "is given twice, by two names");
            }
        }
        let is_nothing = is_union && fitted.is_empty() && self.dialect == Dialect::Terraform;
        (!is_nothing).then(|| fitted.into())
    }

    /// The one block in a list of at most one.
    fn block(&mut self, mut blocks: Vec<Value>, fields: &[Field], is_union: bool, at: &str) -> Option<Value> {
        if blocks.len() > 1 {
            self.report(at, format!("has {} blocks, where App Mesh's API takes one", blocks.len()));
            return None;
        }
        let block = blocks.pop()?;
        self.object(block, fields, is_union, &format!("{at}[0]"))
    }

    fn list(&mut self, value: Value, item: Form, at: &str) -> Option<Value> {
        let items = match (value, self.dialect) {
            (Value::Array(items), _) => items,
            // a map, where the API has a list of keys and values
            (Value::Object(members), Dialect::Terraform) => members
                .into_iter()
                .map(|(key, value)| {
                    Map::from_iter([("key".to_owned(), key.into()), ("value".to_owned(), value)]).into()
                })
                .collect(),
            (other, _) => return Some(other),
        };
        if items.is_empty() && self.dialect == Dialect::Terraform {
            return None;
        }
        let mut fitted = Vec::new();
        for (index, value) in items.into_iter().enumerate() {
            fitted.extend(self.value(value, item, &format!("{at}[{index}]")));
        }
        Some(fitted.into())
    }

    fn plain(&mut self, value: Value, form: Form) -> Value {
        if !matches!(self.dialect, Dialect::CloudFormation | Dialect::Terraform) {
            return value;
        }
        match (form, value) {
            (Form::Integer, Value::String(text)) => match text.parse::<i64>() {
                Ok(number) if number.to_string() == text => number.into(),
                _ => text.into(),
            },
            (Form::Boolean, Value::String(text)) => match text.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                _ => text.into(),
            },
            // other numbers may have been written with zeros that are not there any more
            (Form::Text, Value::Number(number)) if !number.is_f64() => number.to_string().into(),
            (Form::Text, Value::Bool(value)) => value.to_string().into(),
            (_, value) => value,
        }
    }

    fn field<'a>(&self, key: &str, fields: &'a [Field]) -> Option<&'a Field> {
        if self.dialect == Dialect::AppMesh {
            return fields.iter().find(|field| field.wire_name() == key);
        }
        let plain = if self.dialect == Dialect::Terraform { key.replace('_', "") } else { key.to_owned() };
        let by_name = fields.iter().find(|field| field.wire_name().eq_ignore_ascii_case(&plain));
        if self.dialect != Dialect::Terraform || by_name.is_some() {
            return by_name;
        }
        let plural = plain + "s";
        fields.iter().find(|field| {
            matches!(field.form(), Form::List(_)) && field.wire_name().eq_ignore_ascii_case(&plural)
        })
    }

    fn report(&mut self, at: &str, problem: impl Into<String>) {
        self.unfit.push(Unfit { at: at.to_owned(), problem: problem.into() });
    }
}

/// Whether an optional member is what Terraform holds for what was not given. Zero of a duration says the same, and
/// better.
fn is_unset(member: &Value, field: &Field) -> bool {
    match member {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0) && field.wire_name() != "value",
        _ => false,
    }
}
