//! Which Envoys are asked for.

use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher};
use legation_proto::id::NodeId;
use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// Most matchers in a request.
const MATCHERS_MAX: usize = 1000;

/// Largest program that a regular expression may become, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 18;

/// Takes the Envoys that one of its matchers takes, and all where there is none.
#[derive(Debug)]
pub(super) struct EnvoyMatcher(Vec<IdMatcher>);

/// Why matchers cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum BadMatcher {
    #[error("there are more than {MATCHERS_MAX} node_matchers")]
    TooMany,
    #[error("node_metadatas cannot be matched: the metadata of nodes is not kept; match node_id")]
    Metadata,
    #[error("a node_id matcher has no match_pattern")]
    NoPattern,
    #[error("a custom node_id matcher is not supported; use exact, prefix, suffix, contains or safe_regex")]
    Custom,
    #[error("an empty prefix, suffix or contains of a node_id matcher is not allowed")]
    Empty,
    #[error("a regular expression of a node_id matcher cannot be used: {0}")]
    Regex(String),
}

impl EnvoyMatcher {
    /// Whether Envoys of this node are asked for.
    pub(super) fn takes(&self, node: &NodeId) -> bool {
        let id = node.to_string();
        self.0.is_empty() || self.0.iter().any(|matcher| matcher.takes(&id))
    }
}

impl TryFrom<Vec<NodeMatcher>> for EnvoyMatcher {
    type Error = BadMatcher;

    fn try_from(matchers: Vec<NodeMatcher>) -> Result<Self, BadMatcher> {
        if matchers.len() > MATCHERS_MAX {
            return Err(BadMatcher::TooMany);
        }
        matchers.into_iter().map(IdMatcher::try_from).collect::<Result<_, _>>().map(Self)
    }
}

/// Takes node ids; without regard to the case of ASCII letters, if its pattern is in lower case and it ignores case.
#[derive(Debug)]
struct IdMatcher {
    pattern: Pattern,
    ignore_case: bool,
}

#[derive(Debug)]
enum Pattern {
    Anything,
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(Regex),
}

impl IdMatcher {
    fn takes(&self, id: &str) -> bool {
        let lower;
        let id = if self.ignore_case {
            lower = id.to_ascii_lowercase();
            &lower
        } else {
            id
        };
        match &self.pattern {
            Pattern::Anything => true,
            Pattern::Exact(text) => id == text,
            Pattern::Prefix(text) => id.starts_with(text),
            Pattern::Suffix(text) => id.ends_with(text),
            Pattern::Contains(text) => id.contains(text),
            Pattern::Regex(regex) => regex.is_match(id),
        }
    }
}

impl TryFrom<NodeMatcher> for IdMatcher {
    type Error = BadMatcher;

    fn try_from(matcher: NodeMatcher) -> Result<Self, BadMatcher> {
        if !matcher.node_metadatas.is_empty() {
            return Err(BadMatcher::Metadata);
        }
        let Some(StringMatcher { match_pattern, ignore_case }) = matcher.node_id else {
            return Ok(Self { pattern: Pattern::Anything, ignore_case: false });
        };
        let text = |text: String| if ignore_case { text.to_ascii_lowercase() } else { text };
        let part = |part: String| if part.is_empty() { Err(BadMatcher::Empty) } else { Ok(text(part)) };
        let pattern = match match_pattern.ok_or(BadMatcher::NoPattern)? {
            MatchPattern::Exact(exact) => Pattern::Exact(text(exact)),
            MatchPattern::Prefix(prefix) => Pattern::Prefix(part(prefix)?),
            MatchPattern::Suffix(suffix) => Pattern::Suffix(part(suffix)?),
            MatchPattern::Contains(contained) => Pattern::Contains(part(contained)?),
            // ignore_case has no effect on regular expressions, as its definition says
            MatchPattern::SafeRegex(regex) => {
                return Ok(Self { pattern: Pattern::Regex(whole(&regex.regex)?), ignore_case: false });
            }
            MatchPattern::Custom(_) => return Err(BadMatcher::Custom),
        };
        Ok(Self { pattern, ignore_case })
    }
}

