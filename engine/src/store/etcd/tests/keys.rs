//! Watches of single keys that are cut off, by hundreds.

use std::collections::BTreeMap;

use etcd_client::CompactionOptions;
use tokio::time::timeout;

use super::cluster::{Cluster, PATIENCE, revision};
use super::link::{Link, State};
use super::*;
use crate::store::KeysWatch;

const KEYS: usize = 350;

fn key(number: usize) -> String {
    format!("derived/{number}")
}

/// What a watch tells, the last of each key, once it is settled.
async fn told(watch: &mut KeysWatch, known: &mut BTreeMap<String, Option<String>>) {
    timeout(PATIENCE, watch.settled()).await.expect("it settles").unwrap();
    for event in watch.pending().unwrap() {
        let value = event.value.map(|value| String::from_utf8(value.to_vec()).unwrap());
        known.insert(event.key.to_string(), value);
    }
}

async fn stored(store: &EtcdStore) -> BTreeMap<String, Option<String>> {
    let mut stored: BTreeMap<_, _> = (0..KEYS).map(|number| (key(number), None)).collect();
    for record in store.list("derived/", At::Newest).await.unwrap().records {
        stored.insert(record.key.to_string(), Some(String::from_utf8(record.value.to_vec()).unwrap()));
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watched_keys_that_were_cut_off_end_as_they_are() {
    let cluster = Cluster::start(1, &[]);
    let direct = cluster.open("test").await;
    let link = Link::to(cluster.port(0)).await;
    let cut_off = EtcdStore::open(&link.settings("test")).await.unwrap();
    let mut client = cluster.client(0).await;
    let mut watch = cut_off.watch_keys();
    for number in 0..KEYS {
        watch.add(key(number));
    }
    let mut known = BTreeMap::new();
    told(&mut watch, &mut known).await;
    assert_eq!(known, stored(&direct).await);
    for (round, is_compacted) in [(1, false), (2, true), (3, true)] {
        link.set(State::Cut);
        for first in (0..KEYS).step_by(90) {
            let batch =
                (first..KEYS.min(first + 90)).fold(Batch::derived(), |batch, number| match number % 3 {
                    0 => batch.put(key(number), round.to_string()),
                    1 if round > 1 => batch.delete(key(number)),
                    _ => batch.put(key(number), "1"),
                });
            direct.commit(batch).await.unwrap();
        }
        if is_compacted {
            let newest = revision(&mut client).await;
            client.compact(newest, Some(CompactionOptions::new().with_physical())).await.unwrap();
        }
        link.set(State::Open);
        // and what changes while everything is read again
        for number in 0..30 {
            direct.commit(Batch::derived().put(key(number), format!("{round}+{number}"))).await.unwrap();
        }
        told(&mut watch, &mut known).await;
        assert_eq!(known, stored(&direct).await, "round {round}");
        direct.commit(Batch::derived().put(key(5), "more")).await.unwrap();
        told(&mut watch, &mut known).await;
        assert_eq!(known[&key(5)].as_deref(), Some("more"), "it goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_settles_does_not_wait_for_keys_that_are_taken_away() {
    let cluster = Cluster::start(1, &[]);
    let direct = cluster.open("test").await;
    let link = Link::to(cluster.port(0)).await;
    let cut_off = EtcdStore::open(&link.settings("test")).await.unwrap();
    let mut watch = cut_off.watch_keys();
    for number in 0..2 {
        watch.add(key(number));
    }
    told(&mut watch, &mut BTreeMap::new()).await;
    link.set(State::Cut);
    direct.commit(Batch::derived().put(key(0), "1").put(key(1), "1")).await.unwrap();
    // it asks for the state as soon as it can, and the watches are told later, or not at all
    let settled = tokio::spawn(watch.settled());
    link.set(State::Open);
    tokio::time::sleep(Duration::from_millis(20)).await;
    watch.remove(&key(0));
    watch.remove(&key(1));
    timeout(PATIENCE, settled).await.expect("it ends").unwrap().unwrap();
}
