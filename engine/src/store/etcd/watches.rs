//! Watches: all of a process on one stream of etcd's, which is opened again where it ends.
//!
//! A watch goes on after the last revision that it was told of. Where etcd has forgotten that one, everything under the prefix is listed
//! again and compared to what the watch knows: its reader is told the newest state of what differs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use etcd_client::{
    Client, Error, EventType, KeyValue, WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream,
    WatchStream,
};
use legation_proto::version::Transaction;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::ANSWER_BYTES_MAX;
use super::followed::{Followed, Reload};
use super::interruption::{Interruption, PATIENCE};
use super::reads::{Listed, Reader};
use super::stored::{transaction, undamaged};
use crate::store::error::StoreError;
use crate::store::record::{Event, is_definition};
use crate::store::watch::{KeysWatch, Queue, Watch};

/// How long to wait before a stream is opened again, and before a listing is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long renewing a token may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Everybody who watches.
pub(super) struct Watches {
    commands: UnboundedSender<Command>,
    reader: Reader,
    interruption: Interruption,
    task: JoinHandle<()>,
}

pub(super) enum Command {
    /// Watch; what was read of a key comes first.
    Begin(i64, Watched, Option<Event>),
    End(i64),
    /// Answer once each of these watches was told of such a state.
    Settle(HashMap<i64, State>, oneshot::Sender<()>),
}

/// What a key was found to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// The revision of its last change, or, if there is no such key, the one at which it was not found.
    pub(super) revision: i64,
    pub(super) exists: bool,
}

/// What one watch is about and what it knows.
pub(super) struct Watched {
    /// A key, or what keys begin with.
    prefix: Arc<str>,
    /// Who reads the key again, if it is one and etcd has forgotten its changes.
    reload: Option<Reload>,
    queue: Arc<Queue>,
    /// The first revision that it was not told of.
    next: i64,
    /// The revisions of the last changes of all keys under its prefix.
    known: BTreeMap<Arc<str>, i64>,
    /// The newest transaction that it has met.
    reached: Transaction,
}

/// What a watch is begun with.
pub(super) struct Beginning {
    pub(super) prefix: Arc<str>,
    /// The revision that is the last to be known.
    pub(super) revision: i64,
    pub(super) reached: Transaction,
    pub(super) known: BTreeMap<Arc<str>, i64>,
    pub(super) past: Vec<Event>,
}

/// Ends a watch when it is dropped.
struct Registration {
    id: i64,
    commands: UnboundedSender<Command>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::End(self.id)); // nobody listens once the store is closed
    }
}

impl Watches {
    pub(super) fn start(client: Client, reader: Reader) -> Self {
        let (commands, receiver) = unbounded_channel();
        let (watched, settling) = (HashMap::new(), Vec::new());
        let interruption = Interruption::default();
        let hub = Hub {
            client,
            reader: reader.clone(),
            watched,
            commands: receiver,
            settling,
            created: HashSet::new(),
            interruption: interruption.clone(),
        };
        Self { commands, reader, interruption, task: tokio::spawn(hub.run()) }
    }

    /// Since when changes are not told of, if that is for longer than opening a stream may take.
    pub(super) fn interrupted_since(&self) -> Option<SystemTime> {
        self.interruption.since()
    }

    pub(super) fn begin(&self, beginning: Beginning) -> Watch {
        let Beginning { prefix, revision, reached, known, past } = beginning;
        let queue = Arc::<Queue>::default();
        let id = fastrand::i64(1..i64::MAX);
        let next = revision + 1;
        let watched = Watched { prefix, reload: None, queue: Arc::clone(&queue), next, known, reached };
        if self.commands.send(Command::Begin(id, watched, None)).is_err() {
            queue.end(StoreError::Closed);
        }
        Watch::new(past, queue, Registration { id, commands: self.commands.clone() })
    }

    /// A watch of single keys.
    pub(super) fn begin_keys(&self) -> KeysWatch {
        let queue = Arc::<Queue>::default();
        let keys = Followed::start(self.reader.clone(), self.commands.clone(), Arc::clone(&queue));
        KeysWatch::new(queue, Arc::new(keys))
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What runs all of them.
struct Hub {
    client: Client,
    reader: Reader,
    watched: HashMap<i64, Watched>,
    commands: UnboundedReceiver<Command>,
    settling: Vec<Settling>,
    /// The watches that etcd has taken on the stream that there is.
    created: HashSet<i64>,
    interruption: Interruption,
}

/// What watches are yet to be told of, and who waits for that.
struct Settling {
    missing: HashMap<i64, State>,
    answer: oneshot::Sender<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.take(command);
        }
        for watched in self.watched.values() {
            watched.queue.end(StoreError::Closed);
        }
    }
}

