//! The formats of access logs, which Envoy refuses as a whole if one command in them is not its own.

use Arguments::{
    Duration, Free, Headers, Metadata, None as Nothing, Path as PathOption, State, Status, Text,
};

use super::commands::COMMANDS;
use crate::model::shape::error::quote;
use crate::model::shape::{Errors, Path};

/// What a command takes in parentheses, and whether a length such as `:10` may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arguments {
    /// Nothing.
    None,
    /// Any text, or nothing.
    Free,
    /// A text; a length may follow.
    Text,
    /// A header and perhaps another to take in its place, as in `REQ(X-ID?:PATH)`; a length may follow.
    Headers,
    /// A namespace and keys, with colons between.
    Keys,
    /// One of these kinds of metadata, a namespace and keys, with colons between.
    Metadata(&'static [&'static str]),
    /// The key of a filter's state, and perhaps how to write it; a length may follow.
    State,
    /// Two points in time and a precision, with colons between.
    Duration,
    /// How to write a status of gRPC, or nothing.
    Status,
    /// With or without the query, or nothing; a length may follow.
    Path,
}

/// Each `%` in a format begins or ends a command of Envoy's, such as `%PROTOCOL%` or `%REQ(X-ID):10%`, or is one of two.
pub(super) fn check_format(format: &str, at: &Path, errors: &mut Errors) {
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        let text = &rest[percent..];
        if let Some(after) = text.strip_prefix("%%") {
            rest = after;
            continue;
        }
        let Some(command) = Command::parse(text) else {
            errors.report(at, format_args!("{} is not a command of Envoy's", quote(text)));
            return;
        };
        if let Err(problem) = command.check() {
            errors.report(at, format_args!("{} {problem}", quote(command.text)));
        }
        rest = &text[command.text.len()..];
    }
}

/// A command as it is written.
struct Command<'a> {
    text: &'a str,
    name: &'a str,
    arguments: &'a str,
    length: Option<&'a str>,
}

impl<'a> Command<'a> {
    /// The command that `text` begins with, if it begins with one.
    fn parse(text: &'a str) -> Option<Command<'a>> {
        let after_percent = text.strip_prefix('%')?;
        let is_name_char = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let mut rest = after_percent.trim_start_matches(is_name_char);
        let name = &after_percent[..after_percent.len() - rest.len()];
        let mut arguments = "";
        let mut length = None;
        if let Some(after) = rest.strip_prefix('(') {
            (arguments, rest) = after.split_once(')')?;
        }
        if let Some(after) = rest.strip_prefix(':') {
            rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            length = Some(&after[..after.len() - rest.len()]);
        }
        rest = rest.strip_prefix('%')?;
        let text = &text[..text.len() - rest.len()];
        (!name.is_empty()).then_some(Command { text, name, arguments, length })
    }

    fn check(&self) -> Result<(), &'static str> {
        let known = COMMANDS.iter().find(|(name, _)| *name == self.name);
        let (_, takes) = known.ok_or("is not a command of Envoy's")?;
        if self.arguments.chars().any(char::is_control) {
            return Err("has a control character");
        }
        takes.check(self.arguments)?;
        match self.length {
            Some(_) if !takes.takes_length() => Err("takes no length"),
            Some(length) if length.parse::<u32>().is_err() => Err("has a length that is not a number"),
            _ => Ok(()),
        }
    }
}

impl Arguments {
    fn takes_length(self) -> bool {
        matches!(self, Text | Headers | State | PathOption)
    }

    fn check(self, given: &str) -> Result<(), &'static str> {
        let parts: Vec<&str> = given.split(':').collect();
        let (is_right, problem) = match self {
            Nothing => (given.is_empty(), "takes nothing in parentheses"),
            Free => (true, ""),
            Text => (!given.is_empty(), "needs a name in parentheses"),
            Headers => (are_headers(given), "needs the name of a header in parentheses"),
            Arguments::Keys => (!given.is_empty(), "needs a namespace in parentheses"),
            Metadata(kinds) => (
                parts.len() > 1 && kinds.contains(&parts[0]),
                "needs a kind of metadata, a namespace and keys in parentheses",
            ),
            State => (is_state(&parts), "needs a key in parentheses, and perhaps :PLAIN or :TYPED"),
            Duration => (
                parts.len() == 3 && ["ms", "us", "ns"].contains(&parts[2]),
                "needs two points in time and ms, us or ns in parentheses",
            ),
            Status => (
                ["", "CAMEL_STRING", "SNAKE_STRING", "NUMBER"].contains(&given),
                "takes CAMEL_STRING, SNAKE_STRING or NUMBER in parentheses",
            ),
            PathOption => (["", "WQ", "NQ"].contains(&given), "takes WQ or NQ in parentheses"),
        };
        if is_right { Ok(()) } else { Err(problem) }
    }
}

fn are_headers(given: &str) -> bool {
    let names: Vec<&str> = given.split('?').collect();
    names.len() <= 2 && names.into_iter().all(is_header)
}

fn is_header(name: &str) -> bool {
    let name = name.strip_prefix(':').unwrap_or(name);
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    !name.is_empty() && name.chars().all(is_allowed)
}

fn is_state(parts: &[&str]) -> bool {
    match parts {
        [key] | [key, "PLAIN" | "TYPED"] => !key.is_empty(),
        [key, "FIELD", field] => !key.is_empty() && !field.is_empty(),
        _ => false,
    }
}
