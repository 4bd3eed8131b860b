//! What an Envoy has, what it asks for and what it waits for.

use std::collections::{BTreeSet, HashMap};

use legation_proto::resource_type::ResourceType;
use xxhash_rust::xxh3::xxh3_64;

use super::{ASKED_FOR, references};
use crate::content::RecordedResource;
use crate::wire::Violation;
use crate::wire::protobuf::{Value, bytes_of, fields};

/// By type.
#[derive(Debug)]
pub(super) struct Holdings {
    types: [Kind; ResourceType::COUNT],
    keep_content: bool,
    /// Counts responses, to tell what is in one from what is not.
    turn: u64,
}

/// Of one type.
#[derive(Debug, Default)]
struct Kind {
    held: HashMap<Vec<u8>, Held>,
    /// Names that it asks for, if it does not ask for everything.
    names: BTreeSet<Vec<u8>>,
    /// Those of them that have no answer yet.
    waiting: BTreeSet<Vec<u8>>,
    /// Whether there was an answer at all.
    answered: bool,
    /// Whether what it refers to may have changed.
    references_changed: bool,
}

#[derive(Debug, Default)]
struct Held {
    version: Vec<u8>,
    hash: u64,
    refers_to: Vec<Vec<u8>>,
    content: Vec<u8>,
    turn: u64,
}

/// A resource in a response, without the `Any` around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resource<'a> {
    pub(super) name: &'a [u8],
    pub(super) version: &'a [u8],
    pub(super) content: &'a [u8],
}

/// How what is asked for has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resubscription {
    pub(super) added: Vec<Vec<u8>>,
    pub(super) removed: Vec<Vec<u8>>,
}

impl Holdings {
    pub(super) fn new(keep_content: bool) -> Self {
        Self { types: Default::default(), keep_content, turn: 0 }
    }

    /// Whether there is an answer to everything that is asked for.
    pub(super) fn has_everything(&self) -> bool {
        ASKED_FOR.into_iter().all(|resource_type| {
            let kind = &self.types[resource_type.index()];
            if resource_type.is_full_state() { kind.answered } else { kind.waiting.is_empty() }
        })
    }

    /// Whether a stream begins by asking for a type: for everything, or for names that are known.
    pub(super) fn is_asked_for(&self, resource_type: ResourceType) -> bool {
        resource_type.is_full_state() || !self.types[resource_type.index()].names.is_empty()
    }

    /// The names that are asked for.
    pub(super) fn names(&self, resource_type: ResourceType) -> impl Iterator<Item = &[u8]> {
        self.types[resource_type.index()].names.iter().map(Vec::as_slice)
    }

    /// (name, version) of what is there.
    pub(super) fn versions(&self, resource_type: ResourceType) -> impl Iterator<Item = (&[u8], &[u8])> {
        let held = &self.types[resource_type.index()].held;
        held.iter().map(|(name, held)| (name.as_slice(), held.version.as_slice()))
    }

    /// Begins with a response.
    pub(super) fn begin(&mut self, resource_type: ResourceType) {
        self.turn += 1;
        self.types[resource_type.index()].answered = true;
    }

    /// Takes a resource in; whether its version is new, or its content where the version tells nothing of it.
    pub(super) fn take(
        &mut self,
        resource_type: ResourceType,
        resource: Resource<'_>,
        version_tells: bool,
    ) -> Result<bool, Violation> {
        let Self { types, keep_content, turn } = self;
        let kind = &mut types[resource_type.index()];
        kind.waiting.remove(resource.name);
        let hash = if version_tells { 0 } else { xxh3_64(resource.content) };
        let is_new;
        let held = if let Some(held) = kind.held.get_mut(resource.name) {
            is_new = held.hash != hash || version_tells && held.version != resource.version;
            held
        } else {
            is_new = true;
            kind.held.entry(resource.name.to_vec()).or_default()
        };
        held.turn = *turn;
        if held.version != resource.version {
            held.version.clear();
            held.version.extend_from_slice(resource.version);
        }
        if !is_new {
            return Ok(false);
        }
        held.hash = hash;
        if *keep_content {
            held.content.clear();
            held.content.extend_from_slice(resource.content);
        }
        let refers_to = references_of(resource_type, resource.content)?;
        if held.refers_to != refers_to {
            held.refers_to = refers_to;
            kind.references_changed = true;
        }
        Ok(true)
    }

