//! Commits of several hosts, and those of which the answer is lost.

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, PATIENCE, revision};
use super::link::{Link, State};
use super::*;
use crate::store::{Family, Precondition};

fn definitions() -> Batch {
    Batch::definitions("tester", "Test")
}

async fn two_hosts(cluster: &Cluster) -> [Arc<EtcdStore>; 2] {
    [Arc::new(cluster.open("test").await), Arc::new(cluster.open("test").await)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_on_two_hosts_one_wins() {
    const ROUNDS: usize = 5;
    let cluster = Cluster::start(1, &[]);
    let hosts = two_hosts(&cluster).await;
    let key = "definitions/a";
    let mut last = hosts[0].commit(definitions().put(key, "0")).await.unwrap();
    for round in 0..ROUNDS {
        let mut writers = JoinSet::new();
        for writer in 0..40 {
            let host = Arc::clone(&hosts[writer % 2]);
            writers.spawn(async move {
                let value = format!("{round}/{writer}");
                (value.clone(), host.commit(definitions().if_unchanged(key, last).put(key, value)).await)
            });
        }
        let mut winners = Vec::new();
        for (value, outcome) in writers.join_all().await {
            match outcome {
                Ok(transaction) => winners.push((value, transaction)),
                Err(CommitError::Conflict { precondition }) => {
                    assert_eq!(precondition, Precondition::Unchanged { key: key.into(), transaction: last });
                }
                Err(error) => panic!("{error}"),
            }
        }
        let [(value, transaction)] = &winners[..] else { panic!("{winners:?}") };
        for host in &hosts {
            let record = host.get(key).await.unwrap().unwrap();
            assert_eq!((record.value, record.transaction), (value.clone().into(), *transaction));
        }
        last = *transaction;
    }
    assert_eq!(hosts[0].journal(0, 100).await.unwrap().len(), ROUNDS + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fewer_holds_over_two_hosts() {
    let cluster = Cluster::start(1, &[]);
    let hosts = two_hosts(&cluster).await;
    let family = Family::new("definitions/mesh/", "");
    let mut writers = JoinSet::new();
    for writer in 0..40 {
        let (host, family) = (Arc::clone(&hosts[writer % 2]), family.clone());
        writers.spawn(async move {
            // the second is not of the family, and is counted with it at first
            let batch = definitions().if_fewer(family.clone(), 5).put(family.key(&writer.to_string()), "x");
            host.commit(batch.put(format!("definitions/mesh/{writer}/node"), "x")).await
        });
    }
    let outcomes = writers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(CommitError::Conflict { .. })));
    assert_eq!(refused.count(), 35);
}

/// A store whose answers can be lost, another beside it, and etcd itself.
struct Lossy {
    cluster: Cluster,
    link: Link,
    lossy: Arc<EtcdStore>,
    direct: EtcdStore,
}

impl Lossy {
    async fn start() -> Self {
        let cluster = Cluster::start(1, &[]);
        let link = Link::to(cluster.port(0)).await;
        let lossy = Arc::new(EtcdStore::open(&link.settings("test")).await.unwrap());
        let direct = cluster.open("test").await;
        Self { cluster, link, lossy, direct }
    }

    /// Makes a commit that contains `lost`, and cuts the network when it was made and before it is answered.
    async fn lose_answer_of(&self, batch: Batch) -> JoinHandle<Result<Transaction, CommitError>> {
        let mut client = self.cluster.client(0).await;
        let before = revision(&mut client).await;
        self.link.set(State::DeafAfter("lost"));
        let lossy = Arc::clone(&self.lossy);
        let commit = tokio::spawn(async move { lossy.commit(batch).await });
        let is_made = async {
            while revision(&mut client).await == before {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, is_made).await.expect("the commit is made");
        assert!(!commit.is_finished(), "the answer is lost");
        self.link.set(State::Cut);
        commit
    }

    async fn count_of(&self, key: &str) -> usize {
        self.direct.journal_of(key, Transaction::MAX, 100).await.unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_made_once() {
    let store = Lossy::start().await;
    let key = "definitions/a";
    let commit = store.lose_answer_of(definitions().if_absent(key).put(key, "lost")).await;
    let made = store.direct.get(key).await.unwrap().unwrap().transaction;
    store.link.set(State::Open);
    assert_eq!(commit.await.unwrap().unwrap(), made);
    assert_eq!(store.count_of(key).await, 1);

    // others may commit before it is found out, what it changed as well
    let commit = store.lose_answer_of(definitions().if_unchanged(key, made).put(key, "lost again")).await;
    let again = store.direct.get(key).await.unwrap().unwrap().transaction;
    store.direct.commit(definitions().put(key, "of another")).await.unwrap();
    store.direct.commit(definitions().delete(key)).await.unwrap();
    store.link.set(State::Open);
    assert_eq!(commit.await.unwrap().unwrap(), again);
    assert_eq!(store.count_of(key).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_derived_commit_whose_answer_is_lost_is_found() {
    let store = Lossy::start().await;
    let batch = || Batch::derived().if_absent("derived/a").put("derived/a", "lost");
    let commit = store.lose_answer_of(batch()).await;
    store.link.set(State::Open);
    commit.await.unwrap().unwrap();
    assert!(matches!(store.direct.commit(batch()).await, Err(CommitError::Conflict { .. })));

    // what was overwritten in the meantime cannot be told from what was never made
    let commit =
        store.lose_answer_of(Batch::derived().if_equal("derived/a", "lost").put("derived/a", "lost 2")).await;
    store.direct.commit(Batch::derived().put("derived/a", "of another")).await.unwrap();
    store.link.set(State::Open);
    let Err(CommitError::Store(error)) = commit.await.unwrap() else { panic!("nobody knows that") };
    assert!(error.to_string().contains("whether it was made is not known"), "{error}");
    assert_eq!(store.direct.get("derived/a").await.unwrap().unwrap().value, "of another");

    // without a condition it is made again
    let commit = store.lose_answer_of(Batch::derived().put("derived/a", "lost 3")).await;
    store.link.set(State::Open);
    commit.await.unwrap().unwrap();
    assert_eq!(store.direct.get("derived/a").await.unwrap().unwrap().value, "lost 3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_dropped_disturbs_no_other() {
    let cluster = Cluster::start(1, &[]);
    let [store, other] = two_hosts(&cluster).await;
    for round in 0..50 {
        let batch = definitions().put("definitions/a", round.to_string());
        let _ = timeout(Duration::from_micros(fastrand::u64(1..5000)), store.commit(batch)).await;
    }
    let last = store.commit(definitions().put("definitions/a", "last")).await.unwrap();
    let journal = other.journal(0, 100).await.unwrap();
    assert_eq!(journal.last().unwrap().transaction, last);
    assert!(journal.is_sorted_by(|one, next| one.transaction < next.transaction));
    let mut before = None;
    for entry in journal {
        assert_eq!(entry.changes[0].before, before, "every entry follows from the one before it");
        before.clone_from(&entry.changes[0].after);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_survives_the_loss_of_its_lease() {
    let cluster = Cluster::start(1, &[]);
    let store = cluster.open("test").await;
    let mut client = cluster.client(0).await;
    let hour = Duration::from_secs(3600);
    let remember = |index: usize| {
        definitions().put("definitions/a", index.to_string()).remember(
            format!("remembered/{index}"),
            "x",
            hour,
        )
    };
    for index in 0..20 {
        store.commit(remember(index)).await.unwrap();
    }
    let leases = client.leases().await.unwrap();
    let [lease] = leases.leases() else { panic!("one lease for all: {leases:?}") };
    client.lease_revoke(lease.id()).await.unwrap();
    assert_eq!(store.get("remembered/0").await.unwrap(), None);
    store.commit(remember(20)).await.unwrap();
    assert_eq!(store.get("remembered/20").await.unwrap().unwrap().value, "x");
}
