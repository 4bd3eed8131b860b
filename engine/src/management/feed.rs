//! Brings fragments from the store to the actors that need them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use legation_actors::fleet::{Fleet, FragmentSource, Publication};
use legation_proto::fragment::Fragment;
use legation_proto::id::FragmentKey;
use tokio::sync::mpsc;

use crate::model::ResourceId;
use crate::store::{Event, Store, StoreError, Watch};
use crate::transformer::keys::{self, DerivedKey};

/// The fragments that actors on this host ask for, on their way to the [`Feed`].
#[derive(Debug)]
pub struct Requests(mpsc::UnboundedReceiver<FragmentKey>);

/// Asks the [`Feed`] for fragments. There are no more requests under way than fragments that actors were started for.
#[derive(Debug)]
struct Requester(mpsc::UnboundedSender<FragmentKey>);

impl FragmentSource for Requester {
    fn follow(&self, key: &FragmentKey) {
        let _ = self.0.send(key.clone()); // the feed ends with the process
    }

    fn unfollow(&self, _: &FragmentKey) {}
}

/// A source for a fleet, and what it asks.
pub fn source() -> (Arc<dyn FragmentSource>, Requests) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Arc::new(Requester(sender)), Requests(receiver))
}

/// Holds the latest fragments and publishes them to a fleet.
///
/// A fragment that is asked for is published as soon as it is known, that there is none only once its mesh was
/// transformed or does not exist: nobody is told anything because the state was not loaded yet.
pub struct Feed {
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    fragments: HashMap<FragmentKey, Arc<Fragment>>,
    /// Meshes that were transformed at least once.
    transformed: HashSet<Arc<str>>,
    /// Asked for, and not known whether there is one.
    waiting: HashSet<FragmentKey>,
}

impl Feed {
    /// A feed from `store` to `fleet`.
    pub fn new(store: Arc<dyn Store>, fleet: Arc<Fleet>) -> Self {
        Self {
            store,
            fleet,
            fragments: HashMap::new(),
            transformed: HashSet::new(),
            waiting: HashSet::new(),
        }
    }

