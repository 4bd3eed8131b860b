//! What is remembered for a time.

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::{At, DEFINITIONS, Precondition};
use super::*;

const LONG: Duration = Duration::from_secs(600);
const KEY: &str = "remembered/a";

pub(crate) async fn what_is_remembered_is_committed_with_its_batch(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let (_, mut watch) = store.list_and_watch(DEFINITIONS).await.unwrap();
    let batch = definitions().put("definitions/a", "1").remember(KEY, "r", LONG);
    let transaction = store.commit(batch).await.unwrap();
    let record = store.get(KEY).await.unwrap().unwrap();
    assert_eq!((record.value.as_ref(), record.transaction), (&b"r"[..], transaction));

    // nobody who looks at definitions, their journal or their past meets it
    assert_eq!(next(&mut watch).await, [event("definitions/a", Some("1"), transaction)]);
    let journal = store.journal(0, 100).await.unwrap();
    assert_eq!((journal.len(), journal[0].changes.len()), (1, 1));
    assert_eq!(store.list(DEFINITIONS, At::Newest).await.unwrap().records.len(), 1);
    assert_eq!(store.list(DEFINITIONS, At::Transaction(transaction)).await.unwrap().records.len(), 1);

    let refused = definitions().if_absent("definitions/a").put("definitions/a", "2");
    conflict(store, refused.remember("remembered/b", "r", LONG)).await;
    let unchanged = definitions().delete("definitions/none").remember("remembered/b", "r", LONG);
    assert_eq!(store.commit(unchanged).await.unwrap(), transaction);
    assert_eq!(store.get("remembered/b").await.unwrap(), None);
}

pub(crate) async fn what_is_remembered_is_remembered_once(fresh: &Fresh) {
    const WRITERS: usize = 20;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&fresh.store);
        let batch = definitions().if_absent(KEY).put(format!("definitions/{writer}"), "1");
        writers.spawn(async move { store.commit(batch.remember(KEY, writer.to_string(), LONG)).await });
    }
    let outcomes = writers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let store = fresh.store.as_ref();
    let value = store.get(KEY).await.unwrap().unwrap().value;
    let definitions_made = store.list(DEFINITIONS, At::Newest).await.unwrap();
    assert_eq!(definitions_made.records.len(), 1);
    assert_eq!(*definitions_made.records[0].key, format!("definitions/{}", lossy(&value)));

    let matching = definitions().if_equal(KEY, value).put("definitions/b", "1");
    store.commit(matching).await.unwrap();
    let other = definitions().if_equal(KEY, "other").put("definitions/b", "1");
    assert!(matches!(conflict(store, other).await, Precondition::Equal { .. }));
}

pub(crate) async fn what_is_remembered_goes_after_its_time(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let remember = |key: &str, time| definitions().put("definitions/a", "1").remember(key, "r", time);
    let asked = Instant::now();
    store.commit(remember(KEY, fresh.short_lease)).await.unwrap();
    store.commit(remember("remembered/long", LONG)).await.unwrap();
    // it may take a commit to make it go
    loop {
        put(store, "definitions/b", "1").await;
        if store.get(KEY).await.unwrap().is_none() {
            break;
        }
        assert!(asked.elapsed() < PATIENCE, "it stays for ever");
        tokio::time::sleep(fresh.short_lease / 10).await;
    }
    // a clock that is read in milliseconds may have moved by one less
    assert!(asked.elapsed() + Duration::from_millis(1) >= fresh.short_lease, "it went too soon");
    assert!(store.get("remembered/long").await.unwrap().is_some());
    store.commit(remember(KEY, LONG).if_absent(KEY)).await.unwrap();
    put(store, "definitions/b", "2").await;
    assert!(store.get(KEY).await.unwrap().is_some(), "its time started anew");
}
