//! Everybody connects again at once, and nothing has changed.

use super::Scenario;
use super::size::Size;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::Run;

/// Let all Envoys connect again at once, telling what they have, which is what they should have
#[derive(Clone, Debug, clap::Args)]
pub struct MassReconnect {
    #[command(flatten)]
    size: Size,
}

impl Scenario for MassReconnect {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let Size { envoys, backends, services } = self.size;
        let mut run = lab.run("mass-reconnect", &self.size.parameters());
        let mesh = Mesh::with_hot_service(lab.mesh_name(), envoys, envoys, services, backends);
        let mut site = lab.open(mesh, &[])?;
        let all = site.connect(0..envoys, Behaviour::Accept);
        site.settle()?;
        let start = site.begin()?;
        site.fleet.reconnect(all);
        site.settle()?;
        run.phases.push(site.end(&start, "", Vec::new())?);
        run.failures = site.take_failures();
        Ok(run)
    }
}
