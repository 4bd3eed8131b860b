//! Definitions for tests: written in JSON and validated, or those of the example meshes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use legation_actors::composition::{Backend, Client, Composed};
use legation_actors::snapshot::Snapshot;
use legation_proto::fragment::{Fragment, NodeFragment, ServiceFragment};
use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::version::Transaction;
use serde_json::{Value, json};

use crate::management::compose::compose;
use crate::model::{Definition, Kind, Metadata, ResourceId, Spec};
use crate::transformer::definitions::MeshDefinitions;
use crate::transformer::transform::{Transformed, transform};

/// The name of the mesh in most tests.
pub(crate) const MESH: &str = "m";

/// Definitions in the making, each of transaction 1 unless another is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Definitions(Vec<(Transaction, Definition)>);

impl Definitions {
    /// A mesh with this specification, and nothing in it.
    pub(crate) fn of_mesh(spec: Value) -> Self {
        Self::default().add(ResourceId::mesh(MESH), spec)
    }

    /// A mesh of which nothing is said, and nothing in it.
    pub(crate) fn new() -> Self {
        Self::of_mesh(json!({}))
    }

    pub(crate) fn virtual_node(self, name: &str, spec: Value) -> Self {
        self.add(ResourceId::virtual_node(MESH, name), spec)
    }

    /// A virtual node with a host name, that listens at these ports for these protocols.
    pub(crate) fn listening_node(self, name: &str, listeners: &[(u16, &str)]) -> Self {
        let listeners: Vec<_> = listeners
            .iter()
            .map(|(port, protocol)| json!({"portMapping": {"port": port, "protocol": protocol}}))
            .collect();
        let hostname = format!("{}.local", name.replace([':', '%'], "-"));
        let discovery = json!({"dns": {"hostname": hostname}});
        self.virtual_node(name, json!({"listeners": listeners, "serviceDiscovery": discovery}))
    }

    pub(crate) fn virtual_service(self, name: &str, spec: Value) -> Self {
        self.add(ResourceId::virtual_service(MESH, name), spec)
    }

    pub(crate) fn provided_by_node(self, name: &str, node: &str) -> Self {
        let provider = json!({"virtualNode": {"virtualNodeName": node}});
        self.virtual_service(name, json!({"provider": provider}))
    }

    pub(crate) fn provided_by_router(self, name: &str, router: &str) -> Self {
        let provider = json!({"virtualRouter": {"virtualRouterName": router}});
        self.virtual_service(name, json!({"provider": provider}))
    }

    /// A virtual router that listens at these ports for these protocols.
    pub(crate) fn virtual_router(self, name: &str, listeners: &[(u16, &str)]) -> Self {
        let listeners: Vec<_> = listeners
            .iter()
            .map(|(port, protocol)| json!({"portMapping": {"port": port, "protocol": protocol}}))
            .collect();
        let spec = if listeners.is_empty() { json!({}) } else { json!({"listeners": listeners}) };
        self.add(ResourceId::virtual_router(MESH, name), spec)
    }

    pub(crate) fn route(self, router: &str, name: &str, spec: Value) -> Self {
        self.add(ResourceId::route(MESH, router, name), spec)
    }

    pub(crate) fn virtual_gateway(self, name: &str, spec: Value) -> Self {
        self.add(ResourceId::virtual_gateway(MESH, name), spec)
    }

    pub(crate) fn gateway_route(self, gateway: &str, name: &str, spec: Value) -> Self {
        self.add(ResourceId::gateway_route(MESH, gateway, name), spec)
    }

    /// Gives the last definition this transaction.
    pub(crate) fn at(mut self, transaction: Transaction) -> Self {
        self.0.last_mut().unwrap().0 = transaction;
        self
    }

    pub(crate) fn add(mut self, id: ResourceId, spec: Value) -> Self {
        self.0.push((1, definition(id, &spec)));
        self
    }

    pub(crate) fn without(mut self, id: &ResourceId) -> Self {
        self.0.retain(|(_, definition)| definition.id != *id);
        self
    }

    pub(crate) fn into_definitions(self) -> Vec<Definition> {
        self.0.into_iter().map(|(_, definition)| definition).collect()
    }

    pub(crate) fn collect(&self) -> MeshDefinitions {
        MeshDefinitions::collect(self.0.clone()).remove(MESH).unwrap()
    }

    pub(crate) fn transform(&self) -> Transformed {
        transform(&self.collect())
    }

    /// The fragment of a virtual service.
    pub(crate) fn service(&self, name: &str) -> ServiceFragment {
        let key = FragmentKey::virtual_service(&MESH.into(), name);
        match self.transform().fragments.remove(&key) {
            Some(Fragment::Service(fragment)) => fragment,
            other => panic!("{key} is {other:?}"),
        }
    }

