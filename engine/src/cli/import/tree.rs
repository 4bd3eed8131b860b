//! From text to values: JSON, JSON lines, and YAML whose tags are CloudFormation's short forms of functions.

use std::{fmt, thread};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Spanned, Tagged, UserMessageFormatter};

use crate::cli::text::{Text, yaml_options};

/// What the parser needs for so many values in each other, without optimisation, and as much again.
const STACK_BYTES: usize = 8 << 20;

/// One of the values in a file.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it is: the file, and where there are several in it, the line.
    pub(super) place: String,
    /// What it is.
    pub(super) value: Value,
}

/// The values in a file, without those that are nothing; or why it cannot be read, with the place.
pub(super) fn parse(input: &Text) -> Result<Vec<Part>, String> {
    let values = if input.is_json() { parse_json(input) } else { parse_yaml_aside(&input.text) };
    let values = values.map_err(|error| format!("{}: cannot be parsed: {error}", input.name))?;
    let is_alone = values.len() == 1;
    let place = |line: u64| match (is_alone, line) {
        (true, _) | (false, 0) => input.name.clone(),
        (false, line) => format!("{} (line {line})", input.name),
    };
    Ok(values.into_iter().map(|(line, value)| Part { place: place(line), value }).collect())
}

fn parse_json(input: &Text) -> Result<Vec<(u64, Value)>, String> {
    let values =
        input.json_values().map(|(line, value)| Ok((line, value.map_err(|error| error.to_string())?)));
    values.collect()
}

/// Parses on a thread with a stack that has room for the deepest values, wherever this is called.
fn parse_yaml_aside(text: &str) -> Result<Vec<(u64, Value)>, String> {
    thread::scope(|scope| {
        let parser = thread::Builder::new().stack_size(STACK_BYTES);
        let parsing = parser.spawn_scoped(scope, || parse_yaml(text)).map_err(|error| error.to_string())?;
        parsing.join().unwrap_or_else(|_| Err("the parser has failed".to_owned()))
    })
}

fn parse_yaml(text: &str) -> Result<Vec<(u64, Value)>, String> {
    let mut parsed = Vec::new();
    let mut reader = text.as_bytes();
    for value in serde_saphyr::read_with_options::<_, Spanned<Node>>(&mut reader, yaml_options()) {
        match value {
            Ok(Spanned { value: Node(Value::Null), .. }) => {}
            Ok(Spanned { value: Node(value), referenced, .. }) => parsed.push((referenced.line(), value)),
            Err(error) => return Err(error.render_with_formatter(&UserMessageFormatter)),
        }
    }
    Ok(parsed)
}

/// A value in which a function in its short form, such as `!Sub "..."`, is one in its long form.
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Tagged(Untagged(value), tag) = Tagged::deserialize(deserializer)?;
        Ok(Node(match tag.as_deref().and_then(|tag| tag.strip_prefix('!')) {
            Some(name) => Map::from_iter([(long_form(name), value)]).into(),
            // a tag of YAML's own has had its effect
            None => value,
        }))
    }
}

fn long_form(name: &str) -> String {
    match name {
        "Ref" | "Condition" => name.to_owned(),
        _ => format!("Fn::{name}"),
    }
}

/// The value of a node without its tag.
struct Untagged(Value);

impl<'de> Deserialize<'de> for Untagged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Untagged)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Node(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let Node(value) = access.next_value()?;
            members.insert(name, value);
        }
        Ok(members.into())
    }
}
