//! What a stream has been sent, accepted and rejected of one type.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use foldhash::HashMap;
use legation_proto::nonce::Nonce;
use legation_proto::resource::Resource;
use legation_proto::version::Version;
use smallvec::SmallVec;

use super::Outcome;
use super::rejections::Rejections;
use super::subscription::{Change, Subscription};
use crate::request::Rejection;
use crate::snapshot::ResourceSet;
use crate::status::{Nack, TypeStatus};

/// The state of one type on one stream.
#[derive(Debug, Default)]
pub(super) struct TypeState {
    /// Whether the stream has asked for this type.
    pub(super) started: bool,
    pub(super) subscription: Subscription,
    /// What the Envoy has, by name, taken for granted from the moment it is sent. Nothing is known of names that are
    /// not here.
    pub(super) held: HashMap<Arc<str>, Held>,
    /// Names that have to be answered whether or not they changed.
    pub(super) due: BTreeSet<Arc<str>>,
    /// A subscription to everything has to be answered, even if there is nothing (conformance 61).
    pub(super) reply_due: bool,
    /// At most one response waits for its ACK.
    pub(super) in_flight: Option<InFlight>,
    /// The version of everything that the Envoy says it has from an earlier stream, until it equals what it should
    /// have, or something is sent.
    pub(super) claimed: Option<Version>,
    /// State of the world: resources that are going, kept until nothing refers to them, or waits for them.
    pub(super) lingering: Vec<Resource>,
    /// State of the world: the whole set that was accepted last, in the order of names.
    accepted: Vec<Resource>,
    pub(super) rejections: Rejections,
    outlook: Outlook,
    last_sent: Option<Version>,
    last_acked: Option<Version>,
}

/// What is known of what has to be sent or taken away. What does not change costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Outlook {
    /// Everything has to be looked at.
    #[default]
    Unknown,
    /// Nothing has to be sent: that was just done. What has to be taken away must be looked for.
    NothingToSend,
    /// Nothing has to be sent or taken away.
    Nothing,
}

/// What the Envoy has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// A resource with this content hash.
    Content(u64),
    /// Perhaps something: it rejected a response, of which it may have taken in a part (conformance 41).
    Unknown,
}

/// A response that was neither accepted nor rejected yet.
#[derive(Debug)]
pub(super) struct InFlight {
    nonce: Nonce,
    version: Version,
    /// Names and content hashes of what it carries; no hash where it removes.
    items: SmallVec<[(Arc<str>, Option<u64>); 1]>,
    /// State of the world: everything that it carries, where that is everything that the Envoy has then.
    whole: Vec<Resource>,
}

impl InFlight {
    pub(super) fn new(nonce: Nonce, version: Version, resources: &[Resource], removed: &[Arc<str>]) -> Self {
        let upserts =
            resources.iter().map(|resource| (Arc::clone(&resource.name), Some(resource.version.hash)));
        let removals = removed.iter().map(|name| (Arc::clone(name), None));
        Self { nonce, version, items: upserts.chain(removals).collect(), whole: Vec::new() }
    }
}

impl TypeState {
    /// Something has changed: what has to be sent or taken away must be looked at again.
    pub(super) fn stir(&mut self) {
        self.outlook = Outlook::Unknown;
    }

    /// Whether nothing has to be sent or taken away, without looking at everything.
    pub(super) fn rests(&self) -> bool {
        self.outlook == Outlook::Nothing
    }

    /// Whether no answer is awaited, and nothing stands rejected until something changes.
    pub(super) fn waits_for_nothing(&self) -> bool {
        self.in_flight.is_none() && self.claimed.is_none() && !self.rejections.stand()
    }

    /// Looks at everything, unless nothing has changed since this was done, for whether anything has to be sent or taken away.
    pub(super) fn settle(&mut self, set: &ResourceSet) {
        let has_nothing_to_say = match self.outlook {
            Outlook::Unknown => self.has_nothing_to_say(set),
            Outlook::NothingToSend => self.going(set).next().is_none(),
            Outlook::Nothing => true,
        };
        debug_assert_eq!(has_nothing_to_say, self.has_nothing_to_say(set), "something has changed unnoticed");
        if has_nothing_to_say {
            self.outlook = Outlook::Nothing;
        }
    }

    /// Whether nothing has to be sent or taken away, by a look at everything.
    pub(super) fn has_nothing_to_say(&self, set: &ResourceSet) -> bool {
        !self.reply_due
            && self.due.is_empty()
            && self.claimed.is_none()
            && self.upserts(set).next().is_none()
            && self.lingering_to_upsert().next().is_none()
            && self.going(set).next().is_none()
    }

