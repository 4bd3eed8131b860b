//! Rules on access logs.

use super::access_log::check_format;
use super::check_distinct;
use super::text::check_no_control;
use crate::model::logging::{AccessLog, Logging, LoggingFormat};
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
