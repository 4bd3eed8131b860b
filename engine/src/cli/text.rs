//! The text of a file, and how it is parsed within bounds.

use serde_json::{Deserializer, StreamDeserializer, Value};
use serde_saphyr::{Options, budget, options};

use crate::model::shape::json::Strict;

/// Bounds on YAML, which grows when aliases are followed. A mesh of ten thousand services is within them, in one file.
const NODES_MAX: usize = 2_000_000;
const EVENTS_MAX: usize = 5_000_000;
const DOCUMENTS_MAX: usize = 200_000;
const DEPTH_MAX: usize = 64;

/// How YAML is read: as in YAML 1.2, so that a virtual node may be called n.
pub(super) fn yaml_options() -> Options {
    options! {
        strict_booleans: true,
        with_snippet: false,
        budget: budget! {
            max_nodes: NODES_MAX,
            max_events: EVENTS_MAX,
            max_documents: DOCUMENTS_MAX,
            max_depth: DEPTH_MAX,
        },
    }
}

/// The text of a file.
#[derive(Debug)]
pub(super) struct Text {
    /// What to call it.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
}

impl Text {
    /// Whether it is to be read as JSON. YAML takes most of it, but not tabs and not one object after another.
    pub(super) fn is_json(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        if [".json", ".tfstate", ".jsonl", ".ndjson"].iter().any(|ending| name.ends_with(ending)) {
            return true;
        }
        self.text.trim_start().starts_with(['{', '['])
            && Deserializer::from_str(&self.text).into_iter::<Value>().all(|value| value.is_ok())
    }

    /// The values in it, one after the other, each with the line that it starts at. After an error there is none.
    pub(super) fn json_values(&self) -> JsonValues<'_> {
        let values = Deserializer::from_str(&self.text).into_iter();
        JsonValues { text: &self.text, values, counted_to: 0, line: 1 }
    }
}

/// The values in a text in JSON.
pub(super) struct JsonValues<'a> {
    text: &'a str,
    values: StreamDeserializer<'a, serde_json::de::StrRead<'a>, Strict>,
    /// How far lines are counted: the byte, and the line that it is in.
    counted_to: usize,
    line: u64,
}

impl Iterator for JsonValues<'_> {
    type Item = (u64, serde_json::Result<Value>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.values.byte_offset()..];
        let start = self.text.len() - rest.trim_start().len();
        let value = self.values.next()?;
        self.line += self.text[self.counted_to..start].matches('\n').count() as u64;
        self.counted_to = start;
        Some((self.line, value.map(|Strict(value)| value)))
    }
}
