//! Members that die: what was acknowledged is there, and nothing hangs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::ask;
use super::cluster::{Cluster, PATIENCE};
use super::*;

fn definitions() -> Batch {
    Batch::definitions("tester", "Test")
}

/// The whole journal.
async fn journal(store: &EtcdStore) -> Vec<JournalEntry> {
    let mut journal: Vec<JournalEntry> = Vec::new();
    loop {
        let after = journal.last().map_or(0, |entry| entry.transaction);
        let page = store.journal(after, 100).await.unwrap();
        if page.is_empty() {
            return journal;
        }
        journal.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_leader() {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 40;
    let mut cluster = Cluster::start(3, &[]);
    let leader = cluster.leader().await;
    let hosts = [Arc::new(cluster.open("test").await), Arc::new(cluster.open("test").await)];
    let (_, mut watch) = hosts[0].list_and_watch("definitions/").await.unwrap();
    let lease = hosts[0].grant_lease(Duration::from_secs(60)).await.unwrap();
    let acknowledged: Arc<Mutex<HashMap<String, Transaction>>> = Arc::default();
    let unknown: Arc<Mutex<HashSet<String>>> = Arc::default();
    let done = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let host = Arc::clone(&hosts[writer % 2]);
        let (acknowledged, unknown) = (Arc::clone(&acknowledged), Arc::clone(&unknown));
        let done = Arc::clone(&done);
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let value = format!("{writer}/{round}");
                let key = format!("definitions/{writer}/{}", round % 3);
                match host.commit(definitions().put(key, value.clone())).await {
                    Ok(transaction) => drop(acknowledged.lock().unwrap().insert(value, transaction)),
                    Err(CommitError::Store(StoreError::Storage(_))) => {
                        unknown.lock().unwrap().insert(value);
                    }
                    Err(error) => panic!("{error}"),
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while done.load(Ordering::Relaxed) < WRITERS * ROUNDS / 3 {
        sleep(Duration::from_millis(5)).await;
    }
    cluster.kill(leader);
    hosts[0].keep_alive(lease).await.unwrap();
    writers.join_all().await;

    let (acknowledged, unknown) = (acknowledged.lock().unwrap().clone(), unknown.lock().unwrap().clone());
    assert!(acknowledged.len() > WRITERS * ROUNDS / 2, "{} were acknowledged", acknowledged.len());
    let mut seen = HashMap::new();
    let mut last = 0;
    for entry in journal(&hosts[1]).await {
        assert!(entry.transaction > last, "numbers grow");
        last = entry.transaction;
        let [change] = &entry.changes[..] else { panic!("{entry:?}") };
        let value = String::from_utf8(change.after.clone().unwrap().to_vec()).unwrap();
        assert!(acknowledged.contains_key(&value) || unknown.contains(&value), "{value} was never asked for");
        assert_eq!(seen.insert(value.clone(), entry.transaction), None, "{value} was made twice");
    }
    for (value, transaction) in &acknowledged {
        assert_eq!(seen.get(value), Some(transaction), "{value} was acknowledged");
    }

    let end = hosts[1].commit(definitions().put("definitions/end", "end")).await.unwrap();
    let mut state = BTreeMap::new();
    let mut told: HashMap<Arc<str>, Transaction> = HashMap::new();
    while !state.contains_key("definitions/end") {
        for event in timeout(PATIENCE, watch.next()).await.unwrap().unwrap() {
            assert!(told.insert(Arc::clone(&event.key), event.transaction) < Some(event.transaction));
            state.insert(event.key.to_string(), event.value.unwrap());
        }
    }
    let listing = hosts[1].list("definitions/", At::Newest).await.unwrap();
    assert_eq!(listing.transaction, end);
    let listed = listing.records.into_iter().map(|record| (record.key.to_string(), record.value));
    assert_eq!(state, listed.collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_everything_fails_in_time_and_goes_on_by_itself() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.leader().await;
    let store = Arc::new(cluster.open("test").await);
    store.commit(definitions().put("definitions/a", "1")).await.unwrap();
    let (_, mut watch) = store.list_and_watch("definitions/").await.unwrap();
    let lease = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    cluster.kill(0);
    cluster.kill(1);

    let asked = Instant::now();
    let mut questions = JoinSet::new();
    for index in 0..10 {
        let store = Arc::clone(&store);
        questions.spawn(async move {
            let outcome = match index {
                0 => store.list("definitions/", At::Newest).await.err(),
                1 => store.keep_alive(lease).await.err(),
                2 => store.revoke(lease).await.err(),
                3 => store.journal(0, 1).await.err(),
                _ => match store.commit(definitions().put("definitions/a", index.to_string())).await {
                    Err(CommitError::Store(error)) => Some(error),
                    outcome => panic!("{outcome:?}"),
                },
            };
            if index == 1 && outcome.is_none() {
                return; // the one that is left may have led, and not noticed yet
            }
            let Some(StoreError::Storage(failure)) = outcome else { panic!("{index}: {outcome:?}") };
            let failure = failure.downcast_ref::<EtcdFailure>().expect("a failure of etcd");
            assert!(matches!(failure, EtcdFailure::NoAnswer(_)), "{index}: {failure}");
        });
    }
    let answered = timeout(PATIENCE, questions.join_all()).await;
    answered.expect("nothing hangs");
    // waiting for a turn, and asking; the rest is for a busy machine
    assert!(asked.elapsed() < 2 * ask::PATIENCE + Duration::from_secs(15), "{:?}", asked.elapsed());

    cluster.restart(0);
    cluster.restart(1);
    let end = timeout(PATIENCE, async {
        loop {
            if let Ok(transaction) = store.commit(definitions().put("definitions/end", "end")).await {
                return transaction;
            }
        }
    })
    .await
    .expect("it goes on by itself");
    let mut last = 0;
    while last < end {
        let events = timeout(PATIENCE, watch.next()).await.expect("the watch goes on").unwrap();
        last = events.last().unwrap().transaction;
    }
    assert_eq!(store.get("definitions/end").await.unwrap().unwrap().transaction, end);
}
