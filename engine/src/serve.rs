//! The process: store, frontend, transformer and management together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use legation_actors::fleet::{Fleet, FleetSettings, Limits};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::frontend::authentication::{AccessKeys, Authenticator};
use crate::frontend::authorisation::{Authoriser, Denials, Policies};
use crate::frontend::{self, Frontend, FrontendSettings, Planner};
use crate::http_server::{self, Versions};
use crate::management::compose::COMPOSER;
use crate::management::connection::Keepalive;
use crate::management::discovery::DiscoveryService;
use crate::management::feed::{self, Feed};
use crate::management::server::{self, ServerSettings};
use crate::settings::{ServeSettings, StoreSettings};
use crate::store::{EmbeddedStore, EtcdError, EtcdStore, OpenError, Store, StoreError, retention};
use crate::telemetry;
use crate::tls::server::Transport;
use crate::transformer::passes::Passes;
use crate::transformer::workers::Workers;
use crate::watched_files::WatchedFilesError;

/// Largest body of an API request, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The file in the data directory that tells who was denied what.
const DENIALS: &str = "denials.json";

/// Why the process cannot run, or runs no longer.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The store cannot be opened.
    #[error("cannot open the store")]
    Open(#[from] OpenError),
    /// The store in etcd cannot be opened.
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
    let mut tasks: JoinSet<Result<(), ServeError>> = JoinSet::new();
    let mut authenticator = if settings.api_addr.ip().is_loopback() {
        Authenticator::anonymous_and_local()
    } else {
        Authenticator::anonymous()
    };
    let is_anonymous = settings.access_keys.is_none();
    if let Some(path) = settings.access_keys {
        let (files, keys) = AccessKeys::watch(path)?;
        tasks.spawn(async move { Ok(files.keep_current().await?) });
        authenticator = Authenticator::new(keys, &settings.region);
    }
    let mut authoriser = Authoriser::permissive();
    let denials_path = settings.data_dir.join(DENIALS);
    let denials = Arc::new(Denials::load(&denials_path));
    if let Some(path) = settings.policies {
        if is_anonymous {
            tracing::warn!(
                "there are policies and no access keys: everybody is User::\"anonymous\" to them, in no group"
            );
        }
        let (files, policies) = Policies::watch(path)?;
        tasks.spawn(async move { Ok(files.keep_current().await?) });
        let keeping = Arc::clone(&denials).keep(denials_path.clone());
        tasks.spawn(async move { Ok(keeping.await?) });
        authoriser = Authoriser::new(policies, Arc::clone(&denials));
    }
    let mut transport = Transport::clear_text();
    if let Some(certificate) = settings.api_certificate {
        let (files, config) = certificate.watch("api_certificate", &["http/1.1"])?;
        tasks.spawn(async move { Ok(files.keep_current().await?) });
        transport = Transport::tls(config);
    }
    let store: Arc<dyn Store> = match settings.store {
        StoreSettings::Embedded { data_dir } => Arc::new(EmbeddedStore::open(&data_dir)?),
        StoreSettings::Etcd(etcd) => Arc::new(EtcdStore::open(&etcd).await?),
    };
    let api = listen(settings.api_addr, "the API")?;
    let xds = listen(settings.xds_addr, "Envoys")?;
    let admin = listen(settings.admin_addr, "health, metrics and status")?;
    let (api_addr, xds_addr, admin_addr) = (api.local_addr()?, xds.local_addr()?, admin.local_addr()?);

    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (passes, transformed) = Passes::new(Arc::clone(&store), Workers::start(cores)?);
    let linter = passes.linter();
    let (feed_handle, requests) = feed::requests();
    let control_plane = format!("legation/{}", uuid::Uuid::new_v4());
    let fleet_settings = FleetSettings {
        arbiters: cores,
        limits: Limits { envoys: settings.max_envoys, envoys_per_node: settings.max_envoys_per_node },
        stall_timeout: settings.stall_timeout,
        control_plane: control_plane.clone(),
    };
    let fleet = Arc::new(Fleet::start(fleet_settings, Arc::new(feed_handle.clone()), COMPOSER)?);
    let feed = Feed::new(Arc::clone(&store), Arc::clone(&fleet));
    let connected = Arc::clone(&fleet);
    let planner = Planner::new(control_plane, Arc::new(move |node| connected.envoys_connected_of(node)));
    let frontend = Frontend::new(
        Arc::clone(&store),
        FrontendSettings {
            region: settings.region,
            account: settings.account_id,
            body_bytes_max: BODY_BYTES_MAX,
            quotas: settings.quotas,
            rates: settings.rates,
        },
    )
    .with_authenticator(authenticator)
    .with_authoriser(authoriser)
    .with_planner(planner);
    let admin_router = admin::router(Admin {
        fleet: Arc::clone(&fleet),
        store: Arc::clone(&store),
        transformed,
        found: linter.found(),
        feed: feed_handle,
        metrics: metrics.clone(),
    });

    let shutdown = CancellationToken::new();
    let journal = retention::keep(Arc::clone(&store), settings.retention);
    tasks.spawn(async move { match journal.await {} });
    tasks.spawn(async move { Ok(passes.run().await?) });
    tasks.spawn(async move {
        linter.run().await;
        Ok(())
    });
    tasks.spawn(async move { Ok(feed.run(requests).await?) });
    tasks.spawn(async move {
        telemetry::keep_metrics(metrics).await;
        Ok(())
    });
    let mut servers = JoinSet::new();
    let api_router = frontend::router(frontend);
    servers.spawn(http_server::serve(api, transport, api_router, Versions::Http1, shutdown.clone()));
    let clear_text = Transport::clear_text();
    let versions = Versions::Http1AndHttp2;
    servers.spawn(http_server::serve(admin, clear_text, admin_router, versions, shutdown.clone()));
    let discovery = DiscoveryService::new(fleet);
    let server_settings = ServerSettings {
        connections_max: settings.max_envoys,
        reconnect_interval: settings.reconnect_interval,
        reconnects_per_second: settings.reconnects_per_second,
        keepalive: Keepalive { interval: settings.keepalive_interval, timeout: settings.keepalive_timeout },
        drain_timeout: settings.drain_timeout,
    };
    servers.spawn(server::serve(xds, discovery, server_settings, shutdown.clone()));
    tracing::info!("serving");
    // whatever is logged: who starts the process waits for this line
    eprintln!("legation is ready api={api_addr} xds={xds_addr} admin={admin_addr}");

    tokio::select! {
        told = told_to_end() => told?,
        Some(ended) = tasks.join_next() => ended??,
        Some(ended) = servers.join_next() => ended?,
    }
    tracing::info!("shutting down");
    shutdown.cancel();
    while let Some(ended) = servers.join_next().await {
        ended?;
    }
    tasks.shutdown().await;
    denials.save(&denials_path);
    Ok(())
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
