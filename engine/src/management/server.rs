//! Accepts the connections of Envoys, and ends each after its time, so that load rebalances behind a balancer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::ads::{AdsService, ConnectionInfo};

/// Connections that wait to be accepted: a storm of a whole host's Envoys (conformance 104).
const BACKLOG: i32 = 4096;

/// Finds connections whose Envoy has gone without a word (conformance 100).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to end after its streams were told to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Streams on one connection: an Envoy opens one, and another while it reconnects.
const STREAMS_MAX: u32 = 100;

/// How long to wait when the process can open no further connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Lives differ by this part of the interval either way, so that Envoys that came together do not leave together.
const JITTER: f64 = 0.2;

const RECONNECTS_FORCED: &str = "legation_reconnects_forced_total";

/// Listens on `address`; port 0 chooses one.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves connections until `shutdown` is cancelled. Each lives for `reconnect_interval`, more or less.
pub async fn serve(
    listener: TcpListener,
    service: AdsService,
    reconnect_interval: Duration,
    shutdown: CancellationToken,
) {
    metrics::describe_counter!(
        RECONNECTS_FORCED,
        "Connections ended so that their Envoys connect again"
    );
    metrics::counter!(RECONNECTS_FORCED).absolute(0);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let jitter = 1.0 + JITTER * (2.0 * fastrand::f64() - 1.0);
                let life = reconnect_interval.mul_f64(jitter);
                tokio::spawn(serve_connection(
                    stream,
                    peer,
                    service.clone(),
                    life,
                    shutdown.clone(),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    service: AdsService,
    life: Duration,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "connection ended before it began");
        return;
    }
    let ending = CancellationToken::new();
    let info = ConnectionInfo {
        peer,
        ending: ending.clone(),
    };
    let answer = service_fn(move |request| {
        let service = service.clone();
        let info = info.clone();
        async move { Ok::<_, Infallible>(service.call(request, info).await) }
    });
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_concurrent_streams(STREAMS_MAX)
            .serve_connection(TokioIo::new(stream), answer)
    );
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection failed");
            }
            return;
        }
        () = tokio::time::sleep(life) => metrics::counter!(RECONNECTS_FORCED).increment(1),
        () = shutdown.cancelled() => {}
    }
    // the streams are ended by this side: GOAWAY alone leaves an endless stream, and an end of the stream alone leaves
    // the connection (conformance 101)
    connection.as_mut().graceful_shutdown();
    ending.cancel();
    if tokio::time::timeout(CLOSE_TIMEOUT, connection).await.is_err() {
        tracing::debug!(%peer, "connection closed without waiting for its peer");
    }
}
