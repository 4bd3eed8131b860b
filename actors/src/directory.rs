//! Finds the actor of a fragment; starts it for its first subscriber and ends it after its last.

use std::sync::Arc;

use actix::{Actor, Addr};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use legation_proto::id::{FragmentKey, FragmentKind};

use crate::arbiters::Arbiters;
use crate::composition::{Compose, Composition};
use crate::fragment_actor::{FragmentActor, Publish, Settle, Stop, StreamNumber, Subscribe, Unsubscribe};
use crate::inbox::{Inbox, Publication};

/// Where fragments come from. Both calls come under a lock: they return at once and do not publish before they return.
pub trait FragmentSource: Send + Sync {
    /// An actor for `key` was started: publish the fragment's state as soon as it is known, and every change of it.
    fn follow(&self, key: &FragmentKey);

    /// The actor for `key` has ended.
    fn unfollow(&self, key: &FragmentKey);
}

/// The actors of the fragments that are in use on this host. A change to any other fragment finds nobody here and
/// costs one look-up.
pub(crate) struct Directory {
    actors: DashMap<FragmentKey, InUse>,
    arbiters: Arc<Arbiters>,
    source: Arc<dyn FragmentSource>,
    compose: Compose,
}

struct InUse {
    actor: Addr<FragmentActor>,
    /// Counted here, under the map's lock, so that no subscriber can find an actor that is about to end.
    subscribers: usize,
    composition: Option<Arc<Composition>>,
}

impl Directory {
    pub(crate) fn new(arbiters: Arc<Arbiters>, source: Arc<dyn FragmentSource>, compose: Compose) -> Self {
        Self { actors: DashMap::new(), arbiters, source, compose }
    }

    /// Subscribes a stream to a fragment: its inbox is told the state, and every change of it. Returns what composes for
    /// the node, where `key` is that of a node or gateway.
    pub(crate) fn subscribe(
        &self,
        key: &FragmentKey,
        stream: StreamNumber,
        inbox: Arc<Inbox>,
    ) -> Option<Arc<Composition>> {
        let mut in_use = match self.actors.entry(key.clone()) {
            Entry::Occupied(occupied) => occupied.into_ref(),
            Entry::Vacant(vacant) => {
                let composition = (key.kind != FragmentKind::VirtualService)
                    .then(|| Arc::new(Composition::new(self.compose)));
                let actor = FragmentActor::new(key.clone());
                let actor = FragmentActor::start_in_arbiter(self.arbiters.next(), |_| actor);
                self.source.follow(key);
                vacant.insert(InUse { actor, subscribers: 0, composition })
            }
        };
        in_use.subscribers += 1;
        in_use.actor.do_send(Subscribe { stream, inbox });
        in_use.composition.clone()
    }

    /// Takes a subscription back.
    pub(crate) fn unsubscribe(&self, key: &FragmentKey, stream: StreamNumber) {
        let Entry::Occupied(mut occupied) = self.actors.entry(key.clone()) else {
            return;
        };
        let in_use = occupied.get_mut();
        in_use.actor.do_send(Unsubscribe(stream));
        in_use.subscribers -= 1;
        if in_use.subscribers == 0 {
            in_use.actor.do_send(Stop);
            self.source.unfollow(key);
            occupied.remove();
        }
    }

    /// Passes the state of a fragment to its actor, if it is in use here.
    pub(crate) fn publish(&self, key: &FragmentKey, publication: Publication) {
        if let Some(in_use) = self.actors.get(key) {
            in_use.actor.do_send(Publish(publication));
        }
    }

    /// Waits until everything that was published before is in the inboxes of its consumers, and these are woken.
    pub(crate) async fn settle(&self) {
        let actors: Vec<_> = self.actors.iter().map(|in_use| in_use.actor.clone()).collect();
        for actor in actors {
            let _ = actor.send(Settle).await; // one that has ended has no consumers
        }
    }

    /// How many fragments are in use.
    pub(crate) fn len(&self) -> usize {
        self.actors.len()
    }
}
