//! Several changes as one transaction.

use std::future::Future;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Answer, Api, node_provider, route_spec, router_provider, router_spec};
use crate::frontend::quotas::Quotas;
use crate::frontend::{Frontend, FrontendSettings, router};
use crate::store::Store;

fn node(name: &str) -> Value {
    json!({"meshName": "m", "virtualNodeName": name, "spec": {}})
}

fn route(name: &str, nodes: &[&str]) -> Value {
    json!({"meshName": "m", "virtualRouterName": "r", "routeName": name, "spec": route_spec(nodes)})
}

fn service(name: &str, spec: &Value) -> Value {
    json!({"meshName": "m", "virtualServiceName": name, "spec": spec})
}

/// What became of each resource.
fn outcomes(answer: &Value) -> Vec<String> {
    let changes = answer["changes"].as_array().unwrap().iter();
    let text = |change: &Value| format!("{} {} v{}", change["change"], change["resource"], change["version"]);
    changes.map(|change| text(change).replace('"', "")).collect()
}

#[tokio::test]
async fn a_set_is_one_transaction_with_one_journal_entry() {
    let api = Api::with_mesh().await;
    let before = api.transaction().await;
    let set = json!({"apply": [
        service("s", &router_provider("r")),
        route("x", &["a", "new"]),
        node("new"),
        node("a"),
    ]});
    let answer = api.post("transactions", &set).await.ok();
    assert_eq!(answer["transaction"], before + 1);
    assert_eq!(
        outcomes(&answer),
        [
            "created mesh/m/virtualService/s v1",
            "created mesh/m/virtualRouter/r/route/x v1",
            "created mesh/m/virtualNode/new v1",
            "unchanged mesh/m/virtualNode/a v1",
        ]
    );
    let shown = api.get("/meshes/m/virtualRouter/r/routes/x").await.ok();
    assert_eq!(shown["spec"], route_spec(&["a", "new"]));
    assert_eq!(shown["metadata"]["uid"], answer["changes"][1]["uid"]);
    let journal = api.store.journal(before, 10).await.unwrap();
    assert_eq!(journal.len(), 1);
    assert_eq!((journal[0].author.as_str(), journal[0].operation.as_str()), ("anonymous", "ApplyChanges"));
    let keys: Vec<&str> = journal[0].changes.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(keys.len(), 6, "three definitions and who refers to what: {keys:?}");

    // single operations see what the set left, entries of referrers included
    let message = api.delete("/meshes/m/virtualNodes/new").await.refused(409, "ResourceInUseException");
    assert!(message.contains("route \"x\""), "{message}");
    let again = api.post("transactions", &set).await.ok();
    assert_eq!(again["transaction"], before + 1);
    assert!(outcomes(&again).iter().all(|outcome| outcome.starts_with("unchanged")), "{again}");
    assert_eq!(api.transaction().await, before + 1, "nothing was committed");
}

