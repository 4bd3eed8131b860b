//! Records that are not what anybody wrote: each harms nobody but who needs it, until it is mended.

use std::collections::BTreeSet;

use etcd_client::{Client, CompactionOptions};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, PATIENCE, revision};
use super::link::{Link, State};
use super::watches::until;
use super::*;
use crate::membership::members::Follower;
use crate::membership::{Member, Members, Registration, Sharing};
use crate::model::{Definition, Metadata, ResourceId, Spec};
use crate::settings::Role;
use crate::store::At;
use crate::transformer::keys;
use crate::transformer::passes::Passes;
use crate::transformer::workers::Workers;

/// Too short for the record of anything derived.
const DAMAGED: &str = "short";

async fn damage(client: &mut Client, key: &str) {
    client.put(format!("test/data/{key}"), DAMAGED, None).await.unwrap();
}

async fn put(store: &EtcdStore, key: &str, value: &str) {
    store.commit(Batch::derived().put(key, value.to_owned())).await.unwrap();
}

fn is_damaged<T>(answer: Result<T, StoreError>, key: &str) -> bool {
    matches!(answer, Err(StoreError::Damaged { detail }) if detail.contains(key))
}

/// What a watch of single keys tells, until it is told of `last`.
async fn told(watch: &mut KeysWatch, last: &str) -> Vec<(String, Option<String>)> {
    let mut told = Vec::new();
    while !told.iter().any(|(key, _)| key == last) {
        let events = timeout(PATIENCE, watch.next()).await.expect("something changed").unwrap();
        told.extend(events.into_iter().map(|event| {
            let value = event.value.map(|value| String::from_utf8_lossy(&value).into_owned());
            (event.key.to_string(), value)
        }));
    }
    told.sort();
    told
}

