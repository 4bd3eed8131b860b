//! A service changes that everybody consumes, among few other backends or many.

use super::Scenario;
use super::hot_change;
use super::size::Size;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::Run;

/// Change one service that all Envoys consume, whose nodes have few backends, and then one whose nodes have many
#[derive(Clone, Debug, clap::Args)]
pub struct Backends {
    #[command(flatten)]
    size: Size,

    /// Backends of each node, the second time
    #[arg(long, default_value_t = 100)]
    many: usize,

    /// Changes, each time
    #[arg(long, default_value_t = 30)]
    changes: usize,
}

impl Scenario for Backends {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let Size { envoys, services, .. } = self.size;
        let mut run = lab.run("backends", &self.size.parameters());
        for backends in [self.size.backends, self.many] {
            let mesh = Mesh::with_hot_service(lab.mesh_name(), envoys, envoys, services, backends);
            let mut site = lab.open(mesh, &[hot_change::HOT])?;
            site.connect(0..envoys, Behaviour::Accept);
            site.settle()?;
            hot_change::changes(&mut site, &mut run, lab, &format!("{backends} backends"), self.changes)?;
            run.failures.extend(site.take_failures());
        }
        Ok(run)
    }
}
