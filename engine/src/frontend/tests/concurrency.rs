//! The rules hold whatever happens at the same time.

use std::future::Future;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Answer, Api, gateway_route_spec, node_provider, route_spec, router_spec};

const ROUNDS: usize = 25;

/// What becomes of `count` calls at the same time.
async fn all<F>(count: usize, call: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for index in 0..count {
        calls.spawn(call(index));
    }
    calls.join_all().await
}

/// Creates what `create` says and deletes what it needs at the same time, many times: exactly one succeeds.
async fn check_race(api: &Api, needed: (&str, Value), create: (&str, Value), delete: &str) {
    let mut created = 0;
    for round in 0..ROUNDS {
        api.put(needed.0, &needed.1).await.ok();
        let (creates, deletes) = (api.clone(), api.clone());
        let ((path, body), delete) = (create.clone(), delete.to_owned());
        let (path, name) = (path.to_owned(), body["name"].as_str().unwrap().to_owned());
        let item = format!("{path}/{name}");
        let mut body = body.clone();
        body.as_object_mut().unwrap().remove("name");
        let delete_path = delete.clone();
        let creation = tokio::spawn(async move { creates.put(&path, &body).await });
        let deletion = tokio::spawn(async move {
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            deletes.delete(&delete_path).await
        });
        let (creation, deletion) = (creation.await.unwrap(), deletion.await.unwrap());
        if creation.is_ok() {
            created += 1;
            deletion.refused(409, "ResourceInUseException");
            api.delete(&item).await.ok();
            api.delete(&delete).await.ok();
        } else {
            creation.refused(404, "NotFoundException");
            deletion.ok();
        }
    }
    println!("{delete}: created {created} of {ROUNDS}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_refers_to_what_does_not_exist() {
    let api = Api::with_mesh().await;
    let node = |name| ("/meshes/m/virtualNodes", json!({"virtualNodeName": name, "spec": {}}));
    let service = ("/meshes/m/virtualServices", json!({"virtualServiceName": "s", "spec": {}}));
    let route = json!({"name": "x", "routeName": "x", "spec": route_spec(&["a", "n"])});
    let provided = json!({"name": "p", "virtualServiceName": "p", "spec": node_provider("n")});
    let gateway_route = json!({"name": "x", "gatewayRouteName": "x", "spec": gateway_route_spec("s")});
    check_race(&api, node("n"), ("/meshes/m/virtualRouter/r/routes", route), "/meshes/m/virtualNodes/n")
        .await;
    check_race(&api, node("n"), ("/meshes/m/virtualServices", provided), "/meshes/m/virtualNodes/n").await;
    let path = "/meshes/m/virtualGateway/g/gatewayRoutes";
    check_race(&api, service, (path, gateway_route), "/meshes/m/virtualServices/s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_lies_in_what_does_not_exist() {
    let api = Api::with_mesh().await;
    let router = ("/meshes/m/virtualRouters", json!({"virtualRouterName": "q", "spec": router_spec()}));
    let route = json!({"name": "x", "routeName": "x", "spec": route_spec(&["a"])});
    check_race(&api, router, ("/meshes/m/virtualRouter/q/routes", route), "/meshes/m/virtualRouters/q").await;
    let mesh = ("/meshes", json!({"meshName": "n", "spec": {}}));
    let node = json!({"name": "x", "virtualNodeName": "x", "spec": {}});
    check_race(&api, mesh, ("/meshes/n/virtualNodes", node), "/meshes/n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_update_to_a_target_races_with_its_deletion() {
    let api = Api::with_mesh().await;
    let route = "/meshes/m/virtualRouter/r/routes";
    api.put(route, &json!({"routeName": "x", "spec": route_spec(&["a"])})).await.ok();
    for _ in 0..ROUNDS {
        let body = json!({"virtualNodeName": "n", "spec": {}});
        api.put("/meshes/m/virtualNodes", &body).await.ok();
        let (updates, deletes) = (api.clone(), api.clone());
        let update = tokio::spawn(async move {
            let spec = json!({"spec": route_spec(&["a", "n"])});
            updates.put(&format!("{route}/x"), &spec).await
        });
        let deletion = tokio::spawn(async move { deletes.delete("/meshes/m/virtualNodes/n").await });
        let (update, deletion) = (update.await.unwrap(), deletion.await.unwrap());
        assert_ne!(update.is_ok(), deletion.is_ok());
        if update.is_ok() {
            api.put(&format!("{route}/x"), &json!({"spec": route_spec(&["a"])})).await.ok();
            api.delete("/meshes/m/virtualNodes/n").await.ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_is_created_once() {
    let api = Api::with_mesh().await;
    let answers = all(20, |_| {
        let api = api.clone();
        async move { api.put("/meshes/m/virtualNodes", &json!({"virtualNodeName": "n", "spec": {}})).await }
    })
    .await;
    let (created, refused): (Vec<Answer>, Vec<Answer>) = answers.into_iter().partition(Answer::is_ok);
    assert_eq!(created.len(), 1);
    for answer in refused {
        answer.refused(409, "ConflictException");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost() {
    const WRITERS: usize = 50;
    let api = Api::with_mesh().await;
    let before = api.transaction().await;
    let answers = all(WRITERS, |index| {
        let api = api.clone();
        let port = json!({"port": index + 1, "protocol": "http"});
        let spec = json!({"listeners": [{"portMapping": port}]});
        async move { api.put("/meshes/m/virtualNodes/a", &json!({"spec": spec})).await }
    })
    .await;
    let mut versions: Vec<u64> =
        answers.into_iter().map(|answer| answer.ok()["metadata"]["version"].as_u64().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=WRITERS as u64 + 1).collect::<Vec<_>>());
    assert_eq!(api.transaction().await, before + WRITERS as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn routes_of_one_router_do_not_get_in_each_others_way() {
    const ROUTES: usize = 20;
    let api = Api::with_mesh().await;
    let created = all(ROUTES, |index| {
        let api = api.clone();
        let body = json!({"routeName": index.to_string(), "spec": route_spec(&["a", "b"])});
        async move { api.put("/meshes/m/virtualRouter/r/routes", &body).await }
    });
    for answer in created.await {
        answer.ok();
    }
    let deleted = all(ROUTES, |index| {
        let api = api.clone();
        async move { api.delete(&format!("/meshes/m/virtualRouter/r/routes/{index}")).await }
    });
    for answer in deleted.await {
        answer.ok();
    }
    assert_eq!(api.records().await.len(), 5, "no entry of a referrer is left over");
}
