//! One connection: its HTTP/2, the calls on it, and the ways in which it ends.
//!
//! It stands on the HTTP/2 library itself. A server above it has a task and a queue for each stream, between the Envoy's actor
//! and the socket; here the actor is both ends of its stream.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use h2::server::Connection;
use h2::{Ping, PingPong, RecvStream, server};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::connection_life::ConnectionLife;
use super::discovery::DiscoveryService;
use super::interruption::Interruption;
use super::packed_stream::PackedStream;
use super::responses::{Message, Unanswered};

/// How long a connection may count as opening, and how long its HTTP/2 may take to open.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after that a connection may stay without a call.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How long a connection may take to end after its streams were told to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a refused Envoy may take to read why. It tries again after half a second at the earliest, on another
/// connection then.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(250);

/// Streams on one connection: an Envoy opens one, or one for each service that it uses, and as many while it reconnects.
const STREAMS_MAX: u32 = 16;

/// How many bytes an Envoy may send before they are read: a first request describes a node, and names what it has.
const WINDOW_BYTES: u32 = 1 << 20;

/// Most bytes of the headers of a call, in HTTP/2's way to count.
const HEADERS_BYTES_MAX: u32 = 16 << 10;

/// How to find connections whose peers have gone without a word (conformance 100).
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// How often a peer is asked whether it is there.
    pub interval: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// Something to wait for as long as a connection lives. It is in a box, since an asynchronous function has room for its arguments
/// twice: as they come, and where it waits for them.
type Waited<F> = Pin<Box<F>>;

/// Serves the calls on a connection, each in a task of its own on this thread, until either side ends it. `time_to_live`
/// is over when its time has come.
pub async fn serve(
    stream: std::net::TcpStream,
    life: ConnectionLife,
    service: DiscoveryService,
    keepalive: Keepalive,
    time_to_live: Waited<impl Future<Output = ()> + 'static>,
) {
    let peer = life.peer();
    let mut connection = tokio::select! {
        // in a box, as all that is over soon: a task is as large as the largest of what it does, for as long as it lives
        opened = timeout(OPENING_TIMEOUT, Box::pin(open(stream))) => match opened {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "connection ended before it began"),
            Err(_) => return tracing::debug!(%peer, "connection opened no http/2"),
        },
        () = life.ending() => return,
    };
    let is_lost = Box::pin(is_lost(connection.ping_pong(), keepalive));
    let mut interruption = Interruption::by(interruption(life.clone(), is_lost, time_to_live));
    let patience = loop {
        tokio::select! {
            call = connection.accept() => match call {
                Some(Ok(call)) => answer(call, &service, &life),
                Some(Err(error)) => return tracing::debug!(%peer, %error, "connection failed"),
                None => return,
            },
            interrupted = &mut interruption => match interrupted {
                Ok(Some(patience)) => break patience,
                Ok(None) | Err(_) => return,
            },
        }
    };
    life.end();
    connection.graceful_shutdown();
    let ended = async {
        while let Some(Ok(call)) = connection.accept().await {
            answer(call, &service, &life);
        }
    };
    tokio::select! {
        () = ended => {}
        () = life.aborted() => {}
        () = sleep(patience) => tracing::debug!(%peer, "connection closed without waiting for its peer"),
    }
}

async fn open(stream: std::net::TcpStream) -> io::Result<Connection<PackedStream<TcpStream>, Message>> {
    stream.set_nodelay(true)?;
    let stream = PackedStream::new(TcpStream::from_std(stream)?);
    let connection = server::Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .handshake(stream)
        .await;
    connection.map_err(io::Error::other)
}

fn answer(
    (request, call): (Request<RecvStream>, Unanswered),
    service: &DiscoveryService,
    life: &ConnectionLife,
) {
    life.called();
    spawn_local(service.serve(request, call, life.clone()));
}

/// Waits until a connection is to end before its peer ends it: at once, or within so long.
async fn interruption(
    life: ConnectionLife,
    is_lost: Waited<impl Future<Output = ()>>,
    time_to_live: Waited<impl Future<Output = ()>>,
) -> Option<Duration> {
    let is_idle = async {
        sleep(OPENING_TIMEOUT).await;
        life.opened();
        sleep(SILENCE_MAX).await;
        if life.was_called() {
            pending::<()>().await;
        }
    };
    let is_refused = async {
        life.refused().await;
        sleep(REFUSAL_TIMEOUT).await;
    };
    tokio::select! {
        () = life.aborted() => None,
        () = is_lost => None,
        () = is_idle => None,
        () = is_refused => Some(Duration::ZERO),
        () = life.ending() => Some(CLOSE_TIMEOUT),
        () = time_to_live => Some(CLOSE_TIMEOUT),
    }
}

/// Asks the peer again and again whether it is there; is over when it does not answer.
async fn is_lost(pings: Option<PingPong>, keepalive: Keepalive) {
    let Some(mut pings) = pings else {
        return pending().await; // somebody else asks
    };
    loop {
        sleep(keepalive.interval).await;
        if !matches!(timeout(keepalive.timeout, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    /// How many bytes the task of a connection has, beside what it points to.
    fn size<F>(_: impl Fn(std::net::TcpStream, ConnectionLife, DiscoveryService, Keepalive) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_takes_little_beside_its_http2() {
        let http2 = size_of::<Connection<PackedStream<TcpStream>, Message>>();
        let task = size(|stream, life, service, keepalive| {
            serve(stream, life, service, keepalive, Box::pin(ready(())))
        });
        assert!(
            task <= http2 + 700,
            "{task} bytes with {http2} of http/2: is something in it that is over soon?"
        );
    }
}
