//! What is in use cannot be deleted, and can be once it is not.

use serde_json::{Value, json};

use super::{Api, gateway_route_spec, node_provider, route_spec, router_provider};
use crate::store::Store;

const IN_USE: &str = "ResourceInUseException";
const ROUTES: &str = "/meshes/m/virtualRouter/r/routes";
const GATEWAY_ROUTES: &str = "/meshes/m/virtualGateway/g/gatewayRoutes";
const SERVICES: &str = "/meshes/m/virtualServices";

/// Expects that `path` cannot be deleted because of `user`, and that nothing changed.
async fn check_in_use(api: &Api, path: &str, user: &str) {
    let before = (api.transaction().await, api.records().await);
    let message = api.delete(path).await.refused(409, IN_USE);
    assert!(message.contains(user), "{message}");
    assert_eq!((api.transaction().await, api.records().await), before);
}

async fn create(api: &Api, path: &str, name_key: &str, name: &str, spec: Value) {
    api.put(path, &json!({name_key: name, "spec": spec})).await.ok();
}

#[tokio::test]
async fn virtual_nodes_that_are_targets_or_providers() {
    let api = Api::with_mesh().await;
    create(&api, ROUTES, "routeName", "x", route_spec(&["a", "b"])).await;
    create(&api, SERVICES, "virtualServiceName", "s", node_provider("a")).await;
    check_in_use(&api, "/meshes/m/virtualNodes/a", "route \"x\" of virtual router \"r\"").await;
    check_in_use(&api, "/meshes/m/virtualNodes/a", "virtual service \"s\"").await;

    api.put(&format!("{ROUTES}/x"), &json!({"spec": route_spec(&["b"])})).await.ok();
    check_in_use(&api, "/meshes/m/virtualNodes/a", "virtual service \"s\"").await;
    api.delete(&format!("{SERVICES}/s")).await.ok();
    api.delete("/meshes/m/virtualNodes/a").await.ok();

    check_in_use(&api, "/meshes/m/virtualNodes/b", "route \"x\"").await;
    api.delete(&format!("{ROUTES}/x")).await.ok();
    api.delete("/meshes/m/virtualNodes/b").await.ok();
}

#[tokio::test]
async fn virtual_routers_that_have_routes_or_are_providers() {
    let api = Api::with_mesh().await;
    create(&api, SERVICES, "virtualServiceName", "s", router_provider("r")).await;
    create(&api, ROUTES, "routeName", "x", route_spec(&["a"])).await;
    check_in_use(&api, "/meshes/m/virtualRouters/r", "route \"x\"").await;
    api.delete(&format!("{ROUTES}/x")).await.ok();
    check_in_use(&api, "/meshes/m/virtualRouters/r", "virtual service \"s\"").await;
    api.put(&format!("{SERVICES}/s"), &json!({"spec": {}})).await.ok();
    api.delete("/meshes/m/virtualRouters/r").await.ok();
}

#[tokio::test]
async fn virtual_services_and_gateways_with_gateway_routes() {
    let api = Api::with_mesh().await;
    create(&api, SERVICES, "virtualServiceName", "s", json!({})).await;
    create(&api, GATEWAY_ROUTES, "gatewayRouteName", "x", gateway_route_spec("s")).await;
    check_in_use(&api, &format!("{SERVICES}/s"), "gateway route \"x\" of virtual gateway \"g\"").await;
    check_in_use(&api, "/meshes/m/virtualGateways/g", "gateway route \"x\"").await;
    api.delete(&format!("{GATEWAY_ROUTES}/x")).await.ok();
    api.delete(&format!("{SERVICES}/s")).await.ok();
    api.delete("/meshes/m/virtualGateways/g").await.ok();
}

#[tokio::test]
async fn meshes_that_are_not_empty() {
    let api = Api::with_mesh().await;
    for (path, user) in [
        ("/meshes/m/virtualNodes/a", "virtual node \"a\""),
        ("/meshes/m/virtualNodes/b", "virtual node \"b\""),
        ("/meshes/m/virtualRouters/r", "virtual router \"r\""),
        ("/meshes/m/virtualGateways/g", "virtual gateway \"g\""),
    ] {
        check_in_use(&api, "/meshes/m", user).await;
        api.delete(path).await.ok();
    }
    api.delete("/meshes/m").await.ok();
}

#[tokio::test]
async fn many_users_are_counted() {
    let api = Api::with_mesh().await;
    for name in ["1", "2", "3", "4", "5", "6", "7"] {
        create(&api, ROUTES, "routeName", name, route_spec(&["a"])).await;
    }
    check_in_use(&api, "/meshes/m/virtualNodes/a", "route \"").await;
    check_in_use(&api, "/meshes/m/virtualNodes/a", ", 2 more").await;
}

#[tokio::test]
async fn a_deleted_route_moves_the_transaction_of_its_router() {
    let api = Api::with_mesh().await;
    create(&api, SERVICES, "virtualServiceName", "s", json!({})).await;
    create(&api, ROUTES, "routeName", "x", route_spec(&["a"])).await;
    create(&api, GATEWAY_ROUTES, "gatewayRouteName", "x", gateway_route_spec("s")).await;
    for (parent, child) in [("virtualRouter/r", ROUTES), ("virtualGateway/g", GATEWAY_ROUTES)] {
        let key = format!("definitions/m/{parent}");
        let before = api.store.get(&key).await.unwrap().unwrap();
        api.delete(&format!("{child}/x")).await.ok();
        let after = api.store.get(&key).await.unwrap().unwrap();
        assert_eq!(after.transaction, api.transaction().await);
        assert_eq!(after.value, before.value);
    }
}

#[tokio::test]
async fn a_name_can_be_used_again() {
    let api = Api::with_mesh().await;
    create(&api, ROUTES, "routeName", "x", route_spec(&["a"])).await;
    let first = api.get(&format!("{ROUTES}/x")).await.ok();
    api.delete(&format!("{ROUTES}/x")).await.ok();
    create(&api, ROUTES, "routeName", "x", route_spec(&["b"])).await;
    let second = api.get(&format!("{ROUTES}/x")).await.ok();
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(second["metadata"]["version"], 1);
    api.delete("/meshes/m/virtualNodes/a").await.ok();
    check_in_use(&api, "/meshes/m/virtualNodes/b", "route \"x\"").await;
}