#[tokio::test]
async fn a_set_deletes_what_only_it_needs() {
    let api = Api::with_mesh().await;
    let set = json!({"apply": [service("s", &router_provider("r")), route("x", &["a", "b"]), node("c")]});
    api.post("transactions", &set).await.ok();
    let router = api.store.get("definitions/m/virtualRouter/r").await.unwrap().unwrap();

    // the service leaves the router for a node, and both the route and the node it was to go
    let set = json!({
        "apply": [service("s", &node_provider("c"))],
        "delete": ["mesh/m/virtualNode/a", "arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualRouter/r/route/x"],
    });
    let answer = api.post("transactions", &set).await.ok();
    assert_eq!(
        outcomes(&answer),
        [
            "updated mesh/m/virtualService/s v2",
            "deleted mesh/m/virtualNode/a vnull",
            "deleted mesh/m/virtualRouter/r/route/x vnull",
        ]
    );
    let after = api.store.get("definitions/m/virtualRouter/r").await.unwrap().unwrap();
    assert_eq!(after.value, router.value);
    assert_eq!(after.transaction, answer["transaction"].as_u64().unwrap(), "what is made of it is newer");
    api.delete("/meshes/m/virtualNodes/b").await.ok();
    api.delete("/meshes/m/virtualRouters/r").await.ok();

    let everything = json!({"delete": [
        "mesh/m", "mesh/m/virtualNode/c", "mesh/m/virtualService/s", "mesh/m/virtualGateway/g",
    ]});
    api.post("transactions", &everything).await.ok();
    assert!(api.records().await.is_empty(), "no entry of a referrer is left over");
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_and_nothing_is_changed() {
    let api = Api::with_mesh().await;
    api.put("/meshes/m/virtualServices", &json!({"virtualServiceName": "s", "spec": router_provider("r")}))
        .await
        .ok();
    let before = (api.transaction().await, api.records().await);
    let shapes = json!({
        "apply": [
            {"meshName": "m", "virtualNodeName": "n", "spec": {"listeners": [{"portMapping": {"port": 0, "protocol": "x"}}]}},
            {"virtualNodeName": "n", "spec": {}},
            {"meshName": "m", "virtualNodeName": "n", "spec": {}, "tags": 7},
        ],
        "delete": ["mesh/m/virtualNode", 7],
    });
    let message = api.post("transactions", &shapes).await.refused(400, "BadRequestException");
    let expected = "\
virtual node \"n\" in mesh \"m\": spec.listeners[0].portMapping.port: 0 is not in 1..=65535
virtual node \"n\" in mesh \"m\": spec.listeners[0].portMapping.protocol: \"x\" is not one of http, tcp, http2, grpc
apply[1]: meshName: is required
virtual node \"n\" in mesh \"m\": tags: 7 is a number; a list is expected
delete[0]: \"mesh/m/virtualNode\" is no resource; say mesh/M/virtualNode/N, or its ARN
delete[1]: is not a string";
    assert_eq!(message, expected);

    for (set, status, code, expected) in [
        (json!({}), 400, "BadRequestException", "there is nothing in them"),
        (json!({"apply": {}}), 400, "BadRequestException", "apply: is not a list"),
        (json!({"put": []}), 400, "BadRequestException", "put: is not a field here"),
        (
            json!({"apply": [node("n")], "ifTransaction": -1}),
            400,
            "BadRequestException",
            "ifTransaction: is not",
        ),
        (json!({"apply": [node("n"), node("n")]}), 400, "BadRequestException", "is changed twice"),
        (json!({"apply": [node("n")], "ifTransaction": 1000}), 400, "BadRequestException", "in the future"),
        (
            json!({"delete": ["mesh/m/virtualRouter/r"]}),
            409,
            "ResourceInUseException",
            "virtual service \"s\"",
        ),
        (
            json!({"delete": ["mesh/m/virtualNode/zzz"]}),
            404,
            "NotFoundException",
            "\"zzz\" in mesh \"m\": does not exist",
        ),
        (
            json!({"apply": [route("x", &["a", "none"]), node("n")], "delete": ["mesh/m/virtualNode/a"]}),
            404,
            "NotFoundException",
            "route \"x\" of virtual router \"r\" in mesh \"m\": spec.httpRoute.action.weightedTargets[1].virtualNode: virtual node \"none\"",
        ),
    ] {
        let message = api.post("transactions", &set).await.refused(status, code);
        assert!(message.contains(expected), "{set}: {message}");
    }
    assert_eq!((api.transaction().await, api.records().await), before);
}

#[tokio::test]
async fn a_set_that_is_too_large_for_one_transaction_is_refused() {
    let api = Api::with_body_bytes_max(1 << 20);
    let limit = api.store.limits().definition_changes;
    let mesh = json!({"meshName": "m", "spec": {}});
    let set = |count: usize| {
        let nodes = (0..count).map(|index| node(&index.to_string()));
        json!({"apply": std::iter::once(mesh.clone()).chain(nodes).collect::<Vec<_>>()})
    };
    let message = api.post("transactions", &set(limit)).await.refused(400, "BadRequestException");
    let expected = format!("the batch has {} changes, more than {limit}", limit + 1);
    assert!(message.contains(&expected), "{message}");
    assert_eq!(api.transaction().await, 0);
    let answer = api.post("transactions", &set(limit - 1)).await.ok();
    assert_eq!(answer["transaction"], 1);
    assert_eq!(api.records().await.len(), limit);
}

#[tokio::test]
async fn what_is_wrong_with_a_set_is_told_within_bounds() {
    let api = Api::with_body_bytes_max(1 << 20);
    for set in
        [json!({"apply": vec![0; 25_000], "delete": vec![0; 25_000]}), json!({"delete": vec!["x"; 50_000]})]
    {
        for path in ["transactions", "plan", "lint"] {
            let message = api.post(path, &set).await.refused(400, "BadRequestException");
            assert_eq!(message.lines().count(), 101, "{path}");
            assert!(
                message.ends_with("apply, delete: may have more errors; these are the first"),
                "{message}"
            );
        }
    }
    // nothing is looked up for more than can be
    let set = json!({"delete": vec!["mesh/m"; 50_001]});
    for path in ["transactions", "plan", "lint"] {
        let message = api.post(path, &set).await.refused(400, "BadRequestException");
        assert_eq!(message, "apply, delete: have 50001 changes; at most 50000 are allowed");
    }
}

#[tokio::test]
async fn a_set_is_made_only_if_nothing_changed() {
    let api = Api::with_mesh().await;
    let seen = api.transaction().await;
    let set = |name: &str| json!({"apply": [node(name)], "ifTransaction": seen});
    api.put("/meshes", &json!({"meshName": "other", "spec": {}})).await.ok();
    api.post("transactions", &set("x")).await.ok();
    let message = api.post("transactions", &set("y")).await.refused(409, "ConflictException");
    assert!(message.contains(&format!("since transaction {seen}")), "{message}");
    api.delete("/meshes/m/virtualNodes/x").await.ok();
    api.post("transactions", &set("y")).await.ok(); // it is as it was
    let now = api.transaction().await;
    api.delete("/meshes/m/virtualNodes/b").await.ok();
    let late = json!({"apply": [node("z")], "ifTransaction": now});
    api.post("transactions", &late).await.refused(409, "ConflictException");
}

#[tokio::test]
async fn quotas_hold_for_sets_and_rollbacks() {
    let quotas = Quotas { virtual_nodes: 3, backends: 1, ..Quotas::default() };
    let api = Api::with_settings(FrontendSettings { quotas, ..FrontendSettings::default() });
    let mesh = json!({"meshName": "m", "spec": {}});
    let nodes = |names: &[&str]| names.iter().map(|name| node(name)).collect::<Vec<_>>();
    api.post("transactions", &json!({"apply": [mesh, node("a"), node("b")]})).await.ok();
    let to = api.transaction().await;
    let set = json!({"apply": nodes(&["c", "d"])});
    let message = api.post("transactions", &set).await.refused(400, "LimitExceededException");
    assert!(message.contains("virtual node"), "{message}");
    assert_eq!(api.transaction().await, to);
    api.post("transactions", &json!({"apply": nodes(&["c", "d"]), "delete": ["mesh/m/virtualNode/a"]}))
        .await
        .ok();

    let backends: Vec<Value> =
        ["x", "y"].iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
    let many = json!({"meshName": "m", "virtualNodeName": "b", "spec": {"backends": backends}});
    api.post("transactions", &json!({"apply": [many.clone()]})).await.refused(400, "LimitExceededException");

    // what is as it was is not refused because a quota was lowered since, and what was does not come back under it
    let roomy =
        Api { router: router(Frontend::new(api.store.clone(), FrontendSettings::default())), ..api.clone() };
    roomy.post("transactions", &json!({"apply": [many]})).await.ok();
    let with_many = api.transaction().await;
    let set = json!({"apply": [many, node("e")], "delete": ["mesh/m/virtualNode/c"]});
    let answer = api.post("transactions", &set).await.ok();
    assert_eq!(answer["changes"][0]["change"], "unchanged");
    api.post("transactions", &json!({"apply": [node("b"), node("c")], "delete": ["mesh/m/virtualNode/e"]}))
        .await
        .ok();
    let message =
        api.post("rollback", &json!({"to": with_many})).await.refused(400, "LimitExceededException");
    assert!(message.contains("backends"), "{message}");

    // under a quota that was lowered since, what was cannot all come back
    let quotas = Quotas { virtual_nodes: 1, ..Quotas::default() };
    let names = ["b", "c", "d"].map(|name| format!("mesh/m/virtualNode/{name}"));
    api.post("transactions", &json!({"delete": names})).await.ok();
    let settings = FrontendSettings { quotas, ..FrontendSettings::default() };
    let stricter = Api { router: router(Frontend::new(api.store.clone(), settings)), ..api.clone() };
    stricter.post("rollback", &json!({"to": to})).await.refused(400, "LimitExceededException");
    api.post("rollback", &json!({"to": to})).await.ok();
    assert_eq!(api.records().await.len(), 3);
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sets_and_single_writers_lose_no_update() {
    const WRITERS: usize = 50;
    let api = Api::with_mesh().await;
    let before = api.transaction().await;
    let port =
        |index: usize| json!({"listeners": [{"portMapping": {"port": index + 1, "protocol": "http"}}]});
    let answers = all(WRITERS, |index| {
        let api = api.clone();
        async move {
            if index % 2 == 0 {
                return api.put("/meshes/m/virtualNodes/a", &json!({"spec": port(index)})).await;
            }
            let set = json!({"apply": [
                {"meshName": "m", "virtualNodeName": "a", "spec": port(index)},
                {"meshName": "m", "virtualNodeName": "b", "spec": port(index)},
                {"meshName": "m", "virtualNodeName": format!("own-{index}"), "spec": {}},
            ]});
            api.post("transactions", &set).await
        }
    })
    .await;
    let mut numbers = Vec::new();
    for answer in answers {
        let body = answer.ok();
        numbers.extend(body["transaction"].as_u64());
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), WRITERS / 2, "no number twice");
    assert_eq!(api.transaction().await, before + WRITERS as u64, "no gap, and nothing without a number");
    let version = async |name: &str| {
        api.get(&format!("/meshes/m/virtualNodes/{name}")).await.ok()["metadata"]["version"].as_u64().unwrap()
    };
    assert_eq!(version("a").await, 1 + WRITERS as u64);
    assert_eq!(version("b").await, 1 + WRITERS as u64 / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_set_that_deletes_races_with_those_who_begin_to_need_it() {
    const ROUNDS: usize = 25;
    let api = Api::with_mesh().await;
    for round in 0..ROUNDS {
        let router = json!({"meshName": "m", "virtualRouterName": "q", "spec": router_spec()});
        let old = json!({"meshName": "m", "virtualRouterName": "q", "routeName": "old", "spec": route_spec(&["a"])});
        api.post("transactions", &json!({"apply": [router, old]})).await.ok();
        let (deletes, creates) = (api.clone(), api.clone());
        // what lies in the router and is known goes along; what comes meanwhile keeps it
        let deletion = tokio::spawn(async move {
            let names = json!({"delete": ["mesh/m/virtualRouter/q/route/old", "mesh/m/virtualRouter/q"]});
            deletes.post("transactions", &names).await
        });
        let creation = tokio::spawn(async move {
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            let body = json!({"routeName": "new", "spec": route_spec(&["a"])});
            creates.put("/meshes/m/virtualRouter/q/routes", &body).await
        });
        let (deletion, creation) = (deletion.await.unwrap(), creation.await.unwrap());
        assert_ne!(deletion.is_ok(), creation.is_ok());
        if creation.is_ok() {
            let names = [
                "mesh/m/virtualRouter/q/route/old",
                "mesh/m/virtualRouter/q/route/new",
                "mesh/m/virtualRouter/q",
            ];
            api.post("transactions", &json!({"delete": names})).await.ok();
        } else {
            creation.refused(404, "NotFoundException");
        }
    }
    assert_eq!(api.records().await.len(), 5, "nothing is left over");
}
