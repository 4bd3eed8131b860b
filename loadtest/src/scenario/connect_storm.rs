//! Everybody connects at once.

use super::Scenario;
use super::size::Size;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::Run;

/// Connect all Envoys at once, until all are in sync
#[derive(Clone, Debug, clap::Args)]
pub struct ConnectStorm {
    #[command(flatten)]
    size: Size,
}

impl Scenario for ConnectStorm {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let Size { envoys, backends, services } = self.size;
        let mut run = lab.run("connect-storm", &self.size.parameters());
        let mesh = Mesh::with_hot_service(lab.mesh_name(), envoys, envoys, services, backends);
        let mut site = lab.open(mesh, &[])?;
        let start = site.begin()?;
        site.connect(0..envoys, Behaviour::Accept);
        site.settle()?;
        run.phases.push(site.end(&start, "", Vec::new())?);
        run.failures = site.take_failures();
        Ok(run)
    }
}
