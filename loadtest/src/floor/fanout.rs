//! Who is there, and what is sent to whom.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::faults::Faults;
use super::prepared::{Prepared, PreparedChange};

/// The sending side of a stream.
pub(super) trait Outlet: fmt::Debug + Send + Sync {
    /// Sends a prepared frame, after those before it and when the Envoy has room for it. An error means that the stream has ended.
    fn send(&self, frame: Bytes) -> Result<(), Gone>;

    /// Ends the stream.
    fn end(&self, status: Status);
}

/// The stream has ended.
#[derive(Debug)]
pub(super) struct Gone;

/// The streams of each node, and what they are sent.
#[derive(Debug)]
pub(super) struct Fanout {
    pub(super) prepared: Prepared,
    streams: Vec<Mutex<Vec<Arc<dyn Outlet>>>>,
    faults: Faults,
    /// Pushes so far, those that were left out included. Held while a change is made: one goes out after the other.
    pushes: Mutex<u64>,
}

/// What there is no change of.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum NoSuchChange {
    #[error("there is no change {number}, the content has {count}")]
    Number { number: usize, count: usize },
    #[error("there is no variant {variant} of change {number}, it has {count}")]
    Variant { number: usize, variant: usize, count: usize },
}

/// A change that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    number: usize,
    variant: usize,
}

impl Fanout {
    pub(super) fn new(prepared: Prepared, faults: Faults) -> Self {
        let streams = std::iter::repeat_with(Mutex::default).take(prepared.nodes()).collect();
        Self { prepared, streams, faults, pushes: Mutex::new(0) }
    }

    /// A stream of `node` is sent what changes from now on.
    pub(super) fn add(&self, node: usize, outlet: Arc<dyn Outlet>) {
        if let Some(streams) = self.streams.get(node) {
            lock(streams).push(outlet);
        }
    }

    /// A stream of `node` has ended.
    pub(super) fn remove(&self, node: usize, outlet: &Arc<dyn Outlet>) {
        if let Some(streams) = self.streams.get(node) {
            lock(streams).retain(|other| !Arc::ptr_eq(other, outlet));
        }
    }

    /// Finds a change.
    pub(super) fn choose(&self, number: usize, variant: usize) -> Result<Chosen, NoSuchChange> {
        let changes = self.prepared.changes();
        let change = changes.get(number).ok_or(NoSuchChange::Number { number, count: changes.len() })?;
        let count = change.variants.len();
        if variant >= count {
            return Err(NoSuchChange::Variant { number, variant, count });
        }
        Ok(Chosen { number, variant })
    }

    /// Hands the frames of a change to the streams of its nodes.
    pub(super) fn push(&self, chosen: Chosen) {
        let mut pushes = lock(&self.pushes);
        let Some(change) = self.prepared.changes().get(chosen.number) else { return };
        for push in change.variants.get(chosen.variant).into_iter().flatten() {
            self.push_to(push.node, &push.frame, change, &mut pushes);
        }
    }

    fn push_to(&self, node: usize, frame: &Bytes, change: &PreparedChange, pushes: &mut u64) {
        let Some(streams) = self.streams.get(node) else { return };
        for outlet in lock(streams).iter() {
            *pushes += 1;
            if pushes.is_multiple_of(self.faults.drop_one_in) {
                continue;
            }
            if pushes.is_multiple_of(self.faults.end_one_in) {
                outlet.end(Status::unavailable("as it was told"));
                continue;
            }
            let times = if self.faults.twice { 2 } else { 1 };
            for _ in 0..times {
                let _ = outlet.send(frame.clone()); // one that has ended removes itself
            }
            if self.faults.misdirect
                && let Some(bystander) = change.bystander.filter(|other| *other != node)
            {
                self.misdirect(bystander, frame);
            }
        }
    }

    fn misdirect(&self, bystander: usize, frame: &Bytes) {
        let Some(streams) = self.streams.get(bystander) else { return };
        for outlet in lock(streams).iter() {
            let _ = outlet.send(frame.clone());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes changes at once, or after the time that they are to take.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    pub(super) fanout: Arc<Fanout>,
    late: Option<mpsc::UnboundedSender<(Instant, Chosen)>>,
}

impl Changes {
    /// Changes of what `fanout` sends; within a runtime.
    pub(super) fn new(fanout: Arc<Fanout>) -> Self {
        let late = (!fanout.faults.delay.is_zero()).then(|| {
            let (late, mut changes) = mpsc::unbounded_channel();
            let fanout = Arc::clone(&fanout);
            tokio::spawn(async move {
                while let Some((at, chosen)) = changes.recv().await {
                    sleep_until(at).await;
                    fanout.push(chosen);
                }
            });
            late
        });
        Self { fanout, late }
    }

    /// Makes a change.
    pub(super) fn make(&self, chosen: Chosen) {
        match &self.late {
            None => self.fanout.push(chosen),
            Some(late) => drop(late.send((Instant::now() + self.fanout.faults.delay, chosen))),
        }
    }
}
