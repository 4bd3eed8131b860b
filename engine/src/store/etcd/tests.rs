//! The contract, over a real etcd, and what only this store promises.

mod access;
mod cluster;
mod commits;
mod copies;
mod costs;
mod damage;
mod keys;
mod limits;
mod link;
mod outages;
mod watches;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use self::cluster::Cluster;
use super::*;
use crate::store::contract::{Fresh, contract_tests};

/// etcd's shortest lease with the election timeout of the clusters here, in whole seconds.
const SHORT_LEASE: Duration = Duration::from_secs(2);

/// The member that all tests of this moment use, each under a root of its own: for each of them, the others are those
/// whom a cluster is shared with.
fn shared() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let etcd = Arc::new(Cluster::start(1, &[]));
        *shared = Arc::downgrade(&etcd);
        etcd
    })
}

fn open() -> Fresh {
    static STORES: AtomicUsize = AtomicUsize::new(0);
    let etcd = shared();
    let settings = etcd.settings(&format!("test-{}", STORES.fetch_add(1, Ordering::Relaxed)));
    let store = tokio::task::block_in_place(|| Handle::current().block_on(EtcdStore::open(&settings)));
    Fresh { store: Arc::new(store.unwrap()), short_lease: SHORT_LEASE, _keep: Box::new(etcd) }
}

contract_tests!(open);
