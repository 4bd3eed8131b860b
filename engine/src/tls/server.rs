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

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::net::TcpListener;
    use tokio::time::Instant;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::tls::provider;

    /// A transport with a certificate for `a`, and a client that trusts it.
    fn pair() -> (Transport, watch::Sender<Arc<ServerConfig>>, TlsConnector) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = cert.der().clone();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (sender, config) = watch::channel(Arc::new(server));
        (Transport::tls(config), sender, Arc::new(client).into())
    }

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn handshake(client: TcpStream, connector: &TlsConnector) -> io::Result<()> {
        connector.connect(ServerName::try_from("a").unwrap(), client).await.map(|_| ())
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_not_waited_for() {
        let (transport, _sender, _) = pair();
        let (_client, server) = connection().await;
        let started = Instant::now();
        let error = transport.accept(server).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= HANDSHAKE_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_are_bounded_and_wait_for_each_other() {
        let (transport, _sender, connector) = pair();
        let mut silent = Vec::new();
        for _ in 0..HANDSHAKES_MAX {
            let (client, server) = connection().await;
            let transport = transport.clone();
            silent.push((client, tokio::spawn(async move { transport.accept(server).await.map(|_| ()) })));
        }
        tokio::task::yield_now().await;
        let started = Instant::now();
        let (client, server) = connection().await;
        let (accepted, connected) = tokio::join!(transport.accept(server), handshake(client, &connector));
        assert!(accepted.is_ok() && connected.is_ok());
        assert!(started.elapsed() >= HANDSHAKE_TIMEOUT, "it did not wait for the others");
    }

    #[tokio::test]
    async fn each_connection_gets_what_is_current() {
        let (transport, sender, old) = pair();
        let (_, other_sender, new) = pair();
        for (connector, is_trusted) in [(&old, true), (&new, false)] {
            let (client, server) = connection().await;
            let (_, connected) = tokio::join!(transport.accept(server), handshake(client, connector));
            assert_eq!(connected.is_ok(), is_trusted);
        }
        sender.send_replace(other_sender.borrow().clone());
        for (connector, is_trusted) in [(&old, false), (&new, true)] {
            let (client, server) = connection().await;
            let (_, connected) = tokio::join!(transport.accept(server), handshake(client, connector));
            assert_eq!(connected.is_ok(), is_trusted);
        }
    }
}
