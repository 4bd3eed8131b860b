//! A piece of a list, and the token for the next.
//!
//! A token says after which name or key to go on, so whatever is created or deleted meanwhile, nothing that stays is
//! left out or shown twice. It is bound to its list by a hash.

use legation_proto::version::content_hash;

use super::command::Query;
use super::error::ApiError;
use crate::model::shape::error::quote;

/// The most resources on a page, and how many there are if the client does not say.
pub(super) const RESOURCES_MAX: usize = 100;

/// The same, for tags.
pub(super) const TAGS_MAX: usize = 50;

/// How many characters of a token are the hash.
const HASH_CHARS: usize = 16;

/// Which piece of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// How many items at most.
    pub(super) limit: usize,
    /// The name after which it starts.
    pub(super) after: Option<String>,
}

impl Page {
    /// The page that the parameters `limit` and `nextToken` of a query ask for, of the list that `list` names;
    /// it has at most `items_max` items.
    pub(super) fn parse(query: &Query, list: &str, items_max: usize) -> Result<Page, ApiError> {
        let limit = match query.get("limit") {
            None => items_max,
            Some(given) => match given.parse() {
                Ok(limit) if (1..=items_max).contains(&limit) => limit,
                _ => {
                    let problem = format!("limit: {} is not an integer in 1..={items_max}", quote(given));
                    return Err(ApiError::BadRequest(problem));
                }
            },
        };
        let Some(token) = query.get("nextToken") else {
            return Ok(Page { limit, after: None });
        };
        match name_in(token, list) {
            Some(name) => Ok(Page { limit, after: Some(name) }),
            None => Err(ApiError::BadRequest("nextToken: is not a token of this list".to_owned())),
        }
    }
}

/// The token for what comes after `name` in the list that `list` names.
pub(super) fn token(name: &str, list: &str) -> String {
    let name_in_hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{:016x}{name_in_hex}", hash(name, list))
}

fn name_in(token: &str, list: &str) -> Option<String> {
    let (_, name_in_hex) = token.split_at_checked(HASH_CHARS)?;
    let name = name_in_hex
        .as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())
        .collect::<Option<Vec<u8>>>()?;
    let name = String::from_utf8(name).ok()?;
    (token == self::token(&name, list)).then_some(name)
}

fn hash(name: &str, list: &str) -> u64 {
    content_hash(format!("{list}\n{name}").as_bytes())
}
