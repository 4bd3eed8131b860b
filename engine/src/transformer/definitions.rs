//! The definitions of a mesh, as they relate to each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use legation_proto::version::Transaction;

use crate::model::virtual_gateway::VirtualGatewaySpec;
use crate::model::{
    Definition, GatewayRouteSpec, MeshSpec, RouteSpec, Spec, VirtualNodeSpec, VirtualRouterSpec,
    VirtualServiceSpec,
};

/// A specification, and the transaction that changed it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The transaction of the last change.
    pub transaction: Transaction,
    /// What was defined.
    pub spec: T,
}

/// A specification, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent<T, C> {
    /// The virtual router or gateway itself.
    pub definition: Versioned<T>,
    /// Its routes or gateway routes, by name.
    pub routes: BTreeMap<String, Versioned<C>>,
}

impl<T, C> Parent<T, C> {
    /// The newest of all definitions in here.
    pub fn transaction(&self) -> Transaction {
        let routes = self.routes.values().map(|route| route.transaction);
        routes.fold(self.definition.transaction, Transaction::max)
    }
}

/// All definitions of one mesh, each with the transaction of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshDefinitions {
    /// The name of the mesh.
    pub name: Arc<str>,
    /// The mesh itself.
    pub mesh: Versioned<MeshSpec>,
    /// The virtual nodes, by name.
    pub virtual_nodes: BTreeMap<String, Versioned<VirtualNodeSpec>>,
    /// The virtual services, by name.
    pub virtual_services: BTreeMap<String, Versioned<VirtualServiceSpec>>,
    /// The virtual routers with their routes, by name.
    pub virtual_routers: BTreeMap<String, Parent<VirtualRouterSpec, RouteSpec>>,
    /// The virtual gateways with their gateway routes, by name.
    pub virtual_gateways: BTreeMap<String, Parent<VirtualGatewaySpec, GatewayRouteSpec>>,
}

impl MeshDefinitions {
    fn new(name: &str, mesh: Versioned<MeshSpec>) -> Self {
        Self {
            name: name.into(),
            mesh,
            virtual_nodes: BTreeMap::new(),
            virtual_services: BTreeMap::new(),
            virtual_routers: BTreeMap::new(),
            virtual_gateways: BTreeMap::new(),
        }
    }

    /// Puts definitions, in whatever order they come, where they belong. What lies in a mesh, a router or a gateway that
    /// is not among them is left out: the API lets nothing be so, and nothing could be reached through it.
    pub fn collect(
        definitions: impl IntoIterator<Item = (Transaction, Definition)>,
    ) -> BTreeMap<Arc<str>, MeshDefinitions> {
        // The order of kinds is that in which resources can be created: containers come before what lies in them.
        let mut definitions: Vec<_> = definitions.into_iter().collect();
        definitions.sort_by_key(|(_, definition)| definition.id.kind());

        let mut meshes: BTreeMap<Arc<str>, MeshDefinitions> = BTreeMap::new();
        for (transaction, definition) in definitions {
            let mesh_name = definition.id.mesh_name();
            if let Spec::Mesh(spec) = definition.spec {
                let mesh = MeshDefinitions::new(mesh_name, Versioned { transaction, spec });
                meshes.insert(Arc::clone(&mesh.name), mesh);
            } else if let Some(mesh) = meshes.get_mut(mesh_name) {
                mesh.insert(transaction, definition);
            }
        }
        meshes
    }

    fn insert(&mut self, transaction: Transaction, definition: Definition) {
        let name = definition.id.name().to_owned();
        let parent = definition.id.parent_name().unwrap_or_default();
        match definition.spec {
            Spec::Mesh(_) => {}
            Spec::VirtualNode(spec) => {
                self.virtual_nodes.insert(name, Versioned { transaction, spec });
            }
            Spec::VirtualService(spec) => {
                self.virtual_services.insert(name, Versioned { transaction, spec });
            }
            Spec::VirtualRouter(spec) => {
                let definition = Versioned { transaction, spec };
                let routes = BTreeMap::new();
                self.virtual_routers.insert(name, Parent { definition, routes });
            }
            Spec::VirtualGateway(spec) => {
                let definition = Versioned { transaction, spec };
                let routes = BTreeMap::new();
                self.virtual_gateways.insert(name, Parent { definition, routes });
            }
            Spec::Route(spec) => {
                if let Some(router) = self.virtual_routers.get_mut(parent) {
                    router.routes.insert(name, Versioned { transaction, spec });
                }
            }
            Spec::GatewayRoute(spec) => {
                if let Some(gateway) = self.virtual_gateways.get_mut(parent) {
                    gateway.routes.insert(name, Versioned { transaction, spec });
                }
            }
        }
    }
}
