//! Watches: order, no gap, no loss, bounded.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use super::super::Batch;
use super::*;

pub(crate) async fn a_watch_gives_changes_and_deletions(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let (listing, mut watch) = store.list_and_watch("definitions/").await.unwrap();
    assert!(listing.records.is_empty());
    let created = put(store, "definitions/a", "1").await;
    assert_eq!(next(&mut watch).await, [event("definitions/a", Some("1"), created)]);
    let deleted = delete(store, "definitions/a").await;
    assert_eq!(next(&mut watch).await, [event("definitions/a", None, deleted)]);
    assert!(is_quiet(&mut watch).await);
}

pub(crate) async fn a_watch_sees_its_prefix_only(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let (_, mut inner) = store.list_and_watch("definitions/a/").await.unwrap();
    let (_, mut outer) = store.list_and_watch("definitions/").await.unwrap();
    let (_, mut all) = store.list_and_watch("").await.unwrap();
    let (_, mut twin) = store.list_and_watch("definitions/a/").await.unwrap();
    // "ä" puts the end of the shorter prefixes inside a character
    put(store, "definitions/ä", "0").await;
    put(store, "definitions/b", "1").await;
    put(store, "definitions/a", "2").await;
    put_derived(store, "derived/a", "3").await;
    assert!(is_quiet(&mut inner).await);
    assert_eq!(next(&mut outer).await.len(), 3);
    assert_eq!(next(&mut all).await.len(), 4);
    drop(twin);
    put(store, "definitions/a/x", "4").await;
    assert_eq!(next(&mut inner).await[0].key.as_ref(), "definitions/a/x");
    twin = store.list_and_watch("definitions/a/").await.unwrap().1;
    put(store, "definitions/a/y", "5").await;
    assert_eq!(next(&mut twin).await[0].key.as_ref(), "definitions/a/y");
}

pub(crate) async fn a_watch_resumes_from_a_transaction(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    put(store, "definitions/a", "1").await;
    let seen = put(store, "definitions/b", "1").await;
    put(store, "definitions/c", "1").await;
    let deleted = delete(store, "definitions/b").await;
    let changed = put(store, "definitions/c", "2").await;

    let mut watch = store.watch("definitions/", seen).await.unwrap();
    let mut events = next(&mut watch).await;
    while events.last().is_some_and(|event| event.transaction < changed) {
        events.extend(next(&mut watch).await);
    }
    let last = |key: &str| events.iter().rfind(|event| event.key.as_ref() == key).cloned();
    assert_eq!(last("definitions/a"), None, "it did not change since");
    assert_eq!(last("definitions/b"), Some(event("definitions/b", None, deleted)));
    assert_eq!(last("definitions/c"), Some(event("definitions/c", Some("2"), changed)));

    let mut watch = store.watch("definitions/", changed).await.unwrap();
    assert!(is_quiet(&mut watch).await, "nothing changed since");
    let created = put(store, "definitions/d", "1").await;
    assert_eq!(next(&mut watch).await, [event("definitions/d", Some("1"), created)]);
}

pub(crate) async fn a_watch_gives_a_transaction_whole(fresh: &Fresh) {
    const ROUNDS: usize = 40;
    let (_, mut watch) = fresh.store.list_and_watch("definitions/").await.unwrap();
    let store = Arc::clone(&fresh.store);
    let writer = tokio::spawn(async move {
        for round in 0..ROUNDS {
            let value = round.to_string();
            let batch = definitions().put("definitions/a", value.clone()).put("definitions/b", value);
            store.commit(batch).await.unwrap();
        }
    });
    let mut last = String::new();
    while last != (ROUNDS - 1).to_string() {
        let events = next(&mut watch).await;
        let newest = events.iter().map(|event| event.transaction).max();
        let whole = events.iter().filter(|event| Some(event.transaction) == newest).count();
        assert_eq!(whole, 2, "both changes of the transaction: {events:?}");
        last = events[0].value.as_deref().map(lossy).unwrap();
    }
    writer.await.unwrap();
}

