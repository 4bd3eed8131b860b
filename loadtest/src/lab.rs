//! Where scenarios happen: a server, a mesh, a fleet, and a protocol of what is measured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use legation_proto::response::Protocol;

use crate::arguments::protocol_parser;
use crate::content::Content;
use crate::fleet::{Behaviour, Change, Fleet, FleetSettings, Propagation, Simulated, Tally};
use crate::histogram::{self, Histogram};
use crate::machine;
use crate::mesh::Mesh;
use crate::open_files;
use crate::progress::Progress;
use crate::record::Recordings;
use crate::run::{Latency, Measure, Phase, Received, Run, Sample, ServerCost};
use crate::server::api::Api;
use crate::server::hook::Hook;
use crate::server::process::Process;
use crate::server::{Control, Programs, Server, ServerKind, pin};

/// How long a fleet may take to be in sync.
const SYNC_TIMEOUT: Duration = Duration::from_secs(120);
/// Nothing is on its way any more when nothing came for so long.
const QUIET: Duration = Duration::from_millis(300);

/// What every scenario is told.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server under test")]
pub struct LabArgs {
    /// The server to start for the run; all but legation serve what is recorded from legation first
    #[arg(long, value_enum, default_value_t = ServerKind::Legation)]
    pub server: ServerKind,

    /// Where the programs are.
    #[command(flatten)]
    pub programs: Programs,

    /// A server that runs already, instead of one that is started
    #[arg(long, value_name = "ADDRESS")]
    xds: Option<SocketAddr>,

    /// Its App Mesh API, through which the scenario defines its mesh
    #[arg(long, value_name = "URL", requires = "xds", conflicts_with = "hook")]
    api: Option<String>,

    /// Its hook, if it serves recorded content
    #[arg(long, value_name = "URL", requires = "xds", requires = "content")]
    hook: Option<String>,

    /// The recorded content that it serves
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,

    /// Its process, so that what it uses is measured
    #[arg(long, requires = "xds")]
    pid: Option<u32>,

    /// The form of the protocol that the Envoys speak
    #[arg(long, default_value = "delta", value_parser = protocol_parser())]
    protocol: Protocol,

    /// The node ids of the Envoys
    #[arg(long, value_name = "TEMPLATE", default_value = "mesh/{mesh}/virtualNode/{node}")]
    node_id: String,

    /// The mesh that is defined
    #[arg(long, value_name = "NAME", default_value = "loadtest")]
    mesh: String,

    /// How long a change may take to reach a consumer until it counts as lost
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    lost_after: Duration,

    /// Run the server on one CPU and the fleet on another
    #[arg(long)]
    pin: bool,

    /// No progress bar
    #[arg(long, short)]
    pub quiet: bool,
}

/// Where scenarios happen, one after the other.
#[derive(Debug)]
pub struct Lab {
    args: LabArgs,
    recordings: Recordings,
    /// The CPU of the server and that of the fleet.
    cpus: Option<(usize, usize)>,
    /// Meshes that were defined on a server that runs already: each has a name of its own.
    meshes: usize,
}

/// A mesh, on a server, with a fleet. The Envoys leave before the server ends.
#[derive(Debug)]
pub struct Site {
    /// The simulated Envoys.
    pub fleet: Fleet,
    /// What is served.
    pub mesh: Mesh,
    server: Server,
    changes: Changes,
    node_id: String,
    lost_after: Duration,
    calls: Histogram,
    after_calls: Histogram,
    changes_made: u64,
    failures: Vec<String>,
}

/// What was changed so far, and how.
#[derive(Debug)]
struct Changes {
    control: Control,
    /// The position of the change of each service in recorded content.
    recorded: BTreeMap<u32, usize>,
    /// How often each service was changed.
    made: BTreeMap<u32, u64>,
}

/// A part of a run, under way.
#[derive(Debug)]
pub struct PhaseStart {
    started: Instant,
    cpu: Option<Duration>,
    resident: Option<u64>,
    changes: u64,
    fleet_cpu: Duration,
}

