//! Rules on texts: paths and host names.

use crate::model::shape::error::quote;
use crate::model::shape::{Errors, Path};

/// How many characters a host name has at most.
const HOSTNAME_CHARS_MAX: usize = 253;

/// How many characters each part of a host name has at most.
const LABEL_CHARS_MAX: usize = 63;

/// A path starts with `/` and has no control characters.
pub(super) fn check_path(path: &str, at: &Path, errors: &mut Errors) {
    if !path.starts_with('/') {
        errors.report(at, format_args!("{} does not start with /", quote(path)));
    }
    check_no_control(path, at, errors);
}

/// What is compared with headers, or written to them, has no control characters.
pub(super) fn check_no_control(text: &str, at: &Path, errors: &mut Errors) {
    if text.chars().any(char::is_control) {
        errors.report(at, format_args!("{} has a control character", quote(text)));
    }
}

/// A host name has 1 to 253 characters, in parts of 1 to 63 letters, digits, `-` and `_`; a dot may end it.
pub(super) fn check_hostname(hostname: &str, at: &Path, errors: &mut Errors) {
    let labels = hostname.strip_suffix('.').unwrap_or(hostname);
    if labels.len() > HOSTNAME_CHARS_MAX || !labels.split('.').all(is_label) {
        errors.report(at, format_args!("{} is not a host name", quote(hostname)));
    }
}

/// The end of a host name consists of letters, digits, `-`, `_` and dots.
pub(super) fn check_hostname_suffix(suffix: &str, at: &Path, errors: &mut Errors) {
    if !suffix.chars().all(|c| c == '.' || is_label_char(c)) {
        errors.report(at, format_args!("{} is not the end of a host name", quote(suffix)));
    }
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_CHARS_MAX).contains(&label.len()) && label.chars().all(is_label_char)
}

fn is_label_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}
