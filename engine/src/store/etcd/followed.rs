//! Keys that are watched one by one: what they are is read, many at once, and etcd is asked for what comes after that.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::reads::Reader;
use super::watches::{Command, State, Watched};
use crate::store::error::StoreError;
use crate::store::record::Event;
use crate::store::watch::{Queue, WatchedKeys};

/// Keys that are read at once.
const KEYS_AT_ONCE: usize = 100;

/// How long to wait before keys are read again that could not be read.
const PAUSE: Duration = Duration::from_millis(500);

/// The keys of one watcher.
pub(super) struct Followed {
    /// The number of the watch of each key.
    ids: Mutex<HashMap<Arc<str>, i64>>,
    requests: UnboundedSender<Request>,
    commands: UnboundedSender<Command>,
    reader: Reader,
    task: JoinHandle<()>,
}

enum Request {
    Add {
        id: i64,
        key: Arc<str>,
    },
    /// Read again what is still watched.
    Reload {
        id: i64,
        key: Arc<str>,
    },
    Remove {
        id: i64,
    },
    Settle(HashMap<i64, State>, oneshot::Sender<()>),
}

/// Asks for a key to be read again.
pub(super) struct Reload {
    id: i64,
    requests: UnboundedSender<Request>,
}

impl Reload {
    pub(super) fn ask(&self, key: &Arc<str>) {
        // who has ended needs it no more
        let _ = self.requests.send(Request::Reload { id: self.id, key: Arc::clone(key) });
    }
}

impl Followed {
    pub(super) fn start(reader: Reader, commands: UnboundedSender<Command>, queue: Arc<Queue>) -> Self {
        let (requests, receiver) = unbounded_channel();
        let loader = Loader {
            reader: reader.clone(),
            commands: commands.clone(),
            queue,
            requests: requests.clone(),
            watched: HashSet::new(),
        };
        let task = tokio::spawn(loader.run(receiver));
        Self { ids: Mutex::default(), requests, commands, reader, task }
    }

    /// No code panics while it holds this lock, so a poisoned one is still whole.
    fn ids(&self) -> MutexGuard<'_, HashMap<Arc<str>, i64>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl WatchedKeys for Followed {
    fn add(&self, key: Arc<str>) {
        let id = fastrand::i64(1..i64::MAX);
        self.ids().insert(Arc::clone(&key), id);
        let _ = self.requests.send(Request::Add { id, key }); // the task ends with this
    }

    fn remove(&self, key: &str) {
        if let Some(id) = self.ids().remove(key) {
            let _ = self.requests.send(Request::Remove { id });
        }
    }

    async fn settle(&self) -> Result<(), StoreError> {
        let (keys, ids): (Vec<Arc<str>>, Vec<i64>) =
            self.ids().iter().map(|(key, id)| (Arc::clone(key), *id)).unzip();
        let (revision, revisions) = self.reader.revisions(&keys).await?;
        let state = |key| match revisions.get(key) {
            Some(revision) => State { revision: *revision, exists: true },
            None => State { revision, exists: false },
        };
        let states = ids.into_iter().zip(keys.iter().map(state)).collect();
        let (answer, settled) = oneshot::channel();
        let _ = self.requests.send(Request::Settle(states, answer));
        settled.await.map_err(|_| StoreError::Closed)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
        for (_, id) in self.ids().drain() {
            let _ = self.commands.send(Command::End(id)); // nobody listens once the store is closed
        }
    }
}

/// Reads what keys are and has their watches begin after that.
struct Loader {
    reader: Reader,
    commands: UnboundedSender<Command>,
    queue: Arc<Queue>,
    requests: UnboundedSender<Request>,
    watched: HashSet<i64>,
}

impl Loader {
    async fn run(mut self, mut receiver: UnboundedReceiver<Request>) {
        let mut requests = Vec::with_capacity(KEYS_AT_ONCE);
        while receiver.recv_many(&mut requests, KEYS_AT_ONCE).await > 0 {
            let keys: Vec<Arc<str>> = requests.iter().filter_map(Request::key).cloned().collect();
            let seen = loop {
                match self.reader.see(&keys).await {
                    Ok(seen) => break seen,
                    Err(error) => {
                        tracing::warn!(%error, "what is watched cannot be read yet");
                        sleep(PAUSE).await;
                    }
                }
            };
            for request in requests.drain(..) {
                let command = match request {
                    Request::Reload { id, .. } if !self.watched.contains(&id) => continue,
                    Request::Add { id, key } | Request::Reload { id, key } => {
                        self.watched.insert(id);
                        self.queue.push(vec![match seen.get(&key) {
                            Some(record) => Event {
                                key: Arc::clone(&record.key),
                                value: Some(record.value.clone()),
                                transaction: record.transaction,
                            },
                            None => Event {
                                key: Arc::clone(&key),
                                value: None,
                                transaction: seen.head.transaction,
                            },
                        }]);
                        let reload = Reload { id, requests: self.requests.clone() };
                        Command::Begin(id, Watched::key(key, &seen, Arc::clone(&self.queue), reload))
                    }
                    Request::Remove { id } => {
                        self.watched.remove(&id);
                        Command::End(id)
                    }
                    Request::Settle(states, answer) => Command::Settle(states, answer),
                };
                let _ = self.commands.send(command); // nobody listens once the store is closed
            }
            self.queue.wake();
        }
    }
}

impl Request {
    fn key(&self) -> Option<&Arc<str>> {
        match self {
            Self::Add { key, .. } | Self::Reload { key, .. } => Some(key),
            Self::Remove { .. } | Self::Settle(..) => None,
        }
    }
}
