//! At most one undelivered update a receiver.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Message, Recipient};
use legation_proto::fragment::Fragment;
use legation_proto::id::FragmentKey;
use smallvec::SmallVec;

use crate::propagation::Propagation;

/// The latest state of a fragment, as it is published.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The fragment; `None` where there is none, because its virtual service or node does not exist.
    pub fragment: Option<Arc<Fragment>>,
    /// The commit that it came of, where its time is measured.
    pub propagation: Option<Arc<Propagation>>,
}

/// The latest states of fragments, in the order of their keys, each key once. Most changes are of one.
pub(crate) type Updates = SmallVec<[(FragmentKey, Publication); 1]>;

/// Tells an Envoy actor that its inbox has something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Wake;

/// What fragments' actors have for one Envoy actor and it has not taken yet: the latest state of each fragment, however
/// often it changed, and one message in its mailbox, however many changed.
pub(crate) struct Inbox {
    owner: Recipient<Wake>,
    updates: Mutex<Updates>,
    /// Whether something will not come any more.
    is_cut_off: AtomicBool,
}

impl Inbox {
    pub(crate) fn new(owner: Recipient<Wake>) -> Self {
        Self { owner, updates: Mutex::default(), is_cut_off: AtomicBool::new(false) }
    }

    /// Leaves the latest state of a fragment, and wakes the owner unless it is woken already.
    pub(crate) fn put(&self, key: FragmentKey, publication: Publication) {
        let mut updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        let asleep = updates.is_empty();
        match updates.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(place) => updates[place].1 = publication,
            Err(place) => updates.insert(place, (key, publication)),
        }
        drop(updates);
        if asleep {
            self.owner.do_send(Wake);
        }
    }

    /// Tells the owner that an actor that it depends on has died.
    pub(crate) fn cut_off(&self) {
        self.is_cut_off.store(true, Ordering::Release);
        self.owner.do_send(Wake);
    }

    /// Whether an actor that the owner depends on has died.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Acquire)
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Updates {
        std::mem::take(&mut *self.updates.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use actix::{Actor, Context, Handler};
    use legation_proto::fragment::ServiceFragment;

    use super::*;
    use crate::arbiters::Arbiters;

    /// Counts how often it is woken.
    struct Owner(Arc<AtomicUsize>);

    impl Actor for Owner {
        type Context = Context<Self>;
    }

    impl Handler<Wake> for Owner {
        type Result = ();

        fn handle(&mut self, _: Wake, _: &mut Context<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn publication(transaction: u64) -> Publication {
        let fragment = Fragment::Service(ServiceFragment { transaction, ..Default::default() });
        Publication { fragment: Some(Arc::new(fragment)), propagation: None }
    }

    #[tokio::test]
    async fn the_latest_state_of_each_fragment_waits_and_one_message() {
        let arbiters = Arbiters::start(1).unwrap();
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let owner = Owner::start_in_arbiter(arbiters.next(), |_| Owner(count));
        let inbox = Inbox::new(owner.clone().recipient());
        let keys = ["a", "b"].map(|name| FragmentKey::virtual_service(&"m".into(), name));
        for transaction in 1..=5 {
            for key in keys.iter().rev() {
                inbox.put(key.clone(), publication(transaction));
            }
        }
        owner.send(Wake).await.unwrap(); // after all that came before
        assert_eq!(woken.load(Ordering::SeqCst), 2, "once, and once by the test");
        let transaction = |publication: Publication| publication.fragment.unwrap().transaction();
        let updates = inbox.take().into_iter().map(|(key, publication)| (key, transaction(publication)));
        assert_eq!(
            updates.collect::<Vec<_>>(),
            [(keys[0].clone(), 5), (keys[1].clone(), 5)],
            "in their order"
        );
        inbox.put(keys[0].clone(), publication(6));
        owner.send(Wake).await.unwrap();
        assert_eq!(woken.load(Ordering::SeqCst), 4, "it is woken again once it has taken everything");
    }
}