    /// Runs until the store ends.
    pub async fn run(mut self, mut requests: Requests) -> Result<(), StoreError> {
        let mut watch = self.load().await?;
        loop {
            tokio::select! {
                events = watch.next() => self.take_in(events?),
                Some(key) = requests.0.recv() => self.follow(key).await?,
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
        self.take_in(events.collect());
        Ok(watch)
    }

    fn take_in(&mut self, events: Vec<Event>) {
        let mut newly_transformed = false;
        for event in events {
            match (DerivedKey::parse(&event.key), event.value) {
                (Some(DerivedKey::Fragment(key)), Some(bytes)) => match Fragment::decode(bytes) {
                    Ok(fragment) => {
                        let fragment = Arc::new(fragment);
                        self.fragments.insert(key.clone(), Arc::clone(&fragment));
                        self.publish(&key, Some(fragment));
                    }
                    Err(error) => tracing::error!(%key, %error, "fragment is ignored"),
                },
                (Some(DerivedKey::Fragment(key)), None) => {
                    self.fragments.remove(&key);
                    self.publish(&key, None);
                }
                (Some(DerivedKey::Transformed(mesh)), Some(_)) => {
                    newly_transformed |= self.transformed.insert(mesh);
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
            self.fleet.publish(&key, Some(Arc::clone(fragment)));
        } else if self.transformed.contains(&key.mesh) || !self.mesh_exists(&key.mesh).await? {
            self.fleet.publish(&key, None);
        } else {
            self.waiting.insert(key);
        }
        Ok(())
    }

    async fn mesh_exists(&self, mesh: &str) -> Result<bool, StoreError> {
        Ok(self.store.get(&ResourceId::mesh(mesh).key()).await?.is_some())
    }

    fn publish(&mut self, key: &FragmentKey, publication: Publication) {
        self.waiting.remove(key);
        self.fleet.publish(key, publication);
    }

    /// What waits in a mesh that was transformed does not exist: its fragments came together with that news.
    fn settle_waiting(&mut self) {
        let Self {
            waiting,
            transformed,
            fleet,
            ..
        } = self;
        waiting.retain(|key| {
            let known = transformed.contains(&key.mesh);
            if known {
                fleet.publish(key, None);
            }
            !known
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use legation_actors::composition::{Backend, ComposeError};
    use legation_actors::fleet::{Connection, FleetSettings, Frames, StreamEnd};
    use legation_actors::request::{Interest, Request};
    use legation_actors::snapshot::{ResourceSet, Snapshot};
    use legation_proto::fragment::NodeFragment;
    use legation_proto::id::NodeId;
    use legation_proto::resource_type::ResourceType;
    use legation_proto::response::Protocol;
    use tokio_stream::StreamExt;

    use super::*;
    use crate::store::{Batch, EmbeddedStore};

    fn compose(_: &NodeFragment, _: &[Backend<'_>]) -> Result<Snapshot, ComposeError> {
        Ok(Snapshot::new(
            [vec![], vec![], vec![], vec![]].map(ResourceSet::new),
        ))
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
            let (source, requests) = source();
            let settings = FleetSettings {
                arbiters: 1,
                envoys_max: 10,
                control_plane: "test".to_owned(),
            };
            let fleet = Arc::new(Fleet::start(settings, source, compose).unwrap());
            tokio::spawn(Feed::new(Arc::clone(&store), Arc::clone(&fleet)).run(requests));
            Self {
                store,
                fleet,
                _directory: directory,
            }
        }

        async fn connect(&self) -> (Connection, Frames) {
            let node: NodeId = "mesh/m/virtualNode/n".parse().unwrap();
            let (connection, frames) = self.fleet.connect(node, None, Protocol::Sotw).unwrap();
            let interest = Interest::Sotw {
                version_info: String::new(),
                names: Vec::new(),
            };
            let request = Request {
                resource_type: ResourceType::Cluster,
                nonce: String::new(),
                error: None,
                interest,
            };
            connection.request(request).await.unwrap();
            (connection, frames)
        }

        async fn create_mesh(&self) {
            let batch = Batch::definitions("test", "CreateMesh").put(ResourceId::mesh("m").key(), "{}");
            self.store.commit(batch).await.unwrap();
        }
    }

    /// The next frame, or `None` where nothing comes.
    async fn next(frames: &mut Frames) -> Option<Result<bytes::Bytes, StreamEnd>> {
        tokio::time::timeout(Duration::from_millis(300), frames.next())
            .await
            .ok()
            .flatten()
    }

    #[tokio::test]
    async fn a_node_of_a_mesh_that_does_not_exist_is_not_found() {
        let host = Host::start();
        let (_connection, mut frames) = host.connect().await;
        assert!(matches!(
            next(&mut frames).await,
            Some(Err(StreamEnd::NodeNotFound(_)))
        ));
    }

    #[tokio::test]
    async fn nobody_is_told_anything_before_their_mesh_was_transformed() {
        let host = Host::start();
        host.create_mesh().await;
        let (_connection, mut frames) = host.connect().await;
        assert_eq!(next(&mut frames).await, None);
        host.store
            .commit(Batch::derived().put(keys::transformed("m"), ""))
            .await
            .unwrap();
        assert!(matches!(
            next(&mut frames).await,
            Some(Err(StreamEnd::NodeNotFound(_)))
        ));
    }

    #[tokio::test]
    async fn fragments_reach_the_envoys_that_ask_for_them() {
        let host = Host::start();
        host.create_mesh().await;
        let (_connection, mut frames) = host.connect().await;
        assert_eq!(next(&mut frames).await, None);
        let node: NodeId = "mesh/m/virtualNode/n".parse().unwrap();
        let fragment = Fragment::Node(NodeFragment::default());
        let batch = Batch::derived().put(keys::fragment(node.key()), fragment.encode());
        host.store
            .commit(batch.put(keys::transformed("m"), ""))
            .await
            .unwrap();
        assert!(matches!(next(&mut frames).await, Some(Ok(_))));
        host.store
            .commit(Batch::derived().delete(keys::fragment(node.key())))
            .await
            .unwrap();
        assert!(matches!(
            next(&mut frames).await,
            Some(Err(StreamEnd::NodeNotFound(_)))
        ));
    }
}