impl Hub {
    async fn run(mut self) {
        loop {
            let Some((id, stream)) = self.open().await else {
                return;
            };
            let (requests, responses) = stream.split();
            if let Err(error) = self.follow(id, requests, responses).await {
                if let Error::WatchError(reason) = &error {
                    tracing::debug!(reason, "the watches of etcd begin again");
                    self.interruption.begin();
                    self.interruption.go_on(reason);
                    // it tells of an expired token in the stream, where the library does not look for that
                    let renewed = timeout(TOKEN_TIMEOUT, self.client.refresh_token()).await;
                    if !matches!(renewed, Ok(Ok(()))) {
                        tracing::warn!("etcd did not renew the token");
                    }
                } else {
                    tracing::debug!(%error, "the watches of etcd begin again");
                }
                sleep(PAUSE).await;
            }
        }
    }

    /// Opens a stream with one watch once there is something to watch; nothing if there will never be.
    async fn open(&mut self) -> Option<(i64, WatchStream)> {
        loop {
            while let Ok(command) = self.commands.try_recv() {
                self.take(command);
            }
            let Some((id, watched)) = self.watched.iter().next() else {
                let command = self.commands.recv().await?;
                self.take(command);
                continue;
            };
            let id = *id;
            let options = options(id, watched);
            self.created.clear();
            self.interruption.begin();
            // etcd answers when it has a leader; until then others may come and go
            let mut client = self.client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX);
            let opening = client.watch(self.reader.keys.data(&watched.prefix), Some(options));
            let reason = match timeout(PATIENCE, opening).await {
                Ok(Ok(stream)) => return Some((id, stream)),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            self.interruption.go_on(&reason);
            sleep(PAUSE).await;
        }
    }

    /// Passes on what comes on a stream, until it ends.
    async fn follow(
        &mut self,
        opened_with: i64,
        mut requests: WatchRequestSender,
        mut responses: WatchResponseStream,
    ) -> Result<(), Error> {
        let mut asked: HashSet<i64> = HashSet::from([opened_with]);
        let mut waiting = Vec::new();
        for (id, watched) in self.watched.iter().filter(|(id, _)| **id != opened_with) {
            // etcd before 3.4.31 and 3.5.13 may tell only 128 watches of a stream that their past was compacted, and lets the
            // others believe that nothing happened: what may be many is looked at again
            match &watched.reload {
                Some(reload) => reload.ask(&watched.prefix, watched.known.get(&watched.prefix).copied()),
                None => waiting.push(*id),
            }
        }
        let mut ended: Vec<i64> = Vec::new();
        loop {
            // etcd need not read requests while nobody takes what it sends, and the library's queue of them is short
            while let Some(id) = ended.pop() {
                tokio::select! {
                    sent = requests.cancel(id) => sent?,
                    response = responses.message() => {
                        ended.push(id);
                        waiting.extend(self.receive(response?, &mut asked, &mut ended).await?);
                    }
                }
            }
            while let Some(id) = waiting.pop() {
                if let Some(watched) = self.watched.get(&id)
                    && asked.insert(id)
                {
                    let key = self.reader.keys.data(&watched.prefix);
                    let sent = requests.watch(key, Some(options(id, watched)));
                    tokio::select! {
                        sent = sent => sent?,
                        response = responses.message() => {
                            asked.remove(&id);
                            waiting.push(id);
                            waiting.extend(self.receive(response?, &mut asked, &mut ended).await?);
                        }
                    }
                }
            }
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => {
                        match command {
                            Command::End(id) if asked.remove(&id) => ended.push(id),
                            Command::Begin(id, ..) => waiting.push(id),
                            _ => {}
                        }
                        self.take(command);
                    }
                    None => return Ok(()),
                },
                response = responses.message() => waiting.extend(self.receive(response?, &mut asked, &mut ended).await?),
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Begin(id, watched, first) => {
                // what was read again may be older than what was told since
                if self.watched.get(&id).is_some_and(|known| known.next >= watched.next) {
                    return;
                }
                watched.tell(first.into_iter().collect());
                self.watched.insert(id, watched);
                self.settle(id);
            }
            Command::End(id) => {
                self.watched.remove(&id);
                self.created.remove(&id);
                self.end_interruption();
                self.settle(id);
            }
            Command::Settle(mut missing, answer) => {
                missing
                    .retain(|id, state| self.watched.get(id).is_some_and(|watched| !watched.knows(*state)));
                if missing.is_empty() {
                    let _ = answer.send(()); // who asked may have ended
                } else {
                    self.settling.push(Settling { missing, answer });
                }
            }
        }
    }

    /// An interruption is over when etcd has taken every watch on the stream.
    fn end_interruption(&self) {
        if self.created.len() == self.watched.len() {
            self.interruption.end();
        }
    }

    /// Answers those who waited for nothing but that the watch `told` was told what it was just told.
    fn settle(&mut self, told: i64) {
        if self.settling.is_empty() {
            return;
        }
        let watched = self.watched.get(&told);
        for settling in &mut self.settling {
            settling
                .missing
                .retain(|id, state| *id != told || watched.is_some_and(|watched| !watched.knows(*state)));
        }
        for settled in self.settling.extract_if(.., |settling| settling.missing.is_empty()) {
            let _ = settled.answer.send(()); // who asked may have ended
        }
    }

    /// Takes in a response; the answer is a watch that is to be begun again.
    async fn receive(
        &mut self,
        response: Option<WatchResponse>,
        asked: &mut HashSet<i64>,
        ended: &mut Vec<i64>,
    ) -> Result<Option<i64>, Error> {
        let response = response.ok_or_else(|| Error::WatchError("etcd ended the stream".to_owned()))?;
        if response.canceled() && response.compact_revision() == 0 && !response.cancel_reason().is_empty() {
            // a token has expired, or there is no leader; which watch it is about, not every etcd says
            return Err(Error::WatchError(response.cancel_reason().to_owned()));
        }
        let id = response.watch_id();
        if response.created() && !response.canceled() && self.watched.contains_key(&id) {
            self.created.insert(id);
            self.end_interruption();
        }
        let Some(watched) = self.watched.get_mut(&id) else {
            return Ok(None);
        };
        if response.canceled() {
            if response.compact_revision() == 0 || !asked.remove(&id) {
                return Ok(None); // as it was asked to
            }
            // etcd tells it nothing more, and takes no other of this number until it is told to end it
            ended.push(id);
            if let Some(reload) = &watched.reload {
                reload.ask(&watched.prefix, None);
                return Ok(None);
            }
            catch_up(&self.reader, watched).await;
            self.settle(id);
            return Ok(Some(id));
        }
        watched.take_in(&self.reader, &response);
        self.settle(id);
        Ok(None)
    }
}

