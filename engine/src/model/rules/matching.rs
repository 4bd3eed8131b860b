//! Rules on the conditions of routes and gateway routes.

use super::check_exactly_one;
use super::never;
use super::regex::check_regex;
use super::text::{check_no_control, check_path};
use crate::model::matching::{HeaderMatch, HeaderMatchMethod, HttpPathMatch, HttpQueryParameter};
use crate::model::shape::{Errors, Path};

/// A condition on a path is exactly one of `exact` and `regex`; `exact` is a path and `regex` a regular
/// expression.
pub(super) fn check_path_match(path: &HttpPathMatch, at: &Path, errors: &mut Errors) {
    check_exactly_one(&[("exact", path.exact.is_some()), ("regex", path.regex.is_some())], at, errors);
    if let Some(exact) = &path.exact {
        let at = at.field("exact");
        check_path(exact, &at, errors);
        never::check_path(exact, &at, errors);
    }
    if let Some(regex) = &path.regex {
        check_regex(regex, &at.field("regex"), errors);
    }
}

/// A condition on the beginning of a path is one.
pub(super) fn check_prefix_match(prefix: &str, at: &Path, errors: &mut Errors) {
    check_path(prefix, at, errors);
    never::check_prefix(prefix, at, errors);
}

/// The name of a header has no control characters. A range begins before it ends, and `regex` is a regular
/// expression. All conditions can hold together.
pub(super) fn check_headers(headers: &[HeaderMatch], at: &Path, errors: &mut Errors) {
    never::check_headers(headers, at, errors);
    for (index, header) in headers.iter().enumerate() {
        let at = at.index(index);
        check_no_control(&header.name, &at.field("name"), errors);
        let at = at.field("match");
        match &header.r#match {
            Some(HeaderMatchMethod::Range(range)) if range.start >= range.end => {
                let problem = format!("starts at {}, which is not below its end, {}", range.start, range.end);
                errors.report(&at.field("range"), problem);
            }
            Some(HeaderMatchMethod::Regex(regex)) => check_regex(regex, &at.field("regex"), errors),
            _ => {}
        }
    }
}

/// How many bytes the name of a query parameter has at most (Envoy's `QueryParameterMatcher`).
const QUERY_NAME_BYTES_MAX: usize = 1024;

/// The name of a query parameter is not empty, and not longer than Envoy takes it. All conditions can hold together.
pub(super) fn check_query_parameters(parameters: &[HttpQueryParameter], at: &Path, errors: &mut Errors) {
    never::check_query_parameters(parameters, at, errors);
    for (index, parameter) in parameters.iter().enumerate() {
        if parameter.name.is_empty() {
            errors.report(&at.index(index).field("name"), "is empty");
        }
        let bytes = parameter.name.len();
        if bytes > QUERY_NAME_BYTES_MAX {
            errors.report(
                &at.index(index).field("name"),
                format_args!("has {bytes} bytes; at most {QUERY_NAME_BYTES_MAX} are allowed"),
            );
        }
    }
}
