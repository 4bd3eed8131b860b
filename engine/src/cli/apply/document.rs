//! What a document is about, and what is wrong with it.

use std::fmt::{self, Display};

use serde_json::{Map, Value, json};
use serde_saphyr::{Spanned, UserMessageFormatter};

use super::source::Source;
use crate::model::ResourceId;
use crate::model::document::{self, recognise};
use crate::model::shape::json::Strict;

/// Where a document stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    file: String,
    /// From one; absent where something is wrong with the file itself.
    number: Option<usize>,
    line: Option<u64>,
}

/// A resource as it should be.
#[derive(Debug)]
pub(super) struct Document {
    /// Where it stands.
    pub(super) place: Place,
    /// What it is about.
    pub(super) id: ResourceId,
    members: Map<String, Value>,
}

/// Something that is no document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Where it stands.
    pub(super) place: Place,
    /// What is wrong with it.
    pub(super) problem: String,
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(name: &str) -> Place {
        Place { file: name.to_owned(), number: None, line: None }
    }

    fn document(file: &str, number: usize, line: Option<u64>) -> Place {
        Place { file: file.to_owned(), number: Some(number), line }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(number) = self.number {
            write!(f, ", document {number}")?;
        }
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        Ok(())
    }
}

impl Document {
    /// The document as it was written, without what was null in it.
    pub(super) fn to_json(&self) -> Value {
        Value::Object(self.members.clone())
    }

    /// The body of the request to create it.
    pub(super) fn create_body(&self) -> Value {
        let mut body = self.update_body();
        body[self.id.kind().name_key()] = json!(self.id.name());
        if let Some(tags) = self.members.get("tags") {
            body["tags"] = tags.clone();
        }
        body
    }

    /// The body of the request to update it. Tags are those that it was created with.
    pub(super) fn update_body(&self) -> Value {
        let given = |key: &str| Some((key.to_owned(), self.members.get(key)?.clone()));
        Value::Object(["spec", "clientToken"].into_iter().filter_map(given).collect())
    }
}

/// The documents of a file, and what is wrong with those that are none. Reading ends where it is not clear any more
/// where a document ends.
pub(super) fn parse_all(source: &Source) -> Vec<Result<Document, Malformed>> {
    let mut documents =
        Documents { file: &source.name, parsed: Vec::new(), count: 0, is_last_unparsable: false };
    if is_json(source) {
        documents.add_json(&source.text);
    } else {
        documents.add_yaml(&source.text);
    }
    if documents.is_last_unparsable
        && let Some(Err(last)) = documents.parsed.last_mut()
    {
        last.problem += "; nothing of this file was read beyond it";
    }
    documents.parsed
}

/// YAML takes most of JSON, but not tabs and not one object after another.
fn is_json(source: &Source) -> bool {
    if source.name.to_ascii_lowercase().ends_with(".json") {
        return true;
    }
    let starts_as_json = source.text.trim_start().starts_with(['{', '[']);
    starts_as_json
        && serde_json::Deserializer::from_str(&source.text).into_iter::<Value>().all(|value| value.is_ok())
}

struct Documents<'a> {
    file: &'a str,
    parsed: Vec<Result<Document, Malformed>>,
    count: usize,
    is_last_unparsable: bool,
}

impl Documents<'_> {
    fn add_json(&mut self, text: &str) {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Strict>();
        loop {
            let rest = &text[values.byte_offset()..];
            let start = text.len() - rest.trim_start().len();
            let line = 1 + text[..start].matches('\n').count() as u64;
            match values.next() {
                None => return,
                Some(Ok(Strict(value))) => self.add(value, Some(line)),
                Some(Err(error)) => return self.add_unparsable(&error),
            }
        }
    }

    fn add_yaml(&mut self, text: &str) {
        // as in YAML 1.2: a virtual node may be called n
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let mut reader = text.as_bytes();
        for value in serde_saphyr::read_with_options::<_, Spanned<Value>>(&mut reader, options) {
            match value {
                Ok(Spanned { value, referenced, .. }) => {
                    let line = Some(referenced.line()).filter(|line| *line > 0);
                    self.add(value, line);
                }
                Err(error) => self.add_unparsable(&error.render_with_formatter(&UserMessageFormatter)),
            }
        }
    }

    /// Adds a document, or each item of a list of documents.
    fn add(&mut self, value: Value, line: Option<u64>) {
        if let Value::Array(items) = value {
            for item in items {
                self.add_one(item, None);
            }
        } else {
            self.add_one(value, line);
        }
    }

    fn add_one(&mut self, value: Value, line: Option<u64>) {
        self.count += 1;
        self.is_last_unparsable = false;
        let place = Place::document(self.file, self.count, line);
        self.parsed.push(match recognise(value) {
            Ok(document::Document { id, members }) => Ok(Document { place, id, members }),
            Err(problem) => Err(Malformed { place, problem }),
        });
    }

    fn add_unparsable(&mut self, error: &dyn Display) {
        self.count += 1;
        self.is_last_unparsable = true;
        let place = Place::document(self.file, self.count, None);
        let problem = format!("cannot be parsed: {error}");
        self.parsed.push(Err(Malformed { place, problem }));
    }
}