    /// Forgets a resource, or learns that there is none; whether it was there or waited for.
    pub(super) fn remove(&mut self, resource_type: ResourceType, name: &[u8]) -> bool {
        let kind = &mut self.types[resource_type.index()];
        let was_waiting = kind.waiting.remove(name);
        let Some(held) = kind.held.remove(name) else { return was_waiting };
        kind.references_changed |= !held.refers_to.is_empty();
        true
    }

    /// Forgets what the response that began last did not have, which had `taken` resources; whether there was any.
    pub(super) fn retain_taken(&mut self, resource_type: ResourceType) -> bool {
        let turn = self.turn;
        let kind = &mut self.types[resource_type.index()];
        let before = kind.held.len();
        let mut references_gone = false;
        kind.held.retain(|_, held| {
            references_gone |= held.turn != turn && !held.refers_to.is_empty();
            held.turn == turn
        });
        kind.references_changed |= references_gone;
        kind.held.len() < before
    }

    /// What has to be asked for after a response of `resource_type`: a type, and what has changed in it.
    pub(super) fn resubscribe(
        &mut self,
        resource_type: ResourceType,
    ) -> Option<(ResourceType, Resubscription)> {
        let referred_to = match resource_type {
            ResourceType::Cluster => ResourceType::Endpoints,
            ResourceType::Listener => ResourceType::RouteConfiguration,
            _ => return None,
        };
        let kind = &mut self.types[resource_type.index()];
        if !std::mem::take(&mut kind.references_changed) {
            return None;
        }
        let names: BTreeSet<Vec<u8>> =
            kind.held.values().flat_map(|held| held.refers_to.iter().cloned()).collect();
        let kind = &mut self.types[referred_to.index()];
        let added: Vec<_> = names.difference(&kind.names).cloned().collect();
        let removed: Vec<_> = kind.names.difference(&names).cloned().collect();
        if added.is_empty() && removed.is_empty() {
            return None;
        }
        for name in &removed {
            kind.held.remove(name);
            kind.waiting.remove(name);
        }
        kind.waiting.extend(added.iter().cloned());
        kind.names = names;
        Some((referred_to, Resubscription { added, removed }))
    }

    pub(super) fn contents(&self) -> Vec<RecordedResource> {
        let mut contents = Vec::new();
        for resource_type in ResourceType::ALL {
            let first = contents.len();
            for (name, held) in &self.types[resource_type.index()].held {
                contents.push(RecordedResource {
                    type_url: resource_type.type_url().to_owned(),
                    name: String::from_utf8_lossy(name).into_owned(),
                    version: String::from_utf8_lossy(&held.version).into_owned(),
                    body: held.content.clone(),
                });
            }
            contents[first..].sort_by(|a, b| a.name.cmp(&b.name));
        }
        contents
    }
}

fn references_of(resource_type: ResourceType, content: &[u8]) -> Result<Vec<Vec<u8>>, Violation> {
    let mut names = Vec::new();
    match resource_type {
        ResourceType::Cluster => names.extend(references::of_cluster(content)?.map(<[u8]>::to_vec)),
        ResourceType::Listener => references::of_listener(content, |name| names.push(name.to_vec()))?,
        _ => {}
    }
    Ok(names)
}

/// The value of an `Any`.
pub(super) fn unwrapped(any: &[u8]) -> Result<&[u8], Violation> {
    bytes_of(any, 2)
}

/// The name of a resource of any type that is served: the first field in each.
pub(super) fn name_of(content: &[u8]) -> Result<&[u8], Violation> {
    for field in fields(content) {
        if let (1, Value::Bytes(name)) = field? {
            return Ok(name);
        }
    }
    Ok(&[])
}
