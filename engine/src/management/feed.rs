//! Brings fragments from the store to the actors that need them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use legation_actors::fleet::{Fleet, FragmentSource, Publication};
use legation_actors::propagation::Propagation;
use legation_proto::fragment::Fragment;
use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::version::Transaction;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::metrics;
use crate::model::ResourceId;
use crate::store::{Event, KeysWatch, Store, StoreError};
use crate::transformer::keys::{self, DerivedKey};

/// How long to wait before the store is asked again that could not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Commits whose times are looked up at once. Of more, some are not measured.
const MEASURED_AT_ONCE: usize = 64;

/// What is asked of the [`Feed`].
#[derive(Debug)]
enum Request {
    /// An actor was started for this fragment.
    Follow(FragmentKey),
    /// It has ended.
    Unfollow(FragmentKey),
    /// Answer once everything that is in the store was published.
    Settle(oneshot::Sender<()>),
    /// Answer: it can be published now.
    Settled(oneshot::Sender<()>),
}

/// What is asked of a [`Feed`], on its way there.
#[derive(Debug)]
pub struct Requests {
    receiver: mpsc::UnboundedReceiver<Request>,
    sender: mpsc::UnboundedSender<Request>,
}

/// Asks a [`Feed`]. There are no more requests under way than fragments that actors were started for, and people who wait.
#[derive(Clone, Debug)]
pub struct FeedHandle(mpsc::UnboundedSender<Request>);

impl FeedHandle {
    /// Waits until everything that is in the store now was published; whether it was, as far as the store answers.
    pub async fn settle(&self) -> bool {
        let (sender, settled) = oneshot::channel();
        let _ = self.0.send(Request::Settle(sender)); // the feed ends with the process
        settled.await.is_ok()
    }
}

impl FragmentSource for FeedHandle {
    fn follow(&self, key: &FragmentKey) {
        let _ = self.0.send(Request::Follow(key.clone()));
    }

    fn unfollow(&self, key: &FragmentKey) {
        let _ = self.0.send(Request::Unfollow(key.clone()));
    }
}

/// A way to ask a feed, and what is asked.
pub fn requests() -> (FeedHandle, Requests) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (FeedHandle(sender.clone()), Requests { receiver, sender })
}

/// Holds the latest fragments that are in use on this host and publishes them to its fleet.
///
/// A fragment that is asked for is published as soon as it is known. That there is none is published only if it is not
/// defined, or if its definition was transformed and gave none: nobody is told anything because something is on its way.
pub struct Feed {
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    watch: KeysWatch,
    /// The fragments in use, as they were published last.
    in_use: HashMap<FragmentKey, State>,
    /// Those of which the store has nothing and it is still to be found out what that means.
    missing: BTreeSet<FragmentKey>,
    /// Those that are defined and not made yet, by their mesh, with the transactions of their definitions. As long as there
    /// are any, the mark of the mesh is watched.
    on_their_way: HashMap<Arc<str>, HashMap<FragmentKey, Transaction>>,
    /// Looks up when commits were made.
    measuring: JoinSet<()>,
}

/// A fragment in use.
#[derive(Debug)]
enum State {
    /// The store has not told of it.
    Unknown,
    /// It told that there is none.
    Absent,
    Present(Arc<Fragment>),
}

impl Feed {
    /// A feed from `store` to `fleet`.
    pub fn new(store: Arc<dyn Store>, fleet: Arc<Fleet>) -> Self {
        let watch = store.watch_keys();
        let (in_use, on_their_way) = (HashMap::new(), HashMap::new());
        let (missing, measuring) = (BTreeSet::new(), JoinSet::new());
        Self { store, fleet, watch, in_use, missing, on_their_way, measuring }
    }

    /// Runs until the store ends. While the store does not answer, everybody keeps what was published.
    pub async fn run(mut self, mut requests: Requests) -> Result<(), StoreError> {
        loop {
            tokio::select! {
                biased; // what was in the store before a request came is published before the request is answered
                events = self.watch.next() => {
                    let events = events?;
                    let propagation = self.propagation(&events);
                    self.take_in(events, propagation.as_ref());
                    self.judge_missing().await;
                }
                Some(request) = requests.receiver.recv() => self.answer(request, &requests.sender),
                () = sleep(PAUSE), if !self.missing.is_empty() => self.judge_missing().await,
            }
        }
    }

