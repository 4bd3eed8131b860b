//! Accepts the connections of Envoys, paces and counts them, and ends each after its time.
//!
//! tonic's own server hides its connections; here they are served one by one, because a control plane behind a layer-4
//! balancer has to end *connections*: to end a stream alone leaves its connection, on which the Envoy opens the next stream,
//! and GOAWAY alone leaves a stream that never ends (conformance 101).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{self, Keepalive};
use super::connection_life::ConnectionLife;
use super::discovery::DiscoveryService;
use super::draining::Draining;
use super::metrics::{self, Refusal};
use super::open_connections::OpenConnections;
use super::pacer::Pacer;

/// Connections that wait to be accepted: a storm of a whole host's Envoys (conformance 104).
const BACKLOG: i32 = 4096;

/// Connections that may be opening at once, from their acceptance until their Envoy was sent what it should have: a storm
/// takes turns, and those that are connected are served between.
const OPENING_MAX: usize = 64;

/// Connections that are accepted together in a storm, so that whoever accepts them is not woken for each.
const TOGETHER: u32 = 16;

/// The part of the time for draining in which connections are told to end; the rest is for them to do so.
const DRAIN_PART: f64 = 0.8;

/// Longest pause between two connections that are told to end, where there is time enough, and shortest.
const DRAIN_PAUSE_MAX: Duration = Duration::from_millis(20);
const DRAIN_PAUSE_MIN: Duration = Duration::from_micros(1);

/// How long to wait when the process can open no further connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Lives differ by this part of the interval either way, so that Envoys that came together do not leave together.
const JITTER: f64 = 0.2;

/// How connections are held.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Most connections at once; one more is closed unread.
    pub connections_max: usize,
    /// How long a connection lives, more or less.
    pub reconnect_interval: Duration,
    /// Most connections that are ended in a second because they have lived their time.
    pub reconnects_per_second: u32,
    /// How connections are found whose Envoys have gone without a word.
    pub keepalive: Keepalive,
    /// How long ending all connections may take when the process ends.
    pub drain_timeout: Duration,
}

/// Listens on `address`; port 0 chooses one.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves connections until `shutdown` is cancelled, then ends them at an even pace.
pub async fn serve(
    listener: TcpListener,
    service: DiscoveryService,
    settings: ServerSettings,
    draining: Draining,
    shutdown: CancellationToken,
) {
    metrics::describe();
    let mut turns = Turns::new();
    let reconnects = Arc::new(Pacer::per_second(settings.reconnects_per_second));
    let connections = OpenConnections::default();
    let sending_away = draining.clone().send_away(connections.clone());
    tokio::pin!(sending_away);
    loop {
        tokio::select! {
            (stream, life) = accept(&listener, &mut turns) => {
                let refusal = if draining.is_under_way() {
                    Some(Refusal::Draining)
                } else {
                    (connections.count() >= settings.connections_max).then_some(Refusal::HostFull)
                };
                if let Some(refusal) = refusal {
                    refuse(&stream, refusal);
                    continue;
                }
                let time = Box::pin(time_to_live(settings.reconnect_interval, Arc::clone(&reconnects)));
                let open = connections.add(life.clone());
                let (of_connection, keepalive) = (service.clone(), settings.keepalive);
                service.spawn(move || async move {
                    connection::serve(stream, life, of_connection, keepalive, time).await;
                    drop(open);
                });
            }
            () = &mut sending_away => {}
            () = shutdown.cancelled() => break,
        }
    }
    drop(listener);
    drain(&connections, settings.drain_timeout).await;
}

/// Waits for a connection, and before that for its turn.
async fn accept(listener: &TcpListener, turns: &mut Turns) -> (std::net::TcpStream, ConnectionLife) {
    loop {
        turns.wait().await;
        let accepted = listener.accept().await;
        // another thread will wait for what comes on it
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => return (stream, ConnectionLife::new(peer, turns.take())),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// The turns of those that may be opening at once.
struct Turns {
    free: Arc<Semaphore>,
    /// Those that have been waited for, and have not been taken.
    waited_for: Option<OwnedSemaphorePermit>,
}

impl Turns {
    fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(OPENING_MAX)), waited_for: None }
    }

    /// Waits until there is a turn: for several at once, if there is none. It may be given up and begun again.
    async fn wait(&mut self) {
        if self.waited_for.as_ref().is_none_or(|waited_for| waited_for.num_permits() == 0) {
            self.waited_for = Arc::clone(&self.free).acquire_many_owned(TOGETHER).await.ok(); // it is never closed
        }
    }

    /// Takes one that was waited for. It is over when what is returned is dropped.
    fn take(&mut self) -> Option<OwnedSemaphorePermit> {
        self.waited_for.as_mut()?.split(1)
    }
}

