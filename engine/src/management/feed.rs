//! Brings fragments from the store to the actors that need them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use legation_actors::fleet::{Fleet, FragmentSource, Publication};
use legation_actors::propagation::Propagation;
use legation_proto::fragment::Fragment;
use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::version::Transaction;
use tokio::sync::{mpsc, oneshot};

use crate::model::ResourceId;
use crate::store::{Event, Store, StoreError, Watch};
use crate::transformer::keys::{self, DerivedKey};

/// What is asked of the [`Feed`].
#[derive(Debug)]
enum Request {
    /// An actor was started for this fragment.
    Follow(FragmentKey),
    /// Answer once everything that is in the store was published.
    Settle(oneshot::Sender<()>),
}

/// What is asked of a [`Feed`], on its way there.
#[derive(Debug)]
pub struct Requests(mpsc::UnboundedReceiver<Request>);

/// Asks a [`Feed`]. There are no more requests under way than fragments that actors were started for, and people who wait.
#[derive(Clone, Debug)]
pub struct FeedHandle(mpsc::UnboundedSender<Request>);

impl FeedHandle {
    /// Waits until everything that is in the store now was published.
    pub async fn settle(&self) {
        let (sender, settled) = oneshot::channel();
        let _ = self.0.send(Request::Settle(sender));
        let _ = settled.await; // the feed ends with the process
    }
}

impl FragmentSource for FeedHandle {
    fn follow(&self, key: &FragmentKey) {
        let _ = self.0.send(Request::Follow(key.clone()));
    }

    fn unfollow(&self, _: &FragmentKey) {}
}

/// A way to ask a feed, and what is asked.
pub fn requests() -> (FeedHandle, Requests) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (FeedHandle(sender), Requests(receiver))
}

/// Holds the latest fragments and publishes them to a fleet.
///
/// A fragment that is asked for is published as soon as it is known. That there is none is published only if it is not
/// defined, or if its definition was transformed and gave none: nobody is told anything because something is on its way.
pub struct Feed {
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    fragments: HashMap<FragmentKey, Arc<Fragment>>,
    /// The newest definition of each mesh that was transformed.
    transformed: HashMap<Arc<str>, Transaction>,
    /// Asked for and on their way, with the transaction of their definition.
    waiting: HashMap<FragmentKey, Transaction>,
}

impl Feed {
    /// A feed from `store` to `fleet`.
    pub fn new(store: Arc<dyn Store>, fleet: Arc<Fleet>) -> Self {
        Self { store, fleet, fragments: HashMap::new(), transformed: HashMap::new(), waiting: HashMap::new() }
    }

    /// Runs until the store ends.
    pub async fn run(mut self, mut requests: Requests) -> Result<(), StoreError> {
        let mut watch = self.load().await?;
        loop {
            tokio::select! {
                biased; // what was in the store before a request came is published before the request is answered
                events = watch.next() => {
                    let events = events?;
                    let propagation = self.propagation(&events).await;
                    self.take_in(events, propagation.as_ref());
                }
                Some(request) = requests.0.recv() => match request {
                    Request::Follow(key) => self.follow(key).await?,
                    Request::Settle(settled) => {
                        let _ = settled.send(());
                    }
                },
            }
        }
    }

    async fn load(&mut self) -> Result<Watch, StoreError> {
        let (listing, watch) = self.store.list_and_watch(keys::DERIVED).await?;
        let transaction = |record: &crate::store::Record| record.transaction;
        let events = listing.records.into_iter().map(|record| Event {
            transaction: transaction(&record),
            key: record.key,
            value: Some(record.value),
        });
        self.take_in(events.collect(), None);
        Ok(watch)
    }

    /// The commit that fragments came of, which was the newest when they were written. A journal that cannot be read takes
    /// the measurement away, and nothing else.
    async fn propagation(&self, events: &[Event]) -> Option<Arc<Propagation>> {
        let transaction = events.iter().map(|event| event.transaction).max()?;
        let committed_at_ms = match self.store.committed_at_ms(transaction).await {
            Ok(at) => u64::try_from(at?).ok()?,
            Err(error) => {
                tracing::warn!(%error, "the journal cannot be read; a propagation is not measured");
                return None;
            }
        };
        let committed_at = SystemTime::UNIX_EPOCH + Duration::from_millis(committed_at_ms);
        Some(Arc::new(Propagation::since(committed_at)))
    }

