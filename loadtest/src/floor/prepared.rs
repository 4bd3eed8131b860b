//! Every response that is ever sent, encoded before the first Envoy comes. Equal ones are there once, and shared.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::ControlPlane;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse, Resource};
use envoy_types::pb::google::protobuf::Any;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use legation_proto::version::Version;
use prost::Message;
use thiserror::Error;

use crate::content::{Content, RecordedResource, Replacement};

/// Before each message: that it is not compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

/// As long as the one that Legation tells.
const CONTROL_PLANE: &str = "no-logic/00000000-0000-0000-0000-000000000000";

/// Everything that is sent, with gRPC's prefix.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) protocol: Protocol,
    /// The positions of nodes by their ids.
    positions: HashMap<String, usize>,
    /// What each node is sent when it asks for a type.
    answers: Vec<HashMap<Bytes, Bytes>>,
    changes: Vec<PreparedChange>,
}

/// Something that can be changed.
#[derive(Debug)]
pub(super) struct PreparedChange {
    pub(super) variants: Vec<Vec<Push>>,
    /// The first node that no variant is for.
    pub(super) bystander: Option<usize>,
}

/// What a node is sent of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) node: usize,
    pub(super) frame: Bytes,
}

/// Content that says what cannot be.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum Inconsistent {
    /// A node is there twice.
    #[error("there are two nodes `{0}`")]
    TwoNodes(String),
    /// A resource that is not there.
    #[error("there is no resource {0}")]
    NoResource(usize),
    /// A node that is not there.
    #[error("there is no node {0}")]
    NoNode(usize),
    /// A change of what is not there.
    #[error("`{change}` replaces a resource `{name}` that the node `{node}` does not have")]
    NothingToReplace {
        /// The name of the change.
        change: String,
        /// The id of the node.
        node: String,
        /// The name of the resource.
        name: String,
    },
}

impl Prepared {
    /// Encodes what `content` leads to.
    pub(super) fn new(content: &Content, protocol: Protocol) -> Result<Self, Inconsistent> {
        let mut frames = Frames { content, protocol, shared: HashMap::new() };
        let mut positions = HashMap::new();
        let mut answers = Vec::new();
        for (position, node) in content.nodes.iter().enumerate() {
            if positions.insert(node.id.clone(), position).is_some() {
                return Err(Inconsistent::TwoNodes(node.id.clone()));
            }
            let mut of_node = HashMap::new();
            for (type_url, resources) in by_type(content, &node.resources)? {
                of_node.insert(Bytes::from(type_url.to_owned()), frames.of(type_url, resources));
            }
            answers.push(of_node);
        }
        let mut changes = Vec::new();
        for change in &content.changes {
            let mut variants = Vec::new();
            for variant in &change.variants {
                variants.push(frames.of_variant(&change.name, variant)?);
            }
            let is_in = |node: usize| variants.iter().flatten().any(|push: &Push| push.node == node);
            let bystander = (0..content.nodes.len()).find(|node| !is_in(*node));
            changes.push(PreparedChange { variants, bystander });
        }
        Ok(Self { protocol, positions, answers, changes })
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        self.answers.len()
    }

    /// The position of a node.
    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.positions.get(id).copied()
    }

    /// The answer to the first request of a node for a type: none where delta has nothing to say.
    pub(super) fn answer(&self, node: usize, type_url: &Bytes) -> Option<Bytes> {
        match (self.answers.get(node)?.get(type_url), self.protocol) {
            (Some(frame), _) => Some(frame.clone()),
            (None, Protocol::Delta) => None,
            (None, Protocol::Sotw) => {
                let type_url = String::from_utf8_lossy(type_url);
                Some(framed(&sotw_response(&type_url, "0", Version::of(0, b""), Vec::new())))
            }
        }
    }

    /// What can be changed.
    pub(super) fn changes(&self) -> &[PreparedChange] {
        &self.changes
    }
}

/// Positions of resources by their types, which are in the order in which they come.
fn by_type<'a>(
    content: &'a Content,
    positions: &[usize],
) -> Result<Vec<(&'a str, Vec<usize>)>, Inconsistent> {
    let mut types: Vec<(&str, Vec<usize>)> = Vec::new();
    for position in positions {
        let type_url = resource(content, *position)?.type_url.as_str();
        match types.iter_mut().find(|(of, _)| *of == type_url) {
            Some((_, resources)) => resources.push(*position),
            None => types.push((type_url, vec![*position])),
        }
    }
    Ok(types)
}

