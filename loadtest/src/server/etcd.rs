//! A cluster of etcd that is started for a run, and ended after it.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use etcd_client::{Client, ConnectOptions};
use tokio::runtime::{self, Runtime};

use super::child::ServerProcess;

/// Where Legation has its keys.
const ROOT: &str = "legation";

/// A key that is nobody's.
const BARE: &str = "bare";

/// How long a member may take until it answers.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// No request takes longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Members on loopback, each a process with a directory of its own, and a client of them. They end when this is dropped.
pub struct Cluster {
    runtime: Runtime,
    client: Client,
    endpoints: Vec<String>,
    _members: Vec<ServerProcess>,
}

impl Cluster {
    /// Starts so many members, with their data in `parent`, and waits until all of them answer.
    pub fn start(program: &Path, members: usize, parent: &Path, cpu: Option<usize>) -> anyhow::Result<Self> {
        let ports = free_ports(2 * members)?;
        let (clients, peers) = ports.split_at(members);
        let peer_url = |index: usize| format!("http://127.0.0.1:{}", peers[index]);
        let all = (0..members).map(|index| format!("member-{index}={}", peer_url(index)));
        let all = all.collect::<Vec<_>>().join(",");
        let endpoints: Vec<String> = clients.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let start = |index: usize| {
            let client_url = format!("http://{}", endpoints[index]);
            let mut command = Command::new(program);
            command.args(["--name", &format!("member-{index}"), "--data-dir", "data"]);
            command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
            command.args(["--listen-peer-urls", &peer_url(index)]);
            command.args(["--initial-advertise-peer-urls", &peer_url(index), "--initial-cluster", &all]);
            command.env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH);
            ServerProcess::spawn(&mut command, cpu, Some(parent)).map_err(how_to_install)
        };
        let mut processes = (0..members).map(start).collect::<anyhow::Result<Vec<_>>>()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        for endpoint in &endpoints {
            wait_until_ready(&runtime, endpoint, &mut processes)?;
        }
        let client = runtime.block_on(client(&endpoints))?;
        Ok(Self { runtime, client, endpoints, _members: processes })
    }

    /// What `legation serve --store` takes.
    pub fn store(&self) -> String {
        format!("etcd://{}/{ROOT}", self.endpoints.join(","))
    }

    /// Puts a value, and nothing else; how long it took until that was answered, and so durable on a majority.
    pub fn put(&mut self, value: &[u8]) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.runtime.block_on(self.client.put(BARE, value, None)).context("cannot put a value into etcd")?;
        Ok(started.elapsed())
    }

    /// The bytes of a definition that Legation has there.
    pub fn definition_size(&mut self, key: &str) -> anyhow::Result<usize> {
        let key = format!("{ROOT}/data/definitions/{key}");
        let found = self.runtime.block_on(self.client.get(key.as_str(), None))?;
        let definition = found.kvs().first();
        definition.map(|definition| definition.value().len()).with_context(|| format!("etcd has no {key}"))
    }
}

async fn client(endpoints: &[String]) -> Result<Client, etcd_client::Error> {
    Client::connect(endpoints, Some(ConnectOptions::new().with_timeout(TIMEOUT))).await
}

/// Waits until a member answers a read, which takes a majority.
fn wait_until_ready(runtime: &Runtime, endpoint: &str, members: &mut [ServerProcess]) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    let read = async || client(&[endpoint.to_owned()]).await?.get(BARE, None).await;
    while let Err(error) = runtime.block_on(read()) {
        members.iter_mut().try_for_each(ServerProcess::check)?;
        if Instant::now() > deadline {
            bail!("etcd did not answer within {} s: {error}", READY_TIMEOUT.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn how_to_install(error: anyhow::Error) -> anyhow::Error {
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    if error.downcast_ref().is_some_and(is_missing) {
        return error.context(
            "this takes etcd: install it (Debian: apt-get install etcd-server), or say --etcd FILE",
        );
    }
    error
}

/// Ports that nobody has at this moment.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_etcd_is_told_what_to_install() {
        let directory = tempfile::tempdir().unwrap();
        let started = Cluster::start(Path::new("no-such-etcd"), 1, directory.path(), None);
        let error = format!("{:#}", started.err().unwrap());
        assert!(error.contains("apt-get install etcd-server") && error.contains("no-such-etcd"), "{error}");
    }

    #[test]
    fn a_member_that_ends_is_told_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        // it knows none of these flags
        let error =
            format!("{:#}", Cluster::start(Path::new("ls"), 1, directory.path(), None).err().unwrap());
        assert!(error.contains("ls") && error.contains("--name"), "{error}");
    }
}
