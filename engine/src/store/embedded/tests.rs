//! What the embedded store promises beyond the contract.

use std::fs;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::{Context, Wake};
use std::time::Duration;

use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};
use tempfile::TempDir;

use super::*;
use crate::store::Event;
use crate::store::contract::{Fresh, contract_tests};

fn fresh() -> Fresh {
    let dir = TempDir::new().unwrap();
    Fresh {
        store: Arc::new(EmbeddedStore::open(dir.path()).unwrap()),
        short_lease: Duration::from_millis(200),
        _keep: Box::new(dir),
    }
}

contract_tests!(fresh);

fn put(key: &str, value: &str) -> Batch {
    Batch::definitions("tester", "Test").put(key, value.to_owned())
}

#[tokio::test]
async fn a_reopened_store_has_every_definition_and_goes_on_counting() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(&dir.path().join("deep/er")).unwrap();
    for (key, value) in [("definitions/a", "1"), ("definitions/b", "1"), ("definitions/a", "2")] {
        store.commit(put(key, value)).await.unwrap();
    }
    store.commit(Batch::definitions("tester", "Test").delete("definitions/b")).await.unwrap();
    let listing = store.list("", At::Newest).await.unwrap();
    let journal = store.journal(0, 100).await.unwrap();
    assert_eq!(listing.transaction, 4);
    drop(store);

    let store = EmbeddedStore::open(&dir.path().join("deep/er")).unwrap();
    assert_eq!(store.list("", At::Newest).await.unwrap(), listing);
    assert_eq!(store.journal(0, 100).await.unwrap(), journal);
    let second = store.list("definitions/", At::Transaction(2)).await.unwrap();
    assert_eq!(second.records.len(), 2);
    assert_eq!(store.commit(put("definitions/c", "1")).await.unwrap(), 5);
}

#[tokio::test]
async fn a_reopened_store_knows_what_was_pruned() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    for count in 0..20 {
        store.commit(put(&format!("definitions/{}", count % 3), &count.to_string())).await.unwrap();
    }
    let pruned = store.prune(Kept { entries_max: 5, since_ms: i64::MIN }).await.unwrap();
    assert_eq!(pruned, Pruned { oldest: 15, has_more: false });
    let states = async |store: &EmbeddedStore| {
        let mut states = Vec::new();
        for number in 15..=20 {
            states.push(store.list("definitions/", At::Transaction(number)).await.unwrap());
        }
        states
    };
    let before = states(&store).await;
    assert_eq!(store.commit(put("definitions/new", "1")).await.unwrap(), 21);
    drop(store);

    let store = EmbeddedStore::open(dir.path()).unwrap();
    assert_eq!(store.oldest().await.unwrap(), 15);
    assert_eq!(states(&store).await, before);
    let too_old = store.list("definitions/", At::Transaction(14)).await;
    assert!(matches!(too_old, Err(StoreError::TooOld { asked: 14, oldest: 15 })), "{too_old:?}");
    // and so says the disk, where it is pruned between the question and the answer
    for error in [store.disk.past("definitions/", 14).err(), store.disk.changes("definitions/", 14, 20).err()]
    {
        assert!(matches!(error, Some(StoreError::TooOld { asked: 14, oldest: 15 })), "{error:?}");
    }
    let journal = store.journal(0, 100).await.unwrap();
    assert_eq!(
        journal.iter().map(|entry| entry.transaction).collect::<Vec<_>>(),
        (16..=21).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_reopened_store_remembers_what_its_time_is_not_over_of() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let long = Duration::from_secs(600);
    let short = Duration::from_millis(1);
    for (key, time) in [("remembered/long", long), ("remembered/short", short)] {
        store.commit(put("definitions/a", key).remember(key, "r", time)).await.unwrap();
    }
    let long_record = store.get("remembered/long").await.unwrap().unwrap();
    drop(store);
    std::thread::sleep(Duration::from_millis(5));

    let store = EmbeddedStore::open(dir.path()).unwrap();
    assert_eq!(store.get("remembered/long").await.unwrap(), Some(long_record));
    // what goes is taken off the disk with a commit, and no other
    store.commit(put("definitions/a", "2").if_absent("remembered/short")).await.unwrap();
    let on_disk = || store.disk.remembered().unwrap().into_iter().map(|found| found.record.key.to_string());
    assert_eq!(on_disk().collect::<Vec<_>>(), ["remembered/long"]);
    assert_eq!(store.journal(0, 100).await.unwrap().len(), 3);

    let conflict = put("definitions/a", "3").if_absent("remembered/long").remember("remembered/b", "r", long);
    assert!(store.commit(conflict).await.is_err());
    assert_eq!(on_disk().count(), 1);
}

