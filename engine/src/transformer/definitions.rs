//! The definitions of a mesh, as they relate to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::version::Transaction;

use crate::model::virtual_gateway::VirtualGatewaySpec;
use crate::model::{
    Definition, GatewayRouteSpec, Kind, MeshSpec, ResourceId, RouteSpec, Spec, VirtualNodeSpec,
    VirtualRouterSpec, VirtualServiceSpec,
};

/// A specification, and the transaction that changed it last. Cloning shares the specification.
#[derive(Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The transaction of the last change.
    pub transaction: Transaction,
    /// What was defined.
    pub spec: Arc<T>,
}

impl<T> Clone for Versioned<T> {
    fn clone(&self) -> Self {
        Self { transaction: self.transaction, spec: Arc::clone(&self.spec) }
    }
}

/// Definitions by their names.
type ByName<T> = BTreeMap<Arc<str>, Versioned<T>>;

/// A virtual router or gateway, with its routes.
#[derive(Debug)]
pub struct Parent<'a, T, C> {
    /// The virtual router or gateway itself.
    pub definition: &'a Versioned<T>,
    /// Its routes or gateway routes, by name.
    pub routes: &'a BTreeMap<Arc<str>, Versioned<C>>,
}

impl<T, C> Parent<'_, T, C> {
    /// The newest of all definitions in here.
    pub fn transaction(&self) -> Transaction {
        let routes = self.routes.values().map(|route| route.transaction);
        routes.fold(self.definition.transaction, Transaction::max)
    }
}

/// The place of a virtual router or gateway and its routes, which come and go in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place<T, C> {
    definition: Option<Versioned<T>>,
    routes: ByName<C>,
}

impl<T, C> Default for Place<T, C> {
    fn default() -> Self {
        Self { definition: None, routes: BTreeMap::new() }
    }
}

impl<T, C> Place<T, C> {
    fn get(&self) -> Option<Parent<'_, T, C>> {
        Some(Parent { definition: self.definition.as_ref()?, routes: &self.routes })
    }

    fn is_empty(&self) -> bool {
        self.definition.is_none() && self.routes.is_empty()
    }
}

type Places<T, C> = BTreeMap<Arc<str>, Place<T, C>>;

/// All definitions of one mesh, each with the transaction of its last change. They are put in and taken out in any order,
/// and only what is there now makes a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshDefinitions {
    name: Arc<str>,
    mesh: Option<Versioned<MeshSpec>>,
    virtual_nodes: ByName<VirtualNodeSpec>,
    virtual_services: ByName<VirtualServiceSpec>,
    virtual_routers: Places<VirtualRouterSpec, RouteSpec>,
    virtual_gateways: Places<VirtualGatewaySpec, GatewayRouteSpec>,
    /// What is defined and cannot be read.
    unreadable: BTreeSet<ResourceId>,
}

impl MeshDefinitions {
    /// A mesh in which nothing is defined, not even itself.
    pub fn new(name: Arc<str>) -> Self {
        Self {
            name,
            mesh: None,
            virtual_nodes: BTreeMap::new(),
            virtual_services: BTreeMap::new(),
            virtual_routers: BTreeMap::new(),
            virtual_gateways: BTreeMap::new(),
            unreadable: BTreeSet::new(),
        }
    }

    /// Puts definitions, in whatever order they come, where they belong. What lies in a mesh that is not among them is left
    /// out: the API lets nothing be so.
    pub fn collect(
        definitions: impl IntoIterator<Item = (Transaction, Definition)>,
    ) -> BTreeMap<Arc<str>, MeshDefinitions> {
        let mut meshes: BTreeMap<Arc<str>, MeshDefinitions> = BTreeMap::new();
        for (transaction, definition) in definitions {
            let name = definition.id.mesh_name();
            if !meshes.contains_key(name) {
                let name: Arc<str> = name.into();
                meshes.insert(Arc::clone(&name), MeshDefinitions::new(name));
            }
            if let Some(mesh) = meshes.get_mut(definition.id.mesh_name()) {
                mesh.insert(transaction, definition);
            }
        }
        meshes.retain(|_, mesh| mesh.mesh.is_some());
        meshes
    }