fn resource(content: &Content, position: usize) -> Result<&RecordedResource, Inconsistent> {
    content.resources.get(position).ok_or(Inconsistent::NoResource(position))
}

/// The frames that were encoded, by what is in them.
struct Frames<'a> {
    content: &'a Content,
    protocol: Protocol,
    shared: HashMap<Vec<usize>, Bytes>,
}

impl<'a> Frames<'a> {
    /// What a variant is for each of its nodes, in the order in which they come.
    fn of_variant(&mut self, change: &str, variant: &[Replacement]) -> Result<Vec<Push>, Inconsistent> {
        let mut order = Vec::new();
        let mut by_node: HashMap<usize, Vec<usize>> = HashMap::new();
        for Replacement { node, resource } in variant {
            let resources = by_node.entry(*node).or_default();
            if resources.is_empty() {
                order.push(*node);
            }
            resources.push(*resource);
        }
        let mut pushes = Vec::new();
        for node in order {
            let changed = by_node.remove(&node).unwrap_or_default();
            for (type_url, changed) in by_type(self.content, &changed)? {
                let resources = self.replaced(change, node, type_url, changed)?;
                pushes.push(Push { node, frame: self.of(type_url, resources) });
            }
        }
        Ok(pushes)
    }

    /// What a response says that tells a node of changed resources of a type: these, or in state of the world, for the
    /// types of which a response lists everything, all that the node has.
    fn replaced(
        &self,
        change: &str,
        node: usize,
        type_url: &str,
        changed: Vec<usize>,
    ) -> Result<Vec<usize>, Inconsistent> {
        let node = self.content.nodes.get(node).ok_or(Inconsistent::NoNode(node))?;
        let types = by_type(self.content, &node.resources)?;
        let mut all =
            types.into_iter().find(|(of, _)| *of == type_url).map(|(_, all)| all).unwrap_or_default();
        let name = |position: usize| resource(self.content, position).map(|resource| &resource.name);
        for new in &changed {
            let place = all.iter_mut().find(|old| name(**old) == name(*new));
            *place.ok_or_else(|| Inconsistent::NothingToReplace {
                change: change.to_owned(),
                node: node.id.clone(),
                name: name(*new).cloned().unwrap_or_default(),
            })? = *new;
        }
        let whole = self.protocol == Protocol::Sotw
            && ResourceType::from_type_url(type_url).is_some_and(ResourceType::is_full_state);
        Ok(if whole { all } else { changed })
    }

    /// The frame with these resources, which are there.
    fn of(&mut self, type_url: &str, positions: Vec<usize>) -> Bytes {
        if let Some(frame) = self.shared.get(&positions) {
            return frame.clone();
        }
        let number = self.shared.len() as u64 + 1;
        let resources: Vec<&RecordedResource> =
            positions.iter().filter_map(|position| self.content.resources.get(*position)).collect();
        let hashes: Vec<u8> =
            resources.iter().flat_map(|resource| Version::of(0, &resource.body).hash.to_le_bytes()).collect();
        let version = Version::of(number, &hashes);
        let nonce = number.to_string();
        let frame = match self.protocol {
            Protocol::Sotw => {
                let resources = resources.into_iter().map(any).collect();
                framed(&sotw_response(type_url, &nonce, version, resources))
            }
            Protocol::Delta => {
                let resources = resources.into_iter().map(|resource| Resource {
                    name: resource.name.clone(),
                    version: resource.version.clone(),
                    resource: Some(any(resource)),
                    ..Default::default()
                });
                framed(&DeltaDiscoveryResponse {
                    system_version_info: version.to_string(),
                    resources: resources.collect(),
                    type_url: type_url.to_owned(),
                    nonce,
                    control_plane: control_plane(),
                    ..Default::default()
                })
            }
        };
        self.shared.insert(positions, frame.clone());
        frame
    }
}

fn any(resource: &RecordedResource) -> Any {
    Any { type_url: resource.type_url.clone(), value: resource.body.clone() }
}

fn control_plane() -> Option<ControlPlane> {
    Some(ControlPlane { identifier: CONTROL_PLANE.to_owned() })
}

