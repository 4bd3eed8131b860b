//! The definitions that a scenario needs, and calls of the API.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

/// App Mesh's API of the server under test.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    endpoint: String,
    agent: ureq::Agent,
}

impl Api {
    pub(crate) fn new(endpoint: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Self { endpoint, agent: config.into() }
    }

    /// Creates or updates; a collection's path creates, an item's updates.
    pub(crate) fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let url = format!("{}/v20190125/{path}", self.endpoint);
        let mut response = self.agent.put(&url).send_json(body)?;
        if response.status() != 200 {
            bail!("PUT {url} answered {}: {}", response.status(), response.body_mut().read_to_string()?);
        }
        response.body_mut().read_to_string()?; // keeps the connection usable
        Ok(())
    }
}

/// A mesh of nodes that consume either the one service whose route is changed, or another one.
///
/// Every node has the same number of backends. The first `consumers` nodes have `hot` among them.
pub(crate) struct ChangeMesh {
    /// The name of the mesh.
    pub(crate) name: String,
    /// The names of its virtual nodes that Envoys connect as.
    pub(crate) nodes: Vec<String>,
    /// How many of them, from the first, consume the service that changes.
    pub(crate) consumers: usize,
    /// Backends of each node.
    pub(crate) backends: usize,
}

impl ChangeMesh {
    pub(crate) fn new(name: &str, nodes: usize, consumers: usize, backends: usize) -> Self {
        let nodes = (0..nodes).map(|number| format!("node-{number}")).collect();
        Self { name: name.to_owned(), nodes, consumers, backends }
    }

    /// Creates everything.
    pub(crate) fn create(&self, api: &Api) -> anyhow::Result<()> {
        let mesh = &self.name;
        api.put("meshes", &json!({"meshName": mesh, "spec": {}}))?;
        for target in ["blue", "green"] {
            let spec = json!({
                "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
                "serviceDiscovery": {"dns": {"hostname": format!("{target}.local")}},
            });
            api.put(
                &format!("meshes/{mesh}/virtualNodes"),
                &json!({"virtualNodeName": target, "spec": spec}),
            )?;
        }
        for service in self.services() {
            let router = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]});
            api.put(
                &format!("meshes/{mesh}/virtualRouters"),
                &json!({"virtualRouterName": service, "spec": router}),
            )?;
            let route = json!({"routeName": "route", "spec": route_spec(50)});
            api.put(&format!("meshes/{mesh}/virtualRouter/{service}/routes"), &route)?;
            let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": service}}});
            let body = json!({"virtualServiceName": service, "spec": provider});
            api.put(&format!("meshes/{mesh}/virtualServices"), &body)?;
        }
        for (position, node) in self.nodes.iter().enumerate() {
            let shared = (1..self.backends).map(shared_service);
            let own = if position < self.consumers { "hot".to_owned() } else { "cold".to_owned() };
            let backends: Vec<Value> = shared
                .chain([own])
                .map(|service| json!({"virtualService": {"virtualServiceName": service}}))
                .collect();
            let spec = json!({
                "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
                "backends": backends,
            });
            api.put(&format!("meshes/{mesh}/virtualNodes"), &json!({"virtualNodeName": node, "spec": spec}))?;
        }
        Ok(())
    }

    /// Changes the weights of the route that the consumers depend on.
    pub(crate) fn change(&self, api: &Api, weight: u32) -> anyhow::Result<()> {
        let path = format!("meshes/{}/virtualRouter/hot/routes/route", self.name);
        api.put(&path, &json!({"spec": route_spec(weight)}))
    }

    fn services(&self) -> Vec<String> {
        ["hot".to_owned(), "cold".to_owned()]
            .into_iter()
            .chain((1..self.backends).map(shared_service))
            .collect()
    }
}

fn shared_service(number: usize) -> String {
    format!("shared-{number}")
}

fn route_spec(weight: u32) -> Value {
    json!({"httpRoute": {
        "match": {"prefix": "/"},
        "action": {"weightedTargets": [
            {"virtualNode": "blue", "weight": weight},
            {"virtualNode": "green", "weight": 100 - weight},
        ]},
    }})
}