    /// Puts a definition where it belongs, in place of the one that was there.
    pub fn insert(&mut self, transaction: Transaction, definition: Definition) {
        fn versioned<T>(transaction: Transaction, spec: T) -> Versioned<T> {
            Versioned { transaction, spec: Arc::new(spec) }
        }
        let name: Arc<str> = definition.id.name().into();
        let parent = definition.id.parent_name().unwrap_or_default();
        self.unreadable.remove(&definition.id);
        match definition.spec {
            Spec::Mesh(spec) => self.mesh = Some(versioned(transaction, spec)),
            Spec::VirtualNode(spec) => {
                self.virtual_nodes.insert(name, versioned(transaction, spec));
            }
            Spec::VirtualService(spec) => {
                self.virtual_services.insert(name, versioned(transaction, spec));
            }
            Spec::VirtualRouter(spec) => {
                place(&mut self.virtual_routers, &name).definition = Some(versioned(transaction, spec));
            }
            Spec::VirtualGateway(spec) => {
                place(&mut self.virtual_gateways, &name).definition = Some(versioned(transaction, spec));
            }
            Spec::Route(spec) => {
                place(&mut self.virtual_routers, parent).routes.insert(name, versioned(transaction, spec));
            }
            Spec::GatewayRoute(spec) => {
                place(&mut self.virtual_gateways, parent).routes.insert(name, versioned(transaction, spec));
            }
        }
    }

    /// Takes a definition out, if it is there. What lies in it stays.
    pub fn remove(&mut self, id: &ResourceId) {
        self.unreadable.remove(id);
        let name = id.name();
        let parent = id.parent_name().unwrap_or_default();
        match id.kind() {
            Kind::Mesh => self.mesh = None,
            Kind::VirtualNode => drop(self.virtual_nodes.remove(name)),
            Kind::VirtualService => drop(self.virtual_services.remove(name)),
            Kind::VirtualRouter => remove_parent(&mut self.virtual_routers, name),
            Kind::VirtualGateway => remove_parent(&mut self.virtual_gateways, name),
            Kind::Route => remove_route(&mut self.virtual_routers, parent, name),
            Kind::GatewayRoute => remove_route(&mut self.virtual_gateways, parent, name),
        }
    }

    /// Puts in that something is defined of which nobody knows what, in place of the definition that was there.
    pub fn insert_unreadable(&mut self, id: ResourceId) {
        self.remove(&id);
        self.unreadable.insert(id);
    }

    /// What keeps the fragment of `key` from being made, whatever else is defined: the mesh, or what it is named after, or
    /// a gateway route that lies in that, cannot be read.
    pub fn unreadable_for(&self, key: &FragmentKey) -> Option<&ResourceId> {
        self.unreadable.iter().find(|id| match id.kind() {
            Kind::Mesh => true,
            Kind::VirtualNode => key.kind == FragmentKind::VirtualNode && *key.name == *id.name(),
            Kind::VirtualService => key.kind == FragmentKind::VirtualService && *key.name == *id.name(),
            Kind::VirtualGateway => key.kind == FragmentKind::VirtualGateway && *key.name == *id.name(),
            Kind::GatewayRoute => {
                key.kind == FragmentKind::VirtualGateway && Some(key.name.as_ref()) == id.parent_name()
            }
            Kind::VirtualRouter | Kind::Route => false,
        })
    }

    /// What keeps from knowing where the virtual router `name` leads to: itself or a route of it cannot be read.
    pub fn unreadable_of_router(&self, name: &str) -> Option<&ResourceId> {
        self.unreadable.iter().find(|id| match id.kind() {
            Kind::VirtualRouter => id.name() == name,
            Kind::Route => id.parent_name() == Some(name),
            _ => false,
        })
    }

    /// Whether nothing is defined.
    pub fn is_empty(&self) -> bool {
        self.unreadable.is_empty()
            && self.mesh.is_none()
            && self.virtual_nodes.is_empty()
            && self.virtual_services.is_empty()
            && self.virtual_routers.is_empty()
            && self.virtual_gateways.is_empty()
    }

    /// The name of the mesh.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The mesh itself. Without it there are no fragments of what lies in it.
    pub fn mesh(&self) -> Option<&Versioned<MeshSpec>> {
        self.mesh.as_ref()
    }

    /// Whether the mesh itself is there, readable or not.
    pub fn is_defined(&self) -> bool {
        self.mesh.is_some() || self.unreadable.iter().any(|id| id.kind() == Kind::Mesh)
    }

    /// The virtual node `name`, with the name that it shares.
    pub fn virtual_node(&self, name: &str) -> Option<(&Arc<str>, &Versioned<VirtualNodeSpec>)> {
        self.virtual_nodes.get_key_value(name)
    }

    /// The virtual service `name`.
    pub fn virtual_service(&self, name: &str) -> Option<&Versioned<VirtualServiceSpec>> {
        self.virtual_services.get(name)
    }

