//! Tests of the API through its router, over a real store.

mod authentication;
mod authorisation;
mod change_sets;
mod client_tokens;
mod concurrency;
mod failures;
mod history;
mod lists;
mod operations;
mod plan;
mod quotas;
mod references;
mod refusals;
mod rollback;
mod set_properties;
mod tags;
mod throttle;
mod warnings;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::{Frontend, FrontendSettings, router};
use crate::store::{At, DEFINITIONS, EmbeddedStore, Record, Store};

/// The API over a store of its own.
#[derive(Clone)]
struct Api {
    router: Router,
    store: Arc<EmbeddedStore>,
    dir: Arc<TempDir>,
}

/// What the API said.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    /// The header that clients read the type of an error from.
    error_type: Option<String>,
    /// What it warns of.
    warnings: Vec<String>,
    body: Value,
}

impl Api {
    fn new() -> Api {
        Api::with_body_bytes_max(4096)
    }

    fn with_body_bytes_max(body_bytes_max: usize) -> Api {
        Api::with_settings(FrontendSettings { body_bytes_max, ..FrontendSettings::default() })
    }

    fn with_settings(settings: FrontendSettings) -> Api {
        Api::in_dir(Arc::new(TempDir::new().unwrap()), settings)
    }

    fn in_dir(dir: Arc<TempDir>, settings: FrontendSettings) -> Api {
        let store = Arc::new(EmbeddedStore::open(dir.path()).unwrap());
        Api { router: router(Frontend::new(store.clone(), settings)), store, dir }
    }

    /// Another API over the same store, as of another host.
    fn beside(&self) -> Api {
        let frontend = Frontend::new(self.store.clone(), FrontendSettings::default());
        Api { router: router(frontend), ..self.clone() }
    }

    /// The API after a restart. No other may be over the same store.
    fn restarted(self) -> Api {
        let Api { router, store, dir } = self;
        drop(router);
        drop(Arc::into_inner(store).expect("nobody else has the store open"));
        Api::in_dir(dir, FrontendSettings::default())
    }

    /// The API with a mesh `m`, virtual nodes `a` and `b`, a virtual router `r` and a virtual gateway `g`.
    async fn with_mesh() -> Api {
        let api = Api::new();
        api.fill().await;
        api
    }

    /// Makes that mesh.
    async fn fill(&self) {
        for (path, body) in [
            ("/meshes", json!({"meshName": "m", "spec": {}})),
            ("/meshes/m/virtualNodes", json!({"virtualNodeName": "a", "spec": {}})),
            ("/meshes/m/virtualNodes", json!({"virtualNodeName": "b", "spec": {}})),
            ("/meshes/m/virtualRouters", json!({"virtualRouterName": "r", "spec": router_spec()})),
            ("/meshes/m/virtualGateways", json!({"virtualGatewayName": "g", "spec": gateway_spec()})),
        ] {
            self.put(path, &body).await.ok();
        }
    }

    async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.call_anywhere(method, &format!("/v20190125{path}"), body).await
    }

    async fn call_anywhere(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, body.to_string()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Body::empty()).await
    }

    /// Posts to a path that App Mesh does not have.
    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call_anywhere("POST", &format!("/legation/v1/{path}"), body.to_string()).await
    }

    /// The answer of the history to a query.
    async fn history(&self, query: &str) -> Answer {
        self.call_anywhere("GET", &format!("/legation/v1/history?{query}"), Body::empty()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, Body::empty()).await
    }

    async fn transaction(&self) -> u64 {
        self.store.list(DEFINITIONS, At::Newest).await.unwrap().transaction
    }

    async fn records(&self) -> Vec<Record> {
        self.store.list(DEFINITIONS, At::Newest).await.unwrap().records
    }
}

impl Answer {
    async fn read(response: Response) -> Answer {
        let status = response.status();
        let error_type = response.headers().get("x-amzn-ErrorType");
        let error_type = error_type.map(|value| value.to_str().unwrap().to_owned());
        let warnings = response.headers().get_all("x-legation-warning").iter();
        let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap();
        Answer { status, error_type, warnings, body }
    }

    /// The body of an answer that says yes.
    #[track_caller]
    fn ok(self) -> Value {
        assert_eq!((self.status, self.error_type.as_deref()), (StatusCode::OK, None), "{}", self.body);
        self.body
    }

    /// The message of an answer that says no with this status and type.
    #[track_caller]
    fn refused(self, status: u16, code: &str) -> String {
        let answer = (self.status.as_u16(), self.error_type.as_deref());
        assert_eq!(answer, (status, Some(code)), "{}", self.body);
        assert_eq!(self.body["code"], code);
        self.body["message"].as_str().unwrap().to_owned()
    }

    fn is_ok(&self) -> bool {
        self.status == StatusCode::OK
    }
}

fn router_spec() -> Value {
    json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]})
}

fn gateway_spec() -> Value {
    router_spec()
}

/// A route to these virtual nodes.
fn route_spec(nodes: &[&str]) -> Value {
    let targets: Vec<Value> = nodes.iter().map(|node| json!({"virtualNode": node, "weight": 1})).collect();
    json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
}

fn gateway_route_spec(service: &str) -> Value {
    let target = json!({"virtualService": {"virtualServiceName": service}});
    json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": target}}})
}

fn node_provider(name: &str) -> Value {
    json!({"provider": {"virtualNode": {"virtualNodeName": name}}})
}

fn router_provider(name: &str) -> Value {
    json!({"provider": {"virtualRouter": {"virtualRouterName": name}}})
}
