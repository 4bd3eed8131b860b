//! A service changes that few consume, while few or many others are connected.

use super::Scenario;
use super::hot_change;
use super::size::Size;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::Run;

/// Change a service with 9 consumers while few Envoys are connected, and while many are
#[derive(Clone, Debug, clap::Args)]
pub struct IrrelevantEnvoys {
    #[command(flatten)]
    size: Size,

    /// Consumers of the service
    #[arg(long, default_value_t = 9)]
    consumers: usize,

    /// Envoys that are connected at first, consumers among them
    #[arg(long, default_value_t = 100)]
    few: usize,

    /// Changes while few are connected, and again while all are
    #[arg(long, default_value_t = 300)]
    changes: usize,
}

impl Scenario for IrrelevantEnvoys {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let Size { envoys, backends, services } = self.size;
        let mut run = lab.run("irrelevant-envoys", &self.size.parameters());
        let mesh = Mesh::with_hot_service(lab.mesh_name(), envoys, self.consumers, services, backends);
        let mut site = lab.open(mesh, &[hot_change::HOT])?;
        let few = self.few.clamp(self.consumers, envoys);
        for nodes in [0..few, few..envoys] {
            let connected = nodes.end;
            site.connect(nodes, Behaviour::Accept);
            site.settle()?;
            hot_change::changes(&mut site, &mut run, lab, &format!("{connected} envoys"), self.changes)?;
        }
        run.failures = site.take_failures();
        Ok(run)
    }
}
