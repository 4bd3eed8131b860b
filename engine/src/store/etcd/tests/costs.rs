//! What a commit costs etcd, and whose keys are touched.

use etcd_client::{Client, GetOptions};

use super::cluster::{Cluster, revision};
use super::*;
use crate::store::Family;

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
