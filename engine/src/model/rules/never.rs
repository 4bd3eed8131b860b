//! Conditions that no request ever meets, whatever else is defined: only a change of themselves can make them right.

use crate::model::matching::{HeaderMatch, HeaderMatchMethod, HttpQueryParameter};
use crate::model::shape::error::quote;
use crate::model::shape::{Errors, Path};

/// A path that is compared with those of requests is what Envoy makes of them: without `?` and `#`, with one `/` between its
/// parts, none of which is `.` or `..`.
pub(super) fn check_path(path: &str, at: &Path, errors: &mut Errors) {
    check(path, path.split('/').collect::<Vec<_>>().as_slice(), at, errors);
}

/// Likewise for the beginning of a path, whose last part may go on.
pub(super) fn check_prefix(prefix: &str, at: &Path, errors: &mut Errors) {
    let mut parts: Vec<&str> = prefix.split('/').collect();
    parts.pop();
    check(prefix, &parts, at, errors);
}

fn check(text: &str, parts: &[&str], at: &Path, errors: &mut Errors) {
    if let Some(end) = text.chars().find(|c| matches!(c, '?' | '#')) {
        let problem = format_args!("{} never matches: a path is compared up to its {end}", quote(text));
        errors.report(at, problem);
    } else if text.contains("//") {
        let problem =
            format_args!("{} never matches: adjacent slashes of a request are merged before", quote(text));
        errors.report(at, problem);
    } else if let Some(dots) = parts.iter().find(|part| matches!(**part, "." | "..")) {
        let problem = format_args!("{} never matches: {dots} is resolved in a request before", quote(text));
        errors.report(at, problem);
    }
}

/// No two conditions on one header exclude each other.
pub(super) fn check_headers(headers: &[HeaderMatch], at: &Path, errors: &mut Errors) {
    for (index, header) in headers.iter().enumerate() {
        let excluding = headers[..index].iter().position(|earlier| exclude_each_other(earlier, header));
        if let Some(earlier) = excluding {
            let problem = format_args!(
                "never holds together with {}: both are on the header {}",
                at.index(earlier),
                quote(&header.name)
            );
            errors.report(&at.index(index), problem);
        }
    }
}

fn exclude_each_other(one: &HeaderMatch, other: &HeaderMatch) -> bool {
    use HeaderMatchMethod::{Exact, Prefix, Range, Suffix};
    if !one.name.eq_ignore_ascii_case(&other.name) {
        return false;
    }
    let is_inverted = |header: &HeaderMatch| header.invert == Some(true);
    match (is_inverted(one), is_inverted(other)) {
        (false, false) => match (&one.r#match, &other.r#match) {
            (Some(Exact(one)), Some(Exact(other))) => one != other,
            (Some(Exact(exact)), Some(Prefix(prefix))) | (Some(Prefix(prefix)), Some(Exact(exact))) => {
                !exact.starts_with(prefix.as_str())
            }
            (Some(Exact(exact)), Some(Suffix(suffix))) | (Some(Suffix(suffix)), Some(Exact(exact))) => {
                !exact.ends_with(suffix.as_str())
            }
            (Some(Range(one)), Some(Range(other))) => one.end <= other.start || other.end <= one.start,
            _ => false,
        },
        (true, true) => false,
        // one condition and its opposite; or something is said of a header that is not to be there
        _ => {
            let inverted = if is_inverted(one) { one } else { other };
            one.r#match == other.r#match || inverted.r#match.is_none()
        }
    }
}

/// No two conditions on one query parameter exclude each other.
pub(super) fn check_query_parameters(parameters: &[HttpQueryParameter], at: &Path, errors: &mut Errors) {
    let exact = |parameter: &HttpQueryParameter| parameter.r#match.as_ref().and_then(|own| own.exact.clone());
    for (index, parameter) in parameters.iter().enumerate() {
        let excluding = parameters[..index].iter().position(|earlier| {
            let values = (exact(earlier), exact(parameter));
            earlier.name == parameter.name && matches!(&values, (Some(one), Some(other)) if one != other)
        });
        if let Some(earlier) = excluding {
            let problem = format_args!(
                "never holds together with {}: both are on the parameter {}",
                at.index(earlier),
                quote(&parameter.name)
            );
            errors.report(&at.index(index), problem);
        }
    }
}
