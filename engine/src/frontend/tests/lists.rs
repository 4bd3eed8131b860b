//! Pages, and their tokens.

use serde_json::{Value, json};

use super::{Api, route_spec};

async fn nodes(api: &Api, names: &[&str]) {
    for name in names {
        let body = json!({"virtualNodeName": name, "spec": {}});
        api.put("/meshes/l/virtualNodes", &body).await.ok();
    }
}

fn names(page: &Value) -> Vec<&str> {
    let items = page["virtualNodes"].as_array().unwrap();
    items.iter().map(|item| item["virtualNodeName"].as_str().unwrap()).collect()
}

fn token(page: &Value) -> &str {
    page["nextToken"].as_str().unwrap()
}

async fn api() -> Api {
    let api = Api::with_mesh().await;
    api.put("/meshes", &json!({"meshName": "l", "spec": {}})).await.ok();
    api
}

const LIST: &str = "/meshes/l/virtualNodes";

#[tokio::test]
async fn pages_are_sorted_by_name_and_complete() {
    let api = api().await;
    // in an order of their own: escaped, the names sort differently
    nodes(&api, &["é", "b", "a/b", "a", "a!", "a b", "a-b"]).await;
    let all = api.get(LIST).await.ok();
    assert_eq!(names(&all), ["a", "a b", "a!", "a-b", "a/b", "b", "é"]);

    let mut seen = Vec::new();
    let mut page = api.get(&format!("{LIST}?limit=3")).await.ok();
    loop {
        seen.extend(names(&page).into_iter().map(str::to_owned));
        if page["nextToken"].is_null() {
            break;
        }
        page = api.get(&format!("{LIST}?limit=3&nextToken={}", token(&page))).await.ok();
    }
    assert_eq!(seen, names(&all));
    let page = api.get(&format!("{LIST}?limit=7")).await.ok();
    assert!(page["nextToken"].is_null(), "the last page has no token, full or not");
}

#[tokio::test]
async fn pages_stand_while_the_list_changes() {
    let api = api().await;
    nodes(&api, &["b", "d", "f", "h"]).await;
    let page = api.get(&format!("{LIST}?limit=2")).await.ok();
    assert_eq!(names(&page), ["b", "d"]);
    // the one that the token names, one before it and one after it
    api.delete(&format!("{LIST}/d")).await.ok();
    nodes(&api, &["a", "e"]).await;
    let page = api.get(&format!("{LIST}?limit=2&nextToken={}", token(&page))).await.ok();
    assert_eq!(names(&page), ["e", "f"]);
}

#[tokio::test]
async fn lists_hold_what_lies_in_their_container_only() {
    let api = Api::with_mesh().await;
    api.put("/meshes", &json!({"meshName": "mesh", "spec": {}})).await.ok();
    // a name that looks like the key of a mesh
    api.put("/meshes/m/virtualNodes", &json!({"virtualNodeName": "mesh", "spec": {}})).await.ok();
    let body = json!({"virtualRouterName": "r2", "spec": {"listeners": [{"portMapping": {"port": 1, "protocol": "http"}}]}});
    api.put("/meshes/m/virtualRouters", &body).await.ok();
    for router in ["r", "r2"] {
        let body = json!({"routeName": format!("of-{router}"), "spec": route_spec(&["a"])});
        api.put(&format!("/meshes/m/virtualRouter/{router}/routes"), &body).await.ok();
    }
    let meshes = api.get("/meshes").await.ok();
    let meshes: Vec<&Value> =
        meshes["meshes"].as_array().unwrap().iter().map(|mesh| &mesh["meshName"]).collect();
    assert_eq!(meshes, ["m", "mesh"]);
    let routes = api.get("/meshes/m/virtualRouter/r/routes").await.ok();
    assert_eq!(routes["routes"].as_array().unwrap().len(), 1);
    assert_eq!(routes["routes"][0]["routeName"], "of-r");
    assert_eq!(routes["routes"][0]["virtualRouterName"], "r");
    assert_eq!(api.get("/meshes/mesh/virtualNodes").await.ok(), json!({"virtualNodes": []}));
}

#[tokio::test]
async fn what_is_no_page_is_refused() {
    let api = api().await;
    nodes(&api, &["a", "b"]).await;
    for limit in ["0", "101", "-1", "x", "", "1.5"] {
        let message = api.get(&format!("{LIST}?limit={limit}")).await.refused(400, "BadRequestException");
        assert!(message.contains("limit"), "{message}");
    }
    let page = api.get(&format!("{LIST}?limit=1")).await.ok();
    let token = token(&page);
    for bad in ["", "x", "é", &token[1..], &format!("{token}00"), &token.replace('6', "7")] {
        let path = format!("{LIST}?nextToken={}", bad.replace('é', "%C3%A9"));
        let message = api.get(&path).await.refused(400, "BadRequestException");
        assert!(message.contains("nextToken"), "{message}");
    }
    let path = format!("/meshes/m/virtualNodes?nextToken={token}");
    api.get(&path).await.refused(400, "BadRequestException");
}
