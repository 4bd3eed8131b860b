//! Copies into etcd.

use super::cluster::Cluster;
use super::*;
use crate::store::EmbeddedStore;
use crate::store::copy::copy;

/// What was one transaction of the embedded store may be more than etcd takes in one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_transactions_become_several() {
    let directory = tempfile::tempdir().unwrap();
    let source = EmbeddedStore::open(directory.path()).unwrap();
    for value in ["a", "b"] {
        let batch = (0..250).fold(Batch::definitions("tester", "Apply"), |batch, number| {
            batch.put(format!("definitions/{number:03}"), value.repeat(10_000))
        });
        source.commit(batch).await.unwrap();
    }
    let one = Batch::definitions("tester", "Update").put("definitions/large", vec![b'x'; 448 * 1024]);
    source.commit(one.clone()).await.unwrap();
    source.commit(one).await.unwrap();
    let cluster = Cluster::start(1, &[]);
    let target = cluster.open("copied").await;
    let copied = copy(&source, &target, |_, _| {}).await.unwrap();
    assert_eq!(copied.records, 251);
    assert!(copied.made > 10, "{copied:?}");
    assert_eq!(copy(&source, &target, |_, _| {}).await.unwrap().found, copied.made, "and it is known again");
    let mut both = Vec::new();
    for store in [&source as &dyn Store, &target] {
        let entries = store.journal_of("definitions/007", Transaction::MAX, 10).await.unwrap();
        let told = entries.into_iter().map(|entry| (entry.author, entry.operation, entry.committed_at_ms));
        both.push(told.collect::<Vec<_>>());
    }
    assert_eq!(both[0], both[1]);
    assert_eq!(both[0].len(), 2);
}