fn sotw_response(type_url: &str, nonce: &str, version: Version, resources: Vec<Any>) -> DiscoveryResponse {
    DiscoveryResponse {
        version_info: version.to_string(),
        resources,
        type_url: type_url.to_owned(),
        nonce: nonce.to_owned(),
        control_plane: control_plane(),
        ..Default::default()
    }
}

/// A message with gRPC's prefix.
fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX)); // far below it
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{RecordedChange, RecordedNode};

    const CDS: &str = ResourceType::Cluster.type_url();
    const EDS: &str = ResourceType::Endpoints.type_url();

    fn prepared(protocol: Protocol) -> Prepared {
        let resource = |type_url: &str, name: &str, body: &[u8]| RecordedResource {
            type_url: type_url.to_owned(),
            name: name.to_owned(),
            version: "1-00".to_owned(),
            body: body.to_vec(),
        };
        let node =
            |id: &str, resources: &[usize]| RecordedNode { id: id.into(), resources: resources.into() };
        let to = |resources: [usize; 2]| {
            [0, 1]
                .into_iter()
                .flat_map(|node| resources.map(|resource| Replacement { node, resource }))
                .collect()
        };
        let content = Content {
            resources: vec![
                resource(CDS, "x", b"1"),
                resource(CDS, "y", b"1"),
                resource(EDS, "x", b"1"),
                resource(EDS, "y", b"1"),
                resource(CDS, "x", b"2"),
                resource(EDS, "x", b"2"),
            ],
            nodes: vec![node("a", &[0, 1, 2, 3]), node("b", &[0, 1, 2, 3]), node("c", &[])],
            changes: vec![RecordedChange { name: "x".into(), variants: vec![to([0, 2]), to([4, 5])] }],
        };
        Prepared::new(&content, protocol).unwrap()
    }

    #[test]
    fn equal_frames_are_there_once() {
        for protocol in [Protocol::Delta, Protocol::Sotw] {
            let prepared = prepared(protocol);
            let cds = Bytes::from_static(CDS.as_bytes());
            let [a, b] = [0, 1].map(|node| prepared.answer(node, &cds).unwrap());
            assert_eq!(a.as_ptr(), b.as_ptr());
            let [of_a_cds, of_a_eds, of_b_cds, of_b_eds] = prepared.changes()[0].variants[1].as_slice()
            else {
                panic!("{:?}", prepared.changes());
            };
            assert_eq!((of_a_cds.node, of_b_cds.node), (0, 1));
            assert_eq!(of_a_cds.frame.as_ptr(), of_b_cds.frame.as_ptr());
            assert_eq!(of_a_eds.frame.as_ptr(), of_b_eds.frame.as_ptr());
            assert_ne!(of_a_cds.frame, of_a_eds.frame);
            assert_eq!(prepared.changes()[0].bystander, Some(2));
        }
    }

    #[test]
    fn state_of_the_world_is_whole_for_the_types_that_list_everything() {
        let resources = |push: &Push| {
            let response = DiscoveryResponse::decode(push.frame.slice(PREFIX_BYTES..)).unwrap();
            response.resources.into_iter().map(|any| any.value).collect::<Vec<_>>()
        };
        let prepared = prepared(Protocol::Sotw);
        let variants = &prepared.changes()[0].variants;
        assert_eq!(resources(&variants[1][0]), [b"2", b"1"]);
        assert_eq!(resources(&variants[1][1]), [b"2"]);
        assert_eq!(resources(&variants[0][0]), [b"1", b"1"]);
        assert_eq!(variants[0][0].frame, prepared.answer(0, &Bytes::from_static(CDS.as_bytes())).unwrap());
    }

    #[test]
    fn a_frame_is_a_prefix_and_a_message_of_the_length_that_it_tells() {
        let prepared = prepared(Protocol::Delta);
        let frame = prepared.answer(0, &Bytes::from_static(CDS.as_bytes())).unwrap();
        let (prefix, message) = frame.split_at(PREFIX_BYTES);
        assert_eq!(prefix[0], 0);
        assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
        assert_eq!(DeltaDiscoveryResponse::decode(message).unwrap().resources.len(), 2);
        assert_eq!(prepared.answer(2, &Bytes::from_static(CDS.as_bytes())), None);
    }
}
