//! What a document is about, and what is wrong with it.

use std::fmt::{self, Display};

use serde_json::{Map, Value, json};
use serde_saphyr::{Spanned, UserMessageFormatter};

use crate::cli::text::{Text, yaml_options};
use crate::model::ResourceId;
use crate::model::document::{self, recognise};

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

    /// The tags, if it has any to say.
    pub(super) fn tags(&self) -> Option<&Value> {
        self.members.get("tags")
    }

    /// The body of the request to create it.
    pub(super) fn create_body(&self) -> Value {
        let mut body = self.update_body();
        body[self.id.kind().name_key()] = json!(self.id.name());
        if let Some(tags) = self.tags() {
            body["tags"] = tags.clone();
        }
        body
    }

    /// The body of the request to update it. A client token is not sent: applying is idempotent by itself, and who repeats a
    /// token is answered as at the first time, whatever has become of the resource since.
    pub(super) fn update_body(&self) -> Value {
        json!({"spec": self.members["spec"]})
    }
}

/// The documents of a file, and what is wrong with those that are none. Reading ends where it is not clear any more
/// where a document ends.
pub(super) fn parse_all(text: &Text) -> Vec<Result<Document, Malformed>> {
    let mut documents =
        Documents { file: &text.name, parsed: Vec::new(), count: 0, is_last_unparsable: false };
    if text.is_json() {
        documents.add_json(text);
    } else {
        documents.add_yaml(&text.text);
    }
    if documents.is_last_unparsable
        && let Some(Err(last)) = documents.parsed.last_mut()
    {
        last.problem += "; nothing of this file was read beyond it";
    }
    documents.parsed
}

struct Documents<'a> {
    file: &'a str,
    parsed: Vec<Result<Document, Malformed>>,
    count: usize,
    is_last_unparsable: bool,
}

impl Documents<'_> {
    fn add_json(&mut self, text: &Text) {
        for (line, value) in text.json_values() {
            match value {
                Ok(value) => self.add(value, Some(line)),
                Err(error) => return self.add_unparsable(&error),
            }
        }
    }

    fn add_yaml(&mut self, text: &str) {
        let mut reader = text.as_bytes();
        for value in serde_saphyr::read_with_options::<_, Spanned<Value>>(&mut reader, yaml_options()) {
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
