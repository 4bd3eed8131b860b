//! Where definitions stand in the store: `definitions/<mesh>/...`, each name in a segment of its own.
//!
//! ```text
//! definitions/<mesh>/mesh
//! definitions/<mesh>/virtualNode/<name>          likewise virtualRouter, virtualService, virtualGateway
//! definitions/<mesh>/route/<router>/<name>
//! definitions/<mesh>/gatewayRoute/<gateway>/<name>
//! definitions/<mesh>/referrer/<kind and name of a target>/<uid>        beside a definition: who refers to the target
//! definitions/<mesh>/tags/<kind and name>                              beside a definition: its tags
//! ```
//! In a name, whatever is not plain visible ASCII is percent-encoded, and so are `/` and `%`: a segment holds
//! no `/`, so that every prefix here, ending with one, covers exactly what it says.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::id::ResourceId;
use super::kind::Kind;
use crate::store::Family;

/// The prefix of every definition.
pub const ALL_DEFINITIONS: &str = "definitions/";

const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'/').add(b'%');

/// The prefix of the definitions of one mesh, its own included.
pub fn mesh_prefix(mesh: &str) -> String {
    [ALL_DEFINITIONS, &escape(mesh), "/"].concat()
}

/// The prefix of the definitions of one kind in a mesh. For [`Kind::Mesh`] it is the key of the mesh itself.
pub fn kind_prefix(mesh: &str, kind: Kind) -> String {
    let end = if kind == Kind::Mesh { "" } else { "/" };
    [&mesh_prefix(mesh), kind.wire_name(), end].concat()
}

/// The prefix of the entries that say which resources of a mesh refer to which.
pub fn referrers_prefix(mesh: &str) -> String {
    format!("{}{REFERRER}/", mesh_prefix(mesh))
}

/// The mesh that a key of definitions lies in, whatever else it says.
pub fn mesh_of_key(key: &str) -> Option<Cow<'_, str>> {
    unescape(key.strip_prefix(ALL_DEFINITIONS)?.split('/').next()?)
}

/// Whether this is the key of what stands beside a definition: referrers or tags. Nothing of that is in any
/// fragment.
pub fn is_beside(key: &str) -> bool {
    let segment = key.strip_prefix(ALL_DEFINITIONS).and_then(|key| key.split('/').nth(1));
    matches!(segment, Some(REFERRER | TAGS))
}

const REFERRER: &str = "referrer";
const TAGS: &str = "tags";

impl ResourceId {
    /// The key of the definition in the store.
    pub fn key(&self) -> String {
        let mut key = kind_prefix(self.mesh_name(), self.kind());
        if let Some(parent) = self.parent_name() {
            key += &escape(parent);
            key.push('/');
        }
        if self.kind() != Kind::Mesh {
            key += &escape(self.name());
        }
        key
    }

    /// The keys of all resources of this kind that lie in the same resource: of all meshes, if this is one.
    pub fn family(&self) -> Family {
        if self.kind() == Kind::Mesh {
            return Family::new(ALL_DEFINITIONS, ["/", Kind::Mesh.wire_name()].concat());
        }
        let key = self.key();
        let before = key.rfind('/').map_or("", |slash| &key[..=slash]);
        Family::new(before, "")
    }

    /// The key of the tags in the store. They have a record of their own, so that a change of tags changes no
    /// definition: fragments carry the transactions of the definitions that they are made of.
    pub fn tags_key(&self) -> String {
        let mesh = mesh_prefix(self.mesh_name());
        let key = self.key();
        let kind_and_name = key.strip_prefix(&mesh).unwrap_or(&key);
        [&mesh, TAGS, "/", kind_and_name].concat()
    }

    /// The resource whose tags have this key.
    pub fn from_tags_key(key: &str) -> Option<ResourceId> {
        let (mesh, kind_and_name) = key.strip_prefix(ALL_DEFINITIONS)?.split_once('/')?;
        let kind_and_name = kind_and_name.strip_prefix(TAGS)?.strip_prefix('/')?;
        ResourceId::from_key(&[ALL_DEFINITIONS, mesh, "/", kind_and_name].concat())
    }

    /// The prefix of what belongs to this resource: the routes of a router, the gateway routes of a gateway,
    /// and all that is in a mesh, the mesh included. Nothing for the other kinds.
    pub fn children_prefix(&self) -> Option<String> {
        if self.kind() == Kind::Mesh {
            return Some(mesh_prefix(self.name()));
        }
        let child = self.kind().child()?;
        Some(format!("{}{}/", kind_prefix(self.mesh_name(), child), escape(self.name())))
    }

    /// The resource whose definition has this key.
    pub fn from_key(key: &str) -> Option<ResourceId> {
        let mut segments = key.strip_prefix(ALL_DEFINITIONS)?.split('/');
        let mesh = unescape(segments.next()?)?;
        let kind = Kind::from_wire_name(segments.next()?)?;
        let parent = match kind.parent() {
            Some(_) => Some(unescape(segments.next()?)?),
            None => None,
        };
        let name = if kind == Kind::Mesh { mesh.clone() } else { unescape(segments.next()?)? };
        let id = ResourceId::from_parts(kind, &mesh, parent.as_deref(), &name)?;
        (id.key() == key).then_some(id)
    }
}

/// `name` as one segment of a key.
pub(crate) fn escape(name: &str) -> Cow<'_, str> {
    utf8_percent_encode(name, ESCAPED).into()
}

/// The name in a segment of a key, unless it is not UTF-8.
pub(crate) fn unescape(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}
