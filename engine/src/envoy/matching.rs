//! Conditions of routes.

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::envoy::r#type::v3::Int64Range;

/// Requests by their path alone.
pub fn by_path(path: PathSpecifier) -> RouteMatch {
    RouteMatch { path_specifier: Some(path), ..RouteMatch::default() }
}

/// Every request.
pub fn everything() -> RouteMatch {
    by_path(PathSpecifier::Prefix("/".to_owned()))
}

/// A regular expression, which matches a text as a whole.
pub fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher { regex: pattern.to_owned(), ..RegexMatcher::default() }
}

/// A text that is just this.
pub fn exactly(text: &str) -> StringMatcher {
    text_matcher(MatchPattern::Exact(text.to_owned()))
}

/// A text by a pattern, in which case matters.
pub fn text_matcher(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ignore_case: false }
}

/// A text by a pattern, in which case does not matter.
pub fn text_in_any_case(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ignore_case: true }
}

/// A header with such a value.
pub fn header(name: &str, value: StringMatcher) -> HeaderMatcher {
    header_matcher(name, HeaderMatchSpecifier::StringMatch(value))
}

/// A header whose value is an integer from `start`, and below `end`.
pub fn header_in_range(name: &str, start: i64, end: i64) -> HeaderMatcher {
    header_matcher(name, HeaderMatchSpecifier::RangeMatch(Int64Range { start, end }))
}

/// A header with any value.
pub fn header_present(name: &str) -> HeaderMatcher {
    header_matcher(name, HeaderMatchSpecifier::PresentMatch(true))
}

fn header_matcher(name: &str, condition: HeaderMatchSpecifier) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(condition),
        ..HeaderMatcher::default()
    }
}

/// Exactly the requests that `matcher` does not match, those without the header included: by itself, Envoy's inversion
/// leaves these out, unless it is presence that is asked for.
pub fn inverted(matcher: HeaderMatcher) -> HeaderMatcher {
    let asks_for_value =
        !matches!(matcher.header_match_specifier, Some(HeaderMatchSpecifier::PresentMatch(_)));
    HeaderMatcher { invert_match: true, treat_missing_header_as_empty: asks_for_value, ..matcher }
}

/// A query parameter with this value, or with any if there is none.
pub fn query_parameter(name: &str, value: Option<&str>) -> QueryParameterMatcher {
    let condition = match value {
        Some(value) => QueryParameterMatchSpecifier::StringMatch(exactly(value)),
        None => QueryParameterMatchSpecifier::PresentMatch(true),
    };
    QueryParameterMatcher { name: name.to_owned(), query_parameter_match_specifier: Some(condition) }
}
