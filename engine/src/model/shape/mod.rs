//! How a JSON value is checked against a type, so that every error is found and named, not only the first.
//!
//! - [`error`]: an error with its path, and the bounded collection of them;
//! - [`limits`]: numbers, texts and lists that carry their limits in their type;
//! - `json`: JSON in which no object has a member twice;
//! - `declare`: the macro that makes a struct, an enum or a union together with its [`Shape`];
//! - here: the [`Shape`] of the plain types, and [`parse`].
//!
//! A `null` member of an object counts as absent, everywhere.

pub(crate) mod declare;
pub mod error;
pub(crate) mod json;
pub mod limits;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use declare::Field;
pub use error::{Errors, FieldError, Path};
pub use limits::{AtLeast, Int, List, OutOfLimits, Text};

/// A type that can say everything that is wrong with a JSON value that should become it.
///
/// Where [`Shape::check`] reports nothing, decoding the value with serde succeeds.
pub trait Shape: DeserializeOwned {
    /// Whether a field of this type must be given.
    const REQUIRED: bool = true;

    /// Reports everything in `value` that does not fit this type. `at` is where the value stands.
    fn check(value: &Value, at: &Path, errors: &mut Errors);

    /// What values of this type look like.
    fn form() -> Form;
}

/// What the values of a type look like, for those who bring values of another shape into it. Limits are not part of it.
#[derive(Clone, Copy)]
pub enum Form {
    /// An object with these fields.
    Struct(&'static [Field]),
    /// An object with exactly one of these members.
    Union(&'static [Field]),
    /// A list of such values.
    List(fn() -> Form),
    /// A string.
    Text,
    /// An integer.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// Checks `value`, which stands at `at`, and decodes it: a `T`, or every error.
pub fn parse<T: Shape>(value: &Value, at: &Path) -> Result<T, Vec<FieldError>> {
    let without_nulls = has_nulls(value).then(|| without_nulls(value));
    let value = without_nulls.as_ref().unwrap_or(value);
    let mut errors = Errors::default();
    T::check(value, at, &mut errors);
    errors.into_result()?;
    T::deserialize(value).map_err(|error| vec![at.error(format!("cannot be decoded: {error}"))])
}

/// Whether an object in `value` has a `null` member. Hardly any has.
fn has_nulls(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(|member| member.is_null() || has_nulls(member)),
        Value::Array(items) => items.iter().any(has_nulls),
        _ => false,
    }
}

/// A copy of `value` in which no object has a `null` member.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name.clone(), without_nulls(member)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        plain => plain.clone(),
    }
}

impl<T: Shape> Shape for Option<T> {
    const REQUIRED: bool = false;

    fn check(value: &Value, at: &Path, errors: &mut Errors) {
        T::check(value, at, errors);
    }

    fn form() -> Form {
        T::form()
    }
}

impl Shape for bool {
    fn check(value: &Value, at: &Path, errors: &mut Errors) {
        if !value.is_boolean() {
            errors.wrong_type(at, value, "true or false");
        }
    }

    fn form() -> Form {
        Form::Boolean
    }
}

impl Shape for String {
    fn check(value: &Value, at: &Path, errors: &mut Errors) {
        if !value.is_string() {
            errors.wrong_type(at, value, "a string");
        }
    }

    fn form() -> Form {
        Form::Text
    }
}

impl Shape for i64 {
    fn check(value: &Value, at: &Path, errors: &mut Errors) {
        Int::<{ i64::MIN }, { i64::MAX }>::check(value, at, errors);
    }

    fn form() -> Form {
        Form::Integer
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn check(value: &Value, at: &Path, errors: &mut Errors) {
        let Value::Array(items) = value else {
            errors.wrong_type(at, value, "a list");
            return;
        };
        for (index, item) in items.iter().enumerate() {
            T::check(item, &at.index(index), errors);
        }
    }

    fn form() -> Form {
        Form::List(T::form)
    }
}
