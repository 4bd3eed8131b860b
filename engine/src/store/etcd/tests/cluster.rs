//! Real clusters of etcd, in memory, which end with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::super::{EtcdSettings, EtcdStore};

/// Long enough for anything that should happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, which ends with this.
pub(super) struct Cluster {
    members: Vec<Member>,
    scheme: &'static str,
    directory: TempDir,
}

struct Member {
    name: String,
    client_port: u16,
    peer_port: u16,
    process: Option<Child>,
}

impl Cluster {
    /// So many members, with more arguments.
    pub(super) fn start(count: usize, arguments: &[&str]) -> Self {
        Self::start_with(count, "http", |_| arguments.iter().map(ToString::to_string).collect())
    }

    /// The same, where clients use `scheme`; `arguments` is given the directory of the cluster.
    pub(super) fn start_with(
        count: usize,
        scheme: &'static str,
        arguments: impl Fn(&Path) -> Vec<String>,
    ) -> Self {
        // what is written there is gone with the test, so that no disk has to be waited for
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.unwrap();
        let ports = free_ports(2 * count);
        let members = ports.chunks(2).enumerate().map(|(index, ports)| Member {
            name: format!("m{index}"),
            client_port: ports[0],
            peer_port: ports[1],
            process: None,
        });
        let mut cluster = Self { members: members.collect(), scheme, directory };
        let arguments = arguments(cluster.directory.path());
        std::fs::write(cluster.arguments_path(), arguments.join("\n")).unwrap();
        for index in 0..count {
            cluster.restart(index);
        }
        cluster
    }

    fn arguments_path(&self) -> PathBuf {
        self.directory.path().join("arguments")
    }

    /// Starts a member, again if it was killed.
    pub(super) fn restart(&mut self, index: usize) {
        let peers =
            self.members.iter().map(|member| format!("{}={}", member.name, url("http", member.peer_port)));
        let peers = peers.collect::<Vec<_>>().join(",");
        let arguments = std::fs::read_to_string(self.arguments_path()).unwrap();
        let member = &self.members[index];
        let (client, peer) = (url(self.scheme, member.client_port), url("http", member.peer_port));
        let process = Command::new("etcd")
            .args(["--name", &member.name, "--data-dir"])
            .arg(self.directory.path().join(&member.name))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &peers])
            .args(["--heartbeat-interval", "20", "--election-timeout", "200"])
            .args(arguments.lines())
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is in PATH: tools/prepare-build.sh etcd installs it");
        self.members[index].process = Some(process);
    }

    /// Kills a member with SIGKILL.
    pub(super) fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(super) fn port(&self, index: usize) -> u16 {
        self.members[index].client_port
    }

    /// Where its store under `root` is.
    pub(super) fn settings(&self, root: &str) -> EtcdSettings {
        let ports = self.members.iter().map(|member| format!("127.0.0.1:{}", member.client_port));
        let store = if self.scheme == "https" { "etcds" } else { "etcd" };
        let address = format!("{store}://{}/{root}", ports.collect::<Vec<_>>().join(","));
        EtcdSettings::parse(&address).unwrap()
    }

    pub(super) async fn open(&self, root: &str) -> EtcdStore {
        EtcdStore::open(&self.settings(root)).await.unwrap()
    }

    /// A client of etcd's own, of one member that answers.
    pub(super) async fn client(&self, index: usize) -> Client {
        let mut client =
            Client::connect([url(self.scheme, self.port(index))], Some(ConnectOptions::new())).await.unwrap();
        timeout(PATIENCE, async {
            while client.status().await.map_or(true, |status| status.leader() == 0) {
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .expect("the member has a leader");
        client
    }

    /// Which member leads.
    pub(super) async fn leader(&self) -> usize {
        for index in 0..self.members.len() {
            let status = self.client(index).await.status().await.unwrap();
            if status.header().unwrap().member_id() == status.leader() {
                return index;
            }
        }
        panic!("nobody leads");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(process) = &mut member.process {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

/// The newest revision.
pub(super) async fn revision(client: &mut Client) -> i64 {
    client.get("none", None).await.unwrap().header().unwrap().revision()
}

fn url(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}

/// Ports that nobody has at this moment. The system gives them to nobody who asks for any port: it would give one that it gave
/// before to somebody else, in the time until a member listens there.
fn free_ports(count: usize) -> Vec<u16> {
    const BELOW_THOSE_THAT_THE_SYSTEM_GIVES: Range<u16> = 10_000..32_000;
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| fastrand::u16(..).into());
    let any = || {
        let ports = BELOW_THOSE_THAT_THE_SYSTEM_GIVES;
        ports.start + NEXT.fetch_add(1, Relaxed) % (ports.end - ports.start)
    };
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(any).filter(is_free).take(count).collect()
}
