//! One service changes, which everybody consumes.

use super::Scenario;
use super::size::Size;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::Run;
use crate::site::Site;

/// The service that everybody consumes.
pub(super) const HOT: u32 = 0;

/// Changes that are made before anything is measured: so many that scenarios of several phases do not begin with a cold one.
pub(super) const WARM_UP: usize = 20;

/// Change one service that all Envoys consume, again and again, each time after all have the change before
#[derive(Clone, Debug, clap::Args)]
pub struct HotChange {
    /// How large everything is.
    #[command(flatten)]
    pub size: Size,

    /// Changes
    #[arg(long, default_value_t = 50)]
    pub changes: usize,
}

impl Scenario for HotChange {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let Size { envoys, backends, services } = self.size;
        let mut run = lab.run("hot-change", &self.size.parameters());
        let mesh = Mesh::with_hot_service(lab.mesh_name(), envoys, envoys, services, backends);
        let mut site = lab.open(mesh, &[HOT])?;
        site.connect(0..envoys, Behaviour::Accept);
        site.settle()?;
        changes(&mut site, &mut run, lab, "", self.changes)?;
        run.failures = site.take_failures();
        Ok(run)
    }
}

/// A phase in which the hot service changes so often.
pub(super) fn changes(
    site: &mut Site,
    run: &mut Run,
    lab: &Lab,
    phase: &str,
    changes: usize,
) -> anyhow::Result<()> {
    for _ in 0..WARM_UP {
        site.change_and_wait(HOT)?;
    }
    let progress = lab.progress(&run.scenario, changes as u64);
    let start = site.begin()?;
    for _ in 0..changes {
        site.change_and_wait(HOT)?;
        progress.step();
    }
    run.phases.push(site.end(&start, phase, Vec::new())?);
    Ok(())
}
