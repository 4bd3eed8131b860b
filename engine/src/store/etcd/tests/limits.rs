//! What etcd cannot take: a clear error, and nothing written.

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, CompactionOptions};

use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, PATIENCE, revision};
use super::*;
use crate::store::InvalidBatch;

fn definitions() -> Batch {
    Batch::definitions("tester", "Test")
}

fn failure(error: &CommitError) -> &EtcdFailure {
    let CommitError::Store(StoreError::Storage(failure)) = error else { panic!("{error:?}") };
    failure.downcast_ref().expect("a failure of etcd")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_too_large_is_refused_before_anything_is_written() {
    let cluster = Cluster::start(1, &[]);
    let store = cluster.open("test").await;
    let large = vec![b'x'; store.limits().value_bytes];
    for index in 0..4 {
        store.commit(definitions().put(format!("definitions/{index}"), large.clone())).await.unwrap();
    }
    let mut client = cluster.client(0).await;
    let before = revision(&mut client).await;
    let shrink = |count: usize| {
        (0..count).fold(definitions(), |batch, index| batch.put(format!("definitions/{index}"), "small"))
    };
    let refused = store.commit(shrink(4)).await.unwrap_err();
    assert!(matches!(refused, CommitError::Invalid(InvalidBatch::BatchTooLarge { .. })), "{refused}");
    assert_eq!(revision(&mut client).await, before);
    // with three, what they were and are is just within the limit
    store.commit(shrink(3)).await.unwrap();
    let replaced = store.commit(definitions().put("definitions/3", large)).await;
    replaced.expect("the largest value can be replaced by another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lower_limits_of_etcd_are_told_of() {
    let many = || (0..50).fold(definitions(), |batch, index| batch.put(format!("definitions/{index}"), "x"));
    let large = || definitions().put("definitions/a", vec![b'x'; 200 * 1024]);
    for (arguments, batch) in [(["--max-txn-ops", "20"], many()), (["--max-request-bytes", "65536"], large())]
    {
        let cluster = Cluster::start(1, &arguments);
        let store = cluster.open("test").await;
        let mut client = cluster.client(0).await;
        let before = revision(&mut client).await;
        let refused = store.commit(batch).await.unwrap_err();
        assert!(matches!(failure(&refused), EtcdFailure::TooLarge(_)), "{refused}");
        assert!(refused.to_string().contains(arguments[0]), "{refused}");
        assert_eq!(revision(&mut client).await, before, "nothing was written");
        store.commit(definitions().put("definitions/a", "small")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_is_told_of_and_heals() {
    let cluster = Cluster::start(1, &["--quota-backend-bytes", "4194304"]);
    let store = cluster.open("test").await;
    let mut client = cluster.client(0).await;
    store.commit(definitions().put("definitions/a", "1")).await.unwrap();
    let junk = vec![b'x'; 1024 * 1024];
    // it looks at how large its file is, which grows a moment later, and raises the alarm a moment after that
    let fill = async {
        let mut index = 0;
        while client.alarm(AlarmAction::Get, AlarmType::Nospace, None).await.unwrap().alarms().is_empty() {
            let _ = client.put(format!("junk/{index}"), junk.clone(), None).await;
            index += 1;
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, fill).await.expect("it is full");
    for batch in [definitions().put("definitions/a", "2"), Batch::derived().put("derived/a", "2")] {
        let refused = store.commit(batch).await.unwrap_err();
        assert!(matches!(failure(&refused), EtcdFailure::NoSpace(_)), "{refused}");
        assert!(refused.to_string().contains("NOSPACE"), "{refused}");
    }
    assert_eq!(store.get("definitions/a").await.unwrap().unwrap().value, "1", "reads go on");
    assert_eq!(store.list("", At::Newest).await.unwrap().records.len(), 1);

    client.delete("junk/", Some(etcd_client::DeleteOptions::new().with_prefix())).await.unwrap();
    let newest = revision(&mut client).await;
    client.compact(newest, Some(CompactionOptions::new().with_physical())).await.unwrap();
    client.defragment().await.unwrap();
    let member = client.status().await.unwrap().header().unwrap().member_id();
    let mut options = AlarmOptions::new();
    options.with_member(member);
    client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(options)).await.unwrap();
    store.commit(definitions().put("definitions/a", "3")).await.unwrap();
}
