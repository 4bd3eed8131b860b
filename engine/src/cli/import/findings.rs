//! What is found: resources, and what there is to say about what was not carried over.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

use serde_json::Value;

use crate::model::{Kind, ResourceId, check_name};

/// How much is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Something of the user's is not in what is written.
    LeftOut,
    /// It is in what is written, and the API would refuse it.
    Refused,
    /// Worth knowing; nothing is missing.
    Note,
}

impl Weight {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Weight::LeftOut => "left out",
            Weight::Refused => "refused",
            Weight::Note => "note",
        }
    }
}

/// Something to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Finding {
    /// How much is wrong.
    pub(super) weight: Weight,
    /// Where: the file, and the place in it.
    pub(super) place: String,
    /// What is wrong, and what to do.
    pub(super) what: String,
}

/// A resource that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Which resource.
    pub(super) id: ResourceId,
    /// What it is, in the API's form.
    pub(super) spec: Value,
    /// Its tags, in the API's form: a list, which may be empty.
    pub(super) tags: Value,
    /// Where it was found.
    pub(super) origin: String,
}

/// All that is found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The resources.
    pub(super) found: Vec<Found>,
    /// What there is to say.
    pub(super) said: Vec<Finding>,
    /// What is none of App Mesh's, by its type: how often.
    pub(super) passed_over: BTreeMap<String, usize>,
    known: HashSet<Finding>,
}

/// The names of a resource: those of its mesh, of its router or gateway, and its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    /// The mesh's.
    pub(super) mesh: &'a str,
    /// The router's or gateway's, where there is one.
    pub(super) parent: Option<&'a str>,
    /// Its own.
    pub(super) own: &'a str,
}

impl Findings {
    /// Something of the user's is left out.
    pub(super) fn left_out(&mut self, place: impl Display, what: impl Display) {
        self.say(Weight::LeftOut, place, what);
    }

    /// Something is worth knowing.
    pub(super) fn note(&mut self, place: impl Display, what: impl Display) {
        self.say(Weight::Note, place, what);
    }

    /// Says something, unless it was said already.
    pub(super) fn say(&mut self, weight: Weight, place: impl Display, what: impl Display) {
        let finding = Finding { weight, place: place.to_string(), what: what.to_string() };
        if self.known.insert(finding.clone()) {
            self.said.push(finding);
        }
    }

    /// Something of this type is none of App Mesh's.
    pub(super) fn pass_over(&mut self, what: &str) {
        *self.passed_over.entry(shown(what)).or_default() += 1;
    }

    /// A resource, unless its names are not allowed.
    pub(super) fn resource(&mut self, kind: Kind, names: Names<'_>, spec: Value, tags: Value, origin: &str) {
        let mut problems = Vec::new();
        for (kind, name) in [
            (Some(Kind::Mesh), Some(names.mesh)),
            (kind.parent(), names.parent),
            (Some(kind), Some(names.own)),
        ] {
            if let (Some(kind), Some(name)) = (kind, name)
                && let Err(error) = check_name(kind, name)
                && !problems.contains(&error)
            {
                problems.push(error);
            }
        }
        let id = ResourceId::from_parts(kind, names.mesh, names.parent, names.own);
        match id.filter(|_| problems.is_empty()) {
            Some(id) => self.found.push(Found { id, spec, tags, origin: origin.to_owned() }),
            None if problems.is_empty() => self.left_out(origin, format_args!("a {kind} lacks a name")),
            None => problems.iter().for_each(|problem| self.left_out(origin, problem)),
        }
    }
}

/// Longest text of the user's that is shown, in characters: enough for any name, which must be shown whole to be copied.
const SHOWN_CHARS: usize = 512;

/// A text of the user's as it may be shown, in one line.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}
