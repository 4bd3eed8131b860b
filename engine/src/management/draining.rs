//! Emptying a host that goes on living: no Envoy is taken, and those that are here are sent away at a bounded rate.

use std::sync::Arc;

use tokio::sync::watch;

use super::open_connections::OpenConnections;
use super::pacer::Pacer;

/// Tells a host to be emptied, or not to be any more. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Drain(Arc<watch::Sender<Option<u32>>>);

/// What a host is told.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<Option<u32>>);

/// A way to tell a host, and what it is told.
pub fn drain() -> (Drain, Draining) {
    let (sender, receiver) = watch::channel(None);
    (Drain(Arc::new(sender)), Draining(receiver))
}

impl Drain {
    /// Sends Envoys away, at most so many a second, and takes no others.
    pub fn begin(&self, envoys_per_second: u32) {
        self.0.send_replace(Some(envoys_per_second));
    }

    /// Takes Envoys again.
    pub fn stop(&self) {
        self.0.send_replace(None);
    }

    /// Whether the host is being emptied, or is empty because it was.
    pub fn is_under_way(&self) -> bool {
        self.0.borrow().is_some()
    }
}

impl Draining {
    /// Whether no Envoy is to be taken.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Sends Envoys away whenever it is told to, for as long as this is waited for.
    pub(super) async fn send_away(mut self, connections: OpenConnections) {
        loop {
            let rate = *self.0.borrow_and_update();
            tokio::select! {
                changed = self.0.changed() => if changed.is_err() {
                    std::future::pending::<()>().await; // nobody can tell it anything any more
                },
                () = send_all_away(&connections, rate) => {}
            }
        }
    }
}

/// Tells every connection to end, at most so many a second. Never done: what is being opened now comes later.
async fn send_all_away(connections: &OpenConnections, envoys_per_second: Option<u32>) {
    let Some(rate) = envoys_per_second else {
        return std::future::pending().await;
    };
    tracing::info!(connections = connections.count(), rate, "sending envoys away");
    let pacer = Pacer::per_second(rate);
    loop {
        pacer.turn().await;
        let mut open = connections.numbers().into_iter().filter_map(|number| connections.get(number));
        if let Some(life) = open.find(|life| !life.is_ending()) {
            life.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::management::connection_life::ConnectionLife;

    fn connect(connections: &OpenConnections, count: usize) -> Vec<ConnectionLife> {
        let connect = |_| {
            let life = ConnectionLife::new(([127, 0, 0, 1], 1).into(), None);
            let (open, ending) = (connections.add(life.clone()), life.clone());
            tokio::spawn(async move {
                ending.ending().await;
                sleep(Duration::from_millis(300)).await; // its Envoy takes its time
                drop(open);
            });
            life
        };
        (0..count).map(connect).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn envoys_are_sent_away_at_the_rate_until_it_is_stopped() {
        let connections = OpenConnections::default();
        let lives = connect(&connections, 100);
        let (drain, draining) = drain();
        tokio::spawn(draining.clone().send_away(connections.clone()));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(connections.count(), 100, "nobody asked for it");
        let started = Instant::now();
        drain.begin(10);
        assert!(draining.is_under_way());
        sleep(Duration::from_millis(2050)).await;
        let told = |lives: &[ConnectionLife]| lives.iter().filter(|life| life.is_ending()).count();
        assert_eq!(told(&lives), 21);
        drain.stop();
        sleep(Duration::from_secs(60)).await;
        assert_eq!((told(&lives), connections.count()), (21, 79));
        drain.begin(100);
        let late = connect(&connections, 1);
        while connections.count() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(late[0].is_ending(), "who was being opened goes as well");
        assert!(started.elapsed() < Duration::from_secs(65), "{:?}", started.elapsed());
    }
}
