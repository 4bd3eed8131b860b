//! Records what Legation serves, for servers without a mesh of their own.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use legation_proto::response::Protocol;
use tempfile::TempDir;

use crate::content::{Content, RecordedChange, RecordedNode, RecordedResource, Replacement};
use crate::fleet::{Behaviour, Change, Fleet, FleetSettings, Simulated};
use crate::mesh::Mesh;
use crate::progress::Progress;
use crate::server::api::Api;
use crate::server::{Control, Programs, Server, Store};

/// How long anything may take until it has reached everybody.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What was recorded so far, in files that go with this.
#[derive(Debug, Default)]
pub struct Recordings {
    directory: Option<TempDir>,
    recorded: Vec<Recording>,
}

#[derive(Debug)]
struct Recording {
    mesh: Mesh,
    changed: Vec<u32>,
    path: PathBuf,
    changes: BTreeMap<u32, usize>,
}

impl Recordings {
    /// A file with what Legation makes of a mesh and of changes of these services, and the positions of their changes in
    /// it. It is recorded once.
    pub fn of(
        &mut self,
        programs: &Programs,
        mesh: &Mesh,
        changed: &[u32],
        template: &str,
    ) -> anyhow::Result<(&Path, &BTreeMap<u32, usize>)> {
        let mut changed = changed.to_vec();
        changed.sort_unstable();
        changed.dedup();
        let is_it = |recording: &Recording| recording.mesh == *mesh && recording.changed == changed;
        let position = match self.recorded.iter().position(is_it) {
            Some(position) => position,
            None => {
                let content = record(programs, mesh, &changed, template)?;
                let directory = match &mut self.directory {
                    Some(directory) => directory,
                    none => none.insert(tempfile::tempdir()?),
                };
                let path = directory.path().join(format!("content-{}.json", self.recorded.len()));
                content.write(&path)?;
                let changes = content.changes_of_services();
                self.recorded.push(Recording { mesh: mesh.clone(), changed, path, changes });
                self.recorded.len() - 1
            }
        };
        let recording = &self.recorded[position];
        Ok((&recording.path, &recording.changes))
    }
}

/// Records what Legation makes of a mesh, and of a change of each of these services. The nodes have the node ids that the
/// template gives.
pub fn record(programs: &Programs, mesh: &Mesh, changed: &[u32], template: &str) -> anyhow::Result<Content> {
    let server = Server::start_legation(programs, None, Store::Embedded(&programs.store_in))?;
    let Control::Api(api) = &server.control else {
        bail!("legation has an API");
    };
    mesh.define(api, &Progress::new(false, "", 0))?;
    let fleet = Fleet::start(FleetSettings {
        server: server.xds,
        protocol: Protocol::Delta,
        cpu: None,
        keep_content: true,
        alternating_markers: true,
    })?;
    let nodes: Vec<Simulated> = (0..mesh.nodes.len())
        .map(|node| Simulated {
            node_id: mesh.node_id("mesh/{mesh}/virtualNode/{node}", node),
            services: mesh.nodes[node].clone(),
            behaviour: Behaviour::Accept,
        })
        .collect();
    let count = nodes.len();
    fleet.add(nodes);
    if fleet.wait_synced(TIMEOUT) < count {
        bail!("not all nodes were in sync within {} s, while their content was recorded", TIMEOUT.as_secs());
    }
    let mut recorder = Recorder { fleet, api, mesh, resources: Resources::default() };
    let nodes = (0..count).map(|node| RecordedNode {
        id: mesh.node_id(template, node),
        resources: recorder.resources_of(node),
    });
    let nodes: Vec<RecordedNode> = nodes.collect();
    let changes = changed.iter().map(|service| recorder.change(*service, &nodes));
    let changes = changes.collect::<anyhow::Result<_>>()?;
    Ok(Content { resources: recorder.resources.all, nodes, changes })
}

struct Recorder<'a> {
    fleet: Fleet,
    api: &'a Api,
    mesh: &'a Mesh,
    resources: Resources,
}

/// Each resource once.
#[derive(Default)]
struct Resources {
    all: Vec<RecordedResource>,
    positions: HashMap<RecordedResource, usize>,
}

impl Resources {
    fn position(&mut self, resource: RecordedResource) -> usize {
        *self.positions.entry(resource).or_insert_with_key(|resource| {
            self.all.push(resource.clone());
            self.all.len() - 1
        })
    }
}

impl Recorder<'_> {
    fn resources_of(&mut self, node: usize) -> Vec<usize> {
        let content = self.fleet.contents(node);
        content.into_iter().map(|resource| self.resources.position(resource)).collect()
    }

    /// Makes a change, takes note of what it makes of the nodes, and takes it back.
    fn change(&mut self, service: u32, before: &[RecordedNode]) -> anyhow::Result<RecordedChange> {
        self.make(service, 1)?;
        let mut changed = Vec::new();
        for node in self.mesh.consumers(service) {
            let resources = self.resources_of(node).into_iter();
            let other = resources.filter(|resource| !before[node].resources.contains(resource));
            changed.extend(other.map(|resource| Replacement { node, resource }));
        }
        self.make(service, 2)?;
        let first = changed.iter().map(|replacement| self.first_of(*replacement, before)).collect();
        Ok(RecordedChange { name: format!("service-{service}"), variants: vec![first, changed] })
    }

    /// What the node had in the place of a replacement at first.
    fn first_of(&self, replacement: Replacement, before: &[RecordedNode]) -> Replacement {
        let new = &self.resources.all[replacement.resource];
        let same = |position: &&usize| {
            let old = &self.resources.all[**position];
            old.type_url == new.type_url && old.name == new.name
        };
        let first = before[replacement.node].resources.iter().find(same);
        Replacement { node: replacement.node, resource: first.copied().unwrap_or(replacement.resource) }
    }

    /// The change of this number; the second puts the marker of the first content back.
    fn make(&self, service: u32, number: u64) -> anyhow::Result<()> {
        self.fleet.expect(Change { service, number, started: Instant::now() });
        self.api.call(&self.mesh.change(service, number % 2))?;
        let propagation = self.fleet.wait_for((service, number), TIMEOUT);
        if propagation.accepted < propagation.consumers {
            bail!(
                "a change of service {service} did not reach all consumers, while their content was recorded"
            );
        }
        Ok(())
    }
}