/// Closes a connection before anything of it is read: the Envoy connects again, and reaches another host through a balancer.
fn refuse(stream: &std::net::TcpStream, refusal: Refusal) {
    metrics::connection_refused(refusal);
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "cannot reset a refused connection; it is closed");
    }
}

/// The time of a connection that has begun: it ends after its life, which is a little different for each, and then
/// waits for its turn among those that end.
async fn time_to_live(interval: Duration, reconnects: Arc<Pacer>) {
    let jitter = 1.0 + JITTER * (2.0 * fastrand::f64() - 1.0);
    sleep(interval.mul_f64(jitter)).await;
    reconnects.turn().await;
    metrics::reconnect_forced();
}

/// Tells connections to end, one after the other, so that those who come to other hosts do not come at once. One that has
/// ended by itself takes no time.
async fn drain(connections: &OpenConnections, within: Duration) {
    let numbers = connections.numbers();
    let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX).max(1);
    let mut turns = interval((within.mul_f64(DRAIN_PART) / count).clamp(DRAIN_PAUSE_MIN, DRAIN_PAUSE_MAX));
    tracing::info!(connections = numbers.len(), "sending envoys away");
    let ended = async {
        for number in numbers {
            if let Some(life) = connections.get(number) {
                turns.tick().await;
                life.end();
            }
        }
        connections.ended().await;
    };
    if timeout(within, ended).await.is_err() {
        tracing::warn!("connections are closed without waiting for their envoys");
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    /// Drains `count` connections that end when they are told to and `gone` that end by themselves: when each was told,
    /// and how long it took.
    async fn drained(count: usize, gone: usize, within: Duration) -> (Vec<Duration>, Duration) {
        let started = Instant::now();
        let (told, mut times) = tokio::sync::mpsc::unbounded_channel();
        let connections = OpenConnections::default();
        for number in 0..count + gone {
            let life = ConnectionLife::new(([127, 0, 0, 1], 1).into(), None);
            let (open, told) = (connections.add(life.clone()), told.clone());
            tokio::spawn(async move {
                if number < count {
                    life.ending().await;
                    told.send(started.elapsed()).unwrap();
                }
                drop(open);
            });
        }
        drain(&connections, within).await;
        drop(told);
        let mut all = Vec::new();
        while let Some(time) = times.recv().await {
            all.push(time);
        }
        (all, started.elapsed())
    }

    #[tokio::test]
    async fn there_are_turns_for_so_many_and_then_for_several_at_once() {
        let mut turns = Turns::new();
        let mut taken = Vec::new();
        for _ in 0..OPENING_MAX {
            turns.wait().await;
            taken.push(turns.take().unwrap());
        }
        for _ in 1..TOGETHER {
            taken.pop();
            assert!(turns.wait().now_or_never().is_none(), "with {} taken", taken.len());
        }
        taken.pop();
        for _ in 0..TOGETHER {
            turns.wait().now_or_never().unwrap();
            taken.push(turns.take().unwrap());
        }
        assert!(turns.wait().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_told_to_end_at_an_even_pace() {
        for (count, seconds, expected) in [(100, 20, 1.98), (1000, 10, 7.99), (1000, 1, 0.8)] {
            let within = Duration::from_secs(seconds);
            let (times, took) = drained(count, 0, within).await;
            assert_eq!(times.len(), count);
            assert!((took.as_secs_f64() - expected).abs() < 0.05, "{count} within {within:?} took {took:?}");
            let half = times.iter().filter(|time| **time < took / 2).count();
            assert!(half.abs_diff(count / 2) <= count / 20, "{half} of {count} in the first half");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_have_ended_are_not_waited_for() {
        let (times, took) = drained(10, 990, Duration::from_secs(20)).await;
        assert_eq!(times.len(), 10);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}