/// A regular expression that matches whole texts only. Its dialect is that of RE2 but for details that no node id has.
fn whole(regex: &str) -> Result<Regex, BadMatcher> {
    let build = |regex: &str| {
        let built = RegexBuilder::new(regex).size_limit(REGEX_BYTES_MAX).build();
        built.map_err(|error| BadMatcher::Regex(error.to_string().chars().take(200).collect()))
    };
    build(regex)?; // by itself, so that it cannot close the group below
    build(&format!(r"\A(?:{regex})\z"))
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StructMatcher};
    use envoy_types::pb::xds::core::v3::TypedExtensionConfig;

    use super::*;

    fn by_id(match_pattern: Option<MatchPattern>, ignore_case: bool) -> NodeMatcher {
        NodeMatcher {
            node_id: Some(StringMatcher { match_pattern, ignore_case }),
            node_metadatas: Vec::new(),
        }
    }

    fn regex(regex: &str) -> MatchPattern {
        MatchPattern::SafeRegex(RegexMatcher { regex: regex.to_owned(), engine_type: None })
    }

    fn takes(matchers: Vec<NodeMatcher>, id: &str) -> bool {
        EnvoyMatcher::try_from(matchers).unwrap().takes(&id.parse().unwrap())
    }

    const NODE: &str = "mesh/Shop/virtualNode/web-1";

    #[test]
    fn every_form_of_a_string_matcher() {
        use MatchPattern::{Contains, Exact, Prefix, Suffix};
        // pattern, whether it takes the node as it is, and without regard to case
        for (pattern, matches, matches_in_any_case) in [
            (Exact(NODE.to_owned()), true, true),
            (Exact(NODE.to_uppercase()), false, true),
            (Exact("mesh/Shop/virtualNode/web".to_owned()), false, false),
            (Exact(String::new()), false, false),
            (Prefix("mesh/Shop/".to_owned()), true, true),
            (Prefix("mesh/shop/".to_owned()), false, true),
            (Prefix("Shop".to_owned()), false, false),
            (Suffix("/web-1".to_owned()), true, true),
            (Suffix("/WEB-1".to_owned()), false, true),
            (Suffix("web".to_owned()), false, false),
            (Contains("virtualNode".to_owned()), true, true),
            (Contains("VIRTUALnode".to_owned()), false, true),
            (Contains("virtualGateway".to_owned()), false, false),
            (regex("mesh/Shop/virtual(Node|Gateway)/web-[0-9]+"), true, true),
            (regex("mesh/shop/.*"), false, false),
            (regex("(?i)mesh/shop/.*"), true, true),
            (regex("Shop"), false, false),
            (regex("mesh|.*web-1"), true, true),
            (regex("x|mesh/Shop"), false, false),
        ] {
            for (ignore_case, expected) in [(false, matches), (true, matches_in_any_case)] {
                let matcher = by_id(Some(pattern.clone()), ignore_case);
                assert_eq!(takes(vec![matcher], NODE), expected, "{pattern:?} {ignore_case}");
            }
        }
    }

    #[test]
    fn one_of_several_is_enough_and_none_takes_all() {
        let suffix = |suffix: &str| by_id(Some(MatchPattern::Suffix(suffix.to_owned())), false);
        assert!(takes(vec![suffix("/a"), suffix("/web-1")], NODE));
        assert!(!takes(vec![suffix("/a"), suffix("/b")], NODE));
        assert!(takes(Vec::new(), NODE));
        assert!(takes(vec![NodeMatcher::default()], NODE), "it asks for nothing");
    }

    #[test]
    fn what_cannot_be_matched_is_refused() {
        let metadata = NodeMatcher { node_id: None, node_metadatas: vec![StructMatcher::default()] };
        let error = |matcher| EnvoyMatcher::try_from(vec![NodeMatcher::default(), matcher]).unwrap_err();
        assert_eq!(error(metadata), BadMatcher::Metadata);
        assert_eq!(error(by_id(None, false)), BadMatcher::NoPattern);
        assert_eq!(error(by_id(Some(MatchPattern::Prefix(String::new())), false)), BadMatcher::Empty);
        let custom = MatchPattern::Custom(TypedExtensionConfig::default());
        assert_eq!(error(by_id(Some(custom), false)), BadMatcher::Custom);
        for pattern in ["(", "a)|(?:b", "(?:(?:x{100}){100}){100}"] {
            assert!(matches!(error(by_id(Some(regex(pattern)), false)), BadMatcher::Regex(_)), "{pattern}");
        }
        let many = vec![NodeMatcher::default(); MATCHERS_MAX + 1];
        assert_eq!(EnvoyMatcher::try_from(many).unwrap_err(), BadMatcher::TooMany);
    }
}
