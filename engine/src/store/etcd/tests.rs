//! The contract, over a real etcd, and what only this store promises.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;

use super::*;
use crate::store::contract::{Fresh, contract_tests};

/// etcd's shortest lease with the election timeout below, in whole seconds.
const SHORT_LEASE: Duration = Duration::from_secs(2);

/// Ample for a few events of a cluster in this machine.
const LAG: Duration = Duration::from_secs(1);

/// A member by itself, in memory, which ends with this.
struct Etcd {
    process: Child,
    client_port: u16,
    _directory: TempDir,
}

impl Etcd {
    fn start() -> Self {
        // what is written there is gone with the test, so that no disk has to be waited for
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.unwrap();
        let [client_port, peer_port] = free_ports();
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let process = Command::new("etcd")
            .args(["--name", "test", "--data-dir"])
            .arg(directory.path())
            .args(["--listen-client-urls", &url(client_port), "--advertise-client-urls", &url(client_port)])
            .args(["--listen-peer-urls", &url(peer_port), "--initial-advertise-peer-urls", &url(peer_port)])
            .args(["--initial-cluster", &format!("test={}", url(peer_port))])
            .args(["--heartbeat-interval", "20", "--election-timeout", "200"])
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is installed: make prepare does it");
        Self { process, client_port, _directory: directory }
    }

    /// Where its store with this number is.
    fn settings(&self, number: usize) -> EtcdSettings {
        EtcdSettings::parse(&format!("etcd://127.0.0.1:{}/test-{number}", self.client_port)).unwrap()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ports that nobody has at this moment.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// The member that all tests of this moment use, each under a root of its own: for each of them, the others are those
/// whom a cluster is shared with.
fn shared() -> Arc<Etcd> {
    static SHARED: Mutex<Weak<Etcd>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let etcd = Arc::new(Etcd::start());
        *shared = Arc::downgrade(&etcd);
        etcd
    })
}

fn open() -> Fresh {
    static STORES: AtomicUsize = AtomicUsize::new(0);
    let etcd = shared();
    let settings = etcd.settings(STORES.fetch_add(1, Ordering::Relaxed));
    let store = tokio::task::block_in_place(|| Handle::current().block_on(EtcdStore::open(&settings)));
    Fresh { store: Arc::new(store.unwrap()), short_lease: SHORT_LEASE, lag: LAG, _keep: Box::new(etcd) }
}

contract_tests!(open);
