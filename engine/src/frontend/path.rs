//! The paths of the API, for those who serve them and for those who call them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::{Kind, ResourceId};

/// What every path starts with: the version of the API.
pub const PREFIX: &str = "/v20190125";

/// Where several changes are made as one transaction.
pub const TRANSACTIONS: &str = "/legation/v1/transactions";

/// Where it is told what such a transaction would do.
pub const PLAN: &str = "/legation/v1/plan";

/// Where the history is.
pub const HISTORY: &str = "/legation/v1/history";

/// Where it is told who was denied what.
pub const DENIALS: &str = "/legation/v1/denials";

/// Where changes are taken back.
pub const ROLLBACK: &str = "/legation/v1/rollback";

/// Where it is told what changes would black-hole.
pub const LINT: &str = "/legation/v1/lint";

/// Where tags are added; the parameter `resourceArn` says of what.
pub const TAG: &str = "/v20190125/tag";

/// Where tags are taken away.
pub const UNTAG: &str = "/v20190125/untag";

/// Where tags are listed.
pub const TAGS: &str = "/v20190125/tags";

/// Everything is escaped in a name but the characters that RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path of the collection that `id` belongs to: where it is created.
pub fn collection(id: &ResourceId) -> String {
    collection_of(id.kind(), id.mesh_name(), id.parent_name())
}

/// The path of the collection of `kind` in `mesh`, and in the router or gateway `parent` where the kind has one.
pub fn collection_of(kind: Kind, mesh: &str, parent: Option<&str>) -> String {
    collection_with(kind, &escape(mesh), &parent.map(escape).unwrap_or_default())
}

/// The path of `id`: where it is described, updated and deleted.
pub fn item(id: &ResourceId) -> String {
    format!("{}/{}", collection(id), escape(id.name()))
}

/// The template of the collections of `kind`, with the parameters `mesh` and `parent` where there are such.
pub(super) fn collection_template(kind: Kind) -> String {
    collection_with(kind, "{mesh}", "{parent}")
}

/// The template of the items of `kind`, with the parameter `name` besides; a mesh has only `mesh`.
pub(super) fn item_template(kind: Kind) -> String {
    let name = if kind == Kind::Mesh { "{mesh}" } else { "{name}" };
    format!("{}/{name}", collection_template(kind))
}

fn collection_with(kind: Kind, mesh: &str, parent: &str) -> String {
    let plural = kind.plural();
    match kind.parent() {
        _ if kind == Kind::Mesh => format!("{PREFIX}/meshes"),
        None => format!("{PREFIX}/meshes/{mesh}/{plural}"),
        Some(parent_kind) => {
            let parent_kind = parent_kind.wire_name();
            format!("{PREFIX}/meshes/{mesh}/{parent_kind}/{parent}/{plural}")
        }
    }
}

/// A name as it stands in a path or in a query.
pub fn escape(name: &str) -> String {
    // a segment of dots would be taken for a way up
    if matches!(name, "." | "..") {
        return name.replace('.', "%2E");
    }
    utf8_percent_encode(name, ESCAPED).to_string()
}
