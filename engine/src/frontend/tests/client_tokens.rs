//! A request that is repeated with its client token is answered as the first time, and done once.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Answer, Api, route_spec};
use crate::store::{REMEMBERED, Store};

const NODES: &str = "/meshes/m/virtualNodes";
const CONFLICT: &str = "ConflictException";

fn node(name: &str, token: &str) -> Value {
    json!({"virtualNodeName": name, "spec": {}, "clientToken": token})
}

fn listener(port: usize) -> Value {
    json!({"listeners": [{"portMapping": {"port": port, "protocol": "http"}}]})
}

impl Api {
    async fn remembered(&self) -> usize {
        self.store.list(REMEMBERED, crate::store::At::Newest).await.unwrap().records.len()
    }

    /// Repeats a call, and expects that it changes nothing.
    async fn repeats(&self, path: &str, body: &Value) -> Answer {
        let before = (self.transaction().await, self.records().await, self.remembered().await);
        let answer = self.put(path, body).await;
        assert_eq!((self.transaction().await, self.records().await, self.remembered().await), before);
        answer
    }
}

#[tokio::test]
async fn a_repeated_create_is_answered_as_the_first_time() {
    let api = Api::with_mesh().await;
    let body = json!({"virtualNodeName": "n", "spec": listener(80), "clientToken": "t", "tags": [{"key": "k", "value": "v"}]});
    let created = api.put(NODES, &body).await.ok();
    assert_eq!(api.remembered().await, 1);
    assert_eq!(api.repeats(NODES, &body).await.ok(), created);
    // also by another host, and when the resource has changed since
    assert_eq!(api.beside().repeats(NODES, &body).await.ok(), created);
    api.put(&format!("{NODES}/n"), &json!({"spec": listener(81)})).await.ok();
    assert_eq!(api.repeats(NODES, &body).await.ok(), created);
    // and written otherwise
    let otherwise = json!({"tags": [{"value": "v", "key": "k"}], "clientToken": "t", "virtualNodeName": "n",
        "spec": {"listeners": [{"portMapping": {"protocol": "http", "port": 80}, "timeout": null}], "logging": null}});
    assert_eq!(api.repeats(NODES, &otherwise).await.ok(), created);

    let mut api = api.restarted();
    assert_eq!(api.repeats(NODES, &body).await.ok(), created);
    api = api.restarted();
    let entries = api.store.journal(0, 100).await.unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.operation == "CreateVirtualNode").count(), 3);
}

#[tokio::test]
async fn a_token_is_good_for_one_request() {
    let api = Api::with_mesh().await;
    api.put(NODES, &node("n", "t")).await.ok();
    let other_spec = json!({"virtualNodeName": "n", "spec": listener(80), "clientToken": "t"});
    let other_tags =
        json!({"virtualNodeName": "n", "spec": {}, "clientToken": "t", "tags": [{"key": "k", "value": ""}]});
    for body in [node("other", "t"), other_spec, other_tags] {
        let message = api.repeats(NODES, &body).await.refused(409, CONFLICT);
        assert!(message.contains("client token"), "{message}");
    }
    // with a token of its own, or with none, it is a request of its own
    for body in [node("n", "other"), json!({"virtualNodeName": "n", "spec": {}})] {
        let message = api.repeats(NODES, &body).await.refused(409, CONFLICT);
        assert!(message.contains("exists already"), "{message}");
    }
    api.put(NODES, &node("N", "T")).await.ok();
    // one operation's token is none of another's
    let router = json!({"virtualRouterName": "t", "spec": super::router_spec(), "clientToken": "t"});
    api.put("/meshes/m/virtualRouters", &router).await.ok();
    api.put(&format!("{NODES}/n"), &json!({"spec": listener(80), "clientToken": "t"})).await.ok();
}

