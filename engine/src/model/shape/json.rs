//! JSON in which no object has a member twice. `serde_json` by itself takes the last one and drops the others, which the
//! user never hears of.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::quote;

/// The value in `text`, and nothing after it.
pub(crate) fn from_slice(text: &[u8]) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict::deserialize_from(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A value in which no object has a member twice.
#[derive(Debug)]
pub(crate) struct Strict(pub(crate) Value);

impl Strict {
    fn deserialize_from<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        StrictValue.deserialize(deserializer)
    }
}

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Strict::deserialize_from(deserializer).map(Strict)
    }
}

struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(StrictValue)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(StrictValue)?;
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the key {} is repeated", quote(&name))));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_given_once() {
        let parsed = |text: &str| from_slice(text.as_bytes()).map_err(|error| error.to_string());
        let whole = r#"{"a": [1, -2, 0.5, true, null, "b"], "c": {"a": {}}}"#;
        let expected = json!({"a": [1, -2, 0.5, true, null, "b"], "c": {"a": {}}});
        assert_eq!(parsed(whole), Ok(expected));
        for (text, expected) in [
            (r#"{"port":80,"port":81}"#, r#"the key "port" is repeated at line 1 column 21"#),
            (r#"[{"a": {"b": 1, "b": null}}]"#, r#"the key "b" is repeated at line 1 column 26"#),
            ("{} {}", "trailing characters at line 1 column 4"),
        ] {
            assert_eq!(parsed(text), Err(expected.to_owned()));
        }
    }
}
