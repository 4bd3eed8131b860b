//! The server under test: one that runs already, or one that is started for the run.
//!
//! | module | holds |
//! |---|---|
//! | [`api`] | App Mesh's API, by which Legation is told what to serve |
//! | [`callers`] | calls of it at a rate, side by side |
//! | [`hook`] | the hook by which servers of recorded content are told to change it |
//! | [`timings`] | how long parts of a change took by its own metrics |
//! | [`etcd`] | a cluster of etcd, where the store of a server is to be in one |
//! | [`child`] | a server that is started for a run, and ended after it |
//! | [`process`] | what a process uses: CPU time and memory |
//! | [`pin`] | CPUs |

pub mod api;
pub mod callers;
pub mod child;
pub mod etcd;
pub mod hook;
pub mod pin;
pub mod process;
pub mod timings;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::ValueEnum;
use legation_proto::response::Protocol;

use self::api::Api;
use self::child::ServerProcess;
use self::hook::Hook;
use self::process::Process;

/// A kind of server that can be started for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum ServerKind {
    /// Legation itself.
    Legation,
    /// A server without logic on the h2 crate.
    FloorH2,
    /// A server without logic on tonic.
    FloorTonic,
    /// go-control-plane: clusters and listeners in a snapshot cache a node, endpoints and routes in linear caches.
    GoControlPlaneMix,
    /// go-control-plane: linear caches only.
    GoControlPlaneLinear,
    /// go-control-plane: a snapshot cache only.
    GoControlPlaneSnapshot,
}

impl ServerKind {
    /// Whether it serves recorded content, and has no mesh of its own.
    pub fn serves_content(self) -> bool {
        self != Self::Legation
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legation => "legation",
            Self::FloorH2 => "floor-h2",
            Self::FloorTonic => "floor-tonic",
            Self::GoControlPlaneMix => "go-control-plane-mix",
            Self::GoControlPlaneLinear => "go-control-plane-linear",
            Self::GoControlPlaneSnapshot => "go-control-plane-snapshot",
        })
    }
}

/// Where the programs are.
#[derive(Clone, Debug, clap::Args)]
pub struct Programs {
    /// The program of Legation [default: beside this one]
    #[arg(long, value_name = "FILE")]
    legation: Option<PathBuf>,

    /// The program of the peers, which `make peers` builds
    #[arg(long, value_name = "FILE", default_value = "target/peers/legation-peer")]
    peer: PathBuf,

    /// Where a Legation that is started has its store, and etcd its: on a disk by default, or for example on a tmpfs
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/tmp")]
    pub(crate) store_in: PathBuf,

    /// More flags for `legation serve`, for example --serve-flag=--stall-timeout=5s
    #[arg(long = "serve-flag", value_name = "FLAG", allow_hyphen_values = true)]
    serve_flags: Vec<String>,
}

/// A server that Envoys can connect to.
#[derive(Debug)]
pub struct Server {
    /// Where Envoys connect.
    pub xds: SocketAddr,
    /// Where it tells its metrics, where that is known.
    pub admin: Option<SocketAddr>,
    /// How it is told to change something.
    pub control: Control,
    /// Its process, where it is known.
    pub process: Option<Process>,
    /// Ends the process, where it was started for the run.
    _child: Option<ServerProcess>,
}

/// Where a Legation that is started has its store.
#[derive(Clone, Copy, Debug)]
pub enum Store<'a> {
    /// In files of its own, below this directory.
    Embedded(&'a Path),
    /// In etcd, as `--store` names it.
    Etcd(&'a str),
}

/// How a server is told to change something.
#[derive(Clone, Debug)]
pub enum Control {
    /// By definitions, through App Mesh's API.
    Api(Api),
    /// By the number of a change that was recorded, and a variant of it.
    Hook(Hook),
}

impl Server {
    /// Legation, with an empty store.
    pub fn start_legation(programs: &Programs, cpu: Option<usize>, store: Store<'_>) -> anyhow::Result<Self> {
        let program = match &programs.legation {
            Some(program) => absolute(program)?,
            None => beside_this("legation")?,
        };
        let mut command = Command::new(program);
        let (place, parent) = match store {
            Store::Embedded(parent) => (["--data-dir", "data"], Some(parent)),
            Store::Etcd(address) => (["--store", address], None),
        };
        command.arg("serve").args(place);
        for flag in ["--api-addr", "--xds-addr", "--admin-addr"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        // how many it takes is not what is measured, and who connects again may come before the old connection is gone
        command.args(["--max-envoys", "100000"]);
        command.args(&programs.serve_flags);
        let child = ServerProcess::start(&mut command, cpu, parent)?;
        let control = Control::Api(Api::new(&format!("http://{}", child.address("api")?)));
        Self::of(child, control)
    }

    /// A server that serves recorded content.
    pub fn start_with_content(
        kind: ServerKind,
        programs: &Programs,
        content: &Path,
        protocol: Protocol,
        cpu: Option<usize>,
    ) -> anyhow::Result<Self> {
        let mut command = match kind {
            ServerKind::Legation => bail!("legation serves definitions, not recorded content"),
            ServerKind::FloorH2 => floor("h2", protocol)?,
            ServerKind::FloorTonic => floor("tonic", protocol)?,
            ServerKind::GoControlPlaneMix => peer(programs, "mix")?,
            ServerKind::GoControlPlaneLinear => peer(programs, "linear")?,
            ServerKind::GoControlPlaneSnapshot => peer(programs, "snapshot")?,
        };
        command.arg("--content").arg(content);
        command.args(["--xds-addr", "127.0.0.1:0", "--hook-addr", "127.0.0.1:0"]);
        let child = ServerProcess::start(&mut command, cpu, None)?;
        let control = Control::Hook(Hook::new(&format!("http://{}", child.address("hook")?)));
        Self::of(child, control)
    }

    /// One that runs already.
    pub fn running(xds: SocketAddr, control: Control, pid: Option<u32>) -> Self {
        Self { xds, admin: None, control, process: pid.map(Process::new), _child: None }
    }

    fn of(child: ServerProcess, control: Control) -> anyhow::Result<Self> {
        let xds = child.address("xds")?.parse().context("the server told an address that is none")?;
        let admin = child.address("admin").ok().and_then(|address| address.parse().ok());
        Ok(Self { xds, admin, control, process: Some(Process::new(child.pid())), _child: Some(child) })
    }
}

fn floor(kind: &str, protocol: Protocol) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", "--kind", kind, "--protocol", protocol.as_str()]);
    Ok(command)
}

fn peer(programs: &Programs, mode: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(absolute(&programs.peer).context("build the peers by `make peers`")?);
    command.args(["--mode", mode]);
    Ok(command)
}

/// A program in the directory of this one.
fn beside_this(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    absolute(&program).context("build it by `cargo build --release -p legation`, or tell where it is")
}

/// Commands are started in a directory of their own.
fn absolute(program: &Path) -> anyhow::Result<PathBuf> {
    program.canonicalize().with_context(|| format!("there is no {}", program.display()))
}
