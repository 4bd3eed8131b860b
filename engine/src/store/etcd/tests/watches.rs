//! Watches that are cut off: nothing is lost, nothing doubled.

use std::collections::BTreeMap;

use etcd_client::CompactionOptions;
use tokio::time::sleep;

use super::cluster::{Cluster, PATIENCE, revision};
use super::link::{Link, State};
use super::*;
use crate::store::Event;

pub(super) type Told = Vec<(String, Option<String>, Transaction)>;

async fn next(watch: &mut Watch) -> Vec<Event> {
    let events = tokio::time::timeout(PATIENCE, watch.next()).await;
    events.expect("something changed").expect("the watch goes on")
}

/// Events until that of `last`, whatever it became.
pub(super) async fn until(watch: &mut Watch, last: &str) -> Told {
    let mut told = Told::new();
    while !told.iter().any(|(key, ..)| key == last) {
        let events = next(watch).await.into_iter();
        told.extend(events.map(|event| {
            let value = event.value.map(|value| String::from_utf8(value.to_vec()).unwrap());
            (event.key.to_string(), value, event.transaction)
        }));
    }
    told
}

fn batch(prefix: &str) -> Batch {
    if is_definition(prefix) { Batch::definitions("tester", "Test") } else { Batch::derived() }
}

async fn put(store: &EtcdStore, prefix: &str, name: &str, value: &str) -> Transaction {
    store.commit(batch(prefix).put(format!("{prefix}{name}"), value.to_owned())).await.unwrap()
}

