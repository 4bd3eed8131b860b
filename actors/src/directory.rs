//! Finds the actor of a fragment; starts it for its first subscriber and ends it after its last.

use std::sync::Arc;

use actix::{Actor, Addr};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use legation_proto::id::{FragmentKey, FragmentKind};

use crate::arbiters::Arbiters;
use crate::composition::{Composer, Composition};
use crate::fragment_actor::{
    FragmentActor, Publish, Settle, Stop, StreamNumber, Subscribe, Subscriber, Unsubscribe,
};
use crate::inbox::{Inbox, Publication};
use crate::metrics;

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
    actors: DashMap<FragmentKey, InUse, RandomState>,
    arbiters: Arc<Arbiters>,
    source: Arc<dyn FragmentSource>,
    composer: Composer,
}

struct InUse {
    actor: Addr<FragmentActor>,
    /// Counted here, under the map's lock, so that no subscriber can find an actor that is about to end.
    subscribers: usize,
    composition: Option<Arc<Composition>>,
}

/// What a subscriber gets.
pub(crate) struct Subscription {
    /// The key, in the memory that all subscribers share and publications come with.
    pub(crate) key: FragmentKey,
    /// What composes for the node, where the key is that of a node or gateway.
    pub(crate) composition: Option<Arc<Composition>>,
}

impl Directory {
    pub(crate) fn new(arbiters: Arc<Arbiters>, source: Arc<dyn FragmentSource>, composer: Composer) -> Self {
        Self { actors: DashMap::default(), arbiters, source, composer }
    }

    /// Subscribes a stream to a fragment: its inbox is told the state, and every change of it.
    pub(crate) fn subscribe(
        &self,
        key: &FragmentKey,
        stream: StreamNumber,
        inbox: Arc<Inbox>,
    ) -> Subscription {
        let mut in_use = match self.actors.entry(key.clone()) {
            Entry::Occupied(occupied) => occupied.into_ref(),
            Entry::Vacant(vacant) => {
                let composition = (key.kind != FragmentKind::VirtualService)
                    .then(|| Arc::new(Composition::new(self.composer)));
                let actor = FragmentActor::new(key.clone());
                let actor = FragmentActor::start_in_arbiter(self.arbiters.next(), |_| actor);
                self.source.follow(key);
                metrics::fragments_in_use(1);
                vacant.insert(InUse { actor, subscribers: 0, composition })
            }
        };
        in_use.subscribers += 1;
        in_use.actor.do_send(Subscribe { stream, subscriber: Subscriber::new(inbox) });
        Subscription { key: in_use.key().clone(), composition: in_use.composition.clone() }
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
            metrics::fragments_in_use(-1);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use actix::{AsyncContext, Context, Handler, Message};
    use legation_proto::fragment::{Fragment, NodeFragment};
    use legation_proto::id::NodeId;
    use legation_proto::response::Protocol;
    use legation_proto::service::Service;
    use tokio::sync::mpsc;

    use super::*;
    use crate::admission::{Admission, Limits};
    use crate::composition::{Backend, Client, ComposeError, Composed, Composer};
    use crate::envoy_actor::{EnvoyActor, Identity, Shared};
    use crate::fleet::Registration;
    use crate::inbox::Wake;
    use crate::metrics::ResponseMetrics;
    use crate::moment::Moment;
    use crate::snapshot::Snapshot;
    use crate::stream::{Outbox, StreamEnd};

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Panic;

    impl Handler<Panic> for FragmentActor {
        type Result = ();

        fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
            panic!("this failure is part of the test");
        }
    }

    /// Tells when its inbox has something.
    struct Owner(mpsc::UnboundedSender<()>);

    impl Actor for Owner {
        type Context = Context<Self>;
    }

    impl Handler<Wake> for Owner {
        type Result = ();

        fn handle(&mut self, _: Wake, _: &mut Context<Self>) {
            let _ = self.0.send(());
        }
    }

    #[derive(Default)]
    struct Followed(AtomicUsize);

