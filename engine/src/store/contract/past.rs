//! Lists of the past, by themselves and against a model.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Handle;

use super::super::{At, Batch, StoreError};
use super::*;

pub(crate) async fn the_past_needs_a_known_transaction_of_definitions(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let newest = put(store, "definitions/a", "1").await;
    let asked = newest + 1;
    let in_future = |result: Result<(), StoreError>| match result {
        Err(StoreError::InFuture { asked: a, newest: n }) => assert_eq!((a, n), (asked, newest)),
        other => panic!("{other:?}"),
    };
    in_future(store.list("definitions/", At::Transaction(asked)).await.map(drop));
    in_future(store.watch("definitions/", asked).await.map(drop));
    for prefix in ["", "def", "derived/"] {
        let list = store.list(prefix, At::Transaction(newest)).await.map(drop);
        let watch = store.watch(prefix, newest).await.map(drop);
        for result in [list, watch] {
            assert!(matches!(result, Err(StoreError::NoHistory { .. })), "{prefix}: {result:?}");
        }
    }
}

pub(crate) async fn a_commit_has_the_time_that_the_journal_tells(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    // more than anybody remembers
    let mut last = 0;
    for number in 0..1500 {
        last = put(store, "definitions/a", &number.to_string()).await;
    }
    let journal = store.journal(0, usize::MAX).await.expect("the journal is read");
    assert_eq!(journal.len(), 1500);
    for entry in [&journal[0], &journal[700], &journal[1499]] {
        let at = store.committed_at_ms(entry.transaction).await.expect("the journal is read");
        assert_eq!(at, Some(entry.committed_at_ms), "transaction {}", entry.transaction);
    }
    for unknown in [0, last + 1] {
        assert_eq!(store.committed_at_ms(unknown).await.expect("the journal is read"), None);
    }
}

pub(crate) async fn the_past_is_listed_as_it_was(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let first = put(store, "definitions/a", "1").await;
    let second = put(store, "definitions/b", "1").await;
    let third = put(store, "definitions/a", "2").await;
    let fourth = delete(store, "definitions/b").await;
    let fifth = put(store, "definitions/b", "3").await;

    let row =
        |key: &str, value: &str, transaction| (format!("definitions/{key}"), value.to_owned(), transaction);
    for (at, expected) in [
        (first, vec![row("a", "1", first)]),
        (second, vec![row("a", "1", first), row("b", "1", second)]),
        (third, vec![row("a", "2", third), row("b", "1", second)]),
        (fourth, vec![row("a", "2", third)]),
        (fifth, vec![row("a", "2", third), row("b", "3", fifth)]),
    ] {
        let listing = store.list("definitions/", At::Transaction(at)).await.unwrap();
        assert_eq!((listing.transaction, text(&listing)), (at, expected));
    }
    let b = store.list("definitions/b", At::Transaction(third)).await.unwrap();
    assert_eq!(text(&b), [row("b", "1", second)]);
}

/// One batch of the model: for each small key a value to put, or none to delete it.
pub(super) type Step = BTreeMap<u8, Option<u8>>;

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop::collection::btree_map(0..6_u8, prop::option::of(any::<u8>()), 1..4);
    prop::collection::vec(step, 1..12)
}

/// Commits random batches to the store and to a model beside it, and then compares every state there was.
pub(crate) async fn past_listings_equal_a_model(fresh: &Fresh) {
    let handle = Handle::current();
    let case = AtomicUsize::new(0);
    tokio::task::block_in_place(|| {
        let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
        let checked = TestRunner::new(config).run(&steps(), |steps| {
            // every case has a prefix of its own in the same store
            let prefix = format!("definitions/{}/", case.fetch_add(1, Ordering::Relaxed));
            handle.block_on(check(fresh.store.as_ref(), &prefix, steps));
            Ok(())
        });
        checked.unwrap();
    });
}

async fn check(store: &dyn Store, prefix: &str, steps: Vec<Step>) {
    let mut model: BTreeMap<String, (String, Transaction)> = BTreeMap::new();
    let mut states = vec![(newest(store).await, model.clone())];
    for step in steps {
        let transaction = store.commit(batch(prefix, &step)).await.unwrap();
        for (key, value) in step {
            let key = format!("{prefix}{key}");
            match value {
                Some(value) => model.insert(key, (value.to_string(), transaction)),
                None => model.remove(&key),
            };
        }
        let now = store.list(prefix, At::Newest).await.unwrap();
        assert_eq!(rows(&now), model);
        states.push((transaction, model.clone()));
    }
    for (transaction, model) in states {
        let then = store.list(prefix, At::Transaction(transaction)).await.unwrap();
        assert_eq!(rows(&then), model, "at {transaction}");
        let mut follower = Follower::new(then);
        let mut watch = store.watch(prefix, transaction).await.unwrap();
        while !is_caught_up(store, prefix, &follower).await {
            follower.apply(next(&mut watch).await);
        }
    }
}

async fn is_caught_up(store: &dyn Store, prefix: &str, follower: &Follower) -> bool {
    let now = store.list(prefix, At::Newest).await.unwrap();
    Follower::new(now).state == follower.state
}

pub(super) fn batch(prefix: &str, step: &Step) -> Batch {
    let mut batch = definitions();
    for (key, value) in step {
        let key = format!("{prefix}{key}");
        batch = match value {
            Some(value) => batch.put(key, value.to_string()),
            None => batch.delete(key),
        };
    }
    batch
}

pub(super) fn rows(listing: &Listing) -> BTreeMap<String, (String, Transaction)> {
    let rows = text(listing).into_iter();
    rows.map(|(key, value, transaction)| (key, (value, transaction))).collect()
}
