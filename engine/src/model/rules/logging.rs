//! Rules on access logs.

use super::check_distinct;
use super::text::check_no_control;
use crate::model::logging::{AccessLog, Logging, LoggingFormat};
use crate::model::shape::error::quote;
use crate::model::shape::{Errors, Path};

/// The rules on the logging of the specification at `at`.
///
/// The file has no control characters in its path. A format of JSON has at least one member and each name
/// once, and every format is one that Envoy can read.
pub(super) fn check(logging: Option<&Logging>, at: &Path, errors: &mut Errors) {
    let Some(AccessLog::File(log)) = logging.and_then(|logging| logging.access_log.as_ref()) else {
        return;
    };
    let at = at.field("logging").field("accessLog").field("file");
    check_no_control(&log.path, &at.field("path"), errors);
    match &log.format {
        None => {}
        Some(LoggingFormat::Text(text)) => check_format(text, &at.field("format").field("text"), errors),
        Some(LoggingFormat::Json(members)) => {
            let at = at.field("format").field("json");
            if members.is_empty() {
                errors.report(&at, "has no items; give at least one");
            }
            let mut keys = Vec::new();
            for (index, member) in members.iter().enumerate() {
                let at = at.index(index);
                check_format(&member.value, &at.field("value"), errors);
                keys.push((at.field("key"), &member.key));
            }
            check_distinct(keys, errors);
        }
    }
}

/// Each `%` in a format begins or ends a command, such as `%PROTOCOL%` or `%REQ(X-ID):10%`, or is one of two.
fn check_format(format: &str, at: &Path, errors: &mut Errors) {
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        let command = &rest[percent..];
        let Some(end) = command_end(command) else {
            errors.report(at, format_args!("{} is not a command of Envoy's", quote(command)));
            return;
        };
        rest = &command[end..];
    }
}

/// Where the command that `text` begins with ends: after its second `%`. Nothing, if it begins with none.
fn command_end(text: &str) -> Option<usize> {
    let after_percent = text.strip_prefix('%')?;
    let mut rest =
        after_percent.trim_start_matches(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let has_name = rest.len() < after_percent.len();
    if has_name {
        if let Some(arguments) = rest.strip_prefix('(') {
            rest = arguments.split_once(')')?.1;
        }
        if let Some(length) = rest.strip_prefix(':') {
            rest = length.trim_start_matches(|c: char| c.is_ascii_digit());
        }
    }
    rest = rest.strip_prefix('%')?;
    Some(text.len() - rest.len())
}
