//! Documents for `legation apply`: checked as the API checks them, in the order of dependency, and written so that two
//! imports can be compared line by line.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt::Write as _;

use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};
use serde_saphyr::ser_options;

use super::findings::{Findings, Found, Weight, shown};
use crate::frontend::references::references;
use crate::model::shape::{Form, Shape};
use crate::model::tags::Tag;
use crate::model::{Kind, Path, ResourceId, Spec, Tags};

/// What is to be written, by kind in the order of dependency, and then by name.
pub(super) struct Documents {
    by_id: BTreeMap<(Kind, ResourceId), Found>,
}

impl Documents {
    /// Takes the resources out of `findings`, checks them, and says there what the API would say.
    pub(super) fn take(findings: &mut Findings) -> Documents {
        let mut by_id = BTreeMap::new();
        for mut found in std::mem::take(&mut findings.found) {
            found.spec.sort_all_objects();
            match by_id.entry((found.id.kind(), found.id.clone())) {
                Entry::Vacant(place) => {
                    place.insert(found);
                }
                Entry::Occupied(first) => repeated(&found, first.get(), findings),
            }
        }
        let documents = Documents { by_id };
        documents.check(findings);
        documents
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn check(&self, findings: &mut Findings) {
        let mut missing: BTreeMap<ResourceId, BTreeSet<String>> = BTreeMap::new();
        for found in self.by_id.values() {
            let place = format!("{} ({})", found.id, found.origin);
            if let Err(errors) = Tags::parse(&found.tags, &Path::root("tags")) {
                errors.iter().for_each(|error| findings.say(Weight::Refused, &place, error));
            }
            let mut needed: Vec<ResourceId> = found.id.container().into_iter().collect();
            match Spec::parse(found.id.kind(), &found.spec) {
                Ok(spec) => {
                    let references = references(found.id.mesh_name(), &spec);
                    needed.extend(references.into_iter().map(|reference| reference.target));
                }
                Err(errors) => errors.iter().for_each(|error| findings.say(Weight::Refused, &place, error)),
            }
            for target in needed {
                if !self.by_id.contains_key(&(target.kind(), target.clone())) {
                    missing.entry(target).or_default().insert(found.id.to_string());
                }
            }
        }
        for (target, needed_by) in missing {
            let first = needed_by.first().map_or("", String::as_str);
            let others = match needed_by.len() - 1 {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            findings.note(
                &target,
                format_args!(
                    "is needed by {first}{others} and not among what is written: it must exist before"
                ),
            );
        }
    }

    /// The documents, in YAML.
    pub(super) fn to_yaml(&self) -> String {
        let mut text = String::new();
        for found in self.by_id.values() {
            if !text.is_empty() {
                text += "---\n";
            }
            let _ = writeln!(text, "# {}", shown(&found.origin));
            text += &yaml(found);
        }
        text
    }
}

fn repeated(found: &Found, first: &Found, findings: &mut Findings) {
    if (&found.spec, &found.tags) == (&first.spec, &first.tags) {
        findings
            .note(&found.origin, format_args!("{} is defined in the same way by {}", found.id, first.origin));
    } else {
        let problem = format!("{} is defined already, and differently, by {}", found.id, first.origin);
        findings.left_out(&found.origin, problem);
    }
}

/// A document, with the names before the rest.
fn yaml(found: &Found) -> String {
    let document = Document(found);
    let options = ser_options! { prefer_block_scalars: false, compact_list_indent: true };
    match serde_saphyr::to_string_with_options(&document, options) {
        Ok(text) => text,
        // JSON is YAML; this only depends on the serializer
        Err(_) => json!(document).to_string() + "\n",
    }
}

struct Document<'a>(&'a Found);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document(found) = self;
        let id = &found.id;
        let mut members = vec![(Kind::Mesh.name_key(), json!(id.mesh_name()))];
        if let (Some(kind), Some(parent)) = (id.kind().parent(), id.parent_name()) {
            members.push((kind.name_key(), json!(parent)));
        }
        if id.kind() != Kind::Mesh {
            members.push((id.kind().name_key(), json!(id.name())));
        }
        members.push(("spec", found.spec.clone()));
        if found.tags != Value::Array(Vec::new()) {
            members.push(("tags", found.tags.clone()));
        }
        serializer.collect_map(members)
    }
}

/// Tags in the API's form, sorted, of a map's members.
pub(super) fn tags<'a>(members: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Value {
    members.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// What a list of tags looks like.
pub(super) fn tags_form() -> Form {
    Vec::<Tag>::form()
}