fn event(key: &str, value: Option<&str>) -> (String, Option<String>) {
    (key.to_owned(), value.map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_damaged_is_passed_over_until_it_is_mended() {
    let cluster = Cluster::start(1, &[]);
    let store = cluster.open("test").await;
    let mut client = cluster.client(0).await;
    for key in ["derived/a", "derived/b"] {
        put(&store, key, "1").await;
    }
    damage(&mut client, "derived/a").await;

    let keys = |listing: Listing| -> Vec<String> {
        listing.records.iter().map(|record| record.key.to_string()).collect()
    };
    assert_eq!(keys(store.list("derived/", At::Newest).await.unwrap()), ["derived/b"]);
    assert!(is_damaged(store.get("derived/a").await, "derived/a"));
    assert!(is_damaged(store.get_all(&["derived/b".into(), "derived/a".into()]).await, "derived/a"));
    let relies_on_it = Batch::derived().if_absent("derived/a").put("derived/c", "1");
    let refused = store.commit(relies_on_it).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::Damaged { .. }))), "{refused:?}");

    // those that are watched with it are told of
    let mut watch = store.watch_keys();
    for key in ["derived/a", "derived/b", "derived/none"] {
        watch.add(key);
    }
    timeout(PATIENCE, watch.settled()).await.expect("all is told").unwrap();
    let first = [event("derived/b", Some("1")), event("derived/none", None)];
    assert_eq!(told(&mut watch, "derived/none").await, first);
    let (listing, mut of_prefix) = store.list_and_watch("derived/").await.unwrap();
    assert_eq!(keys(listing), ["derived/b"]);

    // one that is damaged later is as it was
    damage(&mut client, "derived/b").await;
    put(&store, "derived/none", "1").await;
    assert_eq!(told(&mut watch, "derived/none").await, [event("derived/none", Some("1"))]);
    assert_eq!(until(&mut of_prefix, "derived/none").await.len(), 1);

    for (key, value) in [("derived/b", "2"), ("derived/a", "2")] {
        put(&store, key, value).await;
        assert_eq!(told(&mut watch, key).await, [event(key, Some(value))]);
        assert_eq!(until(&mut of_prefix, key).await.len(), 1);
    }
    assert_eq!(store.list("derived/", At::Newest).await.unwrap().records.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lists_again_keeps_what_was_before_the_damage() {
    let cluster = Cluster::start(1, &[]);
    let direct = cluster.open("test").await;
    let link = Link::to(cluster.port(0)).await;
    let cut_off = EtcdStore::open(&link.settings("test")).await.unwrap();
    let mut client = cluster.client(0).await;
    for key in ["derived/a", "derived/b"] {
        put(&direct, key, "1").await;
    }
    let (_, mut of_prefix) = cut_off.list_and_watch("derived/").await.unwrap();
    let mut of_keys = cut_off.watch_keys();
    for key in ["derived/a", "derived/b"] {
        of_keys.add(key);
    }
    timeout(PATIENCE, of_keys.settled()).await.expect("all is told").unwrap();
    of_keys.pending().unwrap();
    link.set(State::Cut);
    damage(&mut client, "derived/a").await;
    put(&direct, "derived/b", "2").await;
    let newest = revision(&mut client).await;
    client.compact(newest, Some(CompactionOptions::new().with_physical())).await.unwrap();
    link.set(State::Open);
    assert_eq!(until(&mut of_prefix, "derived/b").await.len(), 1, "it is not said to be gone");
    assert_eq!(told(&mut of_keys, "derived/b").await, [event("derived/b", Some("2"))]);
    put(&direct, "derived/a", "2").await;
    assert_eq!(until(&mut of_prefix, "derived/a").await.len(), 1);
    assert_eq!(told(&mut of_keys, "derived/a").await, [event("derived/a", Some("2"))]);
    damage(&mut client, "derived/a").await;
    direct.commit(Batch::derived().delete("derived/a")).await.unwrap();
    assert_eq!(told(&mut of_keys, "derived/a").await, [event("derived/a", None)]);
}

fn member(name: &str) -> Member {
    Member::named(name, &[Role::Transformer])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_record_is_damaged_hides_no_other() {
    let cluster = Cluster::start(1, &[]);
    let store = Arc::new(cluster.open("test").await);
    let mut client = cluster.client(0).await;
    damage(&mut client, "members/alive/damaged").await;
    put(&store, "members/alive/newer", "{}").await;
    put(&store, "members/alive/good", &serde_json::to_string(&member("good")).unwrap()).await;
    let (follower, mut members) = Follower::new(store.as_ref()).await.unwrap();
    tokio::spawn(follower.run());
    let names =
        |members: &Members| -> Vec<String> { members.all().map(|member| member.id.to_string()).collect() };
    assert_eq!(names(&members.borrow()), ["good"]);
    damage(&mut client, "members/alive/good").await;

    // one that finds its own record damaged writes it again
    let mut registration = Registration::new(Arc::clone(&store) as _, member("mine"), SHORT_LEASE);
    let keeping = tokio::spawn(async move { registration.keep().await });
    let expected = ["good", "mine"];
    let both = timeout(PATIENCE, members.wait_for(|members| names(members) == expected)).await;
    both.expect("the other is told of, and the one that was known is known still").unwrap();
    for record in [DAMAGED, "a record of another"] {
        client.put("test/data/members/alive/mine", record, None).await.unwrap();
        let mended = async {
            while !matches!(store.get("members/alive/mine").await, Ok(Some(record)) if record.value.starts_with(b"{"))
            {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, mended).await.expect("it registers again");
    }
    keeping.abort();
}

async fn define(store: &EtcdStore, id: ResourceId) -> Transaction {
    let spec = Spec::parse(id.kind(), &json!({})).unwrap();
    let key = id.key();
    let definition = Definition { id, spec, metadata: Metadata::created("uid".to_owned(), "0", 0) };
    store.commit(Batch::definitions("tester", "Create").put(key, definition.encode())).await.unwrap()
}

/// Transforms everything, once at least.
async fn transform(store: &Arc<EtcdStore>, newest: Transaction) {
    let alive: Members = [member("me")].into_iter().collect();
    let (_sender, members) = tokio::sync::watch::channel(Arc::new(alive));
    let (passes, mut done) = Passes::new(Arc::clone(store) as _, Workers::start(1).unwrap());
    let passes = tokio::spawn(passes.with_share(Sharing::new("me".into(), members)).run());
    let done = timeout(PATIENCE, done.wait_for(|done| *done >= newest)).await;
    done.expect("everything is transformed").unwrap();
    passes.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_of_a_mesh_is_made_again() {
    let cluster = Cluster::start(1, &[]);
    let store = Arc::new(cluster.open("test").await);
    let mut client = cluster.client(0).await;
    let mut newest = 0;
    for mesh in ["m", "other"] {
        define(&store, ResourceId::mesh(mesh)).await;
        newest = define(&store, ResourceId::virtual_node(mesh, "n")).await;
    }
    transform(&store, newest).await;
    let derived = async || {
        let records = store.list(keys::DERIVED, At::Newest).await.unwrap().records.into_iter();
        let derived = records.filter(|record| !record.key.starts_with(keys::OWNERS));
        derived.map(|record| (record.key, record.value)).collect::<BTreeSet<_>>()
    };
    let before = derived().await;
    assert_eq!(before.len(), 4, "two fragments and two marks");
    for damaged in ["fragment/m/virtualNode/n", "transformed/m", "owner/m"] {
        damage(&mut client, &format!("{}{damaged}", keys::DERIVED)).await;
    }
    assert_eq!(derived().await.len(), 2);
    newest = define(&store, ResourceId::virtual_node("other", "more")).await;
    transform(&store, newest).await;
    let after = derived().await;
    let fragments = before.iter().filter(|(key, _)| key.starts_with(keys::FRAGMENTS));
    assert_eq!(fragments.filter(|fragment| after.contains(fragment)).count(), 2);
    let mark = store.get(&keys::transformed("m")).await.unwrap().expect("it is there");
    assert!(keys::transaction_of_mark(&mark.value).is_some());
    assert!(store.get(&keys::owner("m")).await.unwrap().is_some());
}
