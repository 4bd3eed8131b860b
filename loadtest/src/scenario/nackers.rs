//! A service changes that everybody consumes, while some reject whatever comes.

use super::Scenario;
use super::hot_change;
use super::size::Size;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::Run;

/// Change one service that all Envoys consume, while all accept, and while one in a hundred rejects whatever comes
#[derive(Clone, Debug, clap::Args)]
pub struct Nackers {
    #[command(flatten)]
    size: Size,

    /// How many of a hundred Envoys reject, the second time
    #[arg(long, default_value_t = 1)]
    percent: usize,

    /// Changes, each time
    #[arg(long, default_value_t = 50)]
    changes: usize,
}

impl Scenario for Nackers {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let Size { envoys, backends, services } = self.size;
        let mut run = lab.run("nackers", &self.size.parameters());
        let mesh = Mesh::with_hot_service(lab.mesh_name(), envoys, envoys, services, backends);
        let mut site = lab.open(mesh, &[hot_change::HOT])?;
        let rejecting = (envoys * self.percent).div_ceil(100);
        site.connect(0..envoys - rejecting, Behaviour::Accept);
        site.settle()?;
        hot_change::changes(&mut site, &mut run, lab, "none reject", self.changes)?;
        site.connect(envoys - rejecting..envoys, Behaviour::Reject);
        site.settle()?;
        hot_change::changes(&mut site, &mut run, lab, &format!("{} % reject", self.percent), self.changes)?;
        let rejected = run.phases.last().map_or(0, |phase| phase.received.rejected);
        // a rejected resource is sent again only when it has changed
        let most = (rejecting * (self.changes + 1)) as u64;
        if rejected > most {
            site.fail(format!(
                "{rejected} responses came to {rejecting} Envoys that reject, for {} changes",
                self.changes
            ));
        }
        run.failures = site.take_failures();
        Ok(run)
    }
}