#[tokio::test]
async fn what_is_pruned_takes_no_room() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    for count in 0..60 {
        store.commit(put(&format!("definitions/{}", count % 3), &count.to_string())).await.unwrap();
        store.commit(put("definitions/came-and-went", "1")).await.unwrap();
        store.commit(Batch::definitions("tester", "Test").delete("definitions/came-and-went")).await.unwrap();
    }
    assert_eq!(store.disk.history_rows(), 180);
    let kept = Kept { entries_max: 9, since_ms: i64::MIN };
    while store.prune(kept).await.unwrap().has_more {}
    assert_eq!(store.oldest().await.unwrap(), 171);
    // those that are kept, and what existed before them
    assert_eq!(store.disk.history_rows(), 9 + 3);
}

/// Tells, when it is woken, whether the state is locked.
struct Look {
    shared: Arc<Shared>,
    locked: mpsc::Sender<bool>,
}

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        self.locked.send(self.shared.is_locked()).unwrap();
    }
}

#[tokio::test]
async fn who_watches_is_woken_when_the_state_is_not_locked() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    for batch in [put("definitions/a", "1"), Batch::derived().put("derived/a", "1")] {
        let (_, mut watch) = store.list_and_watch("").await.unwrap();
        let (locked, woken) = mpsc::channel();
        let look = Arc::new(Look { shared: Arc::clone(&store.shared), locked }).into();
        let mut next = pin!(watch.next());
        assert!(next.as_mut().poll(&mut Context::from_waker(&look)).is_pending());
        store.commit(batch).await.unwrap();
        assert_eq!(woken.recv_timeout(Duration::from_secs(10)), Ok(false));
    }
}

#[tokio::test]
async fn numbers_have_no_gap_even_with_conflicts_between() {
    let fresh = fresh();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..50 {
        let store = Arc::clone(&fresh.store);
        // every second batch conflicts
        let key = format!("definitions/{}", index / 2);
        tasks.spawn(async move { store.commit(put(&key, "x").if_absent(key)).await.ok() });
    }
    let mut numbers: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=25).collect::<Vec<u64>>());
}

#[tokio::test]
async fn derived_data_is_gone_after_a_reopen() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    store.commit(put("definitions/a", "1")).await.unwrap();
    store.commit(Batch::derived().put("fragments/a", "f")).await.unwrap();
    assert_eq!(store.list("", At::Newest).await.unwrap().records.len(), 2);
    drop(store);
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let listing = store.list("", At::Newest).await.unwrap();
    assert_eq!(listing.records.len(), 1);
    assert_eq!(listing.transaction, 1);
}

fn refusal(dir: &Path) -> String {
    match EmbeddedStore::open(dir) {
        Ok(_) => panic!("{} was opened", dir.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_directory_is_opened_once() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let file = open::path(dir.path());
    assert_eq!(refusal(dir.path()), format!("{} is in use by another process", file.display()));
    drop(store);
    EmbeddedStore::open(dir.path()).unwrap();
}

#[test]
fn a_foreign_or_damaged_file_is_refused() {
    for content in [&b""[..], b"short", &[7; 100_000]] {
        let dir = TempDir::new().unwrap();
        fs::write(open::path(dir.path()), content).unwrap();
        let refusal = refusal(dir.path());
        assert!(refusal.contains("is damaged or not a store of legation"), "{refusal}");
    }
    let dir = TempDir::new().unwrap();
    drop(EmbeddedStore::open(dir.path()).unwrap());
    let file = open::path(dir.path());
    let content = fs::read(&file).unwrap();
    fs::write(&file, &content[..content.len() / 3]).unwrap();
    let refusal = refusal(dir.path());
    assert!(refusal.contains("is damaged or not a store of legation"), "{refusal}");
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("legation.redb.new"), [0; 10_000]).unwrap();
    EmbeddedStore::open(dir.path()).unwrap();
    assert!(!dir.path().join("legation.redb.new").exists());
}

#[test]
fn many_who_open_at_once_have_one_winner() {
    let dir = TempDir::new().unwrap();
    let open = || EmbeddedStore::open(dir.path());
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
    let locked = |opened: &&Result<_, _>| matches!(opened, Err(OpenError::Locked { .. }));
    assert_eq!(opened.iter().filter(locked).count(), 7);
}

#[test]
fn a_newer_format_is_refused() {
    let dir = TempDir::new().unwrap();
    drop(EmbeddedStore::open(dir.path()).unwrap());
    disk::set_format(&open::database(dir.path()).unwrap(), 3);
    let refusal = refusal(dir.path());
    assert!(refusal.ends_with("has format 3, this version of legation knows up to 2"), "{refusal}");
}

#[test]
fn a_directory_that_cannot_be_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let refusal = refusal(&file.join("store"));
    assert!(refusal.contains("cannot be used"), "{refusal}");
}

