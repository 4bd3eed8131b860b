//! The process: the store and the roles that it has, held together.
//!
//! | file | starts |
//! |---|---|
//! | `frontend`, `transformer`, `management` | one role each |
//! | `membership` | what tells other hosts of this one |
//! | `process` | what all of them share: the store, tasks, servers |

mod frontend;
mod management;
mod membership;
mod process;
mod transformer;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::process::Process;
use crate::admin::{self, Admin, ConnectedEverywhere, ConnectedHere, Peers};
use crate::frontend::ConnectedEnvoys;
use crate::management::server;
use crate::settings::{Role, ServeSettings, StoreSettings};
use crate::store::{EmbeddedStore, EtcdError, EtcdStore, OpenError, Store, StoreError};
use crate::telemetry;
use crate::watched_files::WatchedFilesError;

/// Why the process cannot run, or runs no longer.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The store cannot be opened.
    #[error("cannot open the store")]
    Open(#[from] OpenError),
    /// The cluster of etcd cannot be used.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The store has failed.
    #[error("the store has failed")]
    Store(#[from] StoreError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {purpose}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What it is for.
        purpose: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A thread, a signal handler or a server could not be started, or has failed.
    #[error("the process cannot go on")]
    Io(#[from] io::Error),
    /// The threads of the actors could not be started.
    #[error(transparent)]
    Arbiters(#[from] legation_actors::arbiters::ArbitersError),
    /// Metrics cannot be recorded.
    #[error("cannot record metrics")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// A task of the process has panicked.
    #[error("a task has failed")]
    Task(#[from] tokio::task::JoinError),
    /// A file that the settings name cannot be used.
    #[error(transparent)]
    File(#[from] WatchedFilesError),
}

/// Serves until the process is told to end by SIGTERM or SIGINT.
pub async fn serve(settings: ServeSettings) -> Result<(), ServeError> {
    let metrics = telemetry::record_metrics()?;
    let has = |role| settings.roles.contains(&role);
    let mut guard = frontend::Guard::default();
    let mut process = Process::new(Arc::new(settings.clone()));
    if has(Role::Frontend) {
        // whatever is wrong with the files is told before anything is opened
        guard = frontend::Guard::watch(&mut process)?;
    }
    let store: Arc<dyn Store> = match &settings.store {
        StoreSettings::Embedded { data_dir } => Arc::new(EmbeddedStore::open(data_dir)?),
        StoreSettings::Etcd(etcd) => Arc::new(EtcdStore::open(etcd).await?),
    };
    let api = has(Role::Frontend).then(|| listen(settings.api_addr, "the API")).transpose()?;
    let xds = has(Role::Management).then(|| listen(settings.xds_addr, "Envoys")).transpose()?;
    let admin = listen(settings.admin_addr, "health, metrics and status")?;
    let address = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
    let (api_addr, xds_addr, admin_addr) = (address(&api)?, address(&xds)?, admin.local_addr()?);

    let mut ready = String::from("legation is ready");
    for (name, address) in [("api", api_addr), ("xds", xds_addr), ("admin", Some(admin_addr))] {
        if let Some(address) = address {
            ready += &format!(" {name}={address}");
        }
    }
    let me = membership::member(&settings, admin_addr, xds_addr, api_addr);
    let (hosts, registration) = match settings.store {
        StoreSettings::Embedded { .. } => (None, None),
        StoreSettings::Etcd(_) => {
            let (hosts, registration) = membership::start(&mut process, &store, me.clone()).await?;
            (Some(hosts), Some(registration))
        }
    };
    let transformer = if has(Role::Transformer) {
        let share = hosts.clone().map(|hosts| crate::membership::Sharing::new(me.id.clone(), hosts));
        Some(transformer::start(&mut process, &store, share)?)
    } else {
        None
    };
    let management = match xds {
        Some(listener) => Some(management::start(&mut process, &store, listener)?),
        None => None,
    };
    let peers = Peers::default();
    if let Some(listener) = api {
        let connected: Option<Arc<dyn ConnectedEnvoys>> = match (&hosts, &management) {
            (Some(hosts), _) => {
                Some(Arc::new(ConnectedEverywhere { hosts: hosts.clone(), peers: peers.clone() }))
            }
            (None, Some(management)) => Some(Arc::new(ConnectedHere(Arc::clone(&management.fleet)))),
            (None, None) => None,
        };
        frontend::start(&mut process, &store, guard, connected, listener);
    }
    let admin_router = admin::router(Admin {
        me,
        hosts,
        peers,
        store: Arc::clone(&store),
        transformer,
        management,
        metrics: metrics.clone(),
    });
    process.serve_admin(admin, admin_router);
    process.run(async move {
        telemetry::keep_metrics(metrics).await;
        Ok(())
    });
    tracing::info!("serving");
    // whatever is logged: who starts the process waits for this line
    eprintln!("{ready}");
    process.run_until(told_to_end(), registration).await
}

/// How many threads may work at once.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn listen(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, ServeError> {
    server::listen(address).map_err(|source| ServeError::Listen { address, purpose, source })
}

async fn told_to_end() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
