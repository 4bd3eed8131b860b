//! The threads that actors live on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use actix::{Arbiter, ArbiterHandle, System};
use thiserror::Error;

/// N arbiters in an actix system on a thread of its own. An actor stays on the arbiter that it was started on; two
/// actors of one arbiter never run at the same time.
#[derive(Debug)]
pub struct Arbiters {
    handles: Vec<ArbiterHandle>,
    next: AtomicUsize,
    system: System,
}

/// The threads could not be started.
#[derive(Debug, Error)]
pub enum ArbitersError {
    /// The operating system gave no thread.
    #[error("cannot start the thread of the actor system")]
    Thread(#[from] std::io::Error),
    /// The system ended before it was ready.
    #[error("the actor system ended while it started")]
    Ended,
}

impl Arbiters {
    /// Starts `count` arbiters, at least one.
    pub fn start(count: usize) -> Result<Self, ArbitersError> {
        let (ready, started) = mpsc::channel();
        thread::Builder::new().name("actor-system".to_owned()).spawn(move || {
            let runner = System::new();
            runner.block_on(async {
                let handles = (0..count.max(1)).map(|_| Arbiter::new().handle()).collect::<Vec<_>>();
                let _ = ready.send((handles, System::current()));
            });
            if let Err(error) = runner.run() {
                tracing::error!(%error, "actor system ended");
            }
        })?;
        let (handles, system) = started.recv().map_err(|_| ArbitersError::Ended)?;
        Ok(Self { handles, next: AtomicUsize::new(0), system })
    }

    /// Runs what `start` makes on the next arbiter, to its end. What it starts there stays there.
    pub(crate) fn spawn<F>(&self, start: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.next().spawn_fn(move || {
            actix::spawn(start());
        });
    }

    /// The arbiter that this is called on, or else the next.
    pub(crate) fn here_or_next(&self) -> ArbiterHandle {
        Arbiter::try_current().unwrap_or_else(|| self.next().clone())
    }

    /// The arbiter for the next actor: they take turns.
    pub(crate) fn next(&self) -> &ArbiterHandle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.handles[turn % self.handles.len()]
    }
}

impl Drop for Arbiters {
    fn drop(&mut self) {
        self.system.stop();
    }
}
