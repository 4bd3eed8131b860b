//! The definitions of a mesh of any size, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::VirtualHost;
use legation::management::compose::compose;
use legation::model::{Definition, Metadata, ResourceId, Spec};
use legation::transformer::definitions::MeshDefinitions;
use legation::transformer::transform::transform;
use legation_actors::composition::{Backend, Client, Composed};
use legation_proto::body::Part;
use legation_proto::fragment::{Fragment, NodeFragment, Routing, ServiceFragment};
use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::version::Transaction;
use prost::Message;
use serde_json::{Value, json};

/// The name of every mesh here.
pub const MESH: &str = "bench";

/// The gateway of every mesh here.
pub const GATEWAY: &str = "gateway";

/// Where everything listens.
const PORT: u16 = 8080;

/// A mesh of virtual services, each with a virtual router, a route, and two virtual nodes as its targets. Each node has
/// the next virtual services as its backends, and a virtual gateway leads to as many of them.
#[derive(Clone, Copy, Debug)]
pub struct Mesh {
    /// How many virtual services there are.
    pub services: usize,
    /// How many of them a node has as its backends.
    pub backends: usize,
    /// What they speak: `http` or `grpc`.
    pub protocol: &'static str,
    /// The weight of the first of two targets, out of 100.
    pub weight: u8,
}

impl Mesh {
    /// A mesh of `services` that speak HTTP, ten of them the backends of each node.
    pub fn of(services: usize) -> Self {
        Self { services, backends: 10, protocol: "http", weight: 90 }
    }

    /// How many definitions there are.
    pub fn definition_count(&self) -> usize {
        2 + self.backends + 5 * self.services
    }

    /// How many fragments they make.
    pub fn fragment_count(&self) -> usize {
        1 + 3 * self.services
    }

    /// All definitions, each of a transaction of its own.
    pub fn definitions(&self) -> Vec<(Transaction, Definition)> {
        let mut definitions = Definitions::default();
        definitions.add(ResourceId::mesh(MESH), &json!({}));
        let listeners = json!([{"portMapping": {"port": PORT, "protocol": self.protocol}}]);
        for number in 0..self.services {
            let name = service_name(number);
            for target in self.targets(number) {
                let spec = json!({
                    "listeners": listeners,
                    "serviceDiscovery": {"dns": {"hostname": format!("{target}.internal")}},
                    "backends": self.backends_of(number),
                });
                definitions.add(ResourceId::virtual_node(MESH, target), &spec);
            }
            definitions.add(ResourceId::virtual_router(MESH, &name), &json!({"listeners": listeners}));
            definitions.add(ResourceId::route(MESH, &name, "all"), &self.route(number));
            let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": name}}});
            definitions.add(ResourceId::virtual_service(MESH, name), &provider);
        }
        definitions.add(ResourceId::virtual_gateway(MESH, GATEWAY), &json!({"listeners": listeners}));
        for number in 0..self.backends {
            let name = service_name(number);
            let id = ResourceId::gateway_route(MESH, GATEWAY, &name);
            definitions.add(id, &self.gateway_route(&name));
        }
        assert_eq!(definitions.0.len(), self.definition_count());
        definitions.0
    }

    /// The definitions, as they relate to each other.
    pub fn collected(&self) -> MeshDefinitions {
        MeshDefinitions::collect(self.definitions()).remove(MESH).unwrap()
    }

    /// The fragments that the definitions make.
    pub fn fragments(&self) -> BTreeMap<FragmentKey, Fragment> {
        let transformed = transform(&self.collected());
        assert_eq!(transformed.problems, []);
        assert_eq!(transformed.fragments.len(), self.fragment_count());
        transformed.fragments
    }

    /// The fragments that an Envoy of the first target of the first virtual service takes.
    pub fn node(&self) -> Ingredients {
        Ingredients::new(self, FragmentKind::VirtualNode, &target_name(0, "a"))
    }

    /// The fragments that an Envoy of the gateway takes.
    pub fn gateway(&self) -> Ingredients {
        Ingredients::new(self, FragmentKind::VirtualGateway, GATEWAY)
    }

    fn targets(&self, service: usize) -> [String; 2] {
        ["a", "b"].map(|variant| target_name(service, variant))
    }

