//! Serves HTTP/1.1, and HTTP/2 beside it where gRPC is wanted, in clear text or TLS, on connections that cannot be held open by
//! saying nothing. Whoever answers a request finds the address that it comes from in it, as [`ConnectInfo`].

use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::tls::server::Transport;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;

/// How long the head of a request may take, and how long a connection may be idle before the next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest head of a request, in bytes. Names of resources take some kilobytes at most; what is longer is read, and kept,
/// before anybody knows who sends it.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Calls at once on a connection of HTTP/2.
const STREAMS_MAX: u32 = 100;

/// Finds connections of HTTP/2 whose peer has gone while a call was under way.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests that are under way may take when the process ends, and how long those may that have only begun to arrive.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const DRAIN_HEAD_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait when the process can open no further connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Which versions of HTTP are spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/1.1, and HTTP/2 with clients that begin with it, as those of gRPC do.
    Http1AndHttp2,
}

/// Serves `router` until `shutdown` is cancelled; requests that are under way then are finished, if they are quick.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    versions: Versions,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        tokio::select! {
            accepted = async { (place.await, listener.accept().await) } => match accepted {
                (place, Ok((stream, peer))) => {
                    let (transport, router, shutdown) = (transport.clone(), router.clone(), shutdown.clone());
                    connections.spawn(async move {
                        match shutdown.run_until_cancelled(transport.accept(stream)).await {
                            Some(Ok(stream)) => serve_connection(stream, peer, router, versions, shutdown).await,
                            Some(Err(error)) => tracing::debug!(%error, "no tls on a connection"),
                            None => {}
                        }
                        drop(place);
                    });
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_RETRY).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = shutdown.cancelled() => break,
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN_TIMEOUT, ended).await.is_err() {
        tracing::warn!("connections are closed without waiting for their requests");
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    router: Router,
    versions: Versions,
    shutdown: CancellationToken,
) {
    let calls = Calls::default();
    let (silence, last_silence) = (calls.silence(HEAD_TIMEOUT), calls.silence(DRAIN_HEAD_TIMEOUT));
    let router = TowerToHyperService::new(router.into_service::<Incoming>());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let call = calls.begin();
        let response = router.call(request);
        async move { Ok::<_, std::convert::Infallible>(call.until_sent(response.await?)) }
    });
    let builder = builder(versions);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silence => return,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = last_silence => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection failed");
    }
}

fn builder(versions: Versions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX);
    match versions {
        Versions::Http1 => builder.http1_only(),
        Versions::Http1AndHttp2 => builder,
    }
}

/// Counts the calls that are under way on a connection.
#[derive(Clone, Default)]
struct Calls(watch::Sender<usize>);

impl Calls {
    fn begin(&self) -> Call {
        self.0.send_modify(|calls| *calls += 1);
        Call(self.clone())
    }

    /// Waits until no call was under way for `pause`, since this is waited for.
    fn silence(&self, pause: Duration) -> impl Future<Output = ()> + use<> {
        let mut calls = self.0.subscribe();
        async move {
            while calls.wait_for(|calls| *calls == 0).await.is_ok() {
                // any change is a call that begins
                if timeout(pause, calls.changed()).await.is_err() {
                    return;
                }
            }
            pending::<()>().await;
        }
    }
}

/// A call that is under way until this is dropped.
struct Call(Calls);

