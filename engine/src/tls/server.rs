//! Connections, once TLS is agreed upon.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, describe_counter};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

const HANDSHAKES_FAILED_TOTAL: &str = "legation_tls_handshakes_failed_total";

/// How long agreeing upon TLS may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many agree upon TLS at the same time; others wait. Each costs a signature, which takes longer than most calls.
const HANDSHAKES_MAX: usize = 128;

/// How connections are spoken on: in clear text, or in TLS. Cheap to clone.
#[derive(Clone, Default)]
pub struct Transport(Option<Tls>);

#[derive(Clone)]
struct Tls {
    config: watch::Receiver<Arc<ServerConfig>>,
    handshakes: Arc<Semaphore>,
}

impl Transport {
    /// Clear text.
    pub fn clear_text() -> Self {
        Self(None)
    }

    /// TLS, as `config` says when a connection begins.
    pub fn tls(config: watch::Receiver<Arc<ServerConfig>>) -> Self {
        describe_counter!(HANDSHAKES_FAILED_TOTAL, "connections on which TLS was not agreed upon, by reason");
        Self(Some(Tls { config, handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)) }))
    }

    /// What is to be spoken on `stream`, once that is agreed upon.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        let Some(tls) = &self.0 else {
            return Ok(Either::Left(stream));
        };
        let _place = tls.handshakes.acquire().await.map_err(io::Error::other)?;
        let config = Arc::clone(&tls.config.borrow());
        let (reason, error) = match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await
        {
            Ok(Ok(stream)) => return Ok(Either::Right(stream)),
            Ok(Err(error)) => ("error", error),
            Err(_) => ("timeout", io::ErrorKind::TimedOut.into()),
        };
        counter!(HANDSHAKES_FAILED_TOTAL, "reason" => reason).increment(1);
        Err(error)
    }
}
