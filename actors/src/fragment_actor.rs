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

/// How many subscribers are told before what they do of it is waited for: what an Envoy needs of the processor's cache for a
/// response stays there until the response is written, and with a fast Envoy until it is accepted.
const TOLD_AT_ONCE: usize = 24;

/// Holds the latest fragment of `key` and passes it to its subscribers.
pub(crate) struct FragmentActor {
    key: FragmentKey,
    /// `None` until it is known whether there is a fragment: nobody is told anything before that.
    latest: Option<Option<Arc<Fragment>>>,
    /// The commit that the latest state came of, until subscribers are told.
    propagation: Option<Arc<Propagation>>,
    subscribers: BTreeMap<StreamNumber, Subscriber>,
    flush: Flush,
}

/// How far the subscribers have been told the latest state.
#[derive(Clone, Copy, PartialEq)]
enum Flush {
    /// All of them.
    Done,
    /// Those below `next`; the others are told in a while. The state has changed meanwhile where they all have to be told
    /// again.
    Under { next: StreamNumber, again: bool },
}

impl FragmentActor {
    pub(crate) fn new(key: FragmentKey) -> Self {
        Self { key, latest: None, propagation: None, subscribers: BTreeMap::new(), flush: Flush::Done }
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

    fn handle(&mut self, message: Publish, context: &mut Context<Self>) {
        let is_idle = self.flush == Flush::Done;
        self.take_in(message.0);
        if is_idle && self.flush != Flush::Done {
            Self::flush_in_a_while(context);
        }
    }
}

impl FragmentActor {
    /// Takes in the latest state, which all subscribers have to be told then.
    fn take_in(&mut self, Publication { fragment, propagation }: Publication) {
        if self.latest.as_ref() == Some(&fragment) {
            return;
        }
        self.latest = Some(fragment);
        self.propagation = propagation;
        self.flush = match self.flush {
            Flush::Done | Flush::Under { next: 0, .. } => Flush::Under { next: 0, again: false },
            Flush::Under { next, .. } => Flush::Under { next, again: true },
        };
    }

    /// Goes on telling the subscribers once everything else on this thread has had its turn. By then the mailbox has drained:
    /// several publications become one.
    fn flush_in_a_while(context: &mut Context<Self>) {
        let others = wrap_future::<_, Self>(tokio::task::yield_now());
        context.spawn(others.map(|(), actor, context| {
            actor.flush(TOLD_AT_ONCE);
            if actor.flush != Flush::Done {
                Self::flush_in_a_while(context);
            }
        }));
    }

    /// Tells at most so many of the subscribers the latest state that were not told yet.
    fn flush(&mut self, at_most: usize) {
        let (Flush::Under { next, again }, Some(latest)) = (self.flush, &self.latest) else {
            return;
        };
        let publication = Publication { fragment: latest.clone(), propagation: self.propagation.clone() };
        let mut untold = self.subscribers.range(next..);
        for (_, subscriber) in untold.by_ref().take(at_most) {
            subscriber.tell(&self.key, publication.clone());
        }
        self.flush = match (untold.next(), again) {
            (Some((next, _)), again) => Flush::Under { next: *next, again },
            (None, true) => Flush::Under { next: 0, again: false },
            (None, false) => Flush::Done,
        };
        if self.flush == Flush::Done {
            self.propagation = None;
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
        while self.flush != Flush::Done {
            self.flush(usize::MAX);
        }
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

    fn publication(transaction: u64) -> Publication {
        let fragment = Fragment::Service(ServiceFragment { transaction, ..Default::default() });
        Publication { fragment: Some(Arc::new(fragment)), propagation: None }
    }

    #[tokio::test]
    async fn those_who_were_told_already_are_told_again_of_what_comes_meanwhile() {
        let arbiters = Arbiters::start(1).unwrap();
        let owner = Asleep::start_in_arbiter(arbiters.next(), |_| Asleep);
        let key = FragmentKey::virtual_service(&"m".into(), "a");
        let mut actor = FragmentActor::new(key.clone());
        let inboxes = [(); 5].map(|()| Arc::new(Inbox::new(owner.clone().recipient())));
        for (stream, inbox) in (1..).zip(&inboxes) {
            actor.subscribers.insert(stream, Subscriber::new(Arc::clone(inbox)));
        }
        let told = || {
            let of = |publication: &Publication| publication.fragment.as_ref().unwrap().transaction();
            inboxes.each_ref().map(|inbox| inbox.take().first().map(|(_, publication)| of(publication)))
        };
        actor.take_in(publication(1));
        actor.flush(2);
        assert_eq!(told(), [Some(1), Some(1), None, None, None]);
        actor.take_in(publication(2));
        actor.flush(2);
        assert_eq!(told(), [None, None, Some(2), Some(2), None]);
        actor.flush(2);
        actor.flush(2);
        assert_eq!(told(), [Some(2), Some(2), None, None, Some(2)]);
        assert!(actor.flush != Flush::Done);
        while actor.flush != Flush::Done {
            actor.flush(2);
        }
        actor.flush(2);
        assert_eq!(told(), [None, None, Some(2), Some(2), Some(2)]);
    }
}
