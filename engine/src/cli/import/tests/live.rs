//! Imports from an API on a port of its own.

use std::net::Ipv4Addr;
use std::sync::Arc;

use clap::Parser;
use expect_test::expect;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::{CommandLine, shown};
use crate::cli::client::{ApiArgs, Client};
use crate::frontend::{Frontend, FrontendSettings, router};
use crate::store::EmbeddedStore;

struct Setup {
    _runtime: Runtime,
    _data: TempDir,
    endpoint: String,
}

impl Setup {
    fn new() -> Setup {
        let data = TempDir::new().unwrap();
        let store = Arc::new(EmbeddedStore::open(data.path()).unwrap());
        let router = router(Frontend::new(store, FrontendSettings::default()));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Setup { _runtime: runtime, _data: data, endpoint }
    }

    fn put(&self, path: &str, body: &Value) {
        let client = Client::new(&ApiArgs { endpoint: self.endpoint.clone(), ca_certificate: None }).unwrap();
        client.request(http::Method::PUT, &format!("/v20190125/meshes{path}"), &[], Some(body)).unwrap();
    }

    fn import(&self, options: &[&str]) -> String {
        let words = ["import", "--from-endpoint", &self.endpoint].into_iter().chain(options.iter().copied());
        let outcome = crate::cli::import::import(&CommandLine::try_parse_from(words).unwrap().import);
        shown(&outcome).replace(&self.endpoint, "ENDPOINT")
    }

    /// What is written. What is said depends on whether the endpoint tells tags.
    fn written(&self, options: &[&str]) -> String {
        let shown = self.import(options);
        let written = shown.lines().filter(|line| !line.starts_with("! ") && !line.starts_with("exit code"));
        written.map(|line| format!("{line}\n")).collect()
    }
}

#[test]
fn everything_is_listed_and_described() {
    let setup = Setup::new();
    let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": "r"}}});
    let target = json!({"weightedTargets": [{"virtualNode": "n/1 x", "weight": 1}]});
    let listener = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    let gateway_route = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": {"virtualService": {"virtualServiceName": "s/é"}}}}});
    for mesh in ["m", "other"] {
        setup.put("", &json!({"meshName": mesh}));
    }
    setup.put("/m/virtualNodes", &json!({"virtualNodeName": "n/1 x", "spec": {}}));
    setup.put("/m/virtualRouters", &json!({"virtualRouterName": "r", "spec": {}}));
    setup.put(
        "/m/virtualRouter/r/routes",
        &json!({"routeName": "x", "spec": {"tcpRoute": {"action": target}}}),
    );
    setup.put("/m/virtualServices", &json!({"virtualServiceName": "s/é", "spec": provider}));
    setup.put("/m/virtualGateways", &json!({"virtualGatewayName": "g", "spec": listener}));
    setup.put("/m/virtualGateway/g/gatewayRoutes", &json!({"gatewayRouteName": "y", "spec": gateway_route}));
    for number in 0..130 {
        setup.put("/other/virtualNodes", &json!({"virtualNodeName": format!("n{number:03}"), "spec": {}}));
    }
    expect![[r##"
        # ENDPOINT: mesh/m
        meshName: m
        spec: {}
        ---
        # ENDPOINT: mesh/m/virtualNode/n/1 x
        meshName: m
        virtualNodeName: n/1 x
        spec: {}
        ---
        # ENDPOINT: mesh/m/virtualRouter/r
        meshName: m
        virtualRouterName: r
        spec: {}
        ---
        # ENDPOINT: mesh/m/virtualRouter/r/route/x
        meshName: m
        virtualRouterName: r
        routeName: x
        spec:
          tcpRoute:
            action:
              weightedTargets:
              - virtualNode: n/1 x
                weight: 1
        ---
        # ENDPOINT: mesh/m/virtualService/s/é
        meshName: m
        virtualServiceName: s/é
        spec:
          provider:
            virtualRouter:
              virtualRouterName: r
        ---
        # ENDPOINT: mesh/m/virtualGateway/g
        meshName: m
        virtualGatewayName: g
        spec:
          listeners:
          - portMapping:
              port: 80
              protocol: http
        ---
        # ENDPOINT: mesh/m/virtualGateway/g/gatewayRoute/y
        meshName: m
        virtualGatewayName: g
        gatewayRouteName: "y"
        spec:
          httpRoute:
            action:
              target:
                virtualService:
                  virtualServiceName: s/é
            match:
              prefix: /
    "##]]
    .assert_eq(&setup.written(&["--mesh=m"]));
    let everything = setup.written(&[]);
    assert_eq!(everything.matches("virtualNodeName: n").count(), 131, "a list has several pages");
}

#[test]
fn what_is_not_there() {
    let setup = Setup::new();
    expect![[r#"
        ! error: ENDPOINT: /v20190125/meshes/gone: mesh "gone" does not exist
        ! nothing was written
        exit code 2
    "#]]
    .assert_eq(&setup.import(&["--mesh=gone"]));
    expect![[r#"
        ! error: there is nothing to import
        ! nothing was written
        exit code 2
    "#]]
    .assert_eq(&setup.import(&[]));
    let words = ["import", "--from-endpoint", "http://127.0.0.1:1"];
    let outcome = crate::cli::import::import(&CommandLine::try_parse_from(words).unwrap().import);
    expect![[r#"
        ! error: http://127.0.0.1:1 was not reached: io: Connection refused (os error 111)
        ! nothing was written
        exit code 2
    "#]]
    .assert_eq(&shown(&outcome));
}
