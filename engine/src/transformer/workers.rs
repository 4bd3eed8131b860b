//! Threads for work that would hold up connections and actors.

use std::thread;

use crossbeam::channel::{Sender, unbounded};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that transform meshes.
#[derive(Debug)]
pub struct Workers {
    jobs: Sender<Job>,
}

impl Workers {
    /// Starts `count` threads, at least one. They end when this is dropped and the jobs are done.
    pub fn start(count: usize) -> std::io::Result<Self> {
        let (jobs, queue) = unbounded::<Job>();
        for _ in 0..count.max(1) {
            let queue = queue.clone();
            thread::Builder::new()
                .name("transform".to_owned())
                .spawn(move || queue.into_iter().for_each(|job| job()))?;
        }
        Ok(Self { jobs })
    }

    /// Does `work` on one of the threads. The receiver fails if it panicked.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (job, receiver) = job(work);
        let _ = self.jobs.send(Box::new(job)); // the threads live as long as this
        receiver
    }

    /// Does `work` right here, with the same outcome.
    pub fn run_here<T>(work: impl FnOnce() -> T) -> oneshot::Receiver<T> {
        let (job, receiver) = job(work);
        job();
        receiver
    }
}

/// `work` as a job, and what it gives. A panic ends neither the thread nor the other jobs.
fn job<T>(work: impl FnOnce() -> T) -> (impl FnOnce(), oneshot::Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    let job = move || {
        if let Ok(result) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            let _ = sender.send(result);
        }
    };
    (job, receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_and_a_panic_harms_nobody_else() {
        let workers = Workers::start(1).unwrap();
        let failed = workers.run(|| panic!("expected in this test"));
        let done = workers.run(|| 42);
        assert!(failed.await.is_err());
        assert_eq!(done.await.unwrap(), 42);
    }

    #[tokio::test]
    async fn work_that_is_done_here_is_done_at_once_and_may_panic_too() {
        let mut done = Workers::run_here(|| 42);
        assert_eq!(done.try_recv(), Ok(42));
        let failed = Workers::run_here(|| panic!("expected in this test"));
        assert!(failed.await.is_err());
    }
}