    /// Takes in whether the last response was accepted.
    pub(super) fn answered(&mut self, nonce: Option<Nonce>, error: Option<Rejection>) -> Outcome {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| Some(in_flight.nonce) == nonce) else {
            return Outcome::Subscribed;
        };
        let Some(rejection) = error else {
            self.last_acked = Some(in_flight.version);
            self.accepted = in_flight.whole;
            self.rejections.accept(&in_flight.items);
            return Outcome::Acked;
        };
        self.stir();
        let mut rejected = Vec::new();
        for (name, hash) in in_flight.items {
            if let Some(hash) = hash
                && self.subscription.covers(&name)
                // what was accepted before as it is, the Envoy has in any case
                && self.accepted(&name).is_none_or(|accepted| accepted.version.hash != hash)
            {
                self.held.insert(Arc::clone(&name), Held::Unknown);
                // what has to be answered since then goes out once more
                if !self.due.contains(&name) {
                    rejected.push((name, hash));
                }
            }
        }
        self.replace_rejected_lingering(&rejected);
        let is_set_rejected = self.due.is_empty();
        self.rejections.add(Nack { version: in_flight.version, rejection }, rejected, is_set_rejected);
        Outcome::Nacked
    }

    /// What is going and was rejected stays as it was accepted, if ever it was: it would be rejected again.
    fn replace_rejected_lingering(&mut self, rejected: &[(Arc<str>, u64)]) {
        let rejected: HashSet<&Arc<str>> = rejected.iter().map(|(name, _)| name).collect();
        let lingering = std::mem::take(&mut self.lingering).into_iter();
        self.lingering = lingering
            .filter_map(|resource| match rejected.contains(&resource.name) {
                true => self.accepted(&resource.name).cloned(),
                false => Some(resource),
            })
            .collect();
    }

    /// Takes in a change of the subscription. Tells whether there is any.
    pub(super) fn resubscribe(&mut self, change: Change) -> bool {
        if change.is_none() {
            return false;
        }
        self.stir();
        let Change { asked, dropped, wildcard_began, wildcard_ended } = change;
        for name in dropped.iter().filter(|name| !self.subscription.covers(name)) {
            self.held.remove(name);
            self.due.remove(name);
            self.lingering.retain(|resource| resource.name != *name);
        }
        self.rejections.retain(|name| self.subscription.covers(name));
        self.demand(asked.into_iter().collect());
        if wildcard_began {
            self.reply_due = true;
            self.remember_what_is_on_its_way();
        }
        if wildcard_ended {
            let subscription = &self.subscription;
            self.held.retain(|name, _| subscription.covers(name));
            self.due.retain(|name| subscription.covers(name));
            self.lingering.retain(|resource| subscription.covers(&resource.name));
            self.reply_due = false;
        }
        true
    }

    /// These have to be answered, once more even if they stand rejected.
    pub(super) fn demand(&mut self, mut names: BTreeSet<Arc<str>>) {
        if names.is_empty() {
            return;
        }
        self.stir();
        self.rejections.demand(|name| names.contains(name));
        self.due.append(&mut names);
    }

    /// What the Envoy was sent and has not answered, it will have, also where it was forgotten with a subscription.
    fn remember_what_is_on_its_way(&mut self) {
        for (name, hash) in self.in_flight.iter().flat_map(|in_flight| &in_flight.items) {
            if hash.is_some() {
                self.held.entry(Arc::clone(name)).or_insert(Held::Unknown);
            }
        }
    }

    /// Takes in what the Envoy has from an earlier stream (delta, conformance 55 to 59). Where it is `trusted`, names
    /// that are subscribed at once need no answer unless they changed.
    pub(super) fn resume(&mut self, initial_versions: Vec<(String, String)>, trusted: bool) {
        self.stir();
        for (name, version) in initial_versions {
            if !self.subscription.covers(&name) {
                continue;
            }
            let name: Arc<str> = name.into();
            // a version of another control plane equals none of ours
            let hash = version.parse().map_or(0, |version: Version| version.hash);
            if trusted {
                self.due.remove(&name);
            }
            self.held.insert(name, Held::Content(hash));
            self.reply_due = false;
        }
    }

    /// Compares what the Envoy says it has with what it should have (state of the world, conformance 28).
    pub(super) fn settle_claim(&mut self, set: &ResourceSet) {
        if self.claimed.is_none_or(|claimed| claimed != set.version()) || !self.subscription.is_wildcard() {
            return;
        }
        self.claimed = None;
        for resource in set.resources() {
            self.held.insert(Arc::clone(&resource.name), Held::Content(resource.version.hash));
        }
        self.accepted = set.resources().to_vec();
        self.last_acked = Some(set.version());
        self.reply_due = false;
    }

    /// The Envoy should have `set` from now on. `before` is what it should have had, where what goes has to linger.
    pub(super) fn retarget(&mut self, set: &ResourceSet, before: Option<&ResourceSet>) {
        self.stir();
        self.lingering.retain(|resource| set.get(&resource.name).is_none());
        for resource in before.map(ResourceSet::resources).unwrap_or_default() {
            if set.get(&resource.name).is_some() {
                continue;
            }
            match self.held.get(&resource.name) {
                Some(Held::Content(hash)) => {
                    // as it was sent: another content would make it warm again
                    let in_flight = self.in_flight.iter().flat_map(|in_flight| &in_flight.whole);
                    let as_sent = [resource]
                        .into_iter()
                        .chain(in_flight)
                        .chain(&self.accepted)
                        .find(|sent| sent.name == resource.name && sent.version.hash == *hash);
                    self.lingering.push(as_sent.unwrap_or(resource).clone());
                }
                Some(Held::Unknown) => self.lingering.extend(self.accepted(&resource.name).cloned()),
                None => {}
            }
        }
        self.drop_outdated_rejections(set);
    }

    /// Forgets rejections of what should be there no longer as it was rejected.
    pub(super) fn drop_outdated_rejections(&mut self, set: &ResourceSet) {
        if self.rejections.drop_outdated(set) {
            self.stir();
        }
    }

    /// Takes note of a response.
    pub(super) fn sent(&mut self, in_flight: InFlight) {
        self.stir();
        for (name, hash) in &in_flight.items {
            match hash {
                Some(hash) => self.held.insert(Arc::clone(name), Held::Content(*hash)),
                None => self.held.remove(name),
            };
            self.due.remove(name);
        }
        self.reply_due = false;
        self.claimed = None;
        self.last_sent = Some(in_flight.version);
        self.in_flight = Some(in_flight);
    }

    /// Takes note that the response that was just sent carries all that has to be sent.
    pub(super) fn sent_everything(&mut self) {
        self.outlook = Outlook::NothingToSend;
    }

    /// Takes note that nothing has to be answered any more, once what is about to be sent is.
    pub(super) fn answered_everything(&mut self) {
        self.due.clear();
        self.reply_due = false;
    }

    /// Takes note that the response that was just sent is all that the Envoy has now (state of the world).
    pub(super) fn sent_whole(&mut self, resources: &[Resource]) {
        let Some(in_flight) = &mut self.in_flight else { return };
        in_flight.whole = resources.to_vec();
        let sent: BTreeSet<&Arc<str>> = in_flight.items.iter().map(|(name, _)| name).collect();
        self.held.retain(|name, _| sent.contains(name));
    }

    /// The subscribed part of `set`.
    pub(super) fn visible<'a>(&'a self, set: &'a ResourceSet) -> impl Iterator<Item = &'a Resource> {
        let is_wildcard = self.subscription.is_wildcard();
        let all = if is_wildcard { set.resources() } else { &[] };
        let named = (!is_wildcard).then(|| self.subscription.names());
        all.iter().chain(named.into_iter().flatten().filter_map(|name| set.get(name)))
    }

    /// What has to be sent: it changed or it is due, and it was not rejected as it is.
    pub(super) fn upserts<'a>(&'a self, set: &'a ResourceSet) -> impl Iterator<Item = &'a Resource> {
        self.visible(set).filter(|resource| self.lacks(resource))
    }

    /// What is going and has to be sent all the same.
    pub(super) fn lingering_to_upsert(&self) -> impl Iterator<Item = &Resource> {
        let asked_for = |resource: &&Resource| self.subscription.covers(&resource.name);
        self.lingering.iter().filter(asked_for).filter(|resource| self.lacks(resource))
    }

    fn lacks(&self, resource: &Resource) -> bool {
        let held = self.held.get(&resource.name) == Some(&Held::Content(resource.version.hash));
        (!held || self.due.contains(&resource.name)) && !self.rejections.contain(resource)
    }

    /// Names that have to be answered and are not in `set`.
    pub(super) fn due_but_missing(&self, set: &ResourceSet) -> Vec<Arc<str>> {
        self.due.iter().filter(|name| set.get(name).is_none()).cloned().collect()
    }

    /// Names that the Envoy has, or may have, and should not have, in no order.
    fn going<'a>(&'a self, set: &'a ResourceSet) -> impl Iterator<Item = &'a Arc<str>> {
        self.held.keys().filter(|name| set.get(name).is_none())
    }

    /// Names that the Envoy has, or may have, and should not have.
    pub(super) fn to_remove(&self, set: &ResourceSet) -> Vec<Arc<str>> {
        let mut going: Vec<Arc<str>> = self.going(set).cloned().collect();
        going.sort();
        going
    }

    /// Whether the Envoy accepted the whole subscribed part of `set`, and nothing else.
    pub(super) fn has_all_of(&self, set: &ResourceSet) -> bool {
        self.in_flight.is_none()
            && !self.rejections.stand()
            && !self.reply_due
            && (self.rests() || self.upserts(set).next().is_none() && self.going(set).next().is_none())
    }

    /// Names and content hashes of what the response carries that waits for its answer; no hash where it removes.
    pub(super) fn items_in_flight(&self) -> impl Iterator<Item = &(Arc<str>, Option<u64>)> {
        self.in_flight.iter().flat_map(|in_flight| &in_flight.items)
    }

    #[cfg(test)]
    pub(super) fn in_flight_nonce(&self) -> Option<Nonce> {
        self.in_flight.as_ref().map(|in_flight| in_flight.nonce)
    }

    pub(super) fn status(&self) -> TypeStatus {
        TypeStatus { sent: self.last_sent, acked: self.last_acked, nacked: self.rejections.last().cloned() }
    }

    /// State of the world: what was accepted under this name.
    fn accepted(&self, name: &str) -> Option<&Resource> {
        let position = self.accepted.binary_search_by(|resource| resource.name.as_ref().cmp(name)).ok()?;
        self.accepted.get(position)
    }
}
