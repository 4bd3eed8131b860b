//! A service changes that few consume, while there are few or many services that none of its consumers has to do with.

use super::Scenario;
use super::hot_change;
use super::size::Size;
use crate::fleet::Behaviour;
use crate::lab::Lab;
use crate::mesh::Mesh;
use crate::run::Run;

/// Services of each mesh that has nothing to do with the consumers.
const SERVICES_A_MESH: u32 = 1000;

/// Change a service with 9 consumers in a mesh of 1000 services, and again with 100 times as many services on the host
#[derive(Clone, Debug, clap::Args)]
pub struct IrrelevantServices {
    #[command(flatten)]
    size: Size,

    /// Consumers of the service
    #[arg(long, default_value_t = 9)]
    consumers: usize,

    /// Virtual services in the end
    #[arg(long, default_value_t = 100_000)]
    many: u32,

    /// Put them into the mesh of the consumers, not into meshes of their own
    #[arg(long)]
    same_mesh: bool,

    /// Changes with few services, and again with many
    #[arg(long, default_value_t = 300)]
    changes: usize,
}

impl Scenario for IrrelevantServices {
    fn run(&self, lab: &mut Lab) -> anyhow::Result<Run> {
        let Size { envoys, backends, services } = self.size;
        let mut parameters = self.size.parameters();
        parameters.push(("same-mesh", self.same_mesh.to_string()));
        let mut run = lab.run("irrelevant-services", &parameters);
        let mesh = Mesh::with_hot_service(lab.mesh_name(), envoys, self.consumers, services, backends);
        let mut site = lab.open(mesh, &[hot_change::HOT])?;
        site.connect(0..envoys, Behaviour::Accept);
        site.settle()?;
        hot_change::changes(&mut site, &mut run, lab, &format!("{services} services"), self.changes)?;

        let stages = if self.same_mesh {
            vec![site.mesh.more_services(services..self.many)]
        } else {
            let meshes = self.many.saturating_sub(services) / SERVICES_A_MESH;
            let names = (0..meshes).map(|number| format!("{}-other-{number}", site.mesh.name));
            let others = names.map(|name| Mesh::with_hot_service(&name, 1, 0, 0, 0));
            let mut stages = vec![Vec::new(); 3];
            for other in others {
                let calls = other.calls().into_iter().filter(|calls| !calls.is_empty());
                let services = other.more_services(0..SERVICES_A_MESH);
                for (stage, calls) in stages.iter_mut().zip(calls.chain([services])) {
                    stage.extend(calls);
                }
            }
            stages
        };
        let progress =
            lab.progress("define irrelevant services", stages.iter().map(Vec::len).sum::<usize>() as u64);
        let api = site.api()?.clone();
        stages.iter().try_for_each(|calls| api.call_all(calls, &|| progress.step()))?;
        drop(progress);
        site.change_and_wait(hot_change::HOT)?;
        hot_change::changes(&mut site, &mut run, lab, &format!("{} services", self.many), self.changes)?;
        run.failures = site.take_failures();
        Ok(run)
    }
}
