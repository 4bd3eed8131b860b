//! A service changes that everybody consumes, with the store in etcd, beside what a put takes etcd by itself.

use std::path::PathBuf;

use anyhow::ensure;

use super::Scenario;
use super::hot_change::{HOT, WARM_UP};
use super::size::Size;
use crate::fleet::Behaviour;
use crate::histogram::{self, Histogram};
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::{Measure, Run};
use crate::server::Store;
use crate::server::etcd::Cluster;
use crate::site::Site;

/// Change one service that all Envoys consume, over etcd, in turn with bare puts of a value of the same size
#[derive(Clone, Debug, clap::Args)]
pub struct EtcdChange {
    /// Envoys, each of a virtual node of its own
    #[arg(long, default_value_t = 100)]
    envoys: usize,

    /// Backends of each node
    #[arg(long, default_value_t = 10)]
    backends: usize,

    /// Virtual services, each with a router and a route
    #[arg(long, default_value_t = 100)]
    services: u32,

    /// Changes, and as many bare puts, for each cluster
    #[arg(long, default_value_t = 200)]
    changes: usize,

    /// Members of each cluster of etcd; the embedded store comes before them
    #[arg(long, value_delimiter = ',', value_name = "COUNTS", default_value = "1,3")]
    members: Vec<usize>,

    /// The program of etcd [default: the one in PATH]
    #[arg(long, value_name = "FILE", default_value = "etcd", hide_default_value = true)]
    etcd: PathBuf,
}

impl Scenario for EtcdChange {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        ensure!(
            self.members.iter().all(|members| (1..=9).contains(members)),
            "--members: give from 1 to 9 each"
        );
        let directory = lab.store_in().to_owned();
        let size = Size { envoys: self.envoys, backends: self.backends, services: self.services };
        let mut run = lab.run("etcd-change", &size.parameters());
        let mesh =
            Mesh::with_hot_service(lab.mesh_name(), self.envoys, self.envoys, self.services, self.backends);

        let site = lab.open_legation(mesh.clone(), Store::Embedded(&directory))?;
        self.measure(site, None, &mut run, lab, "embedded store")?;
        for &members in &self.members {
            let mut cluster = Cluster::start(&self.etcd, members, &directory, lab.server_cpu())?;
            let site = lab.open_legation(mesh.clone(), Store::Etcd(&cluster.store()))?;
            let phase = format!("etcd, {members} {}", if members == 1 { "member" } else { "members" });
            self.measure(site, Some(&mut cluster), &mut run, lab, &phase)?;
        }
        Ok(run)
    }
}

impl EtcdChange {
    /// A phase, on a server that has the mesh. It ends before the cluster of its store does.
    fn measure(
        &self,
        mut site: Site,
        cluster: Option<&mut Cluster>,
        run: &mut Run,
        lab: &Lab,
        phase: &str,
    ) -> anyhow::Result<()> {
        site.connect(0..self.envoys, Behaviour::Accept);
        site.settle()?;
        let mut puts = Puts::new(cluster, &site.mesh)?;
        for _ in 0..WARM_UP {
            puts.put()?;
            site.change_and_wait(HOT)?;
        }
        let progress = lab.progress(phase, self.changes as u64);
        puts.took.reset();
        let before = site.timings()?;
        let start = site.begin()?;
        for _ in 0..self.changes {
            puts.put()?;
            site.change_and_wait(HOT)?;
            progress.step();
        }
        let mut measured = site.end(&start, phase, Vec::new())?;
        measured.parts = site.timings()?.means_since(&before);
        if !puts.took.is_empty() {
            measured.latencies.insert(Measure::EtcdPut, histogram::latency(&puts.took));
        }
        run.phases.push(measured);
        run.failures.extend(site.take_failures());
        Ok(())
    }
}

/// Bare puts, of a value as large as the route that is changed; none where there is no etcd.
struct Puts<'a> {
    cluster: Option<(&'a mut Cluster, Vec<u8>)>,
    took: Histogram,
}

impl<'a> Puts<'a> {
    fn new(cluster: Option<&'a mut Cluster>, mesh: &Mesh) -> anyhow::Result<Self> {
        let with_value = |cluster: &'a mut Cluster| {
            let size = cluster.definition_size(&mesh.route_key(HOT))?;
            anyhow::Ok((cluster, vec![b'.'; size]))
        };
        Ok(Self { cluster: cluster.map(with_value).transpose()?, took: histogram::new() })
    }

    fn put(&mut self) -> anyhow::Result<()> {
        if let Some((cluster, value)) = &mut self.cluster {
            histogram::record(&mut self.took, cluster.put(value)?);
        }
        Ok(())
    }
}