    /// The fragment of a virtual node.
    pub(crate) fn node(&self, name: &str) -> NodeFragment {
        self.node_fragment(FragmentKind::VirtualNode, name)
    }

    /// The fragment of a virtual gateway.
    pub(crate) fn gateway(&self, name: &str) -> NodeFragment {
        self.node_fragment(FragmentKind::VirtualGateway, name)
    }

    fn node_fragment(&self, kind: FragmentKind, name: &str) -> NodeFragment {
        let key = key(MESH, kind, name);
        match self.transform().fragments.remove(&key) {
            Some(Fragment::Node(fragment)) => fragment,
            other => panic!("{key} is {other:?}"),
        }
    }

    /// What the Envoys of a virtual node should have.
    pub(crate) fn node_snapshot(&self, name: &str) -> Snapshot {
        composed(&self.transform(), &key(MESH, FragmentKind::VirtualNode, name))
    }

    /// What the Envoys of a virtual node lack.
    pub(crate) fn node_problems(&self, name: &str) -> Vec<String> {
        let key = key(MESH, FragmentKind::VirtualNode, name);
        composed_for(Client::Envoy, &self.transform(), &key).problems.to_vec()
    }

    /// What gRPC clients that are a virtual node should have.
    pub(crate) fn grpc_client(&self, name: &str) -> Composed {
        composed_for(Client::Grpc, &self.transform(), &key(MESH, FragmentKind::VirtualNode, name))
    }

    /// What the Envoys of a virtual gateway should have.
    pub(crate) fn gateway_snapshot(&self, name: &str) -> Snapshot {
        composed(&self.transform(), &key(MESH, FragmentKind::VirtualGateway, name))
    }
}

pub(crate) fn key(mesh: &str, kind: FragmentKind, name: &str) -> FragmentKey {
    FragmentKey { mesh: mesh.into(), kind, name: name.into() }
}

/// What the Envoys of the node of `key` should have.
pub(crate) fn composed(transformed: &Transformed, key: &FragmentKey) -> Snapshot {
    Snapshot::clone(&composed_for(Client::Envoy, transformed, key).snapshot)
}

/// What clients of the node of `key` should have, and what they lack.
pub(crate) fn composed_for(client: Client, transformed: &Transformed, key: &FragmentKey) -> Composed {
    let Some(Fragment::Node(node)) = transformed.fragments.get(key) else {
        panic!("no node {key}");
    };
    let backends: Vec<(&Arc<str>, &ServiceFragment)> = node
        .backends
        .iter()
        .filter_map(|name| {
            let key = FragmentKey::virtual_service(&key.mesh, name);
            match transformed.fragments.get(&key)? {
                Fragment::Service(fragment) => Some((name, fragment)),
                Fragment::Node(_) => None,
            }
        })
        .collect();
    let backends: Vec<_> = backends.into_iter().map(|(name, fragment)| Backend { name, fragment }).collect();
    compose(client, node, &backends, None).unwrap()
}

pub(crate) fn definition(id: ResourceId, spec: &Value) -> Definition {
    let spec = Spec::parse(id.kind(), spec).unwrap_or_else(|errors| panic!("{id}: {errors:?}"));
    Definition { id, spec, metadata: Metadata::created(String::new(), "000000000000", 0) }
}

/// The definitions of every example mesh, of transaction 1.
pub(crate) fn examples() -> Vec<(Transaction, Definition)> {
    let mut files = Vec::new();
    add_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples"), &mut files);
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    texts.flat_map(|text| from_documents(&text)).collect()
}

/// The definitions of a mesh that uses every feature, and stays as it is, of transaction 1.
pub(crate) fn everything() -> Vec<(Transaction, Definition)> {
    from_documents(include_str!("data/everything.yaml"))
}

fn add_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
}

/// The definitions in documents as `legation apply` takes them.
fn from_documents(text: &str) -> Vec<(Transaction, Definition)> {
    let documents = serde_saphyr::from_multiple::<Value>(text).unwrap();
    let definitions = documents.iter().map(from_document);
    definitions.map(|definition| (1, definition)).collect()
}

/// What lies in another resource names that one too, so that it is looked for first.
fn from_document(document: &Value) -> Definition {
    let name = |kind: Kind| document.get(kind.name_key()).and_then(Value::as_str);
    let order = [
        Kind::Route,
        Kind::GatewayRoute,
        Kind::VirtualNode,
        Kind::VirtualRouter,
        Kind::VirtualService,
        Kind::VirtualGateway,
        Kind::Mesh,
    ];
    let kind = order.into_iter().find(|kind| name(*kind).is_some()).unwrap();
    let parent = kind.parent().and_then(name);
    let mesh = name(Kind::Mesh).unwrap();
    let id = ResourceId::from_parts(kind, mesh, parent, name(kind).unwrap()).unwrap();
    definition(id, &document["spec"])
}