    impl FragmentSource for Followed {
        fn follow(&self, _: &FragmentKey) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn unfollow(&self, _: &FragmentKey) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn compose(
        _: Client,
        _: &NodeFragment,
        _: &[Backend<'_>],
        _: Option<&Snapshot>,
    ) -> Result<Composed, ComposeError> {
        Err(ComposeError { reason: "nobody composes here".to_owned() })
    }

    struct Host {
        directory: Arc<Directory>,
        followed: Arc<Followed>,
        key: FragmentKey,
    }

    impl Host {
        fn start() -> Self {
            let followed = Arc::new(Followed::default());
            let arbiters = Arc::new(Arbiters::start(1).unwrap());
            let directory =
                Arc::new(Directory::new(arbiters, Arc::clone(&followed) as _, Composer::anew(compose)));
            Self { directory, followed, key: "mesh/m/virtualNode/n".parse::<NodeId>().unwrap().key().clone() }
        }

        fn subscribe(&self, stream: StreamNumber) -> (Arc<Inbox>, mpsc::UnboundedReceiver<()>) {
            let (sender, woken) = mpsc::unbounded_channel();
            let owner = Owner::start_in_arbiter(self.directory.arbiters.next(), |_| Owner(sender));
            let inbox = Arc::new(Inbox::new(owner.recipient()));
            self.directory.subscribe(&self.key, stream, Arc::clone(&inbox));
            (inbox, woken)
        }

        fn publish(&self) {
            self.directory.publish(&self.key, Publication::default());
        }

        async fn kill_the_fragment_actor(&self) {
            let actor = self.directory.actors.get(&self.key).unwrap().actor.clone();
            assert!(actor.send(Panic).await.is_err(), "it died of it");
        }
    }

    async fn is_woken(woken: &mut mpsc::UnboundedReceiver<()>) -> bool {
        tokio::time::timeout(Duration::from_secs(5), woken.recv()).await.is_ok()
    }

    #[tokio::test]
    async fn the_death_of_a_fragment_actor_is_told_and_the_next_one_starts_afresh() {
        let host = Host::start();
        let (inbox, mut woken) = host.subscribe(1);
        host.publish();
        assert!(is_woken(&mut woken).await);
        assert_eq!((inbox.take().len(), inbox.is_cut_off()), (1, false));

        host.kill_the_fragment_actor().await;
        assert!(is_woken(&mut woken).await);
        assert!(inbox.is_cut_off());
        // one that comes before those who are told have left does not wait for ever either
        let (late, mut late_woken) = host.subscribe(2);
        assert!(is_woken(&mut late_woken).await);
        assert!(late.is_cut_off());

        host.directory.unsubscribe(&host.key, 1);
        host.directory.unsubscribe(&host.key, 2);
        assert_eq!((host.directory.len(), host.followed.0.load(Ordering::SeqCst)), (0, 0));
        let (fresh, mut fresh_woken) = host.subscribe(3);
        host.publish();
        assert!(is_woken(&mut fresh_woken).await);
        assert_eq!((fresh.take().len(), fresh.is_cut_off()), (1, false));
        assert_eq!(host.followed.0.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn the_stream_of_an_envoy_ends_with_its_fragment_actor() {
        let host = Host::start();
        let identity = Identity {
            stream: 1,
            node: "mesh/m/virtualNode/n".parse().unwrap(),
            client: Client::Envoy,
            peer: None,
            service: Service::Aggregated,
            connected: Moment::now(),
        };
        let shared = Shared {
            directory: Arc::clone(&host.directory),
            control_plane: "test".to_owned(),
            stall_timeout: Duration::from_secs(60),
            metrics: ResponseMetrics::new(),
        };
        let admission = Arc::new(Admission::new(Limits { envoys: 1, envoys_per_node: 1 }));
        let place = Arc::new(admission.admit(&identity.node).unwrap());
        let (transport, mut frames) = mpsc::channel(1);
        let (outbox, _news) = Outbox::new(transport);
        let _envoy = EnvoyActor::start_in_arbiter(host.directory.arbiters.next(), |context| {
            let registration = Registration::new(Arc::default(), 1, context.address(), place);
            EnvoyActor::new(identity, Protocol::Delta, Arc::new(shared), outbox, registration, context)
        });
        while host.directory.len() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        host.kill_the_fragment_actor().await;
        let end = tokio::time::timeout(Duration::from_secs(5), frames.recv()).await.expect("an end");
        assert_eq!(end, Some(Err(StreamEnd::Failed)));
        while host.directory.len() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn who_leaves_is_not_cut_off() {
        let host = Host::start();
        let (inbox, _woken) = host.subscribe(1);
        let (_, mut other_woken) = host.subscribe(2);
        host.directory.unsubscribe(&host.key, 1);
        host.publish();
        assert!(is_woken(&mut other_woken).await);
        assert!(!inbox.is_cut_off());
        assert!(inbox.take().is_empty());
    }

    #[tokio::test]
    async fn each_of_many_subscribers_is_told_the_latest_state() {
        let host = Host::start();
        let mut subscribers: Vec<_> = (0..50).map(|stream| host.subscribe(stream)).collect();
        let fragment = |transaction| {
            let node = NodeFragment { transaction, ..NodeFragment::default() };
            Publication { fragment: Some(Arc::new(Fragment::Node(node))), propagation: None }
        };
        for transaction in 1..=20 {
            host.directory.publish(&host.key, fragment(transaction));
            tokio::time::sleep(Duration::from_micros(transaction)).await; // while some are told
        }
        for (inbox, woken) in &mut subscribers {
            let mut transaction = 0;
            while transaction < 20 {
                assert!(is_woken(woken).await, "it was told {transaction} last");
                let updates = inbox.take();
                let latest = updates
                    .iter()
                    .find(|(key, _)| *key == host.key)
                    .and_then(|(_, publication)| publication.fragment.as_ref());
                transaction = latest.map_or(transaction, |fragment| fragment.transaction());
            }
            assert!(inbox.take().is_empty());
        }
    }
}
