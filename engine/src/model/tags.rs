//! Tags: what users label their resources with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::definition::{DecodeError, encoded};
use super::id::ResourceId;
use super::shape::declare::shape;
use super::shape::error::quote;
use super::shape::{Errors, FieldError, List, Path, Shape, Text, parse};

/// The most tags that a resource has.
pub const TAGS_MAX: usize = 50;

shape! {
    /// A label of the user's, in a request.
    pub struct Tag {
        /// Its name, unique among the tags of a resource.
        pub key: TagKey,
        /// What it says.
        pub value: Text<0, 256>,
    }
}

/// The key of a tag, in a request.
pub type TagKey = Text<1, 128>;

/// The tags of a resource: values by their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// The tags in a request, which stand at `at`, or everything that is wrong with them. There may be more than
    /// [`TAGS_MAX`].
    pub fn parse_any_number(value: &Value, at: &Path) -> Result<Tags, Vec<FieldError>> {
        Self::collect::<Vec<Tag>>(value, at)
    }

    /// The tags in a request, which stand at `at`, or everything that is wrong with them.
    pub fn parse(value: &Value, at: &Path) -> Result<Tags, Vec<FieldError>> {
        Self::collect::<List<Tag, 0, TAGS_MAX>>(value, at)
    }

    fn collect<T: Shape + IntoIterator<Item = Tag>>(
        value: &Value,
        at: &Path,
    ) -> Result<Tags, Vec<FieldError>> {
        let mut tags = Tags::default();
        let mut errors = Errors::default();
        for (index, tag) in parse::<T>(value, at)?.into_iter().enumerate() {
            let (key, value) = (tag.key.to_string(), tag.value.to_string());
            if tags.0.contains_key(&key) {
                let problem = format!("{} is the key of an earlier tag", quote(&key));
                errors.report(&at.index(index).field("key"), problem);
            }
            tags.0.insert(key, value);
        }
        errors.into_result()?;
        Ok(tags)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// These tags and `others`; of a key that both have, the value is that of the others.
    #[must_use]
    pub fn with(mut self, others: &Tags) -> Tags {
        self.0.extend(others.0.clone());
        self
    }

    /// These tags but for those with one of these keys.
    #[must_use]
    pub fn without(mut self, keys: &[String]) -> Tags {
        self.0.retain(|key, _| !keys.contains(key));
        self
    }

    /// The record for the store, in JSON. Its key is [`ResourceId::tags_key`].
    pub fn encode(&self) -> Vec<u8> {
        encoded(serde_json::to_vec(self))
    }

    /// The tags of `id` in a record of the store.
    pub fn decode(id: &ResourceId, record: &[u8]) -> Result<Tags, DecodeError> {
        serde_json::from_slice(record).map_err(|source| DecodeError::NotARecord { id: id.clone(), source })
    }
}
