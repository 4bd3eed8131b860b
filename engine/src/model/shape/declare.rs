//! The macro `shape!`, with which every type of the model is declared, and what its checks consist of.
//!
//! The three forms, each with a doc comment on everything:
//!
//! - `pub struct Name { pub field: Type, }`: an object. The wire names are the fields' in camel case,
//!   `Option` is what may be absent, and the limits stand in the types.
//! - `pub enum Name { Variant = "wire", }`: one of these strings.
//! - `pub union Name { Variant(Type), }`: an object with exactly one of these members; a Rust enum.

use serde_json::{Map, Value};

use super::error::{excerpt, quote};
use super::{Errors, Form, Path, Shape};

/// Declares types of the model: see the [module](self).
macro_rules! shape {
    () => {};
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $( $(#[$field_meta:meta])* pub $field:ident: $type:ty, )* }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[serde_with::skip_serializing_none]
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $( $(#[$field_meta])* pub $field: $type, )* }

        const _: () = {
            use $crate::model::shape::declare::{Field, check_struct};
            use $crate::model::shape::{Errors, Form, Path, Shape};
            const FIELDS: &[Field] = &[$( Field::of::<$type>(stringify!($field)) ),*];

            impl Shape for $name {
                fn check(value: &serde_json::Value, at: &Path, errors: &mut Errors) {
                    check_struct(FIELDS, value, at, errors);
                }

                fn form() -> Form {
                    Form::Struct(FIELDS)
                }
            }
        };

        $crate::model::shape::declare::shape! { $($rest)* }
    };
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $wire:literal, )* }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $( $(#[$variant_meta])* #[serde(rename = $wire)] $variant, )* }

        impl $name {
            /// The string that stands for it on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $wire, )* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::model::shape::Shape for $name {
            fn check(
                value: &serde_json::Value,
                at: &$crate::model::shape::Path,
                errors: &mut $crate::model::shape::Errors,
            ) {
                $crate::model::shape::declare::check_enum(&[$( $wire ),*], value, at, errors);
            }

            fn form() -> $crate::model::shape::Form {
                $crate::model::shape::Form::Text
            }
        }

        $crate::model::shape::declare::shape! { $($rest)* }
    };
    (
        $(#[$meta:meta])*
        pub union $name:ident { $( $(#[$variant_meta:meta])* $variant:ident($type:ty), )* }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum $name { $( $(#[$variant_meta])* $variant($type), )* }

        const _: () = {
            use $crate::model::shape::declare::{Field, check_union};
            use $crate::model::shape::{Errors, Form, Path, Shape};
            const MEMBERS: &[Field] = &[$( Field::of::<$type>(stringify!($variant)) ),*];

            impl Shape for $name {
                fn check(value: &serde_json::Value, at: &Path, errors: &mut Errors) {
                    check_union(MEMBERS, value, at, errors);
                }

                fn form() -> Form {
                    Form::Union(MEMBERS)
                }
            }
        };

        $crate::model::shape::declare::shape! { $($rest)* }
    };
}
pub(crate) use shape;

/// A field of a struct, or a member of a union.
pub struct Field {
    wire_name: CamelCase,
    required: bool,
    check: fn(&Value, &Path, &mut Errors),
    form: fn() -> Form,
}

impl Field {
    /// The field with this Rust identifier, of the type `T`.
    pub(crate) const fn of<T: Shape>(identifier: &'static str) -> Field {
        Field { wire_name: CamelCase::of(identifier), required: T::REQUIRED, check: T::check, form: T::form }
    }

    /// The name on the wire.
    pub(crate) fn wire_name(&self) -> &str {
        self.wire_name.as_str()
    }

    /// Whether a struct must have it. Of a union's members this says nothing.
    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    /// What its values look like.
    pub(crate) fn form(&self) -> Form {
        (self.form)()
    }
}

/// The longest name of a field, in bytes. A longer one does not compile.
const NAME_BYTES_MAX: usize = 40;

/// An identifier in camel case, as serde's `rename_all` makes it; made when it is compiled.
struct CamelCase {
    bytes: [u8; NAME_BYTES_MAX],
    length: usize,
}

impl CamelCase {
    const fn of(identifier: &str) -> CamelCase {
        let identifier = identifier.as_bytes();
        let mut name = CamelCase { bytes: [0; NAME_BYTES_MAX], length: 0 };
        let mut at = if let [b'r', b'#', ..] = identifier { 2 } else { 0 };
        let mut starts_word = false;
        while at < identifier.len() {
            let byte = identifier[at];
            at += 1;
            if byte == b'_' {
                starts_word = true;
                continue;
            }
            name.bytes[name.length] = match () {
                () if name.length == 0 => byte.to_ascii_lowercase(),
                () if starts_word => byte.to_ascii_uppercase(),
                () => byte,
            };
            name.length += 1;
            starts_word = false;
        }
        name
    }

    fn as_str(&self) -> &str {
        // identifiers of the model are ASCII
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// Checks that `value` is an object with these fields.
pub(crate) fn check_struct(fields: &[Field], value: &Value, at: &Path, errors: &mut Errors) {
    let Value::Object(given) = value else {
        errors.wrong_type(at, value, "an object");
        return;
    };
    for field in fields {
        let name = field.wire_name();
        match given.get(name) {
            Some(member) => (field.check)(member, &at.field(name), errors),
            None if field.required => errors.report(&at.field(name), "is required"),
            None => {}
        }
    }
    refuse_unknown(fields, given, at, errors);
}

/// Checks that `value` is an object with exactly one of these members.
pub(crate) fn check_union(members: &[Field], value: &Value, at: &Path, errors: &mut Errors) {
    let Value::Object(given) = value else {
        errors.wrong_type(at, value, "an object");
        return;
    };
    refuse_unknown(members, given, at, errors);
    let present: Vec<&Field> =
        members.iter().filter(|member| given.contains_key(member.wire_name())).collect();
    for member in &present {
        let name = member.wire_name();
        if let Some(content) = given.get(name) {
            (member.check)(content, &at.field(name), errors);
        }
    }
    if given.is_empty() {
        let known = wire_names(members);
        errors.report(at, format_args!("has no member; give exactly one of {known}"));
    }
    if present.len() > 1 {
        let count = present.len();
        let (present, known) = (wire_names(present), wire_names(members));
        errors.report(at, format_args!("has {count} members ({present}); give exactly one of {known}"));
    }
}

/// Checks that `value` is one of these strings.
pub(crate) fn check_enum(known: &[&str], value: &Value, at: &Path, errors: &mut Errors) {
    let Value::String(given) = value else {
        errors.wrong_type(at, value, "a string");
        return;
    };
    if !known.contains(&given.as_str()) {
        errors.report(at, format_args!("{} is not one of {}", quote(given), known.join(", ")));
    }
}

fn refuse_unknown(known: &[Field], given: &Map<String, Value>, at: &Path, errors: &mut Errors) {
    for name in given.keys() {
        if !known.iter().any(|field| field.wire_name() == *name) {
            let problem = format!("is not a field here; known fields are {}", wire_names(known));
            errors.report(&at.field(&excerpt(name)), problem);
        }
    }
}

fn wire_names<'a>(fields: impl IntoIterator<Item = &'a Field>) -> String {
    fields.into_iter().map(Field::wire_name).collect::<Vec<_>>().join(", ")
}
