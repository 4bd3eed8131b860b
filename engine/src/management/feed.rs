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
        let events = listing
            .records
            .into_iter()
            .map(|record| Event { transaction: transaction(&record), key: record.key, value: Some(record.value) });
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
        let Self { waiting, transformed, fleet, .. } = self;
        waiting.retain(|key| {
            let known = transformed.contains(&key.mesh);
            if known {
                fleet.publish(key, None);
            }
            !known
        });
    }
}
