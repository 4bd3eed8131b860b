//! Taking changes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{Api, gateway_route_spec, node_provider, route_spec, router_provider};
use crate::model::{Definition, ResourceId};
use crate::store::{At, Kept, Record, Store};

const ROUTES: &str = "/meshes/m/virtualRouter/r/routes";

fn outcomes(answer: &Value) -> Vec<String> {
    let changes = answer["changes"].as_array().unwrap().iter();
    let text = |change: &Value| format!("{} {}", change["change"], change["resource"]);
    changes.map(|change| text(change).replace('"', "")).collect()
}

#[tokio::test]
async fn what_was_changed_deleted_and_created_is_what_it_was() {
    let api = Api::with_mesh().await;
    api.put(ROUTES, &json!({"routeName": "x", "spec": route_spec(&["a", "b"])})).await.ok();
    api.put("/meshes/m/virtualServices", &json!({"virtualServiceName": "s", "spec": router_provider("r")}))
        .await
        .ok();
    let tags = json!([{"key": "team", "value": "shop"}]);
    api.put("/meshes/m/virtualNodes", &json!({"virtualNodeName": "c", "spec": {}, "tags": tags})).await.ok();
    let tag = |node: &str| {
        format!("/tag?resourceArn=arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualNode/{node}")
    };
    api.put(&tag("b"), &json!({"tags": tags})).await.ok();
    let to = api.transaction().await;
    let then = specs(&api).await;
    let before = api.get("/meshes/m/virtualNodes/c").await.ok();
    api.put(&tag("b"), &json!({"tags": [{"key": "team", "value": "other"}]})).await.ok();

    api.put(&format!("{ROUTES}/x"), &json!({"spec": route_spec(&["b"])})).await.ok();
    api.delete("/meshes/m/virtualNodes/a").await.ok();
    api.delete("/meshes/m/virtualNodes/c").await.ok();
    api.put("/meshes/m/virtualServices/s", &json!({"spec": node_provider("b")})).await.ok();
    api.delete(&format!("{ROUTES}/x")).await.ok();
    api.delete("/meshes/m/virtualRouters/r").await.ok();
    api.put("/meshes/m/virtualServices", &json!({"virtualServiceName": "new", "spec": node_provider("b")}))
        .await
        .ok();
    let changed = api.transaction().await;

    let expected = [
        "created mesh/m/virtualNode/a",
        "updated mesh/m/virtualNode/b",
        "created mesh/m/virtualNode/c",
        "created mesh/m/virtualRouter/r",
        "created mesh/m/virtualRouter/r/route/x",
        "updated mesh/m/virtualService/s",
        "deleted mesh/m/virtualService/new",
    ];
    let told = api.post("rollback", &json!({"to": to, "dryRun": true})).await.ok();
    assert_eq!(
        (told["transaction"].as_u64(), outcomes(&told)),
        (Some(changed), expected.map(String::from).to_vec())
    );
    assert_eq!(api.transaction().await, changed, "it was only asked");
    let request = json!({"to": to, "ifTransaction": told["transaction"]});
    let done = api.post("rollback", &request).await.ok();
    assert_eq!((done["transaction"].as_u64(), outcomes(&done)), (Some(changed + 1), outcomes(&told)));
    assert_eq!(specs(&api).await, then);
    let service = &done["changes"][5];
    assert_eq!(
        (&service["before"]["spec"], &service["after"]["spec"]),
        (&node_provider("b"), &router_provider("r"))
    );

    assert_eq!(api.get(&format!("{ROUTES}/x")).await.ok()["spec"], route_spec(&["a", "b"]));
    let service = api.get("/meshes/m/virtualServices/s").await.ok();
    assert_eq!((&service["spec"], &service["metadata"]["version"]), (&router_provider("r"), &json!(3)));
    let after = api.get("/meshes/m/virtualNodes/c").await.ok();
    assert_eq!(after["metadata"]["version"], 1);
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"], "a new resource of the old name");
    assert_eq!(done["changes"][2]["after"]["tags"], tags);
    let tagged = &done["changes"][1];
    assert_eq!((&tagged["before"]["tags"][0]["value"], &tagged["after"]["tags"]), (&json!("other"), &tags));
    assert_eq!(api.get("/meshes/m/virtualNodes/b").await.ok()["metadata"]["version"], 1);
    api.delete("/meshes/m/virtualNodes/a").await.refused(409, "ResourceInUseException");
    api.get("/meshes/m/virtualServices/new").await.refused(404, "NotFoundException");

    let journal = api.store.journal(changed, 10).await.unwrap();
    assert_eq!((journal.len(), journal[0].operation.as_str()), (1, "Rollback"));
    let again = api.post("rollback", &json!({"to": to})).await.ok();
    assert_eq!((again["transaction"].as_u64(), outcomes(&again)), (Some(changed + 1), vec![]));
    assert_eq!(api.transaction().await, changed + 1, "there was nothing to do");
    // and a rollback is taken back like anything else
    api.post("rollback", &json!({"to": changed})).await.ok();
    api.get("/meshes/m/virtualServices/new").await.ok();
    api.get("/meshes/m/virtualNodes/a").await.refused(404, "NotFoundException");
}

