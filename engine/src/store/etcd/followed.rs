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
use super::stored::pass_over;
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
    /// Look again at what is still watched, and was known to have changed last at a revision.
    Reload {
        id: i64,
        key: Arc<str>,
        known: Option<i64>,
    },
    Remove {
        id: i64,
    },
    Settle(HashMap<i64, State>, oneshot::Sender<()>),
}

/// Asks for a key to be looked at again.
pub(super) struct Reload {
    id: i64,
    requests: UnboundedSender<Request>,
}

impl Reload {
    /// `known` is the revision at which it changed last, if its reader was told of that.
    pub(super) fn ask(&self, key: &Arc<str>, known: Option<i64>) {
        // who has ended needs it no more
        let _ = self.requests.send(Request::Reload { id: self.id, key: Arc::clone(key), known });
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
        let revisions = self.reader.revisions(&keys).await?;
        let state = |key| match revisions.of_keys.get(key) {
            Some(revision) => State { revision: *revision, exists: true },
            None => State { revision: revisions.revision, exists: false },
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
            let commands = loop {
                match self.answer(&requests).await {
                    Ok(commands) => break commands,
                    Err(error) => {
                        tracing::warn!(%error, "what is watched cannot be read yet");
                        sleep(PAUSE).await;
                    }
                }
            };
            let settling = requests.drain(..).filter_map(|request| match request {
                Request::Settle(states, answer) => Some(Command::Settle(states, answer)),
                _ => None,
            });
            // who waits for a state asked for it after all that came before
            for command in commands.into_iter().chain(settling) {
                let _ = self.commands.send(command); // nobody listens once the store is closed
            }
        }
    }

    /// What is to be watched from now on, and what no longer, in the order of the requests.
    async fn answer(&mut self, requests: &[Request]) -> Result<Vec<Command>, StoreError> {
        let known: HashMap<&Arc<str>, i64> = requests
            .iter()
            .filter_map(|request| match request {
                Request::Reload { key, known, .. } => Some((key, (*known)?)),
                _ => None,
            })
            .collect();
        let looked_at: Vec<Arc<str>> = known.keys().map(|key| Arc::clone(key)).collect();
        let revisions =
            if looked_at.is_empty() { None } else { Some(self.reader.revisions(&looked_at).await?) };
        let is_as_known = |key: &Arc<str>| {
            let revisions = revisions.as_ref()?;
            let changed = known.get(key)?;
            (revisions.of_keys.get(key)? == changed).then_some((revisions, *changed))
        };
        let changed = requests.iter().filter_map(Request::key).filter(|key| is_as_known(key).is_none());
        let changed: Vec<Arc<str>> = changed.cloned().collect();
        let seen = self.reader.see(&changed).await?;
        let mut commands = Vec::new();
        for request in requests {
            let (id, key) = match request {
                Request::Add { id, key } => {
                    self.watched.insert(*id);
                    (*id, key)
                }
                Request::Reload { id, key, .. } if self.watched.contains(id) => (*id, key),
                Request::Remove { id } => {
                    self.watched.remove(id);
                    commands.push(Command::End(*id));
                    continue;
                }
                Request::Reload { .. } | Request::Settle(..) => continue,
            };
            let (key, queue) = (Arc::clone(key), Arc::clone(&self.queue));
            let reload = Reload { id, requests: self.requests.clone() };
            if let Some((revisions, changed)) = is_as_known(&key) {
                let (revision, reached) = (revisions.revision, revisions.head.transaction);
                let watched = Watched::key(key, Some(changed), revision, reached, queue, reload);
                commands.push(Command::Begin(id, watched, None));
                continue;
            }
            let (revision, reached) = (seen.revision, seen.head.transaction);
            let (value, transaction) = match seen.get(&key) {
                Ok(Some(record)) => (Some(record.value.clone()), record.transaction),
                Ok(None) => (None, reached),
                Err(error) => {
                    // it is told of when it is mended, and whoever knows what it was before keeps that
                    pass_over(&error);
                    let changed = Some(seen.mod_revision(&key));
                    let watched = Watched::key(key, changed, revision, reached, queue, reload);
                    commands.push(Command::Begin(id, watched, None));
                    continue;
                }
            };
            let changed = value.as_ref().map(|_| seen.mod_revision(&key));
            let first = Event { key: Arc::clone(&key), value, transaction };
            let watched = Watched::key(key, changed, revision, reached, queue, reload);
            // who tells of the changes tells of this, so that it never comes after them
            commands.push(Command::Begin(id, watched, Some(first)));
        }
        Ok(commands)
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
