//! The floors: xDS servers without logic, which send the bytes of recorded content to the streams that the server that it was
//! recorded from sent them to. What they cost is the least that a server of their kind can cost: the yardstick.
//!
//! | module | holds |
//! |---|---|
//! | `prepared` | every response that is ever sent, encoded before the first Envoy comes |
//! | `request` | the little that is read of a request |
//! | `fanout` | who is there, and what is sent to whom |
//! | [`faults`] | what a floor can be told to do wrong |
//! | `session` | a stream, whatever carries it |
//! | `tonic_server`, `h2_server` | the kinds |
//! | `hook` | the interface through which changes are made |
//!
//! A floor tracks no versions, waits for no ACK and knows no subscriptions. An Envoy that comes after a change is sent what was
//! there at first. What an Envoy does not read waits without limit, as shared bytes, since nothing is ever left out.

mod fanout;
pub mod faults;
mod h2_server;
mod hook;
mod prepared;
mod request;
mod session;
mod tonic_server;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use legation_proto::response::Protocol;
use socket2::{Domain, Socket, Type};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use self::fanout::Fanout;
use self::faults::Faults;
pub use self::prepared::Inconsistent;
use self::prepared::Prepared;
use crate::arguments::protocol_parser;
use crate::content::Content;

/// Connections that wait to be accepted: a storm of a whole fleet.
const BACKLOG: i32 = 4096;

/// Serve recorded content without any logic: the yardstick for servers with logic
#[derive(Clone, Debug, Args)]
pub struct Floor {
    /// What the server is made of
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// The recorded content
    #[arg(long, value_name = "FILE")]
    pub content: PathBuf,
    /// The form of the xDS protocol that is spoken
    #[arg(long, default_value = "delta", value_parser = protocol_parser())]
    pub protocol: Protocol,
    /// Where to listen for Envoys; port 0 chooses one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub xds_addr: SocketAddr,
    /// Where to listen for changes; port 0 chooses one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub hook_addr: SocketAddr,
}

/// What a floor is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// tonic, with a codec that passes bytes through
    Tonic,
    /// The h2 crate on tokio, without gRPC's layers above it
    H2,
}

impl Floor {
    /// Serves until the process is told to end. A line on standard error tells when and where.
    pub fn run(self) -> anyhow::Result<()> {
        let content = Content::read(&self.content)
            .with_context(|| format!("cannot read the content in {}", self.content.display()))?;
        let settings =
            Settings { kind: self.kind, protocol: self.protocol, xds: self.xds_addr, hook: self.hook_addr };
        let running = start(&settings, &content, Faults::default())?;
        drop(content);
        running.until_told_to_end()?;
        Ok(())
    }
}

/// What a floor is, and where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What it is made of.
    pub kind: Kind,
    /// The form of the protocol that it speaks.
    pub protocol: Protocol,
    /// Where Envoys connect; port 0 chooses one.
    pub xds: SocketAddr,
    /// Where changes are made; port 0 chooses one.
    pub hook: SocketAddr,
}

/// Why a floor does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// What the content says cannot be.
    #[error("the content is inconsistent: {0}")]
    Content(#[from] Inconsistent),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The runtime has no threads.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
}

/// A floor that serves until it is dropped, on threads of its own: one a CPU that the process may use.
#[derive(Debug)]
pub struct Running {
    /// Where Envoys connect.
    pub xds: SocketAddr,
    /// Where changes are made.
    pub hook: SocketAddr,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

/// Starts a floor. It can be called from within another runtime.
pub fn start(settings: &Settings, content: &Content, faults: Faults) -> Result<Running, StartError> {
    let prepared = Prepared::new(content, settings.protocol)?;
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(StartError::Runtime)?;
    let entered = runtime.enter();
    let (xds, xds_addr) = listen(settings.xds)?;
    let (hook, hook_addr) = listen(settings.hook)?;
    drop(entered);
    let fanout = Arc::new(Fanout::new(prepared, faults));
    runtime.spawn(hook::serve(hook, Arc::clone(&fanout)));
    match settings.kind {
        Kind::Tonic => drop(runtime.spawn(tonic_server::serve(xds, fanout))),
        Kind::H2 => drop(runtime.spawn(h2_server::serve(xds, fanout))),
    }
    Ok(Running { xds: xds_addr, hook: hook_addr, runtime: Some(runtime) })
}

impl Running {
    /// Ends everything at once: every connection is closed. The same as to drop it.
    pub fn stop(self) {}

    fn until_told_to_end(&self) -> io::Result<()> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            eprintln!("ready xds={} hook={}", self.xds, self.hook);
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok(())
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background(); // waiting for it would not be allowed in another runtime
        }
    }
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listen().map_err(|source| StartError::Listen { address, source })
}
