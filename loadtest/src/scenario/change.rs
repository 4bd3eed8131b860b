//! What one changed route costs: from the API call to the last consumer's ACK, while other Envoys are connected.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use legation_proto::resource_type::ResourceType;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::envoy::{self, Accepted};
use crate::mesh::{Api, ChangeMesh};
use crate::process;

/// How long anything may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long nothing may arrive before the fleet counts as settled.
const QUIET: Duration = Duration::from_millis(500);

/// Change a route again and again, and measure how long its consumers take to accept it
///
/// Creates a mesh of its own on the server, connects a fleet, and changes the weights of one route that some of the
/// Envoys depend on. Fails if an Envoy that does not depend on it receives anything.
#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    /// The API of the server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    endpoint: String,

    /// Where the server listens for Envoys
    #[arg(long, default_value = "http://127.0.0.1:18000")]
    xds: String,

    /// Process id of the server, to read its memory
    #[arg(long)]
    pid: Option<u32>,

    /// Name of the mesh to create
    #[arg(long, default_value = "loadtest-change")]
    mesh: String,

    /// Envoys to connect, each as a virtual node of its own
    #[arg(long, default_value_t = 100)]
    envoys: usize,

    /// How many of them consume the service that is changed
    #[arg(long, default_value_t = 10)]
    consumers: usize,

    /// Backends of each Envoy
    #[arg(long, default_value_t = 10)]
    backends: usize,

    /// How often to change the route
    #[arg(long, default_value_t = 200)]
    changes: u32,
}

impl Change {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        if self.consumers == 0 || self.consumers > self.envoys || self.backends == 0 {
            bail!("give at least one consumer, no more of them than envoys, and at least one backend");
        }
        let api = Api::new(&self.endpoint);
        let mesh = ChangeMesh::new(&self.mesh, self.envoys, self.consumers, self.backends);
        mesh.create(&api).context("cannot create the mesh")?;

        let memory_before = self.pid.map(process::resident_kib).transpose()?;
        let (sender, mut accepted) = mpsc::unbounded_channel();
        let mut fleet = JoinSet::new();
        for (number, node) in mesh.nodes.iter().enumerate() {
            let id = format!("mesh/{}/virtualNode/{node}", mesh.name);
            fleet.spawn(envoy::run(number, self.xds.clone(), id, sender.clone()));
        }
        self.settle(&mut accepted, &mut fleet).await?;
        let memory_after = self.pid.map(process::resident_kib).transpose()?;

        let mut calls = Vec::new();
        let mut acks = Vec::new();
        for number in 0..self.changes {
            let weight = 1 + number % 99; // never the weight before
            let started = Instant::now();
            tokio::task::block_in_place(|| mesh.change(&api, weight))?;
            calls.push(started.elapsed());
            acks.push(self.last_ack(&mut accepted).await?.duration_since(started));
        }
        if let Ok(Some(stray)) = timeout(QUIET, accepted.recv()).await {
            bail!("envoy {} received a {} response that nothing explains", stray.envoy, stray.resource_type);
        }

        println!(
            "{} envoys, {} consumers, {} backends each, {} changes",
            self.envoys, self.consumers, self.backends, self.changes
        );
        print_quantiles("API call", &mut calls);
        print_quantiles("API call to last ACK", &mut acks);
        if let (Some(before), Some(after)) = (memory_before, memory_after) {
            let each = after.saturating_sub(before) as f64 / self.envoys as f64;
            println!("resident memory: {before} KiB before, {after} KiB after, {each:.1} KiB an envoy");
        }
        Ok(())
    }

    /// Waits until every Envoy has its first configuration and nothing more arrives.
    async fn settle(
        &self,
        accepted: &mut mpsc::UnboundedReceiver<Accepted>,
        fleet: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let mut ready = HashSet::new();
        while ready.len() < self.envoys {
            tokio::select! {
                received = timeout(PATIENCE, accepted.recv()) => {
                    let received = received.context("the fleet does not get its configuration")?;
                    let received = received.context("every envoy has ended")?;
                    if received.resource_type == ResourceType::RouteConfiguration {
                        ready.insert(received.envoy);
                    }
                }
                Some(ended) = fleet.join_next() => ended?.context("an envoy has ended")?,
            }
        }
        while timeout(QUIET, accepted.recv()).await.is_ok() {}
        Ok(())
    }

    /// Waits for one response at each consumer and returns when the last was accepted.
    async fn last_ack(&self, accepted: &mut mpsc::UnboundedReceiver<Accepted>) -> anyhow::Result<Instant> {
        let mut seen = HashSet::new();
        let mut last = Instant::now();
        while seen.len() < self.consumers {
            let received =
                timeout(PATIENCE, accepted.recv()).await.context("a consumer does not get the change")?;
            let Accepted { envoy, resource_type, at } = received.context("every envoy has ended")?;
            if envoy >= self.consumers
                || resource_type != ResourceType::RouteConfiguration
                || !seen.insert(envoy)
            {
                bail!("envoy {envoy} received a {resource_type} response that nothing explains");
            }
            last = at;
        }
        Ok(last)
    }
}

fn print_quantiles(what: &str, durations: &mut [Duration]) {
    durations.sort_unstable();
    let quantile = |share: f64| {
        let position = (share * durations.len().saturating_sub(1) as f64).round();
        // a position within the slice
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        durations.get(position as usize).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
    };
    println!(
        "{what}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        quantile(0.5),
        quantile(0.99),
        quantile(1.0)
    );
}
