//! The journal, as the API shows it.

use serde_json::{Value, json};

use super::{Api, route_spec};
use crate::store::{Kept, Store};

fn numbers(answer: &Value) -> Vec<u64> {
    let transactions = answer["transactions"].as_array().unwrap().iter();
    transactions.map(|entry| entry["transaction"].as_u64().unwrap()).collect()
}

fn node_spec(port: usize) -> Value {
    json!({"listeners": [{"portMapping": {"port": port, "protocol": "http"}}]})
}

#[tokio::test]
async fn it_tells_who_changed_what_and_when() {
    let api = Api::with_mesh().await;
    let began = api.transaction().await;
    api.put("/meshes/m/virtualNodes/a", &json!({"spec": node_spec(80)})).await.ok();
    api.put("/meshes/m/virtualRouter/r/routes", &json!({"routeName": "x", "spec": route_spec(&["a"])}))
        .await
        .ok();
    api.delete("/meshes/m/virtualRouter/r/routes/x").await.ok();
    let answer = api.history(&format!("after={began}")).await.ok();
    assert_eq!(numbers(&answer), [began + 3, began + 2, began + 1]);
    assert_eq!((answer["oldest"].as_u64(), answer["newest"].as_u64()), (Some(0), Some(began + 3)));
    assert_eq!(answer.get("nextBefore"), None);

    let entries = answer["transactions"].as_array().unwrap();
    let summary: Vec<String> = entries
        .iter()
        .map(|entry| {
            let changes = entry["changes"].as_array().unwrap().iter();
            let changes: Vec<String> =
                changes.map(|change| format!("{} {}", change["change"], change["resource"])).collect();
            format!("{} {}: {}", entry["author"], entry["operation"], changes.join(", ")).replace('"', "")
        })
        .collect();
    assert_eq!(
        summary,
        [
            "anonymous DeleteRoute: deleted mesh/m/virtualRouter/r/route/x",
            "anonymous CreateRoute: created mesh/m/virtualRouter/r/route/x",
            "anonymous UpdateVirtualNode: updated mesh/m/virtualNode/a",
        ]
    );
    let update = &entries[2]["changes"][0];
    assert_eq!(update["arn"], "arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualNode/a");
    assert_eq!((&update["before"]["spec"], &update["after"]["spec"]), (&json!({}), &node_spec(80)));
    assert_eq!(
        (&update["before"]["metadata"]["version"], &update["after"]["metadata"]["version"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(entries[0]["changes"][0].get("after"), None);
    assert_eq!(entries[1]["changes"][0].get("before"), None);
    let at = entries[0]["committedAt"].as_str().unwrap();
    let at = humantime::parse_rfc3339(at).unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    let expected = api.store.committed_at_ms(began + 3).await.unwrap().unwrap();
    assert_eq!(at.as_millis(), u128::try_from(expected).unwrap());
}

#[tokio::test]
async fn it_is_about_a_mesh_or_a_resource() {
    let api = Api::with_mesh().await;
    api.put("/meshes", &json!({"meshName": "m2", "spec": {}})).await.ok();
    let of_m2 = api.transaction().await;
    api.put("/meshes/m/virtualNodes/a", &json!({"spec": node_spec(80)})).await.ok();
    let set = json!({"apply": [
        {"meshName": "m2", "virtualNodeName": "a", "spec": {}},
        {"meshName": "m", "virtualNodeName": "a", "spec": node_spec(81)},
    ]});
    api.post("transactions", &set).await.ok();

    let answer = api.history("mesh=m2").await.ok();
    assert_eq!(numbers(&answer), [of_m2 + 2, of_m2]);
    let changes = answer["transactions"][0]["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "what else the transaction changed is elsewhere");
    for name in ["mesh/m/virtualNode/a", "arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualNode/a"] {
        let answer = api.history(&format!("resource={name}")).await.ok();
        assert_eq!(numbers(&answer), [of_m2 + 2, of_m2 + 1, 2], "{name}");
        let changes = answer["transactions"][0]["changes"].as_array().unwrap();
        assert_eq!((changes.len(), &changes[0]["resource"]), (1, &json!("mesh/m/virtualNode/a")));
    }
    assert!(numbers(&api.history("resource=mesh/m/virtualNode/none").await.ok()).is_empty());
    assert!(numbers(&api.history("mesh=none").await.ok()).is_empty());
    for (query, expected) in [
        ("mesh=", "0 characters"),
        ("resource=m", "no path of a resource"),
        ("mesh=m2&resource=mesh/m/virtualNode/a", "is in another"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("before=x", "before"),
        ("after=-1", "after"),
    ] {
        let message = api.history(query).await.refused(400, "BadRequestException");
        assert!(message.contains(expected), "{query}: {message}");
    }
}

#[tokio::test]
async fn it_is_read_in_pages() {
    let api = Api::with_mesh().await;
    for port in 1..=40 {
        api.put("/meshes/m/virtualNodes/a", &json!({"spec": node_spec(port)})).await.ok();
        api.put("/meshes/m/virtualNodes/b", &json!({"spec": node_spec(port)})).await.ok();
    }
    for (filter, expected) in
        [("", 85), ("&mesh=m", 85), ("&resource=mesh/m/virtualNode/a", 41), ("&after=80", 5)]
    {
        for limit in [1, 7, 100] {
            let mut all = Vec::new();
            let mut before = String::new();
            loop {
                let page = api.history(&format!("limit={limit}{filter}{before}")).await.ok();
                assert!(numbers(&page).len() <= limit);
                all.extend(numbers(&page));
                let Some(next) = page.get("nextBefore") else { break };
                before = format!("&before={next}");
            }
            assert!(all.is_sorted_by(|one, next| one > next), "{filter} {limit}: {all:?}");
            assert_eq!(all.len(), expected, "{filter} {limit}");
        }
    }
}

#[tokio::test]
async fn it_tells_where_it_begins() {
    let api = Api::with_mesh().await;
    for port in 1..=20 {
        api.put("/meshes/m/virtualNodes/a", &json!({"spec": node_spec(port)})).await.ok();
    }
    let newest = api.transaction().await;
    api.store.prune(Kept { entries_max: 4, since_ms: i64::MIN }).await.unwrap();
    let answer = api.history("").await.ok();
    assert_eq!(numbers(&answer), (newest - 3..=newest).rev().collect::<Vec<_>>());
    assert_eq!(answer["oldest"], newest - 4);
    assert_eq!(answer.get("nextBefore"), None);
    assert_eq!(numbers(&api.history("resource=mesh/m/virtualNode/a").await.ok()).len(), 4);
    assert_eq!(numbers(&api.history("resource=mesh/m/virtualNode/b").await.ok()).len(), 0);
}

#[tokio::test]
async fn tags_have_a_history() {
    let api = Api::with_mesh().await;
    let began = api.transaction().await;
    let arn = "arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualNode/a";
    let tags = |value: &str| json!([{"key": "team", "value": value}]);
    api.put(&format!("/tag?resourceArn={arn}"), &json!({"tags": tags("one")})).await.ok();
    api.put("/meshes/m/virtualNodes/b", &json!({"spec": node_spec(80)})).await.ok();
    api.put("/meshes/m/virtualNodes/a", &json!({"spec": node_spec(80)})).await.ok();
    api.put(&format!("/tag?resourceArn={arn}"), &json!({"tags": tags("two")})).await.ok();
    api.delete("/meshes/m/virtualNodes/a").await.ok();
    let answer = api.history(&format!("resource={arn}&after={began}")).await.ok();
    assert_eq!(numbers(&answer), [began + 5, began + 4, began + 3, began + 1]);
    let change = |index: usize| &answer["transactions"][index]["changes"][0];
    assert_eq!(answer["transactions"][3]["operation"], "TagResource");
    assert_eq!(
        (&change(3)["before"], &change(3)["after"]),
        (&json!({"tags": []}), &json!({"tags": tags("one")}))
    );
    assert_eq!(change(2)["after"].get("tags"), None, "they did not change");
    assert_eq!((&change(1)["before"]["tags"], &change(1)["after"]["tags"]), (&tags("one"), &tags("two")));
    assert_eq!((&change(0)["change"], &change(0)["before"]["tags"]), (&json!("deleted"), &tags("two")));
    assert_eq!((&change(0)["before"]["spec"], change(0).get("after")), (&node_spec(80), None));
}