    fn take_in(&mut self, events: Vec<Event>, propagation: Option<&Arc<Propagation>>) {
        let mut newly_transformed = false;
        for event in events {
            match (DerivedKey::parse(&event.key), event.value) {
                (Some(DerivedKey::Fragment(key)), Some(bytes)) => match Fragment::decode(bytes) {
                    Ok(fragment) => {
                        let fragment = Arc::new(match self.fragments.get(&key) {
                            Some(before) => fragment.sharing(before),
                            None => fragment,
                        });
                        self.fragments.insert(key.clone(), Arc::clone(&fragment));
                        self.publish(&key, Some(fragment), propagation);
                    }
                    Err(error) => tracing::error!(%key, %error, "fragment is ignored"),
                },
                (Some(DerivedKey::Fragment(key)), None) => {
                    self.fragments.remove(&key);
                    self.publish(&key, None, propagation);
                }
                (Some(DerivedKey::Transformed(mesh)), Some(mark)) => {
                    self.transformed.insert(mesh, keys::transaction_of_mark(&mark).unwrap_or_default());
                    newly_transformed = true;
                }
                (Some(DerivedKey::Transformed(mesh)), None) => {
                    self.transformed.remove(&mesh);
                }
                (None, _) => {}
            }
        }
        if newly_transformed {
            self.settle_waiting();
        }
    }

    /// Answers what was asked for: with the fragment, with its absence once that is sure, or later.
    async fn follow(&mut self, key: FragmentKey) -> Result<(), StoreError> {
        if let Some(fragment) = self.fragments.get(&key) {
            let fragment = Some(Arc::clone(fragment));
            self.fleet.publish(&key, Publication { fragment, propagation: None });
            return Ok(());
        }
        match self.store.get(&definition_of(&key).key()).await? {
            Some(definition) if !self.is_transformed(&key, definition.transaction) => {
                self.waiting.insert(key, definition.transaction);
            }
            _ => self.fleet.publish(&key, Publication::default()),
        }
        Ok(())
    }

    fn is_transformed(&self, key: &FragmentKey, definition: Transaction) -> bool {
        self.transformed.get(&key.mesh).is_some_and(|transformed| *transformed >= definition)
    }

    fn publish(
        &mut self,
        key: &FragmentKey,
        fragment: Option<Arc<Fragment>>,
        propagation: Option<&Arc<Propagation>>,
    ) {
        self.waiting.remove(key);
        self.fleet.publish(key, Publication { fragment, propagation: propagation.cloned() });
    }

    /// What waits although its definition was transformed could not be made: fragments come before that news.
    fn settle_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for (key, definition) in waiting {
            if self.is_transformed(&key, definition) {
                self.fleet.publish(&key, Publication::default());
            } else {
                self.waiting.insert(key, definition);
            }
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
    use legation_actors::composition::{Backend, Client, ComposeError, Composed, Composer};
    use legation_actors::fleet::{Caller, FleetSettings, Limits, Places};
    use legation_actors::request::{Interest, Request};
    use legation_actors::snapshot::{ResourceSet, Snapshot};
    use legation_actors::stream::StreamEnd;
    use legation_proto::fragment::NodeFragment;
    use legation_proto::id::NodeId;
    use legation_proto::resource_type::ResourceType;
    use legation_proto::response::Protocol;
    use legation_proto::service::Service;
    use tokio::sync::mpsc;
    use tokio_stream::StreamExt;

    use super::*;
    use crate::store::{Batch, EmbeddedStore};

    type Frame = Result<bytes::Bytes, StreamEnd>;

    fn compose(
        _: Client,
        _: &NodeFragment,
        _: &[Backend<'_>],
        _: Option<&Snapshot>,
    ) -> Result<Composed, ComposeError> {
        let snapshot = Snapshot::new(ResourceType::ALL.map(|_| Vec::new()).map(ResourceSet::new));
        Ok(Composed { snapshot: Arc::new(snapshot), problems: Arc::default() })
    }

    struct Host {
        store: Arc<dyn Store>,
        fleet: Arc<Fleet>,
        _directory: tempfile::TempDir,
    }

    impl Host {
        fn start() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
            let (handle, requests) = requests();
            let settings = FleetSettings {
                arbiters: 1,
                limits: Limits { envoys: 10, envoys_per_node: 10 },
                stall_timeout: Duration::from_secs(60),
                control_plane: "test".to_owned(),
            };
            let fleet = Arc::new(Fleet::start(settings, Arc::new(handle), Composer::anew(compose)).unwrap());
            tokio::spawn(Feed::new(Arc::clone(&store), Arc::clone(&fleet)).run(requests));
            Self { store, fleet, _directory: directory }
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
                Request { resource_type: ResourceType::Cluster, nonce: String::new(), error: None, interest };
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
}
