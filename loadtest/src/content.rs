//! Recorded content: what each node has and what changes make of it, so that servers without a mesh of their own can
//! serve the same bytes to the same fleet.
//!
//! A file of it is JSON; `benches/peers/README.md` tells its form to those who write a peer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_with::base64::Base64;
use serde_with::serde_as;

/// What a server has to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Every resource that any node ever has, each once.
    pub resources: Vec<RecordedResource>,
    /// Every node.
    pub nodes: Vec<RecordedNode>,
    /// Everything that can be changed.
    pub changes: Vec<RecordedChange>,
}

/// A resource.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordedResource {
    /// Its type.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// Its version, as the recorded server told it.
    pub version: String,
    /// The encoded message, without the `Any` around it.
    #[serde_as(as = "Base64")]
    pub body: Vec<u8>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedNode {
    /// The node id of its Envoys.
    pub id: String,
    /// What it has at first: positions in [`Content::resources`].
    pub resources: Vec<usize>,
}

/// Something that can be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedChange {
    /// Which, for people.
    pub name: String,
    /// Its variants, the first of which is what the nodes have at first.
    pub variants: Vec<Vec<Replacement>>,
}

/// The resource that a node has in a variant, in the place of the one of the same type and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// The position of the node.
    pub node: usize,
    /// The position of the resource.
    pub resource: usize,
}

impl Content {
    /// Reads a file.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
    }

    /// The positions of changes by the services that they change, by their names.
    pub fn changes_of_services(&self) -> BTreeMap<u32, usize> {
        let service = |change: &RecordedChange| change.name.strip_prefix("service-")?.parse().ok();
        let changes = self.changes.iter().enumerate();
        changes.filter_map(|(position, change)| Some((service(change)?, position))).collect()
    }

    /// Writes a file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer(&mut file, self)?;
        file.flush()
    }
}
