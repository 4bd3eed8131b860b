//! Hosts that come, go, and are lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::members::Follower;
use super::{KnownMember, Losses, Member, Members, Registration, Sharing, sharing};
use crate::settings::Role;
use crate::store::{At, EmbeddedStore, Event, Record, Store};

const PATIENCE: Duration = Duration::from_secs(30);

/// Of a host that is alive; nothing here takes so long.
const LEASE: Duration = Duration::from_secs(3600);

/// Of one that is to be lost.
const SHORT: Duration = Duration::from_millis(50);

/// How long a note is kept that is to be forgotten.
const NOTED: Duration = Duration::from_secs(3);

fn member(name: &str, port: u16) -> Member {
    Member { admin: ([127, 0, 0, 1], port).into(), ..Member::named(name, &[Role::Transformer]) }
}

/// A host that keeps its records, and is aborted as a process is killed.
struct Host {
    members: watch::Receiver<Arc<Members>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Host {
    async fn start(store: &Arc<dyn Store>, me: Member, known_for: Duration) -> Self {
        let (follower, members) = Follower::new(store.as_ref()).await.unwrap();
        let mut losses = Losses::new(Arc::clone(store), me.id.clone(), members.clone(), known_for);
        let mut registration = Registration::new(Arc::clone(store), me.clone(), LEASE);
        let tasks = vec![
            tokio::spawn(async move { follower.run().await.unwrap() }),
            tokio::spawn(async move { match losses.keep().await {} }),
            tokio::spawn(async move { match registration.keep().await {} }),
        ];
        let mut host = Self { members, tasks };
        host.until(|members| members.has(&me.id)).await;
        host
    }

    async fn until(&mut self, is_so: impl FnMut(&Arc<Members>) -> bool) -> Arc<Members> {
        let waited = timeout(PATIENCE, self.members.wait_for(is_so)).await;
        Arc::clone(&waited.expect("it becomes so").unwrap())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// One whose lease ends without a farewell.
async fn dies(store: &Arc<dyn Store>, me: Member) {
    drop(registered(store, me.clone(), SHORT).await);
    until_alive(store, &me, false).await;
}

/// One that is alive for as long.
async fn registered(store: &Arc<dyn Store>, me: Member, lease: Duration) -> Registration {
    let mut registration = Registration::new(Arc::clone(store), me.clone(), lease);
    tokio::select! {
        never = registration.keep() => match never {},
        () = until_alive(store, &me, true) => {}
    }
    registration
}

async fn until_alive(store: &Arc<dyn Store>, member: &Member, is_alive: bool) {
    let waited = timeout(PATIENCE, async {
        while store.get(&member.id.alive_key()).await.unwrap().is_some() != is_alive {
            sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("it becomes so");
}

fn store(directory: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::open(directory.path()).unwrap())
}

async fn records(store: &Arc<dyn Store>) -> Vec<Record> {
    store.list("members/", At::Newest).await.unwrap().records
}

fn tell(members: &mut Members, key: &str, value: Option<&Member>) {
    let value = value.map(|member| serde_json::to_vec(member).unwrap().into());
    members.apply(Event { key: key.into(), value, transaction: 0 });
}

fn lost(members: &Members) -> Vec<(&str, bool)> {
    members.lost().map(|known| (known.member.id.as_str(), known.lost_at_ms.is_some())).collect()
}

#[tokio::test]
async fn a_host_that_dies_is_lost_and_one_that_ends_in_order_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let mut hosts = Vec::new();
    for port in 1..=3 {
        hosts.push(Host::start(&store, member(&format!("alive-{port}"), port), LEASE).await);
    }
    let registration = registered(&store, member("ends", 8), LEASE).await;
    for host in &mut hosts {
        host.until(|members| members.has(&"ends".into())).await;
    }
    registration.end().await;
    dies(&store, member("dies", 9)).await;
    for host in &mut hosts {
        let members = host.until(|members| lost(members) == [("dies", true)]).await;
        assert_eq!(members.all().count(), 3, "who is lost is not alive");
        let owner = sharing::owner("mesh", &members).unwrap();
        assert_ne!(owner.id, "dies".into(), "who is lost owns nothing");
    }
    // all agree on who notes it, so it is noted once and then nothing is written
    let before = records(&store).await;
    assert_eq!(before.len(), 3 + 3 + 1);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(records(&store).await, before);
}

#[tokio::test]
async fn who_is_lost_is_forgotten_after_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let mut host = Host::start(&store, member("alive", 1), NOTED).await;
    dies(&store, member("dies", 9)).await;
    host.until(|members| lost(members) == [("dies", true)]).await;
    host.until(|members| lost(members).is_empty()).await;
    assert_eq!(records(&store).await.len(), 2, "and nothing is left of it");
}

#[tokio::test]
async fn who_comes_back_is_lost_no_more_and_stays_when_the_note_would_have_been_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let mut host = Host::start(&store, member("alive", 1), NOTED).await;
    dies(&store, member("returns", 9)).await;
    host.until(|members| lost(members) == [("returns", true)]).await;
    let _returned = Host::start(&store, member("returns", 9), LEASE).await;
    host.until(|members| lost(members).is_empty() && members.all().count() == 2).await;
    sleep(NOTED * 4 / 3).await;
    assert_eq!(records(&store).await.len(), 4, "two of each host");
}

#[tokio::test]
async fn who_starts_again_at_the_same_address_replaces_who_died_there() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let mut host = Host::start(&store, member("alive", 1), LEASE).await;
    dies(&store, member("before", 9)).await;
    host.until(|members| lost(members) == [("before", true)]).await;
    let _again = Host::start(&store, member("after", 9), LEASE).await;
    let members = host.until(|members| lost(members).is_empty()).await;
    assert_eq!(members.all().count(), 2);
    timeout(PATIENCE, async {
        while records(&store).await.len() > 4 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("nothing is left of the one before");
}

#[tokio::test]
async fn a_loss_is_not_noted_of_one_that_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    dies(&store, member("returns", 9)).await;
    // these believe what was so before it came back
    let (_follower, members) = Follower::new(store.as_ref()).await.unwrap();
    let mut stale = Members::clone(&members.borrow());
    assert_eq!(lost(&stale), [("returns", false)]);
    tell(&mut stale, "members/alive/a", Some(&member("a", 1)));
    let _registration = registered(&store, member("returns", 9), LEASE).await;
    let before = records(&store).await;
    let (_keep, stale) = watch::channel(Arc::new(stale));
    let mut losses = Losses::new(Arc::clone(&store), "a".into(), stale, LEASE);
    let _ = timeout(Duration::from_millis(200), losses.keep()).await;
    assert_eq!(records(&store).await, before);
}

#[tokio::test]
async fn transformers_are_woken_by_who_comes_and_goes_and_not_by_what_is_noted() {
    let (sender, members) = watch::channel(Arc::new(Members::default()));
    let mut share = Sharing::new("a".into(), members);
    let tell = |key: &str, value: Option<&Member>| {
        let mut members = Members::clone(&sender.borrow());
        tell(&mut members, key, value);
        sender.send_replace(Arc::new(members));
    };
    tell("members/known/b", Some(&member("b", 2)));
    assert!(timeout(SHORT, share.changed()).await.is_err(), "nobody came");
    tell("members/alive/b", Some(&member("b", 2)));
    timeout(PATIENCE, share.changed()).await.expect("one came");
    tell("members/alive/b", None);
    timeout(PATIENCE, share.changed()).await.expect("one went");
    tell("members/known/b", None);
    assert!(timeout(SHORT, share.changed()).await.is_err(), "it had gone before");
}

#[tokio::test]
async fn one_of_all_notes_a_loss_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let mut members = Members::default();
    for port in 1..=9 {
        let host = member(&format!("alive-{port}"), port);
        tell(&mut members, &format!("members/alive/{}", host.id), Some(&host));
        tell(&mut members, &format!("members/known/{}", host.id), Some(&host));
    }
    let noted_by = |members: &Members| {
        let (_, receiver) = watch::channel(Arc::new(members.clone()));
        let notes = |me: &Member| {
            let losses = Losses::new(Arc::clone(&store), me.id.clone(), receiver.clone(), LEASE);
            members.gone().filter(|gone| losses.is_mine(gone, members)).count()
        };
        members.all().map(notes).collect::<Vec<_>>()
    };
    assert_eq!(noted_by(&members), [0; 9], "nobody is lost");
    tell(&mut members, "members/known/lost", Some(&member("lost", 10)));
    assert_eq!(noted_by(&members).into_iter().sum::<usize>(), 1);
    let lost = KnownMember { member: member("lost", 10), lost_at_ms: Some(1), record: Bytes::new() };
    let noted = serde_json::to_vec(&lost).unwrap().into();
    members.apply(Event { key: "members/known/lost".into(), value: Some(noted), transaction: 0 });
    assert_eq!(members.lost().map(|known| known.lost_at_ms).collect::<Vec<_>>(), [Some(1)]);
    assert_eq!(noted_by(&members), [0; 9], "it is noted");
    tell(&mut members, "members/alive/again", Some(&member("again", 10)));
    assert_eq!(lost_names(&members), [""; 0], "another is at its address");
    assert_eq!(noted_by(&members).into_iter().sum::<usize>(), 1, "it is to be forgotten");
}

fn lost_names(members: &Members) -> Vec<&str> {
    members.lost().map(|known| known.member.id.as_str()).collect()
}