    /// The virtual router `name`, with its routes.
    pub fn virtual_router(&self, name: &str) -> Option<Parent<'_, VirtualRouterSpec, RouteSpec>> {
        self.virtual_routers.get(name)?.get()
    }

    /// The virtual gateway `name`, with its gateway routes.
    pub fn virtual_gateway(&self, name: &str) -> Option<Parent<'_, VirtualGatewaySpec, GatewayRouteSpec>> {
        self.virtual_gateways.get(name)?.get()
    }

    /// Every virtual node, by name.
    pub fn virtual_nodes(&self) -> impl Iterator<Item = (&str, &VirtualNodeSpec)> {
        self.virtual_nodes.iter().map(|(name, node)| (name.as_ref(), node.spec.as_ref()))
    }

    /// Every virtual service, by name.
    pub fn virtual_services(&self) -> impl Iterator<Item = (&str, &VirtualServiceSpec)> {
        self.virtual_services.iter().map(|(name, service)| (name.as_ref(), service.spec.as_ref()))
    }

    /// Every virtual router, by name, with its routes.
    pub fn virtual_routers(&self) -> impl Iterator<Item = (&str, Parent<'_, VirtualRouterSpec, RouteSpec>)> {
        self.virtual_routers.iter().filter_map(|(name, place)| Some((name.as_ref(), place.get()?)))
    }

    /// Every virtual gateway, by name, with its gateway routes.
    pub fn virtual_gateways(
        &self,
    ) -> impl Iterator<Item = (&str, Parent<'_, VirtualGatewaySpec, GatewayRouteSpec>)> {
        self.virtual_gateways.iter().filter_map(|(name, place)| Some((name.as_ref(), place.get()?)))
    }

    /// The routes and gateway routes whose virtual router or gateway is not there.
    pub fn orphans(&self) -> impl Iterator<Item = ResourceId> {
        let mesh = self.name.as_ref();
        let routes =
            orphans(&self.virtual_routers, move |parent, name| ResourceId::route(mesh, parent, name));
        let gateway_routes = orphans(&self.virtual_gateways, move |parent, name| {
            ResourceId::gateway_route(mesh, parent, name)
        });
        routes.chain(gateway_routes)
    }

    /// Everything that has a fragment, in order.
    pub fn fragment_keys(&self) -> impl Iterator<Item = FragmentKey> {
        let nodes = self.virtual_nodes.keys();
        let gateways = self.virtual_gateways.iter().filter(|(_, place)| place.definition.is_some());
        let services = self.virtual_services.keys();
        nodes
            .map(|name| self.fragment_key(FragmentKind::VirtualNode, name))
            .chain(gateways.map(|(name, _)| self.fragment_key(FragmentKind::VirtualGateway, name)))
            .chain(services.map(|name| self.fragment_key(FragmentKind::VirtualService, name)))
    }

    /// Whether this is one of [`MeshDefinitions::fragment_keys`].
    pub fn defines(&self, key: &FragmentKey) -> bool {
        match key.kind {
            FragmentKind::VirtualNode => self.virtual_nodes.contains_key(&key.name),
            FragmentKind::VirtualGateway => self.virtual_gateway(&key.name).is_some(),
            FragmentKind::VirtualService => self.virtual_services.contains_key(&key.name),
        }
    }

    fn fragment_key(&self, kind: FragmentKind, name: &Arc<str>) -> FragmentKey {
        FragmentKey { mesh: Arc::clone(&self.name), kind, name: Arc::clone(name) }
    }
}

fn orphans<'a, T, C>(
    places: &'a Places<T, C>,
    id: impl Fn(&str, &str) -> ResourceId + 'a,
) -> impl Iterator<Item = ResourceId> + 'a {
    let without_parent = places.iter().filter(|(_, place)| place.definition.is_none());
    let names =
        without_parent.flat_map(|(parent, place)| place.routes.keys().map(move |name| (parent, name)));
    names.map(move |(parent, name)| id(parent, name))
}

fn place<'a, T, C>(places: &'a mut Places<T, C>, name: &str) -> &'a mut Place<T, C> {
    places.entry(name.into()).or_default()
}

fn remove_parent<T, C>(places: &mut Places<T, C>, name: &str) {
    if let Some(place) = places.get_mut(name) {
        place.definition = None;
    }
    remove_if_empty(places, name);
}

fn remove_route<T, C>(places: &mut Places<T, C>, parent: &str, name: &str) {
    if let Some(place) = places.get_mut(parent) {
        place.routes.remove(name);
    }
    remove_if_empty(places, parent);
}

/// A place goes when nothing is left there.
fn remove_if_empty<T, C>(places: &mut Places<T, C>, name: &str) {
    if places.get(name).is_some_and(Place::is_empty) {
        places.remove(name);
    }
}
