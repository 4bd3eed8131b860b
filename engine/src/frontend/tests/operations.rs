//! What each operation does when all is well.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Api, gateway_route_spec, gateway_spec, node_provider, route_spec, router_spec};
use crate::store::Store;

/// Of each kind in the order of creation: collection, name key, name as in a path, name, specification, another one.
fn one_of_each() -> Vec<(&'static str, &'static str, &'static str, &'static str, Value, Value)> {
    let odd = ("svc.a.local%2Fx%20y%25", "svc.a.local/x y%");
    let filter = json!({"egressFilter": {"type": "ALLOW_ALL"}});
    let discovery = json!({"serviceDiscovery": {"dns": {"hostname": "a.local"}}});
    let ranked = |mut spec: Value| {
        spec["priority"] = json!(7);
        spec
    };
    let other_port = json!({"listeners": [{"portMapping": {"port": 81, "protocol": "http"}}]});
    vec![
        ("/meshes", "meshName", "m", "m", json!({}), filter),
        ("/meshes/m/virtualNodes", "virtualNodeName", odd.0, odd.1, json!({}), discovery),
        ("/meshes/m/virtualRouters", "virtualRouterName", "r%20r", "r r", router_spec(), other_port.clone()),
        (
            "/meshes/m/virtualRouter/r%20r/routes",
            "routeName",
            odd.0,
            odd.1,
            route_spec(&[odd.1]),
            ranked(route_spec(&[odd.1])),
        ),
        ("/meshes/m/virtualServices", "virtualServiceName", odd.0, odd.1, json!({}), node_provider(odd.1)),
        ("/meshes/m/virtualGateways", "virtualGatewayName", "g", "g", gateway_spec(), other_port),
        (
            "/meshes/m/virtualGateway/g/gatewayRoutes",
            "gatewayRouteName",
            odd.0,
            odd.1,
            gateway_route_spec(odd.1),
            ranked(gateway_route_spec(odd.1)),
        ),
    ]
}

#[tokio::test]
async fn every_kind_lives_from_creation_to_deletion() {
    let api = Api::new();
    for (collection, name_key, escaped, name, spec, other) in one_of_each() {
        let item = format!("{collection}/{escaped}");
        let token = "0e8cb3f8-8d3b-44ad-9d3e-2f0fbb4c9f1f";
        let body =
            json!({name_key: name, "spec": spec, "clientToken": token, "tags": [{"key": "k", "value": ""}]});
        let created = api.put(collection, &body).await.ok();
        assert_eq!(created[name_key], name);
        assert_eq!(created["meshName"], "m");
        assert_eq!(created["spec"], spec);
        assert_eq!(created["status"], json!({"status": "ACTIVE"}));
        assert_eq!(created["metadata"]["version"], 1);
        assert_eq!(api.get(&item).await.ok(), created);

        let transaction = api.transaction().await;
        assert_eq!(api.put(&item, &json!({"spec": spec})).await.ok(), created, "nothing to update");
        assert_eq!(api.transaction().await, transaction);

        let updated = api.put(&item, &json!({"spec": other, "clientToken": token})).await.ok();
        assert_eq!(updated["spec"], other);
        assert_eq!(updated["metadata"]["version"], 2);
        assert_eq!(updated["metadata"]["uid"], created["metadata"]["uid"]);
        assert_eq!(updated["metadata"]["createdAt"], created["metadata"]["createdAt"]);
        assert!(updated["metadata"]["lastUpdatedAt"].as_f64() >= created["metadata"]["createdAt"].as_f64());
        assert_eq!(api.get(&item).await.ok(), updated);
        assert_eq!(api.transaction().await, transaction + 1);

        let member = collection.rsplit('/').next().unwrap();
        let listed = api.get(collection).await.ok();
        assert_eq!(listed.as_object().unwrap().len(), 1, "no token after the last page");
        let reference = &listed[member][0];
        for key in ["arn", "createdAt", "lastUpdatedAt", "meshOwner", "resourceOwner", "version"] {
            assert_eq!(reference[key], updated["metadata"][key], "{key}");
        }
        assert_eq!(reference[name_key], name);
    }
    for (collection, _, escaped, name, _, other) in one_of_each().into_iter().rev() {
        let item = format!("{collection}/{escaped}");
        let deleted = api.delete(&item).await.ok();
        assert_eq!(deleted["status"], json!({"status": "DELETED"}));
        assert_eq!(deleted["spec"], other);
        let message = api.get(&item).await.refused(404, "NotFoundException");
        assert!(message.contains(name), "{message}");
    }
    assert_eq!(api.records().await, [], "nothing is left over");
}