    fn answer(&mut self, request: Request, requests: &mpsc::UnboundedSender<Request>) {
        match request {
            Request::Follow(key) => {
                self.watch.add(keys::fragment(&key));
                self.in_use.insert(key, State::Unknown);
            }
            Request::Unfollow(key) => {
                self.watch.remove(&keys::fragment(&key));
                self.in_use.remove(&key);
                self.missing.remove(&key);
                self.expect_no_more(&key);
            }
            Request::Settle(settled) => {
                let (settling, requests) = (self.watch.settled(), requests.clone());
                tokio::spawn(async move {
                    match settling.await {
                        Ok(()) => drop(requests.send(Request::Settled(settled))),
                        // nothing is settled: who waits hears of it by the end of the channel
                        Err(error) => tracing::warn!(%error, "cannot tell whether everything was published"),
                    }
                });
            }
            Request::Settled(settled) => {
                let _ = settled.send(()); // who asked may have ended
            }
        }
    }

    /// The commit that changes of fragments came of, which was the newest when they were written. When it was made is looked up
    /// while what came of it is on its way. A journal that cannot be read takes the measurement away, and nothing else.
    fn propagation(&mut self, events: &[Event]) -> Option<Arc<Propagation>> {
        let is_change = |event: &&Event| match DerivedKey::parse(&event.key) {
            Some(DerivedKey::Fragment(key)) => {
                self.in_use.get(&key).is_some_and(|state| !matches!(state, State::Unknown))
            }
            _ => false,
        };
        let transaction = events.iter().filter(is_change).map(|event| event.transaction).max()?;
        while self.measuring.try_join_next().is_some() {}
        if self.measuring.len() == MEASURED_AT_ONCE {
            return None;
        }
        let (propagation, commit_time) = Propagation::begin();
        let store = Arc::clone(&self.store);
        self.measuring.spawn(async move {
            match store.committed_at_ms(transaction).await {
                Ok(at) => {
                    let since_epoch = at.and_then(|at| u64::try_from(at).ok()).map(Duration::from_millis);
                    if let Some(since_epoch) = since_epoch {
                        commit_time.tell(SystemTime::UNIX_EPOCH + since_epoch);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the journal cannot be read; a propagation is not measured");
                }
            }
        });
        Some(Arc::new(propagation))
    }

    fn take_in(&mut self, events: Vec<Event>, propagation: Option<&Arc<Propagation>>) {
        for event in events {
            match (DerivedKey::parse(&event.key), event.value) {
                (Some(DerivedKey::Fragment(key)), Some(bytes)) => self.publish(&key, bytes, propagation),
                (Some(DerivedKey::Fragment(key)), None) if self.in_use.contains_key(&key) => {
                    self.missing.insert(key);
                }
                (Some(DerivedKey::Transformed(mesh)), Some(mark)) => {
                    let mark = keys::transaction_of_mark(&mark).unwrap_or_default();
                    let on_their_way = self.on_their_way.get(&mesh).into_iter();
                    let transformed = on_their_way.flatten().filter(|(_, definition)| **definition <= mark);
                    self.missing.extend(transformed.map(|(key, _)| key.clone()));
                }
                _ => {}
            }
        }
    }

    /// Publishes a fragment that is in use.
    fn publish(&mut self, key: &FragmentKey, bytes: Bytes, propagation: Option<&Arc<Propagation>>) {
        let Some(state) = self.in_use.get_mut(key) else {
            return;
        };
        let fragment = match Fragment::decode(bytes) {
            Ok(fragment) => fragment,
            Err(error) => {
                tracing::error!(%key, %error, "a fragment cannot be read and is passed over");
                metrics::fragment_damaged();
                return;
            }
        };
        let fragment = Arc::new(match state {
            State::Present(before) => fragment.sharing(before),
            State::Unknown | State::Absent => fragment,
        });
        *state = State::Present(Arc::clone(&fragment));
        let propagation = propagation.cloned();
        self.fleet.publish(key, Publication { fragment: Some(fragment), propagation });
        self.missing.remove(key);
        self.expect_no_more(key);
    }

    /// Finds out of every missing fragment whether it is known that there is none. What the store cannot tell is asked again.
    async fn judge_missing(&mut self) {
        for key in std::mem::take(&mut self.missing) {
            if let Err(error) = self.judge(&key).await {
                tracing::warn!(%key, %error, "cannot tell yet whether there is a fragment");
                self.missing.insert(key);
            }
        }
    }

    async fn judge(&mut self, key: &FragmentKey) -> Result<(), StoreError> {
        if let Some(definition) = self.store.get(&definition_of(key).key()).await? {
            let mark = self.store.get(&keys::transformed(&key.mesh)).await?;
            let mark = mark.and_then(|mark| keys::transaction_of_mark(&mark.value));
            if mark.is_none_or(|mark| mark < definition.transaction) {
                self.expect(key, definition.transaction);
                return Ok(());
            }
            // it was written before the mark, but what is told of them may come in any order
            if let Some(fragment) = self.store.get(&keys::fragment(key)).await? {
                self.publish(key, fragment.value, None);
                return Ok(());
            }
        }
        self.expect_no_more(key);
        if let Some(state) = self.in_use.get_mut(key) {
            *state = State::Absent;
            self.fleet.publish(key, Publication::default());
        }
        Ok(())
    }

    /// The fragment will be there, or known not to be, once its mesh was transformed with this definition.
    fn expect(&mut self, key: &FragmentKey, definition: Transaction) {
        let mesh = self.on_their_way.entry(Arc::clone(&key.mesh)).or_insert_with(|| {
            self.watch.add(keys::transformed(&key.mesh));
            HashMap::new()
        });
        mesh.insert(key.clone(), definition);
    }

    fn expect_no_more(&mut self, key: &FragmentKey) {
        let Some(mesh) = self.on_their_way.get_mut(&key.mesh) else {
            return;
        };
        mesh.remove(key);
        if mesh.is_empty() {
            self.on_their_way.remove(&key.mesh);
            self.watch.remove(&keys::transformed(&key.mesh));
        }
    }
}

/// The definition that a fragment is made of.
pub(crate) fn definition_of(key: &FragmentKey) -> ResourceId {
    let (mesh, name) = (key.mesh.as_ref(), key.name.as_ref());
    match key.kind {
        FragmentKind::VirtualNode => ResourceId::virtual_node(mesh, name),
        FragmentKind::VirtualGateway => ResourceId::virtual_gateway(mesh, name),
        FragmentKind::VirtualService => ResourceId::virtual_service(mesh, name),
    }
}

#[cfg(test)]
mod tests {
    use legation_actors::composition::{Backend, Client, ComposeError, Composed, Composer, Problems};
    use legation_actors::fleet::{Caller, FleetSettings, Limits, Places};
    use legation_actors::request::{Interest, Request};
    use legation_actors::snapshot::{ResourceSet, Snapshot};
    use legation_actors::stream::StreamEnd;
    use legation_proto::fragment::NodeFragment;
    use legation_proto::id::NodeId;
    use legation_proto::resource_type::ResourceType;
    use legation_proto::response::Protocol;
    use legation_proto::service::Service;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::sync::mpsc;
    use tokio_stream::StreamExt;