pub(crate) async fn a_slow_watcher_gets_the_latest_state(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let (_, mut watch) = store.list_and_watch("definitions/").await.unwrap();
    for value in 0..20 {
        put(store, "definitions/a", &value.to_string()).await;
    }
    put(store, "definitions/b", "1").await;
    delete(store, "definitions/b").await;
    put(store, "definitions/c", "1").await;
    put(store, "definitions/a", "last").await;
    let mut told: Vec<(String, Option<String>)> = Vec::new();
    // a store of several hosts hears of its own commits a moment later, so that they may come in parts
    while !told.iter().any(|(_, value)| value.as_deref() == Some("last")) {
        let events = next(&mut watch).await;
        let keys: HashSet<&Arc<str>> = events.iter().map(|event| &event.key).collect();
        assert_eq!(keys.len(), events.len(), "one event a key: {events:?}");
        told.retain(|(key, _)| !keys.contains(&Arc::from(key.as_str())));
        told.extend(events.iter().map(|e| (e.key.to_string(), e.value.as_deref().map(lossy))));
    }
    let expected = [("definitions/b", None), ("definitions/c", Some("1")), ("definitions/a", Some("last"))];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.map(ToOwned::to_owned)));
    assert_eq!(told, expected, "the latest state, in the order of the last changes");
    assert!(is_quiet(&mut watch).await);
}

pub(crate) async fn a_cancelled_read_of_a_watch_loses_nothing(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let (_, mut watch) = store.list_and_watch("definitions/").await.unwrap();
    assert!(is_quiet(&mut watch).await);
    put(store, "definitions/a", "1").await;
    assert_eq!(next(&mut watch).await.len(), 1);
}

/// Writes keys round and round for as long as it is told to, with deletions in between.
fn spawn_writer(store: Arc<dyn Store>, prefix: &'static str, goes_on: Arc<AtomicBool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        for round in 0_usize.. {
            if !goes_on.load(Ordering::Relaxed) {
                break;
            }
            let key = format!("{prefix}{}", round % 7);
            let batch = if prefix.starts_with("definitions/") { definitions() } else { Batch::derived() };
            let batch = match round % 5 {
                4 => batch.delete(key),
                _ => batch.put(key, round.to_string()),
            };
            store.commit(batch).await.unwrap();
            tokio::task::yield_now().await;
        }
        let batch = if prefix.starts_with("definitions/") { definitions() } else { Batch::derived() };
        store.commit(batch.put(format!("{prefix}end"), "end")).await.unwrap();
    })
}

async fn follow_to_the_end(mut follower: Follower, mut watch: Watch, prefix: &str) -> Follower {
    let end = format!("{prefix}end");
    while follower.value(&end).is_none() {
        follower.apply(next(&mut watch).await);
    }
    follower
}

/// Starts a watcher every few moments while writes go on; each must end with the same state as the store.
async fn check_watchers(fresh: &Fresh, prefix: &'static str, count: usize, resume: bool) {
    let goes_on = Arc::new(AtomicBool::new(true));
    let writer = spawn_writer(Arc::clone(&fresh.store), prefix, Arc::clone(&goes_on));
    let mut watchers = Vec::new();
    for _ in 0..count {
        let store = Arc::clone(&fresh.store);
        watchers.push(tokio::spawn(async move {
            let (listing, watch) = if resume {
                let listing = store.list(prefix, super::super::At::Newest).await.unwrap();
                // let writes come between the list and the watch
                tokio::time::sleep(Duration::from_millis(2)).await;
                let watch = store.watch(prefix, listing.transaction).await.unwrap();
                (listing, watch)
            } else {
                store.list_and_watch(prefix).await.unwrap()
            };
            follow_to_the_end(Follower::new(listing), watch, prefix).await
        }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    goes_on.store(false, Ordering::Relaxed);
    writer.await.unwrap();
    let now = fresh.store.list(prefix, super::super::At::Newest).await.unwrap();
    let expected = Follower::new(now);
    for watcher in watchers {
        let follower = watcher.await.unwrap();
        assert_eq!(follower.state, expected.state);
    }
}

pub(crate) async fn a_watch_has_no_gap_while_writes_go_on(fresh: &Fresh) {
    check_watchers(fresh, "definitions/live/", 50, false).await;
    check_watchers(fresh, "definitions/resumed/", 50, true).await;
}

pub(crate) async fn list_and_watch_has_no_gap_for_derived_data(fresh: &Fresh) {
    check_watchers(fresh, "derived/", 100, false).await;
}
