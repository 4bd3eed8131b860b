//! Commits: preconditions, atomicity, numbers, the journal.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use legation_proto::v1::{Change, JournalEntry};
use tokio::task::JoinSet;

use super::super::{At, Batch, Precondition};
use super::*;

pub(crate) async fn a_list_is_sorted_and_has_its_prefix_only(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let first = put(store, "definitions/b", "2").await;
    let second = put(store, "definitions/a", "1").await;
    put(store, "definitions/ab", "x").await;
    put_derived(store, "fragments/a", "f").await;

    let all = store.list("definitions/", At::Newest).await.unwrap();
    let keys: Vec<&str> = all.records.iter().map(|record| record.key.as_ref()).collect();
    assert_eq!(keys, ["definitions/a", "definitions/ab", "definitions/b"]);
    assert_eq!(all.transaction, newest(store).await);
    let some = store.list("definitions/b", At::Newest).await.unwrap();
    assert_eq!(text(&some), [("definitions/b".into(), "2".into(), first)]);
    assert_eq!(store.get("definitions/a").await.unwrap().unwrap().transaction, second);
    assert_eq!(store.list("", At::Newest).await.unwrap().records.len(), 4);
    assert!(store.list("definitions/c", At::Newest).await.unwrap().records.is_empty());
}

pub(crate) async fn get_gives_the_newest_record(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    assert_eq!(store.get("definitions/a").await.unwrap(), None);
    put(store, "definitions/a", "1").await;
    let transaction = put(store, "definitions/a", "2").await;
    put(store, "definitions/b", "3").await;
    let record = store.get("definitions/a").await.unwrap().unwrap();
    assert_eq!((lossy(&record.value), record.transaction), ("2".to_owned(), transaction));
    delete(store, "definitions/a").await;
    assert_eq!(store.get("definitions/a").await.unwrap(), None);
    assert_eq!(store.get("definitions/").await.unwrap(), None);
}

pub(crate) async fn every_precondition_holds_or_conflicts(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let old = put(store, "definitions/a/1", "v0").await;
    let new = put(store, "definitions/a/1", "v1").await;
    put_derived(store, "derived/a", "d1").await;

    let (a, none) = ("definitions/a/1", "definitions/none");
    let holding = [
        definitions().if_absent(none),
        definitions().if_present(a),
        definitions().if_unchanged(a, new),
        definitions().if_equal(a, "v1"),
        definitions().if_empty("definitions/b"),
        definitions().if_empty("definitions/a/12"),
    ];
    for batch in holding {
        store.commit(batch.put("definitions/other", "x")).await.unwrap();
    }
    let failing = [
        definitions().if_absent(a),
        definitions().if_present(none),
        definitions().if_unchanged(a, old),
        definitions().if_unchanged(none, new),
        definitions().if_equal(a, "v0"),
        definitions().if_equal(none, ""),
        definitions().if_empty("definitions/a/"),
        definitions().if_empty(a),
    ];
    for batch in failing {
        let expected = batch.preconditions[0].clone();
        assert_eq!(conflict(store, batch.put("definitions/other", "y")).await, expected);
    }

    let derived = || Batch::derived().put("derived/b", "x");
    store.commit(derived().if_equal("derived/a", "d1").if_unchanged(a, new)).await.unwrap();
    store.commit(derived().if_absent("derived/none").if_empty("derived/c")).await.unwrap();
    for batch in [
        derived().if_absent("derived/a"),
        derived().if_equal("derived/a", "d0"),
        derived().if_empty("derived/"),
        derived().if_unchanged(a, old),
    ] {
        conflict(store, batch).await;
    }
    assert_eq!(store.get("definitions/other").await.unwrap().unwrap().value, "x");

    delete(store, a).await;
    store.commit(definitions().if_empty("definitions/a/").put("definitions/other", "z")).await.unwrap();
}

pub(crate) async fn the_first_precondition_that_fails_is_named(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    put(store, "definitions/a", "1").await;
    let batch = definitions()
        .if_present("definitions/a")
        .if_absent("definitions/a")
        .if_present("definitions/none")
        .put("definitions/b", "1");
    let precondition = conflict(store, batch).await;
    assert_eq!(precondition, Precondition::Absent { key: "definitions/a".into() });
    assert_eq!(precondition.to_string(), "definitions/a must not exist");
}

