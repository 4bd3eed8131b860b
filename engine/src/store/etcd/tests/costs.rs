//! What a commit costs etcd, and whose keys are touched.

use std::cell::Cell;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use etcd_client::{Client, GetOptions};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::ask::ASKED;
use super::cluster::{Cluster, revision};
use super::*;
use crate::frontend::{Frontend, FrontendSettings, router};
use crate::store::Family;
use crate::transformer::progress::Progress;

fn definitions() -> Batch {
    Batch::definitions("tester", "Test")
}

/// The keys that were put at a revision.
async fn put_at(client: &mut Client, revision: i64) -> Vec<String> {
    let options =
        GetOptions::new().with_all_keys().with_min_mod_revision(revision).with_max_mod_revision(revision);
    let found = client.get("", Some(options)).await.unwrap();
    found.kvs().iter().map(|found| found.key_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_one_revision_and_reading_is_none() {
    let cluster = Cluster::start(1, &[]);
    let store = cluster.open("test").await;
    let mut client = cluster.client(0).await;
    let before = revision(&mut client).await;
    assert_eq!(before, 1, "to open a store writes nothing");

    let first =
        store.commit(definitions().if_absent("definitions/a").put("definitions/a", "1")).await.unwrap();
    assert_eq!((first, revision(&mut client).await), (2, 2));
    let entry = |number: u64| [format!("test/changed/{number:020}"), format!("test/journal/{number:020}")];
    let [changed, journal] = entry(1);
    let expected = [changed, "test/data/definitions/a".into(), "test/head".into(), journal];
    assert_eq!(put_at(&mut client, 2).await, expected);

    let batch = definitions().put("definitions/a", "2").put("definitions/b", "2").delete("definitions/c");
    assert_eq!(store.commit(batch).await.unwrap(), 3);
    assert_eq!(put_at(&mut client, 3).await.len(), 5);

    let derived = Batch::derived().if_absent("derived/c").put("derived/a", "1").put("derived/b", "1");
    assert_eq!(store.commit(derived).await.unwrap(), 3, "the transaction that was reached");
    assert_eq!(revision(&mut client).await, 4);
    assert_eq!(put_at(&mut client, 4).await, ["test/data/derived/a", "test/data/derived/b"]);

    // what changes nothing, and what is refused, writes nothing
    store.commit(definitions().delete("definitions/c")).await.unwrap();
    store.commit(definitions().if_absent("definitions/a").put("definitions/a", "3")).await.unwrap_err();
    store.commit(Batch::derived().if_absent("derived/a").put("derived/a", "3")).await.unwrap_err();
    let family = Family::new("definitions/", "");
    store.commit(definitions().if_fewer(family, 2).put("definitions/d", "3")).await.unwrap_err();
    store.list("", At::Newest).await.unwrap();
    store.list("definitions/", At::Transaction(2)).await.unwrap();
    store.get("definitions/a").await.unwrap();
    store.journal(0, 10).await.unwrap();
    store.journal_before(3, 10).await.unwrap();
    store.journal_of("definitions/a", 3, 10).await.unwrap();
    store.oldest().await.unwrap();
    drop(store.list_and_watch("").await.unwrap());
    drop(store.watch("definitions/", 2).await.unwrap());
    let kept = Kept { entries_max: 100, since_ms: i64::MIN };
    store.prune(kept).await.unwrap();
    assert_eq!(revision(&mut client).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_others_are_neither_seen_nor_touched() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0).await;
    let others: [&[u8]; 9] = [
        b"\x00",
        b"test",
        b"test-1",
        b"test-1-data/definitions/a",
        b"test-1.",
        b"test-10/data/definitions/a",
        b"test-1\xff/data/definitions/a",
        b"test-2/head",
        b"\xff\xfe",
    ];
    for key in others {
        client.put(key, "of another", None).await.unwrap();
    }
    let store = cluster.open("test-1").await;
    let (listing, mut watch) = store.list_and_watch("").await.unwrap();
    assert!(listing.records.is_empty());
    for key in others {
        client.put(key, "of another still", None).await.unwrap();
    }
    let start = revision(&mut client).await;
    for index in 0..5 {
        store.commit(definitions().put("definitions/a", index.to_string())).await.unwrap();
    }
    store.commit(Batch::derived().put("derived/a", "1")).await.unwrap();
    let mut told = Vec::new();
    while !told.contains(&"derived/a".to_owned()) {
        told.extend(watch.next().await.unwrap().into_iter().map(|event| event.key.to_string()));
    }
    told.dedup();
    assert_eq!(told, ["definitions/a", "derived/a"]);
    assert_eq!(store.list("", At::Newest).await.unwrap().records.len(), 2);
    while store.prune(Kept { entries_max: 1, since_ms: i64::MIN }).await.unwrap().has_more {}
    assert_eq!(store.journal(0, 100).await.unwrap().len(), 1);
    for key in others {
        let found = client.get(key, None).await.unwrap();
        let found = found.kvs().first().expect("it is there still");
        assert!(found.value() == b"of another still" && found.mod_revision() <= start);
    }
}

/// How many requests to etcd this takes.
async fn requests<T>(asking: impl Future<Output = T>) -> usize {
    ASKED
        .scope(Cell::new(0), async {
            asking.await;
            ASKED.with(Cell::get)
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_takes_few_requests() {
    let cluster = Cluster::start(1, &[]);
    let store = cluster.open("test").await;
    let mut transactions = Vec::new();
    for number in 0..200 {
        let key = format!("definitions/m{}/mesh", number % 50);
        transactions.push(store.commit(definitions().put(key, number.to_string())).await.unwrap());
    }
    let put =
        |batch: Batch, number| batch.put(format!("derived/transformed/m{number}"), u64::MAX.to_string());
    store.commit((0..50).fold(Batch::derived(), put)).await.unwrap();
    let newest = transactions[199];

    assert_eq!(requests(store.get("definitions/m1/mesh")).await, 1);
    let keys: Vec<Arc<str>> = (0..50).map(|number| format!("definitions/m{number}/mesh").into()).collect();
    assert_eq!(requests(store.get_all(&keys)).await, 1);
    assert_eq!(requests(store.list("definitions/", At::Newest)).await, 1);
    assert_eq!(requests(store.segments("definitions/")).await, 1);
    assert_eq!(requests(store.segments("derived/transformed/")).await, 1);

    // when a commit was made: of the newest, of one that is new, and of any
    assert_eq!(requests(store.committed_at_ms(newest)).await, 2);
    assert_eq!(requests(store.committed_at_ms(transactions[150])).await, 3);
    assert!(requests(store.committed_at_ms(transactions[10])).await <= 10);

    // how far a transaction is transformed
    let wait = async {
        let mut progress = Progress::until(&store, newest).await.unwrap();
        assert!(progress.is_done(&store).await.unwrap());
    };
    assert_eq!(requests(wait).await, 3, "the extent, the keys that changed, and the marks of their meshes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_take_a_request_for_each_page_and_no_more_than_there_are() {
    let cluster = Cluster::start(1, &[]);
    let store = cluster.open("test").await;
    let mut expected = Vec::new();
    let mut keys = Vec::new();
    // three meshes are larger than a page, and the names of some begin like those of others
    for (mesh, count) in [("a", 1500), ("a-b", 2), ("a.b", 1100), ("a0", 3), ("b", 1001), ("c", 1)] {
        expected.push(mesh.to_owned());
        keys.extend((0..count).map(|number| format!("derived/x/{mesh}/{number}")));
    }
    for mesh in 0..2100 {
        expected.push(format!("m{mesh:04}"));
        keys.push(format!("derived/x/m{mesh:04}"));
    }
    for keys in keys.chunks(100) {
        let batch = keys.iter().fold(Batch::derived(), |batch, key| batch.put(key.as_str(), ""));
        store.commit(batch).await.unwrap();
    }
    expected.sort();
    assert_eq!(store.segments("derived/x/").await.unwrap(), expected);
    let asked = requests(store.segments("derived/x/")).await;
    assert!(asked <= 6, "{asked} requests");
    let listed = store.list("derived/x/", At::Newest).await.unwrap().records;
    let listed: Vec<&str> = listed.iter().map(|record| &*record.key).collect();
    keys.sort();
    assert_eq!(listed, keys);
    assert_eq!(requests(store.list("derived/x/", At::Newest)).await, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_a_route_takes_few_requests() {
    let cluster = Cluster::start(1, &[]);
    let store = Arc::new(cluster.open("test").await);
    let api = router(Frontend::new(Arc::clone(&store) as _, FrontendSettings::default()));
    let call = async |path: &str, body: Value| {
        let request = Request::put(format!("/v20190125/meshes{path}")).body(Body::from(body.to_string()));
        let answer = api.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    };
    let listeners = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    let route = |weight: u32, token: &str| {
        let target = |node: &str| json!({"virtualNode": node, "weight": weight});
        let action = json!({"weightedTargets": [target("a"), target("b")]});
        let spec = json!({"httpRoute": {"match": {"prefix": "/"}, "action": action}});
        json!({"spec": spec, "clientToken": token})
    };
    call("", json!({"meshName": "m", "spec": {}})).await;
    for node in ["a", "b"] {
        call("/m/virtualNodes", json!({"virtualNodeName": node, "spec": listeners})).await;
    }
    call("/m/virtualRouters", json!({"virtualRouterName": "r", "spec": listeners})).await;
    let created = [("routeName".to_owned(), json!("x"))].into_iter();
    let created: Value = created
        .chain(route(1, "create").as_object().unwrap().clone())
        .collect::<serde_json::Map<_, _>>()
        .into();
    call("/m/virtualRouter/r/routes", created).await;

    // to write: what it relies on, what the commit does, the commit; to warn, meanwhile: the router, its routes, their targets
    let path = "/m/virtualRouter/r/routes/x";
    assert_eq!(requests(call(path, route(2, "first"))).await, 3 + 3);
    // without a warning to find, and nothing that changes
    assert_eq!(requests(call(path, route(2, "second"))).await, 1 + 3);
    assert_eq!(requests(call(path, route(2, "first"))).await, 1 + 3, "as it was done before");
}
