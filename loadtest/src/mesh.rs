//! The mesh that a scenario needs: which node consumes which services, and the calls of App Mesh's API that define it.
//!
//! Services and nodes are numbered. A service is a virtual service with a router, whose one route leads to the node of the
//! same number, in turn. The route carries a marker, by which an Envoy's configuration tells what changes are in it.

use std::ops::Range;

use serde_json::{Value, json};

use crate::progress::Progress;
use crate::server::api::Api;

/// The only port of everything.
const PORT: u16 = 8080;

/// A mesh of numbered services, and of numbered nodes that consume some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// Its name.
    pub name: String,
    /// How many services it has.
    pub services: u32,
    /// The services that each node consumes, in ascending order.
    pub nodes: Vec<Vec<u32>>,
}

/// A call of the API: a PUT.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Below the version.
    pub path: String,
    /// What it says.
    pub body: Value,
}

impl Mesh {
    /// The first `consumers` of the nodes consume service 0, and each node consumes others, which it shares with as few nodes
    /// as there can be.
    pub fn with_hot_service(
        name: &str,
        nodes: usize,
        consumers: usize,
        services: u32,
        backends: usize,
    ) -> Self {
        let others = services.saturating_sub(1);
        let consumed = |node: usize| {
            let hot = (node < consumers).then_some(0);
            let places = if hot.is_some() { 1..backends } else { 0..backends };
            sorted(
                hot.into_iter().chain(places.map(|place| 1 + place_in_turn(node * backends + place, others))),
            )
        };
        Self { name: name.to_owned(), services, nodes: (0..nodes).map(consumed).collect() }
    }

    /// Every service has the same number of consumers, give or take one, and no two nodes the same backends if it can be.
    pub fn with_spread_services(name: &str, nodes: usize, services: u32, backends: usize) -> Self {
        // far apart, so that neighbours do not share all
        let stride = (services as usize / backends.max(1)).max(1);
        let consumed =
            |node: usize| sorted((0..backends).map(|place| place_in_turn(node + place * stride, services)));
        Self { name: name.to_owned(), services, nodes: (0..nodes).map(consumed).collect() }
    }

    /// The name of a node, by its number.
    pub fn node(&self, number: usize) -> String {
        format!("node-{number}")
    }

    /// The node id of a node by a template, in which the names of the mesh and of the node are left open.
    pub fn node_id(&self, template: &str, number: usize) -> String {
        template.replace("{mesh}", &self.name).replace("{node}", &self.node(number))
    }

    /// Defines it through the API.
    pub fn define(&self, api: &Api, progress: &Progress) -> anyhow::Result<()> {
        let stages = self.calls();
        progress.set_steps(stages.iter().map(Vec::len).sum::<usize>() as u64);
        stages.iter().try_for_each(|calls| api.call_all(calls, &|| progress.step()))
    }

    /// The consumers of a service, by their numbers.
    pub fn consumers(&self, service: u32) -> impl Iterator<Item = usize> {
        self.nodes
            .iter()
            .enumerate()
            .filter(move |(_, consumed)| consumed.binary_search(&service).is_ok())
            .map(|(node, _)| node)
    }

    /// The calls that define it: all of a stage may be made at once, after those of the stage before.
    pub fn calls(&self) -> Vec<Vec<Call>> {
        let mesh = vec![Call { path: "meshes".to_owned(), body: json!({"meshName": self.name, "spec": {}}) }];
        let nodes = (0..self.nodes.len()).map(|node| self.define_node(node)).collect();
        let services = 0..self.services;
        let routers = services.clone().map(|service| self.define_router(service)).collect();
        let routes = services.clone().map(|service| self.define_route(service)).collect();
        let virtual_services = services.map(|service| self.define_service(service)).collect();
        vec![mesh, nodes, routers, routes, virtual_services]
    }

    /// Calls that define more virtual services, which nobody consumes: node 0 provides them.
    pub fn more_services(&self, numbers: Range<u32>) -> Vec<Call> {
        let provider = json!({"provider": {"virtualNode": {"virtualNodeName": self.node(0)}}});
        let define = |number| {
            self.call(
                "virtualServices",
                json!({"virtualServiceName": service_name(number), "spec": provider}),
            )
        };
        numbers.map(define).collect()
    }

    /// The call that puts marker `number` into the route of a service.
    pub fn change(&self, service: u32, number: u64) -> Call {
        let router = service_name(service);
        Call {
            path: format!("meshes/{}/virtualRouter/{router}/routes/route", self.name),
            body: json!({"spec": self.route(service, number)}),
        }
    }