impl Lab {
    /// A lab by what the command line says.
    pub fn new(args: LabArgs) -> anyhow::Result<Self> {
        let cpus = match (args.pin, pin::usable()?.as_slice()) {
            (false, _) => None,
            (true, [server, fleet, ..]) => Some((*server, *fleet)),
            (true, _) => bail!("--pin takes two CPUs, and there is one"),
        };
        open_files::permit_all().context("cannot have as many open files as the system permits")?;
        Ok(Self { args, recordings: Recordings::default(), cpus, meshes: 0 })
    }

    /// The same, for another server.
    pub fn set_server(&mut self, server: ServerKind) {
        self.args.server = server;
    }

    /// The name that the mesh of a scenario has.
    pub fn mesh_name(&self) -> &str {
        &self.args.mesh
    }

    /// The protocol that the Envoys speak.
    pub fn protocol(&self) -> Protocol {
        self.args.protocol
    }

    /// A bar for so many steps.
    pub fn progress(&self, what: &str, steps: u64) -> Progress {
        Progress::new(!self.args.quiet, what, steps)
    }

    /// A run of a scenario without phases yet.
    pub fn run(&self, scenario: &str, parameters: &[(&str, String)]) -> Run {
        let server =
            if self.args.xds.is_some() { "running".to_owned() } else { self.args.server.to_string() };
        let mut parameters: BTreeMap<String, String> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        parameters.insert("protocol".to_owned(), self.protocol().as_str().to_owned());
        Run {
            scenario: scenario.to_owned(),
            server,
            repetition: 0,
            parameters,
            machine: machine::this(self.cpus),
            phases: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Puts a mesh on the server, started for it if it does not run already. `changed` are the services that will be
    /// changed: a server of recorded content has to know before.
    pub fn open(&mut self, mesh: Mesh, changed: &[u32]) -> anyhow::Result<Site> {
        let (server, mesh, recorded) = match (self.args.xds, &self.args.hook, &self.args.content) {
            (None, ..) if self.args.server.serves_content() => {
                let protocol = self.protocol();
                let cpu = self.cpus.map(|(server, _)| server);
                let LabArgs { server, programs, node_id, .. } = &self.args;
                let (path, recorded) = self.recordings.of(programs, &mesh, changed, node_id)?;
                let server = Server::start_with_content(*server, programs, path, protocol, cpu)?;
                (server, mesh, recorded.clone())
            }
            (None, ..) => {
                let server =
                    Server::start_legation(&self.args.programs, self.cpus.map(|(server, _)| server))?;
                self.define(&server, &mesh)?;
                (server, mesh, BTreeMap::new())
            }
            (Some(xds), Some(hook), Some(content)) => {
                let recorded = changes_by_service(&Content::read(content)?);
                let server = Server::running(xds, Control::Hook(Hook::new(hook)), self.args.pid);
                (server, mesh, recorded)
            }
            (Some(xds), ..) => {
                let api =
                    self.args.api.as_deref().context("say --api URL, or --hook URL and --content FILE")?;
                let server = Server::running(xds, Control::Api(Api::new(api)), self.args.pid);
                let name = format!("{}-{}-{}", mesh.name, std::process::id(), self.meshes);
                self.meshes += 1;
                let mesh = Mesh { name, ..mesh };
                self.define(&server, &mesh)?;
                (server, mesh, BTreeMap::new())
            }
        };
        Site::new(server, mesh, recorded, self)
    }

    fn define(&self, server: &Server, mesh: &Mesh) -> anyhow::Result<()> {
        let Control::Api(api) = &server.control else { return Ok(()) };
        define(api, mesh, &self.progress("define the mesh", 0))
    }
}

/// Defines a mesh through the API.
pub fn define(api: &Api, mesh: &Mesh, progress: &Progress) -> anyhow::Result<()> {
    let stages = mesh.calls();
    progress.set_steps(stages.iter().map(Vec::len).sum::<usize>() as u64);
    stages.iter().try_for_each(|calls| api.call_all(calls, &|| progress.step()))
}

/// The node id of a node by a template.
pub fn node_id(template: &str, mesh: &str, node: &str) -> String {
    template.replace("{mesh}", mesh).replace("{node}", node)
}

/// The positions of recorded changes by the services that they change.
pub fn changes_by_service(content: &Content) -> BTreeMap<u32, usize> {
    let changes = content.changes.iter().enumerate();
    changes
        .filter_map(|(position, change)| {
            Some((change.name.strip_prefix("service-")?.parse().ok()?, position))
        })
        .collect()
}

impl Site {
    fn new(server: Server, mesh: Mesh, recorded: BTreeMap<u32, usize>, lab: &Lab) -> anyhow::Result<Self> {
        let fleet = Fleet::start(FleetSettings {
            server: server.xds,
            protocol: lab.protocol(),
            cpu: lab.cpus.map(|(_, fleet)| fleet),
            keep_content: false,
            alternating_markers: matches!(server.control, Control::Hook(_)),
            local_addresses: Vec::new(),
        })?;
        Ok(Self {
            fleet,
            mesh,
            changes: Changes { control: server.control.clone(), recorded, made: BTreeMap::new() },
            server,
            node_id: lab.args.node_id.clone(),
            lost_after: lab.args.lost_after,
            calls: histogram::new(),
            after_calls: histogram::new(),
            changes_made: 0,
            failures: Vec::new(),
        })
    }

    /// Connects an Envoy as each of these nodes, all at once; they are numbered as they come.
    pub fn connect(&self, nodes: Range<usize>, behaviour: Behaviour) -> Range<usize> {
        self.fleet.add(self.simulated(nodes, behaviour))
    }

    /// Waits until all Envoys are in sync and nothing is on its way.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        let synced = self.fleet.wait_synced(SYNC_TIMEOUT);
        let tally = self.fleet.tally();
        if synced < tally.envoys {
            bail!("only {synced} of {} Envoys are in sync after {} s", tally.envoys, SYNC_TIMEOUT.as_secs());
        }
        if !self.fleet.wait_quiet(QUIET, SYNC_TIMEOUT) {
            self.fail(format!(
                "something still comes {} s after all Envoys were in sync",
                SYNC_TIMEOUT.as_secs()
            ));
        }
        Ok(())
    }

    /// Changes a service and waits until its consumers have the change. One that is lost is a failure of the run, which
    /// goes on.
    pub fn change_and_wait(&mut self, service: u32) -> anyhow::Result<Propagation> {
        let (number, answered) = self.change(service)?;
        let propagation = self.fleet.wait_for((service, number), self.lost_after);
        if let Some(last_ack) = propagation.last_ack {
            histogram::record(&mut self.after_calls, last_ack.saturating_duration_since(answered));
        }
        if propagation.received < propagation.consumers {
            self.fail(format!(
                "change {number} of service {service} reached {} of {} consumers within {}",
                propagation.received,
                propagation.consumers,
                humantime::format_duration(self.lost_after)
            ));
        }
        Ok(propagation)
    }

    /// Changes a service; the number of the change, and when the call was answered.
    pub fn change(&mut self, service: u32) -> anyhow::Result<(u64, Instant)> {
        let number = self.changes.made.get(&service).copied().unwrap_or_default() + 1;
        let started = Instant::now();
        self.fleet.expect(Change { service, number, started });
        self.changes.make(&self.mesh, service, number)?;
        let answered = Instant::now();
        histogram::record(&mut self.calls, answered - started);
        self.changes.made.insert(service, number);
        self.changes_made += 1;
        Ok((number, answered))
    }

    /// Takes note of something that went wrong.
    pub fn fail(&mut self, failure: String) {
        self.failures.push(failure);
    }

    /// What went wrong so far; it is not told again.
    pub fn take_failures(&mut self) -> Vec<String> {
        std::mem::take(&mut self.failures)
    }

    /// The API, where the server has one.
    pub fn api(&self) -> anyhow::Result<&Api> {
        match &self.server.control {
            Control::Api(api) => Ok(api),
            Control::Hook(_) => {
                bail!("this scenario defines more than recorded content has; it takes a server with the API")
            }
        }
    }

    /// Begins to count.
    pub fn begin(&mut self) -> anyhow::Result<PhaseStart> {
        self.fleet.reset();
        self.calls.reset();
        self.after_calls.reset();
        let process = self.server.process;
        Ok(PhaseStart {
            started: Instant::now(),
            cpu: process.map(Process::cpu).transpose()?,
            resident: process.map(Process::resident).transpose()?,
            changes: self.changes_made,
            fleet_cpu: self.fleet.tally().cpu,
        })
    }

    /// How things are, for a plot over time.
    pub fn sample(&self, start: &PhaseStart) -> anyhow::Result<Sample> {
        let tally = self.fleet.tally();
        let process = self.server.process;
        let cpu = process.map(Process::cpu).transpose()?;
        Ok(Sample {
            at: start.started.elapsed().as_secs_f64(),
            resident: process.map(Process::resident).transpose()?,
            cpu_seconds: cpu.zip(start.cpu).map(|(now, before)| now.saturating_sub(before).as_secs_f64()),
            pushes: tally.received.pushes,
            envoys: tally.connected,
            outstanding: tally.outstanding,
        })
    }

    /// What was counted since.
    pub fn end(&mut self, start: &PhaseStart, name: &str, samples: Vec<Sample>) -> anyhow::Result<Phase> {
        let seconds = start.started.elapsed().as_secs_f64();
        let tally = self.fleet.tally();
        let changes = self.changes_made - start.changes;
        self.fail_for(&tally.received, changes);
        let server = match (self.server.process, start.cpu, start.resident) {
            (Some(process), Some(cpu), Some(resident_before)) => Some(ServerCost {
                cpu_seconds: process.cpu()?.saturating_sub(cpu).as_secs_f64(),
                resident_before,
                resident_after: process.resident()?,
            }),
            _ => None,
        };
        Ok(Phase {
            name: name.to_owned(),
            seconds,
            envoys: tally.connected,
            changes,
            latencies: self.latencies(&tally),
            received: tally.received,
            server,
            fleet_cpu_seconds: tally.cpu.saturating_sub(start.fleet_cpu).as_secs_f64(),
            samples,
        })
    }

    /// What no server may do, whatever the scenario. Where nothing changes, what comes is what a connection takes.
    fn fail_for(&mut self, received: &Received, changes: u64) {
        let Received { misdirected, redundant, .. } = *received;
        if misdirected > 0 {
            self.fail(format!("{misdirected} responses told Envoys of services that they do not consume"));
        }
        if redundant > 0 && changes > 0 {
            self.fail(format!("{redundant} responses were redundant: nothing in them was new"));
        }
    }

    fn latencies(&self, tally: &Tally) -> BTreeMap<Measure, Latency> {
        let mut last_sync = histogram::new();
        if let Some(last) = tally.last_sync {
            histogram::record(&mut last_sync, last);
        }
        let measured = [
            (Measure::Call, &self.calls),
            (Measure::LastAckAfterCall, &self.after_calls),
            (Measure::Receipt, &tally.receipt),
            (Measure::LastReceipt, &tally.last_receipt),
            (Measure::LastAck, &tally.last_ack),
            (Measure::Sync, &tally.sync),
            (Measure::LastSync, &last_sync),
        ];
        let timed = measured.into_iter().filter(|(_, histogram)| !histogram.is_empty());
        timed.map(|(measure, histogram)| (measure, histogram::latency(histogram))).collect()
    }

    fn simulated(&self, nodes: Range<usize>, behaviour: Behaviour) -> Vec<Simulated> {
        let envoy = |node: usize| Simulated {
            node_id: node_id(&self.node_id, &self.mesh.name, &self.mesh.node(node)),
            services: self.mesh.nodes[node].clone(),
            behaviour,
        };
        nodes.map(envoy).collect()
    }
}

impl Changes {
    fn make(&self, mesh: &Mesh, service: u32, number: u64) -> anyhow::Result<()> {
        match &self.control {
            Control::Api(api) => api.call(&mesh.change(service, number)),
            Control::Hook(hook) => {
                let change = self.recorded.get(&service).copied();
                let change =
                    change.with_context(|| format!("no change of service {service} was recorded"))?;
                hook.change(change, usize::from(number % 2 == 1))
            }
        }
    }
}
