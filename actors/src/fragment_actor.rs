//! One actor for every virtual service, virtual node and virtual gateway that is in use on this host: it holds the
//! latest fragment and its subscribers, the Envoys that depend on it.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
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
    subscribers: HashMap<StreamNumber, Subscriber>,
    flush_due: bool,
}

impl FragmentActor {
    pub(crate) fn new(key: FragmentKey) -> Self {
        Self { key, latest: None, propagation: None, subscribers: HashMap::new(), flush_due: false }
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

/// Sent to itself, it arrives when the mailbox has drained: several publications become one.
#[derive(Message)]
#[rtype(result = "()")]
struct Flush;

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
        let Publish(Publication { fragment, propagation }) = message;
        if self.latest.as_ref() == Some(&fragment) {
            return;
        }
        self.latest = Some(fragment);
        self.propagation = propagation;
        if !self.flush_due {
            self.flush_due = true;
            context.notify(Flush);
        }
    }
}

impl FragmentActor {
    /// Tells the subscribers the latest state, if they were not told yet.
    fn flush(&mut self) {
        if !std::mem::take(&mut self.flush_due) {
            return;
        }
        let Some(latest) = &self.latest else { return };
        let publication = Publication { fragment: latest.clone(), propagation: self.propagation.take() };
        for subscriber in self.subscribers.values() {
            subscriber.tell(&self.key, publication.clone());
        }
    }
}

impl Handler<Flush> for FragmentActor {
    type Result = ();

    fn handle(&mut self, _: Flush, _: &mut Context<Self>) {
        self.flush();
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