    use super::*;
    use crate::store::contract::{Hooked, Slow};
    use crate::store::{Batch, EmbeddedStore};

    type Frame = Result<Bytes, StreamEnd>;

    fn compose(
        _: Client,
        _: &NodeFragment,
        _: &[Backend<'_>],
        _: Option<&Snapshot>,
    ) -> Result<Composed, ComposeError> {
        let snapshot = Snapshot::new(ResourceType::ALL.map(|_| Vec::new()).map(ResourceSet::new));
        Ok(Composed { snapshot, problems: Problems::default() })
    }

    struct Host {
        store: Arc<dyn Store>,
        hooks: Arc<Hooked>,
        fleet: Arc<Fleet>,
        _directory: tempfile::TempDir,
    }

    impl Host {
        fn start() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let hooks = Arc::new(Hooked::new(EmbeddedStore::open(directory.path()).unwrap()));
            let store: Arc<dyn Store> = Arc::clone(&hooks) as _;
            let (handle, requests) = requests();
            let settings = FleetSettings {
                arbiters: 1,
                limits: Limits { envoys: 10, envoys_per_node: 10 },
                stall_timeout: Duration::from_secs(60),
                control_plane: "test".to_owned(),
            };
            let fleet = Arc::new(Fleet::start(settings, Arc::new(handle), Composer::anew(compose)).unwrap());
            tokio::spawn(Feed::new(Arc::clone(&store), Arc::clone(&fleet)).run(requests));
            Self { store, hooks, fleet, _directory: directory }
        }

        /// Connects an Envoy that asks for clusters and nothing else, and stays.
        fn connect(&self) -> mpsc::Receiver<Frame> {
            let caller = Caller {
                node: "mesh/m/virtualNode/n".parse().unwrap(),
                client: Client::Envoy,
                peer: None,
                service: Service::Aggregated,
                protocol: Protocol::Sotw,
                places: Places::default(),
            };
            let interest = Interest::Sotw { version_info: String::new(), names: Vec::new() };
            let request =
                Request { resource_type: ResourceType::Cluster, nonce: None, error: None, interest };
            let (transport, frames) = mpsc::channel(10);
            let requests = tokio_stream::once(Ok(request)).chain(tokio_stream::pending());
            self.fleet.admit(caller).unwrap().open(requests, transport);
            frames
        }

        /// Defines the node that Envoys connect as; the transaction of its definition.
        async fn define_node(&self) -> Transaction {
            let key = ResourceId::virtual_node("m", "n").key();
            let batch = Batch::definitions("test", "CreateVirtualNode").put(key, "{}");
            self.store.commit(batch).await.unwrap()
        }

        async fn mark(&self, transaction: Transaction) {
            let mark = transaction.to_string();
            self.store.commit(Batch::derived().put(keys::transformed("m"), mark)).await.unwrap();
        }
    }

