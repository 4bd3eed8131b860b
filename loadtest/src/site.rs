//! A server with a mesh and a fleet, on which changes are made, and what is measured meanwhile.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use legation_proto::response::Protocol;

use crate::fleet::{Behaviour, Change, Fleet, FleetSettings, Propagation, Simulated, Tally};
use crate::histogram::{self, Histogram};
use crate::mesh::Mesh;
use crate::run::{Latency, Measure, Phase, Received, Sample, ServerCost};
use crate::server::api::Api;
use crate::server::process::Process;
use crate::server::timings::Timings;
use crate::server::{Control, Server};

/// How long a fleet may take to be in sync.
const SYNC_TIMEOUT: Duration = Duration::from_secs(120);
/// Nothing is on its way any more when nothing came for so long.
const QUIET: Duration = Duration::from_millis(300);

/// What is the same for all fleets of a run.
#[derive(Clone, Debug)]
pub struct SiteSettings {
    /// The form of the protocol that the Envoys speak.
    pub protocol: Protocol,
    /// The CPU of the fleet, where it has one of its own.
    pub cpu: Option<usize>,
    /// The template of the node ids.
    pub node_id: String,
    /// How long a change may take to reach a consumer until it counts as lost.
    pub lost_after: Duration,
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
    settings: SiteSettings,
    calls: Histogram,
    after_calls: Histogram,
    changes_made: u64,
    failures: Vec<String>,
    /// Whether some Envoys do not answer, so that the server may end their streams.
    may_send_away: bool,
}

/// What was changed so far, and how.
#[derive(Debug)]
struct Changes {
    control: Control,
    /// The position of the change of each service in recorded content.
    recorded: BTreeMap<u32, usize>,
    /// How often each service was changed, or is about to be.
    made: BTreeMap<u32, u64>,
}

/// A part of a run, under way.
#[derive(Debug)]
pub struct PhaseStart {
    started: Instant,
    cpu: Option<Duration>,
    resident: Option<u64>,
    changes: u64,
    envoys: usize,
    fleet_cpu: Duration,
}

impl Site {
    /// A fleet without Envoys yet, for a server that has the mesh; `recorded` are the positions of changes by the services that
    /// they change, where it serves recorded content.
    pub fn new(
        server: Server,
        mesh: Mesh,
        recorded: BTreeMap<u32, usize>,
        settings: SiteSettings,
    ) -> anyhow::Result<Self> {
        let fleet = Fleet::start(FleetSettings {
            server: server.xds,
            protocol: settings.protocol,
            cpu: settings.cpu,
            keep_content: false,
            alternating_markers: matches!(server.control, Control::Hook(_)),
        })?;
        Ok(Self {
            fleet,
            mesh,
            changes: Changes { control: server.control.clone(), recorded, made: BTreeMap::new() },
            server,
            settings,
            calls: histogram::new(),
            after_calls: histogram::new(),
            changes_made: 0,
            failures: Vec::new(),
            may_send_away: false,
        })
    }

    /// Connects an Envoy as each of these nodes, all at once; they are numbered as they come.
    pub fn connect(&mut self, nodes: Range<usize>, behaviour: Behaviour) -> Range<usize> {
        self.may_send_away |= !matches!(behaviour, Behaviour::Accept | Behaviour::Reject);
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
        let started = Instant::now();
        let number = self.expect(service, started);
        self.changes.make(&self.mesh, service, number)?;
        let answered = Instant::now();
        histogram::record(&mut self.calls, answered - started);
        self.changes_made += 1;
        let propagation = self.fleet.wait_for((service, number), self.settings.lost_after);
        if let Some(last_ack) = propagation.last_ack {
            histogram::record(&mut self.after_calls, last_ack.saturating_duration_since(answered));
        }
        let Propagation { consumers, received, accepted, .. } = propagation;
        let within = humantime::format_duration(self.settings.lost_after);
        if received < consumers {
            self.fail(format!(
                "change {number} of service {service} reached {received} of {consumers} consumers within {within}"
            ));
        } else if accepted < consumers {
            self.fail(format!(
                "change {number} of service {service} was accepted by {accepted} of {consumers} consumers within {within}: \
                 the ACKs of the others could not be written"
            ));
        }
        Ok(propagation)
    }

