//! Tests of the model through its one way in, [`Spec::parse`], and of the names of resources.

mod definitions;
mod documents;
mod names;
mod route_rules;
mod rules;
mod shapes;

use expect_test::Expect;
use serde_json::Value;

use super::{Kind, Spec};

/// What is reported of `spec`, a line each, or `valid`.
fn reported(kind: Kind, spec: &Value) -> String {
    match Spec::parse(kind, spec) {
        Ok(_) => "valid".to_owned(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// Compares what is [`reported`] of `spec` with what is expected.
#[allow(clippy::needless_pass_by_value, reason = "a literal at every call")]
fn check(kind: Kind, spec: Value, expected: Expect) {
    expected.assert_eq(&reported(kind, &spec));
}
