//! What a host tells of itself.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ALIVE, KNOWN};
use crate::settings::Role;

/// Names one run of one process: what starts again is another member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberId(Arc<str>);

impl MemberId {
    /// A new one, which begins with the name of the machine.
    pub fn new() -> Self {
        let machine = gethostname::gethostname().to_string_lossy().replace(['/', ' '], "-");
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self(format!("{machine}-{}", &random[..8]).into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of its record under a lease.
    pub(super) fn alive_key(&self) -> String {
        [ALIVE, &self.0].concat()
    }

    /// The key of its record that stays.
    pub(super) fn known_key(&self) -> String {
        [KNOWN, &self.0].concat()
    }
}

impl Default for MemberId {
    fn default() -> Self {
        Self::new()
    }
}

impl From<&str> for MemberId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What stays of a host when its lease ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownMember {
    /// The host, as it told of itself.
    #[serde(flatten)]
    pub member: Member,
    /// When it was found to be lost, in milliseconds since the Unix epoch, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at_ms: Option<i64>,
    /// How it stands in the store.
    #[serde(skip)]
    pub(super) record: Bytes,
}

/// A host, as it tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its name.
    pub id: MemberId,
    /// What it does.
    pub roles: Vec<Role>,
    /// The version of its program.
    pub version: String,
    /// Where others reach its health, metrics and status.
    pub admin: SocketAddr,
    /// Where Envoys reach it, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xds: Option<SocketAddr>,
    /// Where users reach it, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<SocketAddr>,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
}

impl Member {
    /// Whether it does that.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

#[cfg(test)]
impl Member {
    /// One of this name that does this, where nobody asks what else it is.
    pub(crate) fn named(name: &str, roles: &[Role]) -> Self {
        Self {
            id: name.into(),
            roles: roles.to_vec(),
            version: String::new(),
            admin: SocketAddr::from(([127, 0, 0, 1], 1)),
            xds: None,
            api: None,
            started_at_ms: 0,
        }
    }
}
