//! One service after the other changes, of which each has a few consumers.

use super::Scenario;
use super::size::Size;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::Run;

/// Changes that are made before anything is measured.
const WARM_UP: usize = 10;

/// Change one service after the other, of which each has a few consumers (9 with the defaults)
#[derive(Clone, Debug, clap::Args)]
pub struct SpreadChange {
    #[command(flatten)]
    size: SpreadSize,

    /// Changes
    #[arg(long, default_value_t = 500)]
    pub changes: usize,

    /// Different services that are changed, in turn
    #[arg(long, default_value_t = 50)]
    pub changing: u32,
}

/// As many services as give each of them a few consumers.
#[derive(Clone, Debug, clap::Args)]
pub struct SpreadSize {
    /// Envoys, each of a virtual node of its own
    #[arg(long, default_value_t = 1000)]
    pub envoys: usize,

    /// Backends of each node
    #[arg(long, default_value_t = 10)]
    pub backends: usize,

    /// Virtual services, each with a router and a route
    #[arg(long, default_value_t = 1111)]
    pub services: u32,
}

impl From<&SpreadSize> for Size {
    fn from(size: &SpreadSize) -> Self {
        let SpreadSize { envoys, backends, services } = *size;
        Self { envoys, backends, services }
    }
}

impl Scenario for SpreadChange {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let size = Size::from(&self.size);
        let mut run = lab.run("spread-change", &size.parameters());
        let Size { envoys, backends, services } = size;
        let mesh = Mesh::with_spread_services(lab.mesh_name(), envoys, services, backends);
        let changing = apart(services, self.changing);
        let mut site = lab.open(mesh, &changing)?;
        site.connect(0..envoys, Behaviour::Accept);
        site.settle()?;
        let mut turns = changing.iter().copied().cycle();
        for service in turns.by_ref().take(WARM_UP) {
            site.change_and_wait(service)?;
        }
        let progress = lab.progress(&run.scenario, self.changes as u64);
        let start = site.begin()?;
        for service in turns.take(self.changes) {
            site.change_and_wait(service)?;
            progress.step();
        }
        run.phases.push(site.end(&start, "", Vec::new())?);
        run.failures = site.take_failures();
        Ok(run)
    }
}

/// So many of the services, as far from each other as there are.
pub(super) fn apart(services: u32, count: u32) -> Vec<u32> {
    let step = (services / count.max(1)).max(1);
    (0..services).step_by(step as usize).take(count as usize).collect()
}