#[tokio::test]
async fn a_dropped_watch_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let (_, first) = store.list_and_watch("definitions/").await.unwrap();
    let (_, second) = store.list_and_watch("definitions/").await.unwrap();
    let third = store.watch("definitions/a", 0).await.unwrap();
    drop(first);
    assert!(!store.shared.lock().watchers().is_empty());
    drop((second, third));
    assert!(store.shared.lock().watchers().is_empty());
}

#[tokio::test]
async fn a_watch_ends_with_its_store() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let (_, mut watch) = store.list_and_watch("definitions/").await.unwrap();
    store.commit(put("definitions/a", "1")).await.unwrap();
    drop(store);
    assert_eq!(watch.next().await.unwrap().len(), 1, "what is pending comes first");
    assert!(matches!(watch.next().await, Err(StoreError::Closed)));
}

/// Storage in memory that fails on demand, as a full disk does.
#[derive(Debug)]
struct Fragile {
    inner: Arc<InMemoryBackend>,
    full: Arc<AtomicBool>,
}

impl Fragile {
    fn check(&self) -> std::io::Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Fragile {
    fn len(&self) -> std::io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.check().and_then(|()| self.inner.set_len(len))
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.check().and_then(|()| self.inner.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.check().and_then(|()| self.inner.write(offset, data))
    }
}

#[tokio::test]
async fn a_failed_write_is_an_error_to_all_and_changes_nothing() {
    let full = Arc::new(AtomicBool::new(false));
    let inner = Arc::new(InMemoryBackend::new());
    let fragile = {
        let full = Arc::clone(&full);
        move || Fragile { inner: Arc::clone(&inner), full: Arc::clone(&full) }
    };
    let open = move || {
        let opened = Database::builder().create_with_backend(fragile());
        opened.map_err(|error| OpenError::File { path: "fragile".into(), error: Box::new(error.into()) })
    };
    let store = Arc::new(EmbeddedStore::with_database(Box::new(open), Path::new("fragile")).unwrap());
    store.commit(put("definitions/a", "1")).await.unwrap();
    let (before, mut watch) = store.list_and_watch("").await.unwrap();

    full.store(true, Ordering::SeqCst);
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..20 {
        let store = Arc::clone(&store);
        let batch = put(&format!("definitions/{}", index / 2), "2");
        tasks.spawn(async move { store.commit(batch).await });
    }
    for outcome in tasks.join_all().await {
        assert!(matches!(outcome, Err(CommitError::Store(StoreError::Storage(_)))), "{outcome:?}");
    }
    assert_eq!(store.list("", At::Newest).await.unwrap(), before);

    // what does not need the disk goes on, and nothing of the failure was published
    store.commit(Batch::derived().put("fragments/a", "f")).await.unwrap();
    let expected = Event { key: "fragments/a".into(), value: Some("f".into()), transaction: 1 };
    assert_eq!(watch.next().await.unwrap(), [expected]);

    // and once there is room again, so do commits; one that failed may have reached the disk, and is known then
    full.store(false, Ordering::SeqCst);
    let transaction = store.commit(put("definitions/b", "3")).await.unwrap();
    assert_eq!(store.get("definitions/b").await.unwrap().unwrap().transaction, transaction);
    let journal = store.journal(0, 100).await.unwrap();
    let numbers: Vec<_> = journal.iter().map(|entry| entry.transaction).collect();
    assert_eq!(numbers, (1..=transaction).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_queued_when_the_store_closes_is_answered_truthfully() {
    let dir = TempDir::new().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    for index in 0..20 {
        let commit = store.commit(put(&format!("definitions/{index}"), "x"));
        // polled once, so it is queued, and then given up
        let _ = tokio::time::timeout(Duration::ZERO, commit).await;
    }
    drop(store);
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let listing = store.list("", At::Newest).await.unwrap();
    assert_eq!((listing.transaction, listing.records.len()), (20, 20), "what was queued was committed");
}
