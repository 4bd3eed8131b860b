//! How many resources there may be.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Answer, Api, gateway_route_spec, gateway_spec, route_spec, router_spec};
use crate::frontend::{FrontendSettings, Quotas};

const LIMIT: (u16, &str) = (400, "LimitExceededException");

/// The API with the usual mesh and quotas that leave room for one more of each kind.
async fn api() -> Api {
    let quotas = Quotas {
        meshes: 2,
        virtual_nodes: 3,
        virtual_services: 1,
        virtual_routers: 2,
        virtual_gateways: 2,
        routes: 1,
        gateway_routes: 1,
        backends: 2,
    };
    let api = Api::with_settings(FrontendSettings { quotas, ..FrontendSettings::default() });
    api.fill().await;
    api
}

/// Expects that there is room for one, and that there is room again when it is gone.
async fn check(api: &Api, collection: &str, name_key: &str, spec: &Value, parts: &[&str]) {
    let body = |name: &str| json!({name_key: name, "spec": spec});
    api.put(collection, &body("one")).await.ok();
    let before = (api.transaction().await, api.records().await);
    let message = api.put(collection, &body("two")).await.refused(LIMIT.0, LIMIT.1);
    for part in parts {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!((api.transaction().await, api.records().await), before);
    // what exists is told first
    api.put(collection, &body("one")).await.refused(409, "ConflictException");
    api.delete(&format!("{collection}/one")).await.ok();
    api.put(collection, &body("two")).await.ok();
    api.put(collection, &body("one")).await.refused(LIMIT.0, LIMIT.1);
}

#[tokio::test]
async fn each_kind_has_a_quota() {
    let api = api().await;
    let in_mesh = "in mesh \"m\"";
    check(&api, "/meshes", "meshName", &json!({}), &["no further mesh"]).await;
    check(&api, "/meshes/m/virtualNodes", "virtualNodeName", &json!({}), &["virtual node", in_mesh]).await;
    let parts = ["virtual router", in_mesh];
    check(&api, "/meshes/m/virtualRouters", "virtualRouterName", &router_spec(), &parts).await;
    check(&api, "/meshes/m/virtualGateways", "virtualGatewayName", &gateway_spec(), &["virtual gateway"])
        .await;
    check(&api, "/meshes/m/virtualServices", "virtualServiceName", &json!({}), &["virtual service"]).await;
    let routes = "/meshes/m/virtualRouter/r/routes";
    check(&api, routes, "routeName", &route_spec(&["a"]), &["route", "in virtual router \"r\""]).await;
    let gateway_routes = "/meshes/m/virtualGateway/g/gatewayRoutes";
    check(&api, gateway_routes, "gatewayRouteName", &gateway_route_spec("two"), &["gateway \"g\""]).await;

    // each mesh and each router has its own
    api.put("/meshes/two/virtualNodes", &json!({"virtualNodeName": "n", "spec": {}})).await.ok();
    let body = json!({"routeName": "x", "spec": route_spec(&["a"])});
    api.put("/meshes/m/virtualRouter/two/routes", &body).await.ok();
}

#[tokio::test]
async fn a_virtual_node_has_so_many_backends() {
    let api = api().await;
    let backends = |count: usize| {
        let backend = |number| json!({"virtualService": {"virtualServiceName": format!("s{number}")}});
        json!({"backends": (0..count).map(backend).collect::<Vec<_>>()})
    };
    let body = json!({"virtualNodeName": "n", "spec": backends(3)});
    let message = api.put("/meshes/m/virtualNodes", &body).await.refused(LIMIT.0, LIMIT.1);
    assert!(message.contains("spec.backends: has 3 items"), "{message}");
    api.put("/meshes/m/virtualNodes/a", &json!({"spec": backends(3)})).await.refused(LIMIT.0, LIMIT.1);
    api.put("/meshes/m/virtualNodes/a", &json!({"spec": backends(2)})).await.ok();
}

#[tokio::test]
async fn to_lower_a_quota_takes_nothing_away() {
    let api = Api::with_mesh().await;
    let quotas = Quotas { virtual_nodes: 1, ..Quotas::default() };
    let dir = api.dir.clone();
    drop(api);
    let api = Api::in_dir(dir, FrontendSettings { quotas, ..FrontendSettings::default() });
    api.get("/meshes/m/virtualNodes/b").await.ok();
    let spec = json!({"serviceDiscovery": {"dns": {"hostname": "b.local"}}});
    api.put("/meshes/m/virtualNodes/b", &json!({"spec": spec})).await.ok();
    let body = json!({"virtualNodeName": "c", "spec": {}});
    api.delete("/meshes/m/virtualNodes/a").await.ok();
    api.put("/meshes/m/virtualNodes", &body).await.refused(LIMIT.0, LIMIT.1);
    api.delete("/meshes/m/virtualNodes/b").await.ok();
    api.put("/meshes/m/virtualNodes", &body).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_quota_holds_exactly_under_concurrency() {
    const QUOTA: usize = 10;
    let quotas = Quotas { virtual_nodes: QUOTA, ..Quotas::default() };
    let api = Api::with_settings(FrontendSettings { quotas, ..FrontendSettings::default() });
    api.fill().await;
    let mut calls = JoinSet::new();
    for number in 0..50 {
        let api = api.clone();
        let body = json!({"virtualNodeName": number.to_string(), "spec": {}});
        calls.spawn(async move { api.put("/meshes/m/virtualNodes", &body).await });
    }
    let (created, refused): (Vec<Answer>, Vec<Answer>) =
        calls.join_all().await.into_iter().partition(Answer::is_ok);
    assert_eq!(created.len(), QUOTA - 2, "two were there");
    refused.into_iter().for_each(|answer| drop(answer.refused(LIMIT.0, LIMIT.1)));
    let listed = api.get("/meshes/m/virtualNodes").await.ok();
    assert_eq!(listed["virtualNodes"].as_array().unwrap().len(), QUOTA);
}
