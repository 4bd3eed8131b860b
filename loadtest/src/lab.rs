//! Where scenarios happen: it starts servers, or finds those that run, and puts meshes on them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use legation_proto::response::Protocol;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use crate::arguments::protocol_parser;
use crate::content::Content;
use crate::mesh::Mesh;
use crate::progress::Progress;
use crate::record::Recordings;
use crate::run::{Machine, Run};
use crate::server::api::Api;
use crate::server::hook::Hook;
use crate::server::{Control, Programs, Server, ServerKind, Store, pin};
use crate::site::{Site, SiteSettings};
use crate::{machine, open_files};

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

    /// Keep what is recorded from legation in a file, for a server of recorded content that is started otherwise
    #[arg(long, value_name = "FILE", conflicts_with = "xds")]
    keep_content: Option<PathBuf>,

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
    machine: Machine,
    /// The CPU of the server and that of the fleet.
    cpus: Option<(usize, usize)>,
    /// Meshes that were defined on a server that runs already: each has a name of its own.
    meshes: usize,
    /// The recording of which a copy was kept.
    kept: Option<PathBuf>,
    /// Whether a store that is started is `on disk` or `in memory`.
    store: Option<&'static str>,
}

impl Lab {
    /// A lab by what the command line says.
    pub fn new(args: LabArgs) -> anyhow::Result<Self> {
        let cpus = match (args.pin, pin::usable()?.as_slice()) {
            (false, _) => None,
            (true, [server, fleet, ..]) => Some((*server, *fleet)),
            (true, _) => bail!("--pin takes two CPUs, and there is one"),
        };
        let machine = machine::this(cpus);
        if let Some((_, fleet)) = cpus {
            // the client of the API is no part of the server either
            pin::pin(fleet).context("cannot run on one cpu only")?;
        }
        open_files::permit_all().context("cannot have as many open files as the system permits")?;
        let store = match args.xds {
            Some(_) => None,
            None => Some(kind_of_store(&args.programs.store_in)?),
        };
        Ok(Self { args, recordings: Recordings::default(), machine, cpus, meshes: 0, kept: None, store })
    }

    /// Measures another server from now on.
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

    /// Where stores are that are started.
    pub fn store_in(&self) -> &Path {
        &self.args.programs.store_in
    }

    /// The CPU of the server, where it has one of its own.
    pub fn server_cpu(&self) -> Option<usize> {
        self.cpus.map(|(server, _)| server)
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
        if let Some(store) = self.store {
            parameters.insert("store".to_owned(), store.to_owned());
        }
        Run {
            scenario: scenario.to_owned(),
            server,
            repetition: 0,
            parameters,
            machine: self.machine.clone(),
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
                let cpu = self.server_cpu();
                let LabArgs { server, programs, node_id, keep_content, .. } = &self.args;
                let (path, recorded) = self.recordings.of(programs, &mesh, changed, node_id)?;
                if let Some(kept) = keep_content {
                    let is_other = self.kept.replace(path.to_owned()).is_some_and(|before| before != path);
                    ensure!(
                        !is_other,
                        "--keep-content: this scenario has several contents, one after the other"
                    );
                    std::fs::copy(path, kept)
                        .with_context(|| format!("--keep-content: cannot write {}", kept.display()))?;
                }
                let server = Server::start_with_content(*server, programs, path, protocol, cpu)?;
                (server, mesh, recorded.clone())
            }
            (None, ..) => {
                return self.open_legation(mesh, Store::Embedded(self.store_in()));
            }
            (Some(xds), Some(hook), Some(content)) => {
                let recorded = Content::read(content)?.changes_of_services();
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
        self.site(server, mesh, recorded)
    }

    /// Puts a mesh on a Legation that is started for it, with a store of the caller's choice.
    pub fn open_legation(&self, mesh: Mesh, store: Store<'_>) -> anyhow::Result<Site> {
        let is_ours = self.args.xds.is_none() && self.args.server == ServerKind::Legation;
        ensure!(is_ours, "this starts a legation of its own: leave out --server and --xds");
        let server = Server::start_legation(&self.args.programs, self.server_cpu(), store)?;
        self.define(&server, &mesh)?;
        self.site(server, mesh, BTreeMap::new())
    }

    fn site(&self, server: Server, mesh: Mesh, recorded: BTreeMap<u32, usize>) -> anyhow::Result<Site> {
        let settings = SiteSettings {
            protocol: self.protocol(),
            cpu: self.cpus.map(|(_, fleet)| fleet),
            node_id: self.args.node_id.clone(),
            lost_after: self.args.lost_after,
        };
        Site::new(server, mesh, recorded, settings)
    }

    fn define(&self, server: &Server, mesh: &Mesh) -> anyhow::Result<()> {
        let Control::Api(api) = &server.control else { return Ok(()) };
        mesh.define(api, &self.progress("define the mesh", 0))
    }
}

fn kind_of_store(directory: &Path) -> anyhow::Result<&'static str> {
    let file_system = statfs(directory)
        .with_context(|| format!("--store-in: cannot have a store in {}", directory.display()))?;
    Ok(if file_system.filesystem_type() == TMPFS_MAGIC { "in memory" } else { "on disk" })
}