#[tokio::test]
async fn metadata_is_app_meshs() {
    let api = Api::with_mesh().await;
    let path = "/meshes/m/virtualRouter/r/routes";
    let body = json!({"routeName": "x", "spec": route_spec(&["a"])});
    let created = api.put(path, &body).await.ok();
    let metadata = created["metadata"].as_object().unwrap();
    let mut keys: Vec<&str> = metadata.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = ["arn", "createdAt", "lastUpdatedAt", "meshOwner", "resourceOwner", "uid", "version"];
    assert_eq!(keys, expected);
    let arn = "arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualRouter/r/route/x";
    assert_eq!(metadata["arn"], arn);
    assert_eq!(metadata["meshOwner"], "000000000000");
    let created_at = metadata["createdAt"].as_f64().unwrap();
    assert!((1.7e9..1e10).contains(&created_at), "seconds: {created_at}");
    assert_eq!(created["virtualRouterName"], "r");
}

#[tokio::test]
async fn a_mesh_needs_no_specification() {
    let api = Api::new();
    assert_eq!(api.put("/meshes", &json!({"meshName": "m"})).await.ok()["spec"], json!({}));
    let spec = json!({"egressFilter": {"type": "ALLOW_ALL"}});
    api.put("/meshes/m", &json!({"spec": spec})).await.ok();
    assert_eq!(api.put("/meshes/m", &json!({})).await.ok()["spec"], json!({}));
}

#[tokio::test]
async fn the_journal_has_operation_and_author() {
    let api = Api::with_mesh().await;
    let path = "/meshes/m/virtualRouter/r/routes";
    api.put(path, &json!({"routeName": "x", "spec": route_spec(&["a"])})).await.ok();
    api.put(&format!("{path}/x"), &json!({"spec": route_spec(&["a", "b"])})).await.ok();
    api.delete(&format!("{path}/x")).await.ok();
    let journal = api.store.journal(0, 100).await.unwrap();
    let last: Vec<&str> = journal[journal.len() - 3..].iter().map(|entry| entry.operation.as_str()).collect();
    assert_eq!(last, ["CreateRoute", "UpdateRoute", "DeleteRoute"]);
    assert!(journal.iter().all(|entry| entry.author == "anonymous"));
}

#[tokio::test]
async fn the_owner_may_be_named() {
    let api = Api::with_mesh().await;
    api.get("/meshes/m?meshOwner=000000000000").await.ok();
    let message = api.get("/meshes/m?meshOwner=111111111111").await.refused(404, "NotFoundException");
    assert!(message.contains("111111111111"), "{message}");
    let message = api.get("/meshes/m?meshOwner=me").await.refused(400, "BadRequestException");
    assert!(message.contains("meshOwner"), "{message}");
}

#[tokio::test]
async fn every_answer_has_an_identifier() {
    let api = Api::with_mesh().await;
    let mut identifiers = std::collections::BTreeSet::new();
    for (method, path) in [
        ("GET", "/v20190125/meshes"),
        ("GET", "/v20190125/meshes/none"),
        ("PATCH", "/v20190125/meshes"),
        ("GET", "/x"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = api.router.clone().oneshot(request).await.unwrap();
        let identifier = response.headers()["x-amzn-RequestId"].to_str().unwrap();
        assert!(uuid::Uuid::parse_str(identifier).is_ok(), "{identifier}");
        identifiers.insert(identifier.to_owned());
    }
    assert_eq!(identifiers.len(), 4);
}