impl Call {
    /// A response with which the call ends once all of it was passed on.
    fn until_sent(self, response: Response) -> Response {
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _call = &self;
                frame
            }))
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.send_modify(|calls| *calls -= 1);
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    /// Longer than a connection may be idle.
    const LONG: Duration = Duration::from_secs(300);

    /// A connection to a server whose `/slow` takes a while to answer, and whose `/long` answers at length.
    async fn connect(versions: Versions) -> TcpStream {
        connect_until(versions, CancellationToken::new()).await.0
    }

    /// The same of a server that ends with `shutdown`.
    async fn connect_until(versions: Versions, shutdown: CancellationToken) -> (TcpStream, JoinHandle<()>) {
        let long = || async {
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move {
                for part in ["be", "gin"] {
                    let _ = sender.send(Ok::<_, std::io::Error>(Bytes::from_static(part.as_bytes()))).await;
                    sleep(LONG).await;
                }
            });
            Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver))
        };
        let slow = || async {
            sleep(LONG).await;
            "done"
        };
        let router = Router::new().route("/slow", get(slow)).route("/long", get(long));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, Transport::clear_text(), router, versions, shutdown));
        (TcpStream::connect(address).await.unwrap(), server)
    }

    /// Everything that the server says until it closes the connection, and when that is.
    async fn until_closed(connection: &mut TcpStream) -> (Vec<u8>, Duration) {
        let started = Instant::now();
        let mut said = Vec::new();
        let _ = timeout(10 * LONG, connection.read_to_end(&mut said)).await.expect("it stays open");
        (said, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_is_closed() {
        let beginnings: [&[u8]; 5] =
            [b"", b"GET /slow", &PREFACE[..10], PREFACE, &[PREFACE, EMPTY_SETTINGS].concat()];
        for beginning in beginnings {
            let mut connection = connect(Versions::Http1AndHttp2).await;
            connection.write_all(beginning).await.unwrap();
            let (_, after) = until_closed(&mut connection).await;
            assert!(after >= HEAD_TIMEOUT && after < 2 * HEAD_TIMEOUT, "{beginning:?}: {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_ends_waits_for_requests_and_not_for_half_of_one() {
        let request = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n".as_slice();
        for (beginning, expected) in [
            (b"".as_slice(), Duration::ZERO),
            (&request[..10], DRAIN_HEAD_TIMEOUT),
            (PREFACE, DRAIN_HEAD_TIMEOUT),
            (request, DRAIN_TIMEOUT),
        ] {
            let shutdown = CancellationToken::new();
            let (mut connection, server) = connect_until(Versions::Http1AndHttp2, shutdown.clone()).await;
            connection.write_all(beginning).await.unwrap();
            sleep(Duration::from_secs(1)).await;
            let told = Instant::now();
            shutdown.cancel();
            server.await.unwrap();
            let after = told.elapsed();
            assert!(
                after >= expected && after < expected + DRAIN_HEAD_TIMEOUT / 2,
                "{beginning:?}: {after:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_takes_the_time_that_it_takes() {
        for (path, end) in [("/slow", "done"), ("/long", "0\r\n\r\n")] {
            for versions in [Versions::Http1, Versions::Http1AndHttp2] {
                let mut connection = connect(versions).await;
                let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
                connection.write_all(request.as_bytes()).await.unwrap();
                let (said, after) = until_closed(&mut connection).await;
                let said = String::from_utf8(said).unwrap();
                assert!(said.starts_with("HTTP/1.1 200") && said.ends_with(end), "{said}");
                assert!(after > LONG, "{after:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_head_is_bounded_and_tells_where_it_comes_from() {
        let whence = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/whence", get(whence));
        let (transport, shutdown) = (Transport::clear_text(), CancellationToken::new());
        tokio::spawn(serve(listener, transport, router, Versions::Http1, shutdown));
        for (bytes, status) in [(HEAD_BYTES_MAX / 2, "200"), (2 * HEAD_BYTES_MAX, "431")] {
            let mut connection = TcpStream::connect(address).await.unwrap();
            let own = connection.local_addr().unwrap().to_string();
            let (long, end) = ("x".repeat(bytes), "connection: close\r\n\r\n");
            let request = format!("GET /whence HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n{end}");
            // what is refused may not be read to its end
            let _ = connection.write_all(request.as_bytes()).await;
            let mut said = Vec::new();
            let _ = connection.read_to_end(&mut said).await;
            let said = String::from_utf8(said).unwrap();
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {said}");
            assert_eq!(said.ends_with(&own), status == "200", "{said}");
        }
    }

    #[tokio::test]
    async fn http2_is_spoken_only_where_it_is_wanted() {
        for (versions, expected) in [(Versions::Http1AndHttp2, true), (Versions::Http1, false)] {
            let mut connection = connect(versions).await;
            connection.write_all(&[PREFACE, EMPTY_SETTINGS].concat()).await.unwrap();
            let mut frame = [0; 9];
            let answered =
                connection.read_exact(&mut frame).await.is_ok_and(|_| frame[3] == EMPTY_SETTINGS[3]);
            assert_eq!(answered, expected, "{versions:?}: {frame:?}");
        }
    }
}
