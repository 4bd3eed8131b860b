//! Limits: what can never be committed is refused before anything is written.

use super::super::{At, Batch, Family, InvalidBatch, LeaseId};
use super::*;

/// A key of `bytes` bytes that belongs to a definition.
fn long_key(bytes: usize) -> String {
    format!("definitions/{}", "k".repeat(bytes - "definitions/".len()))
}

async fn refusal(store: &dyn Store, batch: Batch) -> InvalidBatch {
    match store.commit(batch).await {
        Err(CommitError::Invalid(invalid)) => invalid,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(crate) async fn what_breaks_a_limit_is_refused(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let limits = store.limits();
    let good = || definitions().put("definitions/good", "x");

    assert_eq!(refusal(store, definitions()).await, InvalidBatch::NoChanges);
    assert_eq!(refusal(store, Batch::derived()).await, InvalidBatch::NoChanges);
    assert_eq!(refusal(store, Batch::derived().put("", "x")).await, InvalidBatch::EmptyKey);

    let (key, bytes, limit) = (long_key(limits.key_bytes + 1), limits.key_bytes + 1, limits.key_bytes);
    let too_long = InvalidBatch::KeyTooLong { key: key.clone(), bytes, limit };
    assert_eq!(refusal(store, good().put(key.clone(), "x")).await, too_long);
    assert_eq!(refusal(store, good().if_absent(key)).await, too_long);

    let (bytes, limit) = (limits.value_bytes + 1, limits.value_bytes);
    let too_large = InvalidBatch::ValueTooLarge { key: "definitions/large".into(), bytes, limit };
    assert_eq!(refusal(store, good().put("definitions/large", vec![0; bytes])).await, too_large);
    assert!(too_large.to_string().contains("definitions/large"));

    let derived = (0..=limits.changes)
        .fold(Batch::derived(), |batch, index| batch.put(format!("derived/{index}"), "x"));
    let (count, limit) = (limits.changes + 1, limits.changes);
    let too_many = InvalidBatch::TooManyChanges { key: format!("derived/{limit}"), count, limit };
    assert_eq!(refusal(store, derived).await, too_many);

    let with = |count: usize, batch: Batch, add: fn(Batch, String) -> Batch| {
        (0..count).fold(batch, |batch, index| add(batch, format!("definitions/{index}")))
    };
    let (count, limit) = (limits.definition_changes + 1, limits.definition_changes);
    let many = with(count, definitions(), |batch, key| batch.put(key, "x"));
    let too_many = InvalidBatch::TooManyChanges { key: format!("definitions/{limit}"), count, limit };
    assert_eq!(refusal(store, many).await, too_many);
    let (count, limit) = (limits.definition_preconditions + 1, limits.definition_preconditions);
    let demanding = with(count, good(), Batch::if_absent);
    let too_many = InvalidBatch::TooManyPreconditions { key: format!("definitions/{limit}"), count, limit };
    assert_eq!(refusal(store, demanding).await, too_many);

    let count = limits.batch_bytes / limits.value_bytes + 1;
    let value = Bytes::from(vec![0; limits.value_bytes]);
    let large = (0..count).fold(definitions(), |batch, index| {
        let key = format!("definitions/{index}");
        if index % 2 == 0 { batch.put(key, value.clone()) } else { batch.if_equal(key, value.clone()) }
    });
    let keys: usize = (0..count).map(|index| format!("definitions/{index}").len()).sum();
    let (bytes, limit) = (count * limits.value_bytes + keys, limits.batch_bytes);
    assert_eq!(refusal(store, large).await, InvalidBatch::BatchTooLarge { bytes, limit });

    let twice = InvalidBatch::ChangedTwice { key: "definitions/good".into() };
    assert_eq!(refusal(store, good().delete("definitions/good")).await, twice);

    assert!(store.list("", At::Newest).await.unwrap().records.is_empty(), "nothing was written");
    assert!(store.journal(0, 10).await.unwrap().is_empty());
}

pub(crate) async fn what_mixes_kinds_is_refused(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let key = || "derived/a".to_owned();
    let good = || definitions().put("definitions/good", "x");
    let mixed = InvalidBatch::MixedKinds { key: key() };
    assert_eq!(refusal(store, good().put(key(), "x")).await, mixed);
    assert_eq!(refusal(store, good().delete(key())).await, mixed);
    let mixed = InvalidBatch::MixedKinds { key: "definitions/a".into() };
    let batch = Batch::derived().put(key(), "x").delete("definitions/a");
    assert_eq!(refusal(store, batch).await, mixed);

    let depends = InvalidBatch::DependsOnDerived { key: key() };
    assert_eq!(refusal(store, good().if_absent(key())).await, depends);
    let depends = InvalidBatch::DependsOnDerived { key: String::new() };
    assert_eq!(refusal(store, good().if_empty("")).await, depends);

    let no_transaction = InvalidBatch::NoTransaction { key: key() };
    for batch in [Batch::derived().if_unchanged(key(), 1), Batch::derived().if_untouched(key(), 1)] {
        assert_eq!(refusal(store, batch.put("derived/b", "x")).await, no_transaction);
    }

    let depends = InvalidBatch::DependsOnDerived { key: "derived/".into() };
    let family = || Family::new("derived/", "");
    assert_eq!(refusal(store, good().if_fewer(family(), 1)).await, depends);
    assert_eq!(refusal(store, Batch::derived().put(key(), "x").if_fewer(family(), 1)).await, depends);

    let remembered = || "remembered/a".to_owned();
    let not_remembered = InvalidBatch::NotRemembered { key: remembered() };
    for batch in [
        good().put(remembered(), "x"),
        good().delete(remembered()),
        Batch::derived().put(remembered(), "x"),
        Batch::derived().remember(remembered(), "x", Duration::from_secs(1)),
    ] {
        assert_eq!(refusal(store, batch).await, not_remembered);
    }
    for key in ["definitions/a", "derived/a"] {
        let batch = good().remember(key, "x", Duration::from_secs(1));
        assert_eq!(refusal(store, batch).await, InvalidBatch::NotRemembered { key: key.into() });
    }

    let leased = InvalidBatch::LeasedDefinition { key: "definitions/a".into() };
    let batch = definitions().put_with_lease("definitions/a", "x", LeaseId(1));
    assert_eq!(refusal(store, batch).await, leased);
    assert!(store.list("", At::Newest).await.unwrap().records.is_empty());
}

pub(crate) async fn what_is_at_a_limit_is_committed(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let limits = store.limits();
    store.commit(definitions().put(long_key(limits.key_bytes), "x")).await.unwrap();
    let mut many = definitions();
    for index in 0..limits.definition_changes {
        let key = format!("definitions/{index}");
        many = many.if_absent(key.clone()).put(key, "x");
    }
    store.commit(many).await.unwrap();
    store.commit(definitions().put("definitions/large", vec![7; limits.value_bytes])).await.unwrap();
    let large = store.get("definitions/large").await.unwrap().unwrap();
    assert_eq!(large.value.len(), limits.value_bytes);
}
