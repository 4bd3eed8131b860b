//! One actor for every virtual service, virtual node and virtual gateway that is in use on this host: it holds the
//! latest fragment and its subscribers, the Envoys that depend on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::fut::wrap_future;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message};
use legation_proto::fragment::Fragment;
use legation_proto::id::FragmentKey;

use crate::inbox::{Inbox, Publication};
use crate::propagation::Propagation;

/// Numbers the streams of this host since its start.
pub(crate) type StreamNumber = u64;

/// Holds the latest fragment of `key` and passes it to its subscribers.
pub(crate) struct FragmentActor {
    key: FragmentKey,
    /// `None` until it is known whether there is a fragment: nobody is told anything before that.
    latest: Option<Option<Arc<Fragment>>>,
    /// The commit that the latest state came of, until subscribers are told.
    propagation: Option<Arc<Propagation>>,
    subscribers: BTreeMap<StreamNumber, Subscriber>,
    /// Subscribers have not been told the latest state; they are in a while.
    is_untold: bool,
}

impl FragmentActor {
    pub(crate) fn new(key: FragmentKey) -> Self {
        Self { key, latest: None, propagation: None, subscribers: BTreeMap::new(), is_untold: false }
    }
}

impl Actor for FragmentActor {
    type Context = Context<Self>;
}

/// The inbox of an Envoy that depends on a fragment. One that is dropped before it has left tells the Envoy that the
/// fragment's actor has died, also where it never arrived there: the Envoy would wait for ever.
pub(crate) struct Subscriber(Option<Arc<Inbox>>);

impl Subscriber {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self(Some(inbox))
    }

    fn tell(&self, key: &FragmentKey, publication: Publication) {
        if let Some(inbox) = &self.0 {
            inbox.put(key.clone(), publication);
        }
    }

    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if let Some(inbox) = &self.0 {
            inbox.cut_off();
        }
    }
}

/// Adds a subscriber, which is told the latest state at once, if there is one.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Subscribe {
    pub(crate) stream: StreamNumber,
    pub(crate) subscriber: Subscriber,
}

/// Takes a subscriber away.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Unsubscribe(pub(crate) StreamNumber);

/// Replaces the latest state.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Publish(pub(crate) Publication);

/// Ends the actor: its last subscriber has gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

impl Handler<Subscribe> for FragmentActor {
    type Result = ();

    fn handle(&mut self, message: Subscribe, _: &mut Context<Self>) {
        if let Some(latest) = &self.latest {
            let publication = Publication { fragment: latest.clone(), propagation: None };
            message.subscriber.tell(&self.key, publication);
        }
        self.subscribers.insert(message.stream, message.subscriber);
    }
}

impl Handler<Unsubscribe> for FragmentActor {
    type Result = ();

    fn handle(&mut self, message: Unsubscribe, _: &mut Context<Self>) {
        if let Some(subscriber) = self.subscribers.remove(&message.0) {
            subscriber.leave();
        }
    }
}

impl Handler<Publish> for FragmentActor {
    type Result = ();

    /// Subscribers are told once everything else on this thread has had its turn. By then the mailbox has drained: several
    /// publications become one.
    fn handle(&mut self, message: Publish, context: &mut Context<Self>) {
        let Publication { fragment, propagation } = message.0;
        if self.latest.as_ref() == Some(&fragment) {
            return;
        }
        self.latest = Some(fragment);
        self.propagation = propagation;
        if !std::mem::replace(&mut self.is_untold, true) {
            let others = wrap_future::<_, Self>(tokio::task::yield_now());
            context.spawn(others.map(|(), actor, _| actor.flush()));
        }
    }
}

impl FragmentActor {
    /// Tells the subscribers the latest state, unless they know it. All at once: to tell a few, and wait until they have done what
    /// they do of it, keeps what that takes in the processor's cache, but takes longer.
    fn flush(&mut self) {
        if !std::mem::take(&mut self.is_untold) {
            return;
        }
        let Some(fragment) = self.latest.clone() else { return };
        let publication = Publication { fragment, propagation: self.propagation.take() };
        for subscriber in self.subscribers.values() {
            subscriber.tell(&self.key, publication.clone());
        }
    }
}

/// Asks whether everything that was published before was passed on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Settle;

impl Handler<Settle> for FragmentActor {
    type Result = ();

    fn handle(&mut self, _: Settle, _: &mut Context<Self>) {
        self.flush();
    }
}

impl Handler<Stop> for FragmentActor {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        context.stop();
    }
}

#[cfg(test)]
mod tests {
    use legation_proto::fragment::ServiceFragment;

    use super::*;
    use crate::arbiters::Arbiters;
    use crate::inbox::Wake;

    /// An Envoy that does not look into its inbox.
    struct Asleep;

    impl Actor for Asleep {
        type Context = Context<Self>;
    }

    impl Handler<Wake> for Asleep {
        type Result = ();

        fn handle(&mut self, _: Wake, _: &mut Context<Self>) {}
    }

    fn publish(transaction: u64) -> Publish {
        let fragment = Fragment::Service(ServiceFragment { transaction, ..Default::default() });
        Publish(Publication { fragment: Some(Arc::new(fragment)), propagation: None })
    }

    #[tokio::test]
    async fn all_are_told_the_latest_state_once() {
        let arbiters = Arbiters::start(1).unwrap();
        let owner = Asleep::start_in_arbiter(arbiters.next(), |_| Asleep);
        let inboxes = [(); 3].map(|()| Arc::new(Inbox::new(owner.clone().recipient())));
        let key = FragmentKey::virtual_service(&"m".into(), "a");
        let actor = FragmentActor::start_in_arbiter(arbiters.next(), |_| FragmentActor::new(key));
        for (stream, inbox) in (1..).zip(&inboxes) {
            actor.do_send(Subscribe { stream, subscriber: Subscriber::new(Arc::clone(inbox)) });
        }
        let told = || {
            let of =
                |(_, publication): &(_, Publication)| publication.fragment.as_ref().unwrap().transaction();
            inboxes.each_ref().map(|inbox| inbox.take().iter().map(of).collect::<Vec<_>>())
        };
        for (published, expected) in [(vec![1], [[1]; 3]), (vec![2, 3, 4], [[4]; 3]), (vec![5, 5], [[5]; 3])]
        {
            published.into_iter().for_each(|transaction| actor.do_send(publish(transaction)));
            actor.send(Settle).await.unwrap();
            assert_eq!(told(), expected);
        }
        actor.do_send(publish(5));
        actor.send(Settle).await.unwrap();
        assert_eq!(told(), [[0_u64; 0]; 3], "they know it");
    }
}