    fn backends_of(&self, service: usize) -> Value {
        let backends = (1..=self.backends).map(|next| {
            let name = service_name((service + next) % self.services);
            json!({"virtualService": {"virtualServiceName": name}})
        });
        backends.collect()
    }

    /// The specification of the route of a virtual service.
    pub fn route(&self, service: usize) -> Value {
        let [first, second] = self.targets(service);
        let action = json!({"weightedTargets": [
            {"virtualNode": first, "weight": self.weight},
            {"virtualNode": second, "weight": 100 - self.weight},
        ]});
        match self.protocol {
            "grpc" => json!({"grpcRoute": {"match": {}, "action": action}}),
            _ => json!({"httpRoute": {"match": {"prefix": "/"}, "action": action}}),
        }
    }

    fn gateway_route(&self, service: &str) -> Value {
        let action = json!({"target": {"virtualService": {"virtualServiceName": service}}});
        match self.protocol {
            "grpc" => json!({"grpcRoute": {"match": {"serviceName": service}, "action": action}}),
            _ => json!({"httpRoute": {"match": {"prefix": format!("/{service}/")}, "action": action}}),
        }
    }
}

/// The name of a virtual service, of its virtual router, and of its gateway route.
pub fn service_name(number: usize) -> String {
    format!("service-{number}.internal")
}

fn target_name(service: usize, variant: &str) -> String {
    format!("node-{service}-{variant}")
}

#[derive(Default)]
struct Definitions(Vec<(Transaction, Definition)>);

impl Definitions {
    fn add(&mut self, id: ResourceId, spec: &Value) {
        let spec = Spec::parse(id.kind(), spec).unwrap();
        let uid = "4d2b3f5e-8f0a-4c57-9d3c-1f6f0a1b2c3d".to_owned();
        let metadata = Metadata::created(uid, "123456789012", 1_700_000_000_000);
        let transaction = self.0.len() as Transaction + 1;
        self.0.push((transaction, Definition { id, spec, metadata }));
    }
}

/// The fragments that one Envoy's configuration is composed of.
#[derive(Clone, Debug)]
pub struct Ingredients {
    /// The fragment of its node or gateway.
    pub node: NodeFragment,
    /// Those of the backends, in the order of their names.
    pub backends: Vec<(Arc<str>, ServiceFragment)>,
}

impl Ingredients {
    fn new(mesh: &Mesh, kind: FragmentKind, name: &str) -> Self {
        let mut fragments = mesh.fragments();
        let key = FragmentKey { mesh: MESH.into(), kind, name: name.into() };
        let Some(Fragment::Node(node)) = fragments.remove(&key) else { panic!("{key} has no fragment") };
        let mut backends = Vec::new();
        for name in &node.backends {
            let key = FragmentKey::virtual_service(&MESH.into(), name);
            let Some(Fragment::Service(service)) = fragments.remove(&key) else {
                panic!("{key} has no fragment")
            };
            backends.push((Arc::clone(name), service));
        }
        assert_eq!(backends.len(), mesh.backends);
        Self { node, backends }
    }

    /// The backends, as `compose` takes them.
    pub fn backends(&self) -> Vec<Backend<'_>> {
        self.backends.iter().map(|(name, fragment)| Backend { name, fragment }).collect()
    }

    /// The same, but for a route of the first backend.
    pub fn with_another_route(&self) -> Self {
        let mut other = self.clone();
        let (_, service) = &mut other.backends[0];
        service.transaction += 1;
        for port in &mut service.ports {
            let Routing::VirtualHost(part) = &port.routing else { continue };
            let mut virtual_host = VirtualHost::decode(part.content()).unwrap();
            virtual_host.routes.truncate(1);
            virtual_host.routes[0].name.push('x');
            port.routing = Routing::VirtualHost(Part::virtual_host(&virtual_host.encode_to_vec()));
        }
        other
    }

    /// What a client should have.
    pub fn compose(&self, client: Client) -> Composed {
        let composed = compose(client, &self.node, &self.backends(), None).unwrap();
        assert_eq!(&*composed.problems, [] as [String; 0]);
        composed
    }
}
