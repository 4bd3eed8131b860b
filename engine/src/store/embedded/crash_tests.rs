//! A process that is killed while it commits: what it acknowledged is there, and nothing that it was not asked for.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;

const DIR: &str = "LEGATION_TEST_CRASH_DIR";
/// How many entries of its journal the process keeps; all, if this is not set.
const KEPT: &str = "LEGATION_TEST_CRASH_KEPT";
const WRITERS: u64 = 8;
const ROUNDS: u64 = 6;

/// Not a test of its own: the process that [`what_was_acknowledged_survives_a_kill`] starts and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_until_it_is_killed() {
    let Ok(dir) = env::var(DIR) else {
        return;
    };
    let store = Arc::new(EmbeddedStore::open(Path::new(&dir)).unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for count in 0_u64.. {
                let key = format!("definitions/{writer}/{}", count % 5);
                let value =
                    vec![b'0' + u8::try_from(writer).unwrap(); 100 + usize::try_from(count % 5000).unwrap()];
                let batch = Batch::definitions("crash", "Test").put(key.clone(), value.clone());
                let transaction = store.commit(batch).await.unwrap();
                // one write call for each line, so that a line is whole or not there
                println!("ACK {transaction} {key} {}", value.len());
            }
        });
    }
    if let Ok(kept) = env::var(KEPT) {
        let kept = Kept { entries_max: kept.parse().unwrap(), since_ms: i64::MIN };
        writers.spawn(async move {
            loop {
                store.prune(kept).await.unwrap();
            }
        });
    }
    writers.join_all().await;
}

/// Starts the writing process, kills it after `life`, and gives what it acknowledged: number to key and length.
fn run_and_kill(dir: &Path, life: Duration, kept: Option<u64>) -> BTreeMap<Transaction, (String, usize)> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.envs(kept.map(|kept| (KEPT, kept.to_string())));
    let mut child = command
        .args(["--exact", "store::embedded::crash_tests::commits_until_it_is_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = thread::spawn(move || output.split(b'\n').map_while(Result::ok).collect::<Vec<_>>());
    thread::sleep(life);
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let lines = reader.join().unwrap();
    lines.iter().filter_map(|line| acknowledgement(&String::from_utf8_lossy(line))).collect()
}

fn acknowledgement(line: &str) -> Option<(Transaction, (String, usize))> {
    // the test harness may have written its own words before ours on the first line
    let (_, acknowledged) = line.split_once("ACK ")?;
    let mut words = acknowledged.split(' ');
    let transaction = words.next()?.parse().ok()?;
    let key = words.next()?.to_owned();
    let length = words.next()?.parse().ok()?;
    Some((transaction, (key, length)))
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut former: Transaction = 0;
    for round in 0..ROUNDS {
        let life = Duration::from_millis(150 + u64::from(std::process::id()).wrapping_mul(round + 1) % 250);
        let acknowledged = run_and_kill(dir.path(), life, None);
        let store = EmbeddedStore::open(dir.path()).unwrap();
        let (listing, journal) = runtime.block_on(async {
            let listing = store.list("definitions/", At::Newest).await.unwrap();
            (listing, store.journal(0, usize::MAX).await.unwrap())
        });

        let numbers: Vec<u64> = journal.iter().map(|entry| entry.transaction).collect();
        assert_eq!(numbers, (1..=listing.transaction).collect::<Vec<_>>(), "no gap");
        for (transaction, (key, length)) in &acknowledged {
            let entry = &journal[usize::try_from(transaction - 1).unwrap()];
            let change = &entry.changes[0];
            assert_eq!((&change.key, change.after.as_ref().unwrap().len()), (key, *length));
        }
        // each writer has at most one commit that it had not heard of yet
        let last = acknowledged.keys().last().copied().unwrap_or(former);
        assert!(listing.transaction >= last);
        let committed = listing.transaction - former;
        let unheard = committed - u64::try_from(acknowledged.len()).unwrap();
        assert!(unheard <= WRITERS, "{unheard} commits were not acknowledged");

        let mut expected: BTreeMap<&str, (Transaction, usize)> = BTreeMap::new();
        for entry in &journal {
            let change = &entry.changes[0];
            expected.insert(&change.key, (entry.transaction, change.after.as_ref().unwrap().len()));
        }
        let found = listing.records.iter().map(|record| {
            let row = (record.transaction, record.value.len());
            (record.key.as_ref(), row)
        });
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected, "the state is what the journal says");
        former = listing.transaction;
    }
    assert!(former > 0, "something was committed before a kill");
}

#[test]
fn what_is_left_after_a_kill_amid_pruning_is_consistent() {
    const KEPT_ENTRIES: u64 = 40;
    let dir = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut oldest = 0;
    for round in 0..ROUNDS {
        let life = Duration::from_millis(200 + u64::from(std::process::id()).wrapping_mul(round + 1) % 250);
        let acknowledged = run_and_kill(dir.path(), life, Some(KEPT_ENTRIES));
        let store = EmbeddedStore::open(dir.path()).unwrap();
        runtime.block_on(async {
            let now = store.list("definitions/", At::Newest).await.unwrap();
            let journal = store.journal(0, usize::MAX).await.unwrap();
            oldest = store.oldest().await.unwrap();
            let numbers: Vec<u64> = journal.iter().map(|entry| entry.transaction).collect();
            assert_eq!(numbers, (oldest + 1..=now.transaction).collect::<Vec<_>>(), "no gap");
            assert!(acknowledged.keys().last().is_none_or(|last| now.transaction >= *last));

            // the journal leads from each state that is known to the next, up to now
            let mut state = rows(&store, oldest).await;
            for entry in journal {
                for change in entry.changes {
                    state.insert(change.key, (entry.transaction, change.after.unwrap()));
                }
                if entry.transaction % 10 == 0 || entry.transaction == now.transaction {
                    assert_eq!(rows(&store, entry.transaction).await, state);
                }
            }
            assert_eq!(rows(&store, now.transaction).await, by_key(now));
        });
    }
    assert!(oldest > 0, "something was pruned before a kill");
}

type Rows = BTreeMap<String, (Transaction, Bytes)>;

async fn rows(store: &EmbeddedStore, at: Transaction) -> Rows {
    by_key(store.list("definitions/", At::Transaction(at)).await.unwrap())
}

fn by_key(listing: Listing) -> Rows {
    let rows = listing.records.into_iter();
    rows.map(|record| (record.key.to_string(), (record.transaction, record.value))).collect()
}
