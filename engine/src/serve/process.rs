//! What the roles of a process share: its tasks and servers, and its end.

use std::io;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ServeError;
use super::membership::Registered;
use crate::http_server::{self, Versions};
use crate::settings::ServeSettings;
use crate::tls::server::Transport;

/// A process: tasks that run for as long as it does, and servers that end first.
pub(super) struct Process {
    pub(super) settings: Arc<ServeSettings>,
    pub(super) shutdown: CancellationToken,
    /// The identifier of this host in every response to Envoys, as long as that of any other.
    pub(super) control_plane: String,
    tasks: JoinSet<Result<(), ServeError>>,
    servers: JoinSet<()>,
    /// Tells of the process until all else has ended.
    admin: JoinSet<()>,
    admin_shutdown: CancellationToken,
    last: Vec<Box<dyn FnOnce() + Send>>,
}

impl Process {
    pub(super) fn new(settings: Arc<ServeSettings>) -> Self {
        Self {
            settings,
            shutdown: CancellationToken::new(),
            control_plane: format!("legation/{}", uuid::Uuid::new_v4()),
            tasks: JoinSet::new(),
            servers: JoinSet::new(),
            admin: JoinSet::new(),
            admin_shutdown: CancellationToken::new(),
            last: Vec::new(),
        }
    }

    /// Runs something that the process cannot go on without.
    pub(super) fn run(&mut self, task: impl Future<Output = Result<(), ServeError>> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Serves over HTTP until the process is to end.
    pub(super) fn serve(
        &mut self,
        listener: TcpListener,
        transport: Transport,
        router: Router,
        versions: Versions,
    ) {
        let shutdown = self.shutdown.clone();
        self.serve_until_the_end(http_server::serve(listener, transport, router, versions, shutdown));
    }

    /// Serves over HTTP until the process has ended in all else.
    pub(super) fn serve_admin(&mut self, listener: TcpListener, router: Router) {
        let (transport, shutdown) = (Transport::clear_text(), self.admin_shutdown.clone());
        self.admin.spawn(http_server::serve(listener, transport, router, Versions::Http1AndHttp2, shutdown));
    }

    /// Runs a server, which ends after the process was told to.
    pub(super) fn serve_until_the_end(&mut self, server: impl Future<Output = ()> + Send + 'static) {
        self.servers.spawn(server);
    }

    /// Does something when all has ended.
    pub(super) fn at_last(&mut self, last: impl FnOnce() + Send + 'static) {
        self.last.push(Box::new(last));
    }

    /// Goes on until it is told to end, or cannot go on.
    pub(super) async fn run_until(
        mut self,
        told: impl Future<Output = io::Result<()>>,
        registered: Option<Registered>,
    ) -> Result<(), ServeError> {
        tokio::select! {
            told = told => told?,
            Some(ended) = self.tasks.join_next() => ended??,
            Some(ended) = self.servers.join_next() => ended?,
            Some(ended) = self.admin.join_next() => ended?,
        }
        tracing::info!("shutting down");
        self.shutdown.cancel();
        while let Some(ended) = self.servers.join_next().await {
            ended?;
        }
        self.tasks.shutdown().await;
        if let Some(registered) = registered {
            registered.end().await;
        }
        self.admin_shutdown.cancel();
        while let Some(ended) = self.admin.join_next().await {
            ended?;
        }
        for last in self.last {
            last();
        }
        Ok(())
    }
}