    /// Where Legation's store has the route of a service, below the definitions of all meshes.
    pub fn route_key(&self, service: u32) -> String {
        format!("{}/route/{}/route", self.name, service_name(service))
    }

    fn define_node(&self, number: usize) -> Call {
        let backends = self.nodes.get(number).map_or(&[][..], Vec::as_slice);
        let backends: Vec<Value> = backends
            .iter()
            .map(|service| json!({"virtualService": {"virtualServiceName": service_name(*service)}}))
            .collect();
        let name = self.node(number);
        let mut spec = json!({
            "listeners": [{"portMapping": {"port": PORT, "protocol": "http"}}],
            "backends": backends,
        });
        if !has_endpoints_by_name(number) {
            spec["serviceDiscovery"] = json!({"dns": {"hostname": format!("{name}.internal")}});
        }
        self.call("virtualNodes", json!({"virtualNodeName": name, "spec": spec}))
    }

    fn define_router(&self, service: u32) -> Call {
        let spec = json!({"listeners": [{"portMapping": {"port": PORT, "protocol": "http"}}]});
        self.call("virtualRouters", json!({"virtualRouterName": service_name(service), "spec": spec}))
    }

    fn define_route(&self, service: u32) -> Call {
        let collection = format!("virtualRouter/{}/routes", service_name(service));
        self.call(&collection, json!({"routeName": "route", "spec": self.route(service, 0)}))
    }

    fn define_service(&self, service: u32) -> Call {
        let name = service_name(service);
        let spec = json!({"provider": {"virtualRouter": {"virtualRouterName": name}}});
        self.call("virtualServices", json!({"virtualServiceName": name, "spec": spec}))
    }

    fn call(&self, collection: &str, body: Value) -> Call {
        Call { path: format!("meshes/{}/{collection}", self.name), body }
    }

    /// A route for every request, since nobody sends the header that it excludes.
    fn route(&self, service: u32, number: u64) -> Value {
        let target = self.node(service as usize % self.nodes.len().max(1));
        json!({"httpRoute": {
            "match": {
                "prefix": "/",
                "headers": [{
                    "name": "x-marker",
                    "invert": true,
                    "match": {"exact": format!("change-{service}-{number}")},
                }],
            },
            "action": {"weightedTargets": [{"virtualNode": target, "weight": 1}]},
        }})
    }
}

/// Whether Envoys ask for the endpoints of a node by name, which they do where it has no service discovery: every fourth.
const fn has_endpoints_by_name(number: usize) -> bool {
    number % 4 == 3
}

fn service_name(number: u32) -> String {
    format!("service-{number}.internal")
}

/// The number `position` of so many that take turns.
#[expect(clippy::cast_possible_truncation, reason = "a remainder of 32 bits")]
fn place_in_turn(position: usize, count: u32) -> u32 {
    (position as u64 % u64::from(count.max(1))) as u32
}

fn sorted(numbers: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_nodes_consume_the_hot_service() {
        for consumers in [9, 100] {
            let mesh = Mesh::with_hot_service("m", 100, consumers, 1000, 10);
            assert_eq!(mesh.consumers(0).collect::<Vec<_>>(), (0..consumers).collect::<Vec<_>>());
            assert!(mesh.nodes.iter().all(|consumed| consumed.len() == 10));
            assert!(
                (1..1000).all(|service| mesh.consumers(service).count() <= 2),
                "1000 places, 999 services"
            );
        }
    }

    #[test]
    fn spread_services_have_the_same_number_of_consumers() {
        for (nodes, services, backends) in [(1000, 1111, 10), (900, 1000, 10), (10, 100, 10), (9, 1, 1)] {
            let mesh = Mesh::with_spread_services("m", nodes, services, backends);
            let counts: Vec<usize> = (0..services).map(|service| mesh.consumers(service).count()).collect();
            let mean = nodes * backends / services as usize;
            let expected = mean..=mean + 1;
            let off = counts.iter().filter(|count| !expected.contains(count)).count();
            assert!(off * 20 <= counts.len(), "{nodes} {services} {backends}: {off} of {}", counts.len());
            assert!(mesh.nodes.iter().all(|consumed| consumed.len() == backends));
        }
    }

    #[test]
    fn a_marker_is_told_by_the_definition() {
        let mesh = Mesh::with_hot_service("m", 2, 2, 3, 2);
        let call = mesh.change(2, 17);
        assert_eq!(call.path, "meshes/m/virtualRouter/service-2.internal/routes/route");
        assert!(call.body.to_string().contains("\"change-2-17\""), "{}", call.body);
    }
}