    /// Takes note of a change that is to be made, from which on it is waited for. Its number; all times count from when it was due.
    pub fn expect(&mut self, service: u32, due: Instant) -> u64 {
        let number = self.changes.next(service);
        self.fleet.expect(Change { service, number, started: due });
        number
    }

    /// Takes note of changes that were made meanwhile, and how long each call took.
    pub fn count_calls(&mut self, calls: &Histogram) -> anyhow::Result<()> {
        self.calls.add(calls)?;
        self.changes_made += calls.len();
        Ok(())
    }

    /// Waits until all consumers have every change; those that lack one after the time that it may take have lost it.
    pub fn wait_received(&self) {
        self.fleet.wait_received(self.settings.lost_after);
        self.give_up();
    }

    /// Counts changes as lost for consumers that have waited longer than they may.
    pub fn give_up(&self) {
        self.fleet.give_up(self.settings.lost_after);
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

    /// What parts of changes took so far, by the server's own metrics.
    pub fn timings(&self) -> anyhow::Result<Timings> {
        Timings::read(self.server.admin.context("it is not known where the server tells its metrics")?)
    }

    /// Begins to count.
    pub fn begin(&mut self) -> anyhow::Result<PhaseStart> {
        self.fleet.wait_quiet(QUIET, SYNC_TIMEOUT); // what is sent to others than consumers may come late
        self.fleet.reset();
        self.calls.reset();
        self.after_calls.reset();
        let process = self.server.process;
        let tally = self.fleet.tally();
        Ok(PhaseStart {
            started: Instant::now(),
            cpu: process.map(Process::cpu).transpose()?,
            resident: process.map(Process::resident).transpose()?,
            changes: self.changes_made,
            envoys: tally.envoys,
            fleet_cpu: tally.cpu,
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
            behind: tally.behind.as_secs_f64(),
        })
    }

    /// What was counted since.
    pub fn end(&mut self, start: &PhaseStart, name: &str, samples: Vec<Sample>) -> anyhow::Result<Phase> {
        let seconds = start.started.elapsed().as_secs_f64();
        let server = match (self.server.process, start.cpu, start.resident) {
            (Some(process), Some(cpu), Some(resident_before)) => Some(ServerCost {
                cpu_seconds: process.cpu()?.saturating_sub(cpu).as_secs_f64(),
                resident_before,
                resident_after: process.resident()?,
            }),
            _ => None,
        };
        self.fleet.wait_quiet(QUIET, SYNC_TIMEOUT);
        let tally = self.fleet.tally();
        let changes = self.changes_made - start.changes;
        self.fail_for(&tally.received, changes);
        Ok(Phase {
            name: name.to_owned(),
            seconds,
            envoys: tally.connected,
            new_envoys: tally.envoys.saturating_sub(start.envoys),
            changes,
            latencies: self.latencies(&tally),
            received: tally.received,
            server,
            fleet_cpu_seconds: tally.cpu.saturating_sub(start.fleet_cpu).as_secs_f64(),
            samples,
            parts: BTreeMap::new(),
        })
    }

    /// What no server may do, whatever the scenario. Where nothing changes, what comes is what a connection takes.
    fn fail_for(&mut self, received: &Received, changes: u64) {
        let Received { misdirected, redundant, disconnects, sent_away, .. } = *received;
        let ended = disconnects - sent_away;
        if ended > 0 && !self.may_send_away {
            self.fail(format!(
                "{ended} connections could not be opened, or ended without an announcement: what changed meanwhile \
                 was not waited for on their behalf"
            ));
        }
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
            node_id: self.mesh.node_id(&self.settings.node_id, node),
            services: self.mesh.nodes[node].clone(),
            behaviour,
        };
        nodes.map(envoy).collect()
    }
}

impl Changes {
    /// The number of the next change of a service.
    fn next(&mut self, service: u32) -> u64 {
        let made = self.made.entry(service).or_default();
        *made += 1;
        *made
    }

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