pub(crate) async fn a_conflict_changes_nothing(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    put(store, "definitions/a", "1").await;
    put_derived(store, "derived/a", "1").await;
    let before = store.list("", At::Newest).await.unwrap();
    let journal = store.journal(0, 100).await.unwrap();
    let (_, mut watch) = store.list_and_watch("").await.unwrap();

    let changes = definitions().put("definitions/b", "1").delete("definitions/a");
    conflict(store, changes.if_present("definitions/none")).await;
    let changes = Batch::derived().put("derived/b", "1").delete("derived/a");
    conflict(store, changes.if_present("derived/none")).await;

    assert_eq!(store.list("", At::Newest).await.unwrap(), before);
    assert_eq!(store.journal(0, 100).await.unwrap(), journal);
    assert!(is_quiet(&mut watch).await);
}

pub(crate) async fn a_batch_without_a_change_left_takes_no_number(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let first = put(store, "definitions/a", "1").await;
    assert_eq!(delete(store, "definitions/none").await, first);
    assert_eq!(newest(store).await, first);
    assert_eq!(store.journal(0, 100).await.unwrap().len(), 1);
    let batch = definitions().delete("definitions/none").delete("definitions/a");
    let second = store.commit(batch).await.unwrap();
    let journal = store.journal(first, 100).await.unwrap();
    assert_eq!((journal.len(), journal[0].transaction, journal[0].changes.len()), (1, second, 1));
}

pub(crate) async fn numbers_only_grow_under_concurrent_writers(fresh: &Fresh) {
    const WRITERS: usize = 50;
    const COMMITS: usize = 8;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&fresh.store);
        writers.spawn(async move {
            let mut last = 0;
            let mut numbers = Vec::new();
            for commit in 0..COMMITS {
                let key = format!("definitions/{writer}/{commit}");
                let number = put(store.as_ref(), &key, "x").await;
                assert!(number > last, "a writer's numbers grow");
                let read = store.get(&key).await.unwrap().expect("a writer reads what it wrote");
                assert_eq!(read.transaction, number);
                last = number;
                numbers.push(number);
            }
            numbers
        });
    }
    let numbers: Vec<u64> = writers.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), WRITERS * COMMITS, "no number is given twice");
    let journal = store_journal(fresh).await;
    assert_eq!(journal, distinct.iter().copied().collect::<Vec<_>>());
    assert_eq!(distinct.last().copied(), Some(newest(fresh.store.as_ref()).await));
}

async fn store_journal(fresh: &Fresh) -> Vec<u64> {
    let journal = fresh.store.journal(0, 10_000).await.unwrap();
    journal.iter().map(|entry| entry.transaction).collect()
}

pub(crate) async fn no_update_is_lost_with_unchanged(fresh: &Fresh) {
    const WRITERS: usize = 10;
    const INCREMENTS: usize = 5;
    put(fresh.store.as_ref(), "definitions/counter", "0").await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let store = Arc::clone(&fresh.store);
        writers.spawn(async move {
            for _ in 0..INCREMENTS {
                increment(store.as_ref()).await;
            }
        });
    }
    writers.join_all().await;
    let counter = fresh.store.get("definitions/counter").await.unwrap().unwrap();
    assert_eq!(lossy(&counter.value), (WRITERS * INCREMENTS).to_string());
}