impl Watched {
    /// A watch of one key, of which everything until `revision` is known, and that it changed last at `changed`, if it is
    /// there.
    pub(super) fn key(
        key: Arc<str>,
        changed: Option<i64>,
        revision: i64,
        reached: Transaction,
        queue: Arc<Queue>,
        reload: Reload,
    ) -> Self {
        let known = changed.map(|changed| (Arc::clone(&key), changed)).into_iter().collect();
        Self { prefix: key, reload: Some(reload), queue, next: revision + 1, known, reached }
    }

    /// Whether this was told of such a state, or of a later one.
    fn knows(&self, state: State) -> bool {
        self.next > state.revision || !state.exists && self.known.is_empty()
    }

    fn take_in(&mut self, reader: &Reader, response: &WatchResponse) {
        let mut events = Vec::new();
        for event in response.events() {
            let Some(found) = event.kv() else { continue };
            if found.mod_revision() < self.next {
                continue; // the same watch asked for twice
            }
            match event.event_type() {
                EventType::Put => {
                    let Some(record) = undamaged(&reader.keys, found) else { continue };
                    self.known.insert(Arc::clone(&record.key), found.mod_revision());
                    events.push(self.event(record.key, Some(record.value), record.transaction));
                }
                EventType::Delete => {
                    let Some(key) = reader.keys.of_data(found.key()) else { continue };
                    let key: Arc<str> = key.into();
                    self.known.remove(&key);
                    let at =
                        if is_definition(&key) { transaction(found.mod_revision()) } else { self.reached };
                    events.push(self.event(key, None, at));
                }
            }
        }
        if let Some(newest) =
            response.events().iter().filter_map(|event| event.kv()).map(KeyValue::mod_revision).max()
        {
            self.next = self.next.max(newest + 1);
        } else if !response.created()
            && let Some(header) = response.header()
        {
            // progress: nothing until here was missed
            self.next = self.next.max(header.revision() + 1);
        }
        self.tell(events);
    }

    fn event(&mut self, key: Arc<str>, value: Option<Bytes>, transaction: Transaction) -> Event {
        self.reached = self.reached.max(transaction);
        Event { key, value, transaction }
    }

    fn tell(&self, events: Vec<Event>) {
        if !events.is_empty() {
            self.queue.push(events);
            self.queue.wake();
        }
    }
}

/// Tells a watch what has changed since it was told last, without what it was in between.
async fn catch_up(reader: &Reader, watched: &mut Watched) {
    let Listed { revision, listing, revisions, damaged } = loop {
        match reader.list(&watched.prefix).await {
            Ok(listed) => break listed,
            Err(error) => {
                tracing::warn!(%error, "cannot list again what etcd has forgotten the changes of");
                sleep(PAUSE).await;
            }
        }
    };
    let mut known = BTreeMap::new();
    let mut events = Vec::new();
    for (record, revision) in listing.records.into_iter().zip(revisions) {
        let before = watched.known.remove(&record.key);
        known.insert(Arc::clone(&record.key), revision);
        if before != Some(revision) {
            events.push(watched.event(record.key, Some(record.value), record.transaction));
        }
    }
    // whoever knows what it was before keeps that
    known.extend(damaged.iter().filter_map(|key| watched.known.remove_entry(key)));
    let gone = std::mem::replace(&mut watched.known, known);
    for key in gone.into_keys() {
        events.push(watched.event(key, None, listing.transaction));
    }
    events.sort_by_key(|event| event.transaction);
    watched.next = revision + 1;
    watched.tell(events);
}

fn options(id: i64, watched: &Watched) -> WatchOptions {
    let options =
        WatchOptions::new().with_start_revision(watched.next).with_progress_notify().with_watch_id(id);
    if watched.reload.is_some() { options } else { options.with_prefix() }
}
