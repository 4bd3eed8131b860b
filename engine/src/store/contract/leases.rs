//! Leases.

use super::super::{Batch, LeaseId, StoreError};
use super::*;

async fn put_leased(store: &dyn Store, key: &str, lease: LeaseId) {
    let batch = Batch::derived().put_with_lease(key.to_owned(), "x", lease);
    store.commit(batch).await.unwrap();
}

async fn exists(store: &dyn Store, key: &str) -> bool {
    store.get(key).await.unwrap().is_some()
}

/// Reads the watch until `key` is deleted.
async fn wait_for_deletion(watch: &mut Watch, key: &str) {
    loop {
        let events = next(watch).await;
        if events.iter().any(|event| event.key.as_ref() == key && event.value.is_none()) {
            return;
        }
    }
}

fn is_unknown(result: &Result<(), StoreError>, lease: LeaseId) -> bool {
    matches!(result, Err(StoreError::UnknownLease { lease: unknown }) if *unknown == lease)
}

pub(crate) async fn a_lease_that_is_not_kept_alive_takes_its_keys_along(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let (_, mut watch) = store.list_and_watch("hosts/").await.unwrap();
    let long = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    let short = store.grant_lease(fresh.short_lease).await.unwrap();
    put_leased(store, "hosts/long", long).await;
    put_leased(store, "hosts/a", short).await;
    put_leased(store, "hosts/b", short).await;
    put_derived(store, "hosts/none", "x").await;
    wait_for_deletion(&mut watch, "hosts/a").await;
    assert!(!exists(store, "hosts/a").await && !exists(store, "hosts/b").await);
    assert!(exists(store, "hosts/long").await && exists(store, "hosts/none").await);
}

pub(crate) async fn a_lease_that_is_kept_alive_stays(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let (_, mut watch) = store.list_and_watch("hosts/").await.unwrap();
    let lease = store.grant_lease(fresh.short_lease).await.unwrap();
    put_leased(store, "hosts/a", lease).await;
    next(&mut watch).await;
    for _ in 0..12 {
        tokio::time::sleep(fresh.short_lease / 4).await;
        store.keep_alive(lease).await.unwrap();
    }
    assert!(exists(store, "hosts/a").await);
    assert!(is_quiet(&mut watch).await);
    wait_for_deletion(&mut watch, "hosts/a").await;
}

pub(crate) async fn a_revoked_lease_takes_its_keys_along(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let lease = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    put_leased(store, "hosts/a", lease).await;
    put_leased(store, "hosts/b", lease).await;
    let (_, mut watch) = store.list_and_watch("hosts/").await.unwrap();
    store.revoke(lease).await.unwrap();
    assert!(!exists(store, "hosts/a").await && !exists(store, "hosts/b").await);
    let events = next(&mut watch).await;
    let told: Vec<_> = events.iter().map(|event| (event.key.as_ref(), event.value.is_none())).collect();
    assert_eq!(told, [("hosts/a", true), ("hosts/b", true)]);
}

pub(crate) async fn a_key_leaves_its_lease_when_it_is_put_again(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let first = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    let second = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    for key in ["hosts/free", "hosts/moved", "hosts/deleted", "hosts/kept"] {
        put_leased(store, key, first).await;
    }
    put_derived(store, "hosts/free", "y").await;
    put_leased(store, "hosts/moved", second).await;
    store.commit(Batch::derived().delete("hosts/deleted")).await.unwrap();
    put_derived(store, "hosts/deleted", "again").await;
    put_leased(store, "hosts/kept", first).await;
    store.revoke(first).await.unwrap();
    assert!(exists(store, "hosts/free").await);
    assert!(exists(store, "hosts/moved").await);
    assert!(exists(store, "hosts/deleted").await);
    assert!(!exists(store, "hosts/kept").await);
    store.revoke(second).await.unwrap();
    assert!(!exists(store, "hosts/moved").await);
}

pub(crate) async fn a_lease_that_ended_is_unknown(fresh: &Fresh) {
    let store = fresh.store.as_ref();
    let lease = store.grant_lease(fresh.short_lease).await.unwrap();
    put_leased(store, "hosts/a", lease).await;
    let (_, mut watch) = store.list_and_watch("hosts/").await.unwrap();
    wait_for_deletion(&mut watch, "hosts/a").await;
    assert!(is_unknown(&store.keep_alive(lease).await, lease));
    assert!(is_unknown(&store.revoke(lease).await, lease));
    let batch = Batch::derived().put("hosts/other", "x").put_with_lease("hosts/a", "x", lease);
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::UnknownLease { .. }))), "{refused:?}");
    assert!(!exists(store, "hosts/other").await, "nothing of the batch was committed");
}