async fn increment(store: &dyn Store) {
    loop {
        let seen = store.get("definitions/counter").await.unwrap().unwrap();
        let value: usize = lossy(&seen.value).parse().unwrap();
        let batch = definitions()
            .if_unchanged(seen.key, seen.transaction)
            .put("definitions/counter", (value + 1).to_string());
        match store.commit(batch).await {
            Ok(_) => return,
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) async fn derived_data_takes_no_number_and_no_journal_entry(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let transaction = put(store, "definitions/a", "1").await;
    put_derived(store, "derived/a", "1").await;
    put_derived(store, "derived/a", "2").await;
    let record = store.get("derived/a").await.unwrap().unwrap();
    assert_eq!(record.value, "2");
    assert!(record.transaction >= transaction, "it carries what the store had reached");
    assert_eq!(store.journal(0, 100).await.unwrap().len(), 1);
    store.commit(Batch::derived().delete("derived/a")).await.unwrap();
    assert_eq!(store.get("derived/a").await.unwrap(), None);
}

pub(crate) async fn the_journal_is_exact(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let started = now_ms();
    let create = Batch::definitions("alice", "Create").put("definitions/a", "1").put("definitions/b", "");
    let first = store.commit(create).await.unwrap();
    let change = Batch::definitions("bob", "Change").delete("definitions/b").put("definitions/a", "2");
    let second = store.commit(change).await.unwrap();

    let journal = store.journal(0, 100).await.unwrap();
    let told: Vec<_> =
        journal.iter().map(|e| (e.transaction, e.author.as_str(), e.operation.as_str())).collect();
    assert_eq!(told, [(first, "alice", "Create"), (second, "bob", "Change")]);
    let change = |key: &str, before: Option<&'static str>, after: Option<&'static str>| Change {
        key: key.to_owned(),
        before: before.map(Bytes::from),
        after: after.map(Bytes::from),
    };
    let expected = [change("definitions/a", None, Some("1")), change("definitions/b", None, Some(""))];
    assert_eq!(journal[0].changes, expected);
    let expected = [change("definitions/b", Some(""), None), change("definitions/a", Some("1"), Some("2"))];
    assert_eq!(journal[1].changes, expected);
    for entry in journal {
        assert!((started..=now_ms()).contains(&entry.committed_at_ms));
    }
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_millis()).unwrap()
}

pub(crate) async fn the_journal_is_read_in_pages(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let mut numbers = Vec::new();
    for value in 0..5 {
        numbers.push(put(store, "definitions/a", &value.to_string()).await);
    }
    let page = store.journal(numbers[0], 2).await.unwrap();
    let page: Vec<u64> = page.iter().map(|entry| entry.transaction).collect();
    assert_eq!(page, numbers[1..3]);
    assert!(store.journal(numbers[4], 2).await.unwrap().is_empty());
    assert!(store.journal(u64::MAX, 2).await.unwrap().is_empty());
    assert!(store.journal(0, 0).await.unwrap().is_empty());
}

pub(crate) async fn untouched_is_what_did_not_change(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    for key in ["definitions/a/1", "definitions/a/2", "definitions/b/1"] {
        put(store, key, "1").await;
    }
    let seen = newest(store).await;
    let untouched =
        |prefix: &str, since| definitions().if_untouched(prefix, since).put("definitions/other", "x");
    store.commit(untouched("definitions/a/", seen)).await.unwrap();
    store.commit(untouched("definitions/none/", seen)).await.unwrap();
    assert_eq!(conflict(store, untouched("definitions/", seen)).await.key().as_ref(), "definitions/");

    let changed = put(store, "definitions/a/1", "2").await;
    conflict(store, untouched("definitions/a/", seen)).await;
    store.commit(untouched("definitions/a/", changed)).await.unwrap();
    store.commit(untouched("definitions/a/2", changed)).await.unwrap();

    let created = put(store, "definitions/a/3", "1").await;
    conflict(store, untouched("definitions/a/", changed)).await;
    store.commit(untouched("definitions/a/", created)).await.unwrap();

    let deleted = delete(store, "definitions/a/2").await;
    conflict(store, untouched("definitions/a/", created)).await;
    store.commit(untouched("definitions/a/", deleted)).await.unwrap();
    store.commit(untouched("definitions/b/", deleted)).await.unwrap();
}

pub(crate) async fn the_journal_is_read_backwards(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    assert!(store.journal_before(Transaction::MAX, 10).await.unwrap().is_empty());
    for number in 0..7 {
        put(store, "definitions/a", &number.to_string()).await;
    }
    let batch = definitions().put("definitions/a", "last").put("definitions/b", "last");
    store.commit(batch).await.unwrap();
    let all = store.journal(0, usize::MAX).await.unwrap();
    let changed = |entry: &JournalEntry| {
        let keys: Vec<String> = entry.changes.iter().map(|change| change.key.clone()).collect();
        (entry.transaction, keys)
    };
    let all_changed: Vec<_> = all.iter().rev().map(changed).collect();
    assert_eq!(store.changed_before(Transaction::MAX, 100).await.unwrap(), all_changed);
    assert_eq!(store.changed_before(all[5].transaction, 2).await.unwrap(), all_changed[3..5]);
    let mut backwards = Vec::new();
    let mut before = Transaction::MAX;
    loop {
        let page = store.journal_before(before, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3);
        before = last.transaction;
        backwards.extend(page);
    }
    backwards.reverse();
    assert_eq!(backwards, all);
}

pub(crate) async fn the_journal_of_a_key_is_its_entries(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let mut of_a = Vec::new();
    for round in 0..4 {
        of_a.push(put(store, "definitions/a", &round.to_string()).await);
        put(store, "definitions/a/b", "1").await;
        put(store, "definitions/aa", "1").await;
    }
    of_a.push(delete(store, "definitions/a").await);
    of_a.reverse();
    let numbers = async |key, before, limit| -> Vec<Transaction> {
        let entries = store.journal_of(key, before, limit).await.unwrap();
        entries.into_iter().map(|entry| entry.transaction).collect()
    };
    assert_eq!(numbers("definitions/a", Transaction::MAX, 10).await, of_a);
    assert_eq!(numbers("definitions/a", Transaction::MAX, 2).await, of_a[..2]);
    assert_eq!(numbers("definitions/a", of_a[1], 2).await, of_a[2..4]);
    assert!(numbers("definitions/none", Transaction::MAX, 10).await.is_empty());
}
