//! Whether one condition holds wherever another does. Where it is not clear, it does not: `covers` never says too much, and
//! may say too little.

use std::str::FromStr;

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

/// Whether every request for which `condition` holds is one for which `general` holds.
pub(super) fn covers(general: &RouteMatch, condition: &RouteMatch) -> bool {
    let (Some(general_path), Some(path)) = (&general.path_specifier, &condition.path_specifier) else {
        return false;
    };
    covers_path(general_path, path)
        && (general.grpc.is_none() || condition.grpc.is_some())
        && general.headers.iter().all(|wanted| condition.headers.iter().any(|given| implies(given, wanted)))
        && general.query_parameters.iter().all(|wanted| {
            condition.query_parameters.iter().any(|given| query_parameter_implies(given, wanted))
        })
}

/// Every path starts with `/`: Envoy answers others itself.
fn covers_path(general: &PathSpecifier, path: &PathSpecifier) -> bool {
    use PathSpecifier::{Path, Prefix, SafeRegex};
    match (general, path) {
        (Prefix(general), _) if general == "/" => true,
        (Prefix(general), Prefix(prefix)) => prefix.starts_with(general),
        (Prefix(general), Path(path)) => path.starts_with(general),
        (Prefix(general), SafeRegex(regex)) => literal_start(&regex.regex).starts_with(general),
        (Path(general), Path(path)) => general == path,
        (SafeRegex(general), SafeRegex(regex)) => general.regex == regex.regex,
        _ => false,
    }
}

/// What every text starts with that the regular expression matches as a whole.
fn literal_start(regex: &str) -> &str {
    const META: [char; 14] = ['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];
    if regex.contains('|') {
        return "";
    }
    let end = regex.find(META).unwrap_or(regex.len());
    let start = &regex[..end];
    // what may be repeated may be missing
    if regex[end..].starts_with(['*', '?', '{']) {
        let last = start.char_indices().next_back().map_or(0, |(index, _)| index);
        return &start[..last];
    }
    start
}

/// Whether `wanted` holds for every request for which `given` does.
fn implies(given: &HeaderMatcher, wanted: &HeaderMatcher) -> bool {
    if !given.name.eq_ignore_ascii_case(&wanted.name) {
        return false;
    }
    let is_same = given.header_match_specifier == wanted.header_match_specifier
        && given.invert_match == wanted.invert_match
        && given.treat_missing_header_as_empty == wanted.treat_missing_header_as_empty;
    if is_same {
        return true;
    }
    let (Some(given_value), Some(wanted_value)) =
        (&given.header_match_specifier, &wanted.header_match_specifier)
    else {
        return false;
    };
    // what is said of a header by a condition that is not inverted is said of one that is there
    if given.invert_match {
        return false;
    }
    match value_implies(given_value, wanted_value) {
        Implied::Always => !wanted.invert_match,
        Implied::Never => wanted.invert_match,
        Implied::Unknown => false,
    }
}

/// Whether a condition on a value holds for all values for which another one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Implied {
    /// For all of them.
    Always,
    /// For none of them.
    Never,
    /// For some, or that is not clear.
    Unknown,
}

impl Implied {
    fn always_if(is_always: bool) -> Self {
        if is_always { Self::Always } else { Self::Unknown }
    }

    fn surely(holds: bool) -> Self {
        if holds { Self::Always } else { Self::Never }
    }
}

fn value_implies(given: &HeaderMatchSpecifier, wanted: &HeaderMatchSpecifier) -> Implied {
    use HeaderMatchSpecifier::{PresentMatch, RangeMatch, StringMatch};
    match (given, wanted) {
        (StringMatch(_) | RangeMatch(_) | PresentMatch(true), PresentMatch(true)) => Implied::Always,
        (StringMatch(given), StringMatch(wanted)) => text_implies(given, wanted),
        (StringMatch(given), RangeMatch(range)) => match (&given.match_pattern, given.ignore_case) {
            (Some(MatchPattern::Exact(value)), false) => match plain_integer(value) {
                Some(value) => Implied::surely((range.start..range.end).contains(&value)),
                None => Implied::Unknown,
            },
            _ => Implied::Unknown,
        },
        (RangeMatch(given), RangeMatch(wanted)) => {
            let is_within = wanted.start <= given.start && given.end <= wanted.end;
            let is_apart = given.end <= wanted.start || wanted.end <= given.start;
            if is_apart { Implied::Never } else { Implied::always_if(is_within) }
        }
        _ => Implied::Unknown,
    }
}

/// An integer in its only form that leaves no doubt.
fn plain_integer(text: &str) -> Option<i64> {
    let number = i64::from_str(text).ok()?;
    (number.to_string() == text).then_some(number)
}

fn text_implies(given: &StringMatcher, wanted: &StringMatcher) -> Implied {
    use MatchPattern::{Contains, Exact, Prefix, Suffix};
    let (Some(given_pattern), Some(wanted_pattern)) = (&given.match_pattern, &wanted.match_pattern) else {
        return Implied::Unknown;
    };
    if given.ignore_case != wanted.ignore_case {
        return Implied::Unknown;
    }
    let folded = |text: &str| if given.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    match (given_pattern, wanted_pattern) {
        (Exact(given), Exact(wanted)) => Implied::surely(folded(given) == folded(wanted)),
        (Exact(given), Prefix(wanted)) => Implied::surely(folded(given).starts_with(&folded(wanted))),
        (Exact(given), Suffix(wanted)) => Implied::surely(folded(given).ends_with(&folded(wanted))),
        (Exact(given), Contains(wanted)) => Implied::surely(folded(given).contains(&folded(wanted))),
        (Prefix(given), Prefix(wanted)) => {
            let (given, wanted) = (folded(given), folded(wanted));
            let is_apart = !given.starts_with(&wanted) && !wanted.starts_with(&given);
            if is_apart { Implied::Never } else { Implied::always_if(given.starts_with(&wanted)) }
        }
        (Suffix(given), Suffix(wanted)) => {
            let (given, wanted) = (folded(given), folded(wanted));
            let is_apart = !given.ends_with(&wanted) && !wanted.ends_with(&given);
            if is_apart { Implied::Never } else { Implied::always_if(given.ends_with(&wanted)) }
        }
        _ => Implied::Unknown,
    }
}

fn query_parameter_implies(given: &QueryParameterMatcher, wanted: &QueryParameterMatcher) -> bool {
    given.name == wanted.name
        && (given.query_parameter_match_specifier == wanted.query_parameter_match_specifier
            || matches!(
                wanted.query_parameter_match_specifier,
                Some(QueryParameterMatchSpecifier::PresentMatch(true))
            ))
}
