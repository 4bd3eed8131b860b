//! What is wrong, and where.

use std::fmt::{self, Display};

use serde_json::{Number, Value};

/// How many errors of one document are reported one by one; of the rest only the number is.
const ERRORS_MAX: usize = 100;

/// From here on JSON's numbers are not exact: 2 to the power of 53.
const INEXACT_FROM: f64 = 9_007_199_254_740_992.0;

/// How many characters of a text of the user's an error shows.
const EXCERPT_CHARS: usize = 64;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct FieldError {
    /// Where, such as `spec.listeners[0].portMapping.port`.
    pub path: String,
    /// What, such as `70000 is not in 1..=65535`.
    pub problem: String,
}

/// Where a value stands in its document, such as `spec.listeners[0].portMapping`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The path of a document's top, such as `spec`.
    pub fn root(name: &str) -> Path {
        Path(name.to_owned())
    }

    /// The member `name` of the object here.
    pub fn field(&self, name: &str) -> Path {
        Path([&self.0, ".", name].concat()) // for every member of every request: `format!` takes four times as long
    }

    /// The item at `index`, from zero, of the list here.
    pub fn index(&self, index: usize) -> Path {
        Path(format!("{self}[{index}]"))
    }

    /// The error that the value here has `problem`.
    pub fn error(&self, problem: impl Display) -> FieldError {
        FieldError { path: self.0.clone(), problem: problem.to_string() }
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The errors of one document: all of them, up to a bound, and then their number.
#[derive(Debug, Default)]
pub struct Errors {
    reported: Vec<FieldError>,
    beyond_bound: usize,
}

impl Errors {
    /// Reports that the value at `at` has `problem`.
    pub fn report(&mut self, at: &Path, problem: impl Display) {
        if self.reported.len() < ERRORS_MAX {
            self.reported.push(at.error(problem));
        } else {
            self.beyond_bound += 1;
        }
    }

    /// Reports that the value at `at` is of another JSON type than `expected`, such as `an integer`.
    pub fn wrong_type(&mut self, at: &Path, value: &Value, expected: &str) {
        let given = match value {
            Value::Null => "is null".to_owned(),
            Value::Bool(given) => format!("{given} is a boolean"),
            Value::Number(given) if given.is_f64() && expected == "an integer" => not_an_integer(given),
            Value::Number(given) => format!("{given} is a number"),
            Value::String(given) => format!("{} is a string", quote(given)),
            Value::Array(_) => "is a list".to_owned(),
            Value::Object(_) => "is an object".to_owned(),
        };
        self.report(at, format_args!("{given}; {expected} is expected"));
    }

    /// Nothing, if nothing was reported; otherwise every error.
    pub fn into_result(self) -> Result<(), Vec<FieldError>> {
        let mut errors = self.reported;
        if errors.is_empty() {
            return Ok(());
        }
        if self.beyond_bound > 0 {
            let path = "document".to_owned();
            let problem = format!("has {} more errors", self.beyond_bound);
            errors.push(FieldError { path, problem });
        }
        Err(errors)
    }
}

/// What is wrong with a number that is no integer, at least not one that was kept exactly.
fn not_an_integer(given: &Number) -> String {
    let number = given.as_f64().unwrap_or_default();
    if number.abs() >= INEXACT_FROM {
        return format!("{given} is too large a number");
    }
    if number.fract() == 0.0 {
        return format!("{given} is a number with a fraction, or with zeros before it");
    }
    format!("{given} is a number with a fraction")
}

/// A text of the user's as an error may show it: escaped, and cut short.
pub fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(EXCERPT_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

/// The [`excerpt`] of a text in quotation marks.
pub fn quote(text: &str) -> String {
    format!("\"{}\"", excerpt(text))
}