#[tokio::test]
async fn a_repeated_update_is_answered_as_the_first_time() {
    let api = Api::with_mesh().await;
    let item = format!("{NODES}/a");
    let first = json!({"spec": listener(80), "clientToken": "t"});
    let updated = api.put(&item, &first).await.ok();
    assert_eq!(updated["metadata"]["version"], 2);
    let second = json!({"spec": listener(81), "clientToken": "u"});
    let current = api.put(&item, &second).await.ok();
    // the late repetition takes nothing back
    assert_eq!(api.repeats(&item, &first).await.ok(), updated);
    assert_eq!(api.get(&item).await.ok(), current);
    let message = api.repeats(&item, &json!({"spec": {}, "clientToken": "t"})).await.refused(409, CONFLICT);
    assert!(message.contains("client token"), "{message}");
    api.repeats(&format!("{NODES}/b"), &first).await.refused(409, CONFLICT);

    // what changes nothing is not remembered
    let same = json!({"spec": listener(81), "clientToken": "v"});
    assert_eq!(api.repeats(&item, &same).await.ok(), current);
    api.put(&item, &json!({"spec": {}, "clientToken": "v"})).await.ok();
}

#[tokio::test]
async fn a_token_is_forgotten_with_what_it_made() {
    let api = Api::with_mesh().await;
    let first = api.put(NODES, &node("n", "t")).await.ok();
    api.delete(&format!("{NODES}/n")).await.ok();
    let second = api.put(NODES, &node("n", "t")).await.ok();
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(api.repeats(NODES, &node("n", "t")).await.ok(), second);
    assert_eq!(api.remembered().await, 1);

    api.put(&format!("{NODES}/n"), &json!({"spec": listener(80), "clientToken": "u"})).await.ok();
    api.delete(&format!("{NODES}/n")).await.ok();
    let gone = api.repeats(&format!("{NODES}/n"), &json!({"spec": listener(80), "clientToken": "u"})).await;
    gone.refused(404, "NotFoundException");
}

#[tokio::test]
async fn what_is_refused_does_not_use_its_token_up() {
    let api = Api::with_mesh().await;
    let routes = "/meshes/m/virtualRouter/r/routes";
    let body = json!({"routeName": "x", "spec": route_spec(&["later"]), "clientToken": "t"});
    api.repeats(routes, &body).await.refused(404, "NotFoundException");
    api.put(NODES, &json!({"virtualNodeName": "later", "spec": {}})).await.ok();
    let created = api.put(routes, &body).await.ok();
    assert_eq!(api.repeats(routes, &body).await.ok(), created);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn repetitions_at_the_same_time_are_done_once() {
    let api = Api::with_mesh().await;
    for round in 0..10 {
        let before = api.transaction().await;
        let mut calls = JoinSet::new();
        for call in 0..20 {
            let api = if call % 2 == 0 { api.clone() } else { api.beside() };
            let body = node(&format!("n{round}"), &format!("t{round}"));
            calls.spawn(async move { api.put(NODES, &body).await.ok() });
        }
        let answers = calls.join_all().await;
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert_eq!(api.transaction().await, before + 1);

        let mut calls = JoinSet::new();
        for call in 0..20 {
            let api = api.clone();
            let body = node(&format!("{round}-{call}"), &format!("u{round}"));
            calls.spawn(async move { api.put(NODES, &body).await });
        }
        let (created, refused): (Vec<Answer>, Vec<Answer>) =
            calls.join_all().await.into_iter().partition(Answer::is_ok);
        assert_eq!(created.len(), 1);
        refused.into_iter().for_each(|answer| drop(answer.refused(409, CONFLICT)));
        assert_eq!(api.transaction().await, before + 2);
    }
}

#[tokio::test]
async fn a_request_without_a_token_leaves_nothing() {
    let api = Api::with_mesh().await;
    api.put(NODES, &json!({"virtualNodeName": "n", "spec": {}, "clientToken": null})).await.ok();
    assert_eq!(api.remembered().await, 0);
    api.put(NODES, &node("o", "a-random-token-of-36-characters-long")).await.ok();
    let record = api.store.list(REMEMBERED, crate::store::At::Newest).await.unwrap().records.remove(0);
    assert!(record.value.len() <= 56 && record.key.len() <= 56, "a hash, not the request: {record:?}");
}