#[tokio::test]
async fn one_mesh_goes_back_and_the_others_stay() {
    let api = Api::with_mesh().await;
    let to = api.transaction().await;
    api.put("/meshes", &json!({"meshName": "m2", "spec": {}})).await.ok();
    for mesh in ["m", "m2"] {
        let body = json!({"virtualServiceName": "s", "spec": {}});
        api.put(&format!("/meshes/{mesh}/virtualServices"), &body).await.ok();
    }
    let body = json!({"gatewayRouteName": "x", "spec": gateway_route_spec("s")});
    api.put("/meshes/m/virtualGateway/g/gatewayRoutes", &body).await.ok();
    let done = api.post("rollback", &json!({"to": to, "mesh": "m"})).await.ok();
    assert_eq!(
        outcomes(&done),
        ["deleted mesh/m/virtualService/s", "deleted mesh/m/virtualGateway/g/gatewayRoute/x"]
    );
    api.get("/meshes/m2/virtualServices/s").await.ok();

    let done = api.post("rollback", &json!({"to": to})).await.ok();
    assert_eq!(outcomes(&done), ["deleted mesh/m2", "deleted mesh/m2/virtualService/s"]);
    assert_eq!(api.records().await.len(), 5);
    let done = api.post("rollback", &json!({"to": 0, "mesh": "m"})).await.ok();
    assert_eq!(outcomes(&done).len(), 5);
    assert!(api.records().await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused() {
    let api = Api::with_mesh().await;
    let newest = api.transaction().await;
    api.store.prune(Kept { entries_max: 2, since_ms: i64::MIN }).await.unwrap();
    let before = (api.transaction().await, api.records().await);
    for (request, status, code, expected) in [
        (json!({}), 400, "BadRequestException", "to: is required"),
        (json!({"to": "yesterday"}), 400, "BadRequestException", "to: is not the number"),
        (json!({"to": 4, "mesh": ""}), 400, "BadRequestException", "0 characters"),
        (
            json!({"to": 4, "mesh": 1, "dryRun": 1}),
            400,
            "BadRequestException",
            "mesh: is not a string\ndryRun: is not a boolean",
        ),
        (json!({"to": 4, "force": true}), 400, "BadRequestException", "force: is not a field here"),
        (json!({"to": newest + 1}), 400, "BadRequestException", "is in the future, the newest is 5"),
        (
            json!({"to": newest - 3}),
            400,
            "BadRequestException",
            "transaction 2 is too old, the oldest known is 3",
        ),
        (json!({"to": newest, "mesh": "none"}), 404, "NotFoundException", "mesh \"none\""),
    ] {
        let message = api.post("rollback", &request).await.refused(status, code);
        assert!(message.contains(expected), "{request}: {message}");
    }
    assert_eq!((api.transaction().await, api.records().await), before);
    let seen = api.transaction().await;
    api.put("/meshes/m/virtualNodes/a", &json!({"spec": {"backends": []}})).await.ok();
    let request = json!({"to": newest - 2, "mesh": "m", "ifTransaction": seen});
    api.post("rollback", &request).await.refused(409, "ConflictException");
    api.post("rollback", &json!({"to": newest - 2, "mesh": "m"})).await.ok();
    assert_eq!(api.records().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_exact_while_others_write() {
    let api = Api::with_mesh().await;
    for round in 0..15 {
        let to = api.transaction().await;
        let expected = specs(&api).await;
        api.put("/meshes/m/virtualNodes", &json!({"virtualNodeName": "n", "spec": {}})).await.ok();
        let (rolls, writes) = (api.clone(), api.clone());
        let rollback =
            tokio::spawn(async move { rolls.post("rollback", &json!({"to": to, "mesh": "m"})).await });
        let write = tokio::spawn(async move {
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            // a deletion of what the rollback would leave as it is
            writes.delete("/meshes/m/virtualNodes/b").await.ok()
        });
        let transaction = rollback.await.unwrap().ok()["transaction"].as_u64().unwrap();
        write.await.unwrap();
        assert_eq!(specs_at(&api, transaction).await, expected);
        api.post("rollback", &json!({"to": to, "mesh": "m"})).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_writes_steadily_cannot_keep_it_from_being_made() {
    let api = Api::with_body_bytes_max(1 << 20);
    api.fill().await;
    let to = api.transaction().await;
    // so many that others always write between the look at them and the commit
    let node = |index: usize| json!({"meshName": "m", "virtualNodeName": format!("n{index}"), "spec": {}});
    let nodes: Vec<Value> = (0..2000).map(node).collect();
    api.post("transactions", &json!({"apply": nodes})).await.ok();
    let is_over = Arc::new(AtomicBool::new(false));
    let write = |node: &'static str| {
        let (api, is_over) = (api.clone(), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut writes = 0;
            while !is_over.load(Ordering::Relaxed) {
                writes += 1;
                let dns = json!({"dns": {"hostname": format!("{writes}.local")}});
                let body = json!({"spec": {"serviceDiscovery": dns}});
                api.put(&format!("/meshes/m/virtualNodes/{node}"), &body).await.ok();
            }
            writes
        })
    };
    let writers = ["a", "b"].map(write);
    let done = api.post("rollback", &json!({"to": to, "mesh": "m"})).await;
    is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 0);
    }
    let transaction = done.ok()["transaction"].as_u64().unwrap();
    assert_eq!(specs_at(&api, transaction).await, specs_at(&api, to).await);
}

async fn specs(api: &Api) -> Vec<(String, Value)> {
    specs_at(api, api.transaction().await).await
}

/// Every specification as it was, with the tags.
pub(super) async fn specs_at(api: &Api, at: u64) -> Vec<(String, Value)> {
    let records = api.store.list("definitions/", At::Transaction(at)).await.unwrap().records;
    let described = |record: &Record| {
        if let Some(id) = ResourceId::from_tags_key(&record.key) {
            return Some((format!("tags of {id}"), serde_json::from_slice(&record.value).unwrap()));
        }
        let id = ResourceId::from_key(&record.key)?;
        let definition = Definition::decode(&id, &record.value).unwrap();
        Some((id.path(), definition.spec.to_json()))
    };
    records.iter().filter_map(described).collect()
}
