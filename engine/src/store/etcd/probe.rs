//! Whether etcd answers this host, asked again and again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use legation_proto::version::Transaction;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::reads::Reader;
use crate::store::metrics;
use crate::store::reach::Reach;

/// How often etcd is asked, and how long it may take to answer.
const INTERVAL: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks etcd for the newest transaction, with the consent of a majority of its members.
pub(super) struct Probe {
    reach: Arc<Mutex<Reach>>,
    task: JoinHandle<()>,
}

impl Probe {
    pub(super) fn start(reader: Reader, transaction: Transaction) -> Self {
        metrics::reachable(true);
        let reach = Arc::new(Mutex::new(Reach { transaction, ..Reach::default() }));
        let task = tokio::spawn(run(reader, Arc::clone(&reach)));
        Self { reach, task }
    }

    pub(super) fn reach(&self) -> Reach {
        *lock(&self.reach)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// No code panics while it holds this lock, so a poisoned one is still whole.
fn lock(reach: &Mutex<Reach>) -> MutexGuard<'_, Reach> {
    reach.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(reader: Reader, reach: Arc<Mutex<Reach>>) {
    loop {
        sleep(INTERVAL).await;
        let asked = SystemTime::now();
        let answer = timeout(PATIENCE, reader.see(&[])).await;
        let before = *lock(&reach);
        match answer {
            Ok(Ok(seen)) => {
                if before.cut_off_since.is_some() {
                    tracing::info!("etcd answers again");
                }
                metrics::reachable(true);
                metrics::transaction(seen.head.transaction);
                *lock(&reach) = Reach { transaction: seen.head.transaction, ..Reach::default() };
            }
            failed => {
                if before.cut_off_since.is_none() {
                    let error = failed.ok().and_then(Result::err).map(|error| error.to_string());
                    tracing::warn!(
                        error = error.as_deref().unwrap_or("no answer in time"),
                        "etcd does not answer; this host goes on with what it has"
                    );
                    lock(&reach).cut_off_since = Some(asked);
                }
                metrics::reachable(false);
            }
        }
    }
}