const PREFIXES: [&str; 2] = ["definitions/", "derived/"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_was_cut_off_is_told_of_every_change() {
    let cluster = Cluster::start(1, &[]);
    let direct = cluster.open("test").await;
    let link = Link::to(cluster.port(0)).await;
    let cut_off = EtcdStore::open(&link.settings("test")).await.unwrap();
    for prefix in PREFIXES {
        put(&direct, prefix, "gone", "0").await;
        let (_, mut watch) = cut_off.list_and_watch(prefix).await.unwrap();
        link.set(State::Cut);
        let mut expected = Told::new();
        for round in 0..30 {
            let name = format!("{round:02}");
            let transaction = put(&direct, prefix, &name, "1").await;
            expected.push((format!("{prefix}{name}"), Some("1".to_owned()), transaction));
        }
        let key = format!("{prefix}gone");
        let transaction = direct.commit(batch(prefix).delete(key.clone())).await.unwrap();
        expected.push((key.clone(), None, transaction));
        link.set(State::Open);
        assert_eq!(until(&mut watch, &key).await, expected);
        let more = put(&direct, prefix, "more", "1").await;
        let last = format!("{prefix}more");
        assert_eq!(until(&mut watch, &last).await, [(last.clone(), Some("1".to_owned()), more)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_whose_past_was_compacted_lists_again() {
    let cluster = Cluster::start(1, &[]);
    let direct = cluster.open("test").await;
    let link = Link::to(cluster.port(0)).await;
    let cut_off = EtcdStore::open(&link.settings("test")).await.unwrap();
    let mut client = cluster.client(0).await;
    for prefix in PREFIXES {
        for name in ["same", "changed", "gone"] {
            put(&direct, prefix, name, "0").await;
        }
        let (_, mut watch) = cut_off.list_and_watch(prefix).await.unwrap();
        link.set(State::Cut);
        for value in ["1", "2"] {
            put(&direct, prefix, "changed", value).await;
        }
        put(&direct, prefix, "brief", "1").await;
        for name in ["brief", "gone"] {
            direct.commit(batch(prefix).delete(format!("{prefix}{name}"))).await.unwrap();
        }
        put(&direct, prefix, "new", "1").await;
        let newest = revision(&mut client).await;
        client.compact(newest, Some(CompactionOptions::new().with_physical())).await.unwrap();
        link.set(State::Open);
        // two that were told of are all that differs: what came and went in between is not told
        let mut told = until(&mut watch, &format!("{prefix}new")).await;
        while told.len() < 3 {
            let events = next(&mut watch).await.into_iter();
            told.extend(events.map(|event| (event.key.to_string(), None, event.transaction)));
        }
        told.sort();
        let told: Vec<_> =
            told.iter().map(|(key, value, _)| (&key[prefix.len()..], value.as_deref())).collect();
        assert_eq!(told, [("changed", Some("2")), ("gone", None), ("new", Some("1"))]);
        put(&direct, prefix, "more", "1").await;
        assert_eq!(until(&mut watch, &format!("{prefix}more")).await.len(), 1, "nothing is told twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnects_lose_and_double_nothing() {
    const ROUNDS: usize = 300;
    let cluster = Cluster::start(1, &[]);
    let direct = Arc::new(cluster.open("test").await);
    let link = Link::to(cluster.port(0)).await;
    let cut_off = EtcdStore::open(&link.settings("test")).await.unwrap();
    for prefix in PREFIXES {
        let (_, mut watch) = cut_off.list_and_watch(prefix).await.unwrap();
        let writer = tokio::spawn({
            let direct = Arc::clone(&direct);
            async move {
                put(&direct, prefix, "once", "once").await;
                for round in 0..ROUNDS {
                    let key = format!("{prefix}{}", round % 7);
                    let change = batch(prefix);
                    let change =
                        if round % 5 == 4 { change.delete(key) } else { change.put(key, round.to_string()) };
                    direct.commit(change).await.unwrap();
                    sleep(Duration::from_millis(5)).await;
                }
                put(&direct, prefix, "end", "end").await;
            }
        });
        let end = format!("{prefix}end");
        let cutting = async {
            while !writer.is_finished() {
                sleep(Duration::from_millis(fastrand::u64(20..300))).await;
                link.set(State::Cut);
                sleep(Duration::from_millis(fastrand::u64(1..100))).await;
                link.set(State::Open);
            }
        };
        let (told, ()) = tokio::join!(until(&mut watch, &end), cutting);
        writer.await.unwrap();
        let mut state: BTreeMap<String, (Option<String>, Transaction)> = BTreeMap::new();
        let mut newest: BTreeMap<String, usize> = BTreeMap::new();
        assert_eq!(told.iter().filter(|(key, ..)| key.ends_with("once")).count(), 1, "{told:?}");
        for (key, value, transaction) in told {
            if let Some(value) = value.as_ref().and_then(|value| value.parse::<usize>().ok()) {
                let before = newest.insert(key.clone(), value);
                assert!(before < Some(value), "{key}: {value} after {before:?}");
            }
            if let Some((_, before)) = state.insert(key.clone(), (value, transaction)) {
                assert!(before < transaction || !is_definition(&key), "{key}: {transaction} after {before}");
            }
        }
        state.retain(|_, (value, _)| value.is_some());
        let listed = direct.list(prefix, At::Newest).await.unwrap().records.into_iter();
        let listed: BTreeMap<String, (Option<String>, Transaction)> = listed
            .map(|record| {
                let value = String::from_utf8(record.value.to_vec()).unwrap();
                (record.key.to_string(), (Some(value), record.transaction))
            })
            .collect();
        assert_eq!(state, listed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_be_opened_is_told_although_etcd_answers() {
    let cluster = Cluster::start(1, &[]);
    let link = Link::to(cluster.port(0)).await;
    let mut store = cluster.open("test").await;
    let (client, ..) = EtcdStore::reach(&link.settings("test")).await.unwrap().unwrap();
    store.watches = Watches::start(client, store.reader.clone());
    let (_, mut watch) = store.list_and_watch("definitions/").await.unwrap();
    let keys = store.watch_keys();
    keys.add("derived/key");
    for broken in [State::Cut, State::Paused] {
        put(&store, "definitions/", "before", "1").await;
        until(&mut watch, "definitions/before").await;
        link.set(State::Cut);
        sleep(Duration::from_millis(500)).await;
        link.set(broken);
        until_reach(&store, |reach| reach.unwatched_since.is_some()).await;
        assert_eq!(store.reach().cut_off_since, None, "it answers");
        put(&store, "definitions/", "after", "1").await;
        link.set(State::Open);
        until(&mut watch, "definitions/after").await;
        until_reach(&store, |reach| reach.unwatched_since.is_none()).await;
    }
    // who watches nothing misses nothing
    link.set(State::Cut);
    drop((watch, keys));
    sleep(interruption::PATIENCE * 3 / 2).await;
    assert_eq!(store.reach().unwatched_since, None);
}

async fn until_reach(store: &EtcdStore, is_so: impl Fn(Reach) -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so(store.reach()) {
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it becomes so");
}
