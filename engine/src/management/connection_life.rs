//! What a stream knows of the life of its connection, and what it tells of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use legation_actors::fleet::{Places, Refused};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::metrics::{self, Refusal};

/// The life of a connection, shared by what serves it and its streams.
#[derive(Clone, Debug)]
pub struct ConnectionLife(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    peer: SocketAddr,
    places: Places,
    /// The events that have taken place.
    events: AtomicU8,
    /// Something has been added to them.
    news: Notify,
    called: AtomicBool,
    /// A place among those that are being opened.
    opening: Mutex<Option<OwnedSemaphorePermit>>,
}

/// What takes place once at most, and is waited for: a bit each.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Event {
    Ending = 1,
    Refused = 2,
    Aborted = 4,
}

impl ConnectionLife {
    /// A connection from `peer` that was just accepted and counts as being opened while it has `permit`.
    pub fn new(peer: SocketAddr, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(Arc::new(Shared {
            peer,
            places: Places::default(),
            events: AtomicU8::default(),
            news: Notify::default(),
            called: AtomicBool::default(),
            opening: Mutex::new(permit),
        }))
    }

    /// Where the connection comes from.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// The places that its Envoys hold: one Envoy, unless something multiplexes.
    pub fn places(&self) -> &Places {
        &self.0.places
    }

    /// The connection is being opened no longer: the next may be.
    pub fn opened(&self) {
        self.0.opening.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Tells the streams to end.
    pub fn end(&self) {
        self.add(Event::Ending);
    }

    /// Whether they were told to.
    pub fn is_ending(&self) -> bool {
        self.has(Event::Ending)
    }

    /// Waits until the streams are to end.
    pub async fn ending(&self) {
        self.until(Event::Ending).await;
    }

    /// A stream was refused: the connection closes once it was told, so that the Envoy reaches another host when it tries
    /// again, and not this one for ever.
    pub fn refuse(&self, refused: &Refused) {
        metrics::connection_refused(match refused {
            Refused::HostFull(_) => Refusal::HostFull,
            Refused::NodeFull { .. } => Refusal::NodeFull,
        });
        self.add(Event::Refused);
    }

    /// Waits until a stream was refused.
    pub async fn refused(&self) {
        self.until(Event::Refused).await;
    }

    /// A call came.
    pub fn called(&self) {
        self.0.called.store(true, Ordering::Relaxed);
    }

    /// Whether any call came.
    pub fn was_called(&self) -> bool {
        self.0.called.load(Ordering::Relaxed)
    }

    /// Closes the connection at once, whatever waits to be written.
    pub fn abort(&self) {
        self.add(Event::Aborted);
    }

    /// Waits until the connection is to be closed at once.
    pub async fn aborted(&self) {
        self.until(Event::Aborted).await;
    }

    fn add(&self, event: Event) {
        self.0.events.fetch_or(event as u8, Ordering::Release);
        self.0.news.notify_waiters();
    }

    fn has(&self, event: Event) -> bool {
        self.0.events.load(Ordering::Acquire) & event as u8 != 0
    }

    async fn until(&self, event: Event) {
        loop {
            // from here on, so that none is missed that comes before it is waited for
            let news = self.0.news.notified();
            if self.has(event) {
                return;
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn an_event_is_told_to_who_waits_for_it_and_to_who_comes_later() {
        let refuse = |life: &ConnectionLife| life.refuse(&Refused::HostFull(1));
        let events: [fn(&ConnectionLife); 3] = [ConnectionLife::end, refuse, ConnectionLife::abort];
        for (place, happen) in events.into_iter().enumerate() {
            let life = ConnectionLife::new(([127, 0, 0, 1], 1).into(), None);
            let mut waiting: [Pin<Box<dyn Future<Output = ()> + '_>>; 3] =
                [Box::pin(life.ending()), Box::pin(life.refused()), Box::pin(life.aborted())];
            let mut told = || waiting.each_mut().map(|event| event.as_mut().now_or_never().is_some());
            assert_eq!(told(), [false; 3]);
            happen(&life);
            let expected = [0, 1, 2].map(|event| event == place);
            assert_eq!(told(), expected);
            let later =
                [life.ending().now_or_never(), life.refused().now_or_never(), life.aborted().now_or_never()];
            assert_eq!(later.map(|event| event.is_some()), expected);
        }
    }
}
