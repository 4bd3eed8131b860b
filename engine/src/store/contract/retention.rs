//! How much of the past is kept.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::super::{At, Kept, StoreError};
use super::past::{Step, batch, rows, steps};
use super::*;

/// Keeps this many entries, however old.
fn entries(entries_max: u64) -> Kept {
    Kept { entries_max, since_ms: i64::MIN }
}

/// Prunes until there is nothing left to prune; the answer is the oldest transaction whose state is known.
async fn prune_all(store: &dyn Store, kept: Kept) -> Transaction {
    loop {
        let pruned = store.prune(kept).await.unwrap();
        assert_eq!(store.oldest().await.unwrap(), pruned.oldest);
        if !pruned.has_more {
            return pruned.oldest;
        }
    }
}

async fn journal_numbers(store: &dyn Store) -> Vec<Transaction> {
    let journal = store.journal(0, usize::MAX).await.unwrap();
    journal.iter().map(|entry| entry.transaction).collect()
}

pub(crate) async fn what_was_pruned_is_too_old(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    assert_eq!(prune_all(store, entries(1)).await, 0, "there is nothing to forget");
    let kept_all_along = put(store, "definitions/steady", "1").await;
    let mut numbers = vec![kept_all_along];
    for number in 0..600 {
        numbers.push(put(store, &format!("definitions/{}", number % 7), &number.to_string()).await);
    }
    let (forgotten, kept) = numbers.split_at(numbers.len() - 10);
    let now = store.list("", At::Newest).await.unwrap();
    assert_eq!(prune_all(store, entries(u64::MAX)).await, 0, "everything is kept");
    let first = store.prune(entries(10)).await.unwrap();
    assert!(
        first.has_more && first.oldest > 0 && first.oldest < forgotten[590],
        "a piece at a time: {first:?}"
    );

    let oldest = prune_all(store, entries(10)).await;
    assert_eq!(oldest, forgotten[590]);
    assert_eq!(journal_numbers(store).await, kept);
    assert_eq!(store.list("", At::Newest).await.unwrap(), now, "the present is not touched");
    let too_old = |result: Result<(), StoreError>| match result {
        Err(StoreError::TooOld { asked, oldest: o }) => assert_eq!((asked, o), (oldest - 1, oldest)),
        other => panic!("{other:?}"),
    };
    too_old(store.list("definitions/", At::Transaction(oldest - 1)).await.map(drop));
    too_old(store.watch("definitions/", oldest - 1).await.map(drop));
    let past = store.list("definitions/", At::Transaction(oldest)).await.unwrap();
    let steady = past.records.iter().find(|record| record.key.as_ref() == "definitions/steady").unwrap();
    assert_eq!((steady.transaction, lossy(&steady.value)), (kept_all_along, "1".to_owned()));
    assert_eq!(past.records.len(), 8);
    assert!(store.watch("definitions/", oldest).await.is_ok());
    let of_key = store.journal_of("definitions/steady", Transaction::MAX, 10).await.unwrap();
    assert!(of_key.is_empty(), "its only entry is gone");

    assert_eq!(prune_all(store, entries(0)).await, kept[8], "the newest entry stays");
    assert!(put(store, "definitions/new", "1").await > kept[9]);
}

pub(crate) async fn what_is_too_old_for_its_age_is_pruned(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let mut before = 0;
    for number in 0..5 {
        before = put(store, "definitions/a", &number.to_string()).await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let last = put(store, "definitions/a", "last").await;
    let entry = store.journal(last - 1, 1).await.unwrap().remove(0);
    let since = |since_ms| Kept { entries_max: u64::MAX, since_ms };
    assert_eq!(prune_all(store, since(0)).await, 0);
    assert_eq!(prune_all(store, since(entry.committed_at_ms)).await, before);
    assert_eq!(prune_all(store, since(i64::MAX)).await, before, "the newest stays, however old it is");
}

/// Commits random batches, prunes, and compares every state that is still known to a model.
pub(crate) async fn pruned_listings_equal_a_model(fresh: &Fresh) {
    let handle = Handle::current();
    let case = AtomicUsize::new(0);
    tokio::task::block_in_place(|| {
        let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
        let checked = TestRunner::new(config).run(&(steps(), 0..12_u64, steps()), |(before, kept, after)| {
            let prefix = format!("definitions/{}/", case.fetch_add(1, Ordering::Relaxed));
            handle.block_on(check(fresh.store.as_ref(), &prefix, before, kept, after));
            Ok(())
        });
        checked.unwrap();
    });
}

async fn check(store: &dyn Store, prefix: &str, before: Vec<Step>, kept: u64, after: Vec<Step>) {
    let mut states = Vec::new();
    let mut model: BTreeMap<String, (String, Transaction)> = BTreeMap::new();
    let pruned_after = before.len();
    let mut oldest = 0;
    for (index, step) in before.into_iter().chain(after).enumerate() {
        if index == pruned_after {
            oldest = prune_all(store, entries(kept)).await;
        }
        let transaction = store.commit(batch(prefix, &step)).await.unwrap();
        for (key, value) in step {
            let key = format!("{prefix}{key}");
            match value {
                Some(value) => model.insert(key, (value.to_string(), transaction)),
                None => model.remove(&key),
            };
        }
        states.push((transaction, model.clone()));
    }
    oldest = oldest.max(prune_all(store, entries(kept + 3)).await);
    for (transaction, model) in states {
        let then = store.list(prefix, At::Transaction(transaction)).await;
        if transaction < oldest {
            assert!(matches!(then, Err(StoreError::TooOld { .. })), "{transaction} of {oldest}: {then:?}");
        } else {
            assert_eq!(rows(&then.unwrap()), model, "at {transaction}");
        }
    }
}

pub(crate) async fn pruning_and_commits_do_not_disturb_each_other(fresh: &Fresh) {
    const WRITERS: usize = 8;
    const COMMITS: usize = 60;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&fresh.store);
        writers.spawn(async move {
            let mut numbers = Vec::new();
            for count in 0..COMMITS {
                numbers.push(put(store.as_ref(), &format!("definitions/{writer}"), &count.to_string()).await);
            }
            numbers
        });
    }
    let store = fresh.store.as_ref();
    let mut numbers = BTreeSet::new();
    while !writers.is_empty() {
        store.prune(entries(20)).await.unwrap();
        // what is known is consistent, or it is known no longer
        let oldest = store.oldest().await.unwrap();
        match store.list("definitions/", At::Transaction(oldest)).await {
            Ok(listing) => assert!(listing.records.iter().all(|record| record.transaction <= oldest)),
            Err(StoreError::TooOld { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        while let Some(ended) = writers.try_join_next() {
            numbers.extend(ended.unwrap());
        }
    }
    assert_eq!(numbers.len(), WRITERS * COMMITS);
    prune_all(store, entries(20)).await;
    let kept: Vec<Transaction> = numbers.into_iter().skip(WRITERS * COMMITS - 20).collect();
    assert_eq!(journal_numbers(store).await, kept);
}
