//! What a stream knows of the life of its connection, and what it tells of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use legation_actors::fleet::{Places, Refused};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::metrics::{self, Refusal};

/// The life of a connection, shared by what serves it and its streams.
#[derive(Clone, Debug)]
pub struct ConnectionLife {
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// The places that its Envoys hold: one Envoy, unless something multiplexes.
    pub places: Places,
    ending: CancellationToken,
    refused: CancellationToken,
    aborted: CancellationToken,
    called: Arc<AtomicBool>,
    /// A place among those that are being opened.
    opening: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl ConnectionLife {
    /// A connection from `peer` that was just accepted and counts as being opened while it has `permit`.
    pub fn new(peer: SocketAddr, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            peer,
            places: Places::default(),
            ending: CancellationToken::new(),
            refused: CancellationToken::new(),
            aborted: CancellationToken::new(),
            called: Arc::default(),
            opening: Arc::new(Mutex::new(permit)),
        }
    }

    /// The connection is being opened no longer: the next may be.
    pub fn opened(&self) {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Tells the streams to end.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Whether they were told to.
    pub fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// Waits until the streams are to end.
    pub async fn ending(&self) {
        self.ending.cancelled().await;
    }

    /// A stream was refused: the connection closes once it was told, so that the Envoy reaches another host when it tries
    /// again, and not this one for ever.
    pub fn refuse(&self, refused: &Refused) {
        metrics::connection_refused(match refused {
            Refused::HostFull(_) => Refusal::HostFull,
            Refused::NodeFull { .. } => Refusal::NodeFull,
        });
        self.refused.cancel();
    }

    /// Waits until a stream was refused.
    pub async fn refused(&self) {
        self.refused.cancelled().await;
    }

    /// A call came.
    pub fn called(&self) {
        self.called.store(true, Ordering::Relaxed);
    }

    /// Whether any call came.
    pub fn was_called(&self) -> bool {
        self.called.load(Ordering::Relaxed)
    }

    /// Closes the connection at once, whatever waits to be written.
    pub fn abort(&self) {
        self.aborted.cancel();
    }

    /// Waits until the connection is to be closed at once.
    pub async fn aborted(&self) {
        self.aborted.cancelled().await;
    }
}