    /// The next frame, or `None` where nothing comes.
    async fn next(frames: &mut mpsc::Receiver<Frame>) -> Option<Frame> {
        tokio::time::timeout(Duration::from_millis(300), frames.recv()).await.ok().flatten()
    }

    #[tokio::test]
    async fn a_node_that_is_not_defined_is_not_found() {
        let host = Host::start();
        let mut frames = host.connect();
        assert!(matches!(next(&mut frames).await, Some(Err(StreamEnd::NodeNotFound(_)))));
    }

    #[tokio::test]
    async fn nobody_is_told_anything_before_their_definition_was_transformed() {
        let host = Host::start();
        host.mark(0).await;
        let defined = host.define_node().await;
        let mut frames = host.connect();
        assert_eq!(next(&mut frames).await, None);
        host.mark(defined).await;
        assert!(matches!(next(&mut frames).await, Some(Err(StreamEnd::NodeNotFound(_)))));
    }

    #[tokio::test]
    async fn fragments_reach_the_envoys_that_ask_for_them() {
        let host = Host::start();
        let defined = host.define_node().await;
        let mut frames = host.connect();
        assert_eq!(next(&mut frames).await, None);
        let node: NodeId = "mesh/m/virtualNode/n".parse().unwrap();
        let fragment = Fragment::Node(NodeFragment::default());
        let batch = Batch::derived().put(keys::fragment(node.key()), fragment.encode());
        host.store.commit(batch).await.unwrap();
        host.mark(defined).await;
        assert!(matches!(next(&mut frames).await, Some(Ok(_))));
        host.store.commit(Batch::derived().delete(keys::fragment(node.key()))).await.unwrap();
        assert!(matches!(next(&mut frames).await, Some(Err(StreamEnd::NodeNotFound(_)))));
    }

    #[tokio::test]
    async fn what_is_published_does_not_wait_for_the_time_of_its_commit() {
        let host = Host::start();
        let node: NodeId = "mesh/m/virtualNode/n".parse().unwrap();
        let put = async |fragment: Bytes| {
            let batch = Batch::derived().put(keys::fragment(node.key()), fragment);
            host.store.commit(batch).await.unwrap();
        };
        host.define_node().await;
        put(Fragment::Node(NodeFragment::default()).encode().into()).await;
        let mut frames = host.connect();
        assert!(matches!(next(&mut frames).await, Some(Ok(_))));
        host.hooks.slow.send_replace(Slow::CommitTime);
        put(Fragment::Node(NodeFragment::default()).encode().into()).await;
        host.store.commit(Batch::derived().delete(keys::fragment(node.key()))).await.unwrap();
        host.mark(Transaction::MAX).await;
        let last = async {
            loop {
                if let Err(end) = frames.recv().await.expect("an end comes first") {
                    return end;
                }
            }
        };
        let end = tokio::time::timeout(Duration::from_secs(60), last).await.expect("it is published");
        assert!(matches!(end, StreamEnd::NodeNotFound(_)));
    }

    #[tokio::test]
    async fn a_fragment_that_cannot_be_read_is_passed_over() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = ::metrics::set_default_local_recorder(&recorder);
        let host = Host::start();
        let defined = host.define_node().await;
        let node: NodeId = "mesh/m/virtualNode/n".parse().unwrap();
        let put = async |fragment: Bytes| {
            let batch = Batch::derived().put(keys::fragment(node.key()), fragment);
            host.store.commit(batch).await.unwrap();
        };
        put("\u{7f}".into()).await;
        host.mark(defined).await;
        let mut frames = host.connect();
        assert_eq!(next(&mut frames).await, None, "nobody is told that there is nothing");
        put(Fragment::Node(NodeFragment::default()).encode().into()).await;
        let mended = tokio::time::timeout(Duration::from_secs(60), frames.recv()).await;
        assert!(matches!(mended, Ok(Some(Ok(_)))), "{mended:?}");
        put("\u{7f}".into()).await;
        assert_eq!(next(&mut frames).await, None, "who has one keeps it");
        let counted = recorder.handle().render();
        assert!(counted.contains("legation_fragments_damaged_total 2"), "{counted}");
    }
}
