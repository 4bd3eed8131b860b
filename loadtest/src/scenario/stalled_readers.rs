//! A service changes that everybody consumes, while some read nothing.

use super::Scenario;
use super::hot_change;
use super::size::Size;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::Run;

/// Change one service that all Envoys consume, while all read, and while a tenth of them does not
#[derive(Clone, Debug, clap::Args)]
pub struct StalledReaders {
    #[command(flatten)]
    size: Size,

    /// How many of a hundred Envoys read nothing, the second time
    #[arg(long, default_value_t = 10)]
    percent: usize,

    /// Changes, each time: so many that one which meets a pass over everything does not decide what p99 is
    #[arg(long, default_value_t = 200)]
    changes: usize,
}

impl Scenario for StalledReaders {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let Size { envoys, backends, services } = self.size;
        let mut run = lab.run("stalled-readers", &self.size.parameters());
        let mesh = Mesh::with_hot_service(lab.mesh_name(), envoys, envoys, services, backends);
        let mut site = lab.open(mesh, &[hot_change::HOT])?;
        // the same number of consumers that count both times
        let stalled = envoys * self.percent / 100;
        site.connect(0..envoys - stalled, Behaviour::Accept);
        site.settle()?;
        hot_change::changes(&mut site, &mut run, lab, "none stalled", self.changes)?;
        site.connect(envoys - stalled..envoys, Behaviour::StopReading);
        site.settle()?;
        hot_change::changes(&mut site, &mut run, lab, &format!("{} % stalled", self.percent), self.changes)?;
        run.failures = site.take_failures();
        Ok(run)
    }
}
