//! Watches of single keys, and the segments of keys.

use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{Batch, KeysWatch};
use super::*;

async fn next_of(watch: &mut KeysWatch) -> Vec<Event> {
    let events = tokio::time::timeout(PATIENCE, watch.next()).await;
    let events = events.expect("something changed").expect("the watch goes on");
    assert!(!events.is_empty(), "a watch never answers with nothing");
    events
}

/// What a watch tells of `key` next, with its transaction.
async fn state_of(watch: &mut KeysWatch, key: &str) -> (Option<String>, Transaction) {
    let mut events = next_of(watch).await;
    assert_eq!(events.len(), 1, "{events:?}");
    let event = events.remove(0);
    assert_eq!(&*event.key, key);
    (event.value.as_deref().map(lossy), event.transaction)
}

async fn is_quiet_of(watch: &mut KeysWatch) -> bool {
    tokio::time::timeout(Duration::from_millis(50), watch.next()).await.is_err()
}

pub(crate) async fn a_watched_key_gives_its_state_and_its_changes(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let first = put(store, "definitions/a", "1").await;
    let mut watch = store.watch_keys();
    assert!(is_quiet_of(&mut watch).await, "it has no keys");
    watch.add("definitions/a");
    assert_eq!(state_of(&mut watch, "definitions/a").await, (Some("1".to_owned()), first));
    watch.add("derived/b");
    assert_eq!(state_of(&mut watch, "derived/b").await, (None, first));

    let second = put(store, "definitions/a", "2").await;
    assert_eq!(state_of(&mut watch, "definitions/a").await, (Some("2".to_owned()), second));
    put_derived(store, "derived/b", "1").await;
    assert_eq!(state_of(&mut watch, "derived/b").await, (Some("1".to_owned()), second));
    let third = delete(store, "definitions/a").await;
    assert_eq!(state_of(&mut watch, "definitions/a").await, (None, third));

    watch.remove("derived/b");
    // what is asked of a watch takes its time
    watch.add("derived/c");
    assert_eq!(state_of(&mut watch, "derived/c").await.0, None);
    put_derived(store, "derived/b", "2").await;
    assert!(is_quiet_of(&mut watch).await);
    watch.add("derived/b");
    assert_eq!(state_of(&mut watch, "derived/b").await.0.as_deref(), Some("2"), "it is watched anew");
}

pub(crate) async fn a_watched_key_is_that_key_alone(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let mut watch = store.watch_keys();
    watch.add("derived/web");
    assert_eq!(state_of(&mut watch, "derived/web").await.0, None);
    for other in ["derived/web-2", "derived/we", "derived/web/2", "derived/web "] {
        put_derived(store, other, "1").await;
    }
    assert!(is_quiet_of(&mut watch).await);
    put_derived(store, "derived/web", "1").await;
    assert_eq!(state_of(&mut watch, "derived/web").await.0.as_deref(), Some("1"));
}

/// Keys are added and taken away while they change: what comes last of each key is what it is.
pub(crate) async fn watched_keys_have_no_gap_while_writes_go_on(fresh: &Fresh) {
    const KEYS: usize = 150;
    let goes_on = Arc::new(AtomicBool::new(true));
    let writer = tokio::spawn({
        let (store, goes_on) = (Arc::clone(&fresh.store), Arc::clone(&goes_on));
        async move {
            for round in 0_usize.. {
                if !goes_on.load(Ordering::Relaxed) {
                    break;
                }
                let keys = [round % KEYS, (round + 7) % KEYS].map(|number| format!("derived/{number}"));
                let [put, deleted] = keys;
                let batch = Batch::derived().put(put, round.to_string()).delete(deleted);
                store.commit(batch).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let mut watch = fresh.store.watch_keys();
    let mut known: BTreeMap<Arc<str>, Option<String>> = BTreeMap::new();
    let mut take_in = |events: Vec<Event>| {
        for event in events {
            known.insert(event.key, event.value.as_deref().map(lossy));
        }
    };
    for number in 0..KEYS {
        watch.add(format!("derived/{number}"));
        if number % 3 == 0 {
            watch.remove(&format!("derived/{number}"));
            watch.add(format!("derived/{number}"));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        take_in(watch.pending().unwrap());
    }
    goes_on.store(false, Ordering::Relaxed);
    writer.await.unwrap();
    watch.settled().await.unwrap();
    take_in(watch.pending().unwrap());
    for number in 0..KEYS {
        let key = format!("derived/{number}");
        let stored = fresh.store.get(&key).await.unwrap().map(|record| lossy(&record.value));
        assert_eq!(known.get(&*key), Some(&stored), "{key}");
    }
}

pub(crate) async fn what_is_settled_can_be_read(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let mut watch = store.watch_keys();
    watch.settled().await.unwrap();
    for round in 0..20 {
        let key = format!("derived/{round}");
        watch.add(key.clone());
        put_derived(store, &key, "1").await;
        watch.settled().await.unwrap();
        let events = watch.pending().unwrap();
        let last = events.iter().rfind(|event| *event.key == *key).expect("something of it");
        assert_eq!(last.value.as_deref(), Some(&b"1"[..]), "{key}");
    }
}

pub(crate) async fn segments_are_told_once(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    for key in ["b/mesh", "a/virtualNode/x", "a/mesh", "a-b/mesh", "a0/mesh", "plain"] {
        put(store, &format!("definitions/{key}"), "1").await;
    }
    put_derived(store, "derived/c/d", "1").await;
    let told = async |prefix: &str| store.segments(prefix).await.unwrap();
    assert_eq!(told("definitions/").await, ["a", "a-b", "a0", "b", "plain"]);
    assert_eq!(told("definitions/a/").await, ["mesh", "virtualNode"]);
    assert_eq!(told("derived/").await, ["c"]);
    assert!(told("none/").await.is_empty());
}
