//! Which resources of one type a stream is subscribed to.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The name that subscribes to everything.
const WILDCARD: &str = "*";

/// What a stream wants of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    wildcard: Wildcard,
    names: BTreeSet<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wildcard {
    #[default]
    No,
    /// By a first request without names; ends with the first one that has names in state of the world.
    Legacy,
    /// By the name `*`.
    Explicit,
}

/// What a request changed in a subscription.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Names to answer, sorted: newly subscribed ones; in delta also those that were subscribed already (conformance 46), and
    /// those that are covered by the wildcard alone from now on (conformance 51).
    pub(crate) asked: Vec<Arc<str>>,
    /// Names that were subscribed and are no longer.
    pub(crate) dropped: Vec<Arc<str>>,
    /// The wildcard was not in effect before and is now.
    pub(crate) wildcard_began: bool,
    /// The wildcard was in effect before and is no longer.
    pub(crate) wildcard_ended: bool,
}

impl Change {
    /// Whether nothing changed, as with most requests.
    pub(crate) fn is_none(&self) -> bool {
        let Self { asked, dropped, wildcard_began, wildcard_ended } = self;
        asked.is_empty() && dropped.is_empty() && !wildcard_began && !wildcard_ended
    }
}

impl Subscription {
    /// Whether everything of the type is subscribed.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.wildcard != Wildcard::No
    }

    /// Whether `name` is subscribed, by itself or by the wildcard.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.is_wildcard() || self.names.contains(name)
    }

    /// The names subscribed by themselves.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter()
    }

    /// State of the world: `names` replaces what was there (conformance 13 to 17). `legacy` tells that this is the first
    /// request of a type where no names mean everything.
    pub(crate) fn replace(&mut self, names: Vec<String>, legacy: bool) -> Change {
        let wildcard = if names.iter().any(|name| name == WILDCARD) {
            Wildcard::Explicit
        } else if names.is_empty() && (legacy || self.wildcard == Wildcard::Legacy) {
            Wildcard::Legacy
        } else {
            Wildcard::No
        };
        let names: BTreeSet<Arc<str>> =
            names.into_iter().filter(|name| name != WILDCARD).map(Into::into).collect();
        let change = Change {
            asked: names.difference(&self.names).cloned().collect(),
            dropped: self.names.difference(&names).cloned().collect(),
            ..self.set_wildcard(wildcard)
        };
        self.names = names;
        change
    }

    /// Delta: adds and takes away (conformance 43 to 45, 49). `legacy` as in [`Subscription::replace`].
    pub(crate) fn update(
        &mut self,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
        legacy: bool,
    ) -> Change {
        let mut wildcard = self.wildcard;
        if subscribe.is_empty() && unsubscribe.is_empty() {
            if !legacy {
                return Change::default(); // an answer, as most requests are
            }
            wildcard = Wildcard::Legacy;
        }
        let mut asked = BTreeSet::new();
        for name in subscribe {
            if name == WILDCARD {
                wildcard = Wildcard::Explicit;
                continue;
            }
            let name: Arc<str> = name.into();
            self.names.insert(Arc::clone(&name));
            asked.insert(name);
        }
        let mut dropped = Vec::new();
        for name in unsubscribe {
            if name == WILDCARD {
                wildcard = Wildcard::No;
            } else if let Some(name) = self.names.take(name.as_str()) {
                asked.remove(&name);
                dropped.push(name);
            }
        }
        if wildcard != Wildcard::No {
            asked.extend(dropped.iter().cloned());
        }
        Change { asked: asked.into_iter().collect(), dropped, ..self.set_wildcard(wildcard) }
    }

    fn set_wildcard(&mut self, wildcard: Wildcard) -> Change {
        let before = self.is_wildcard();
        self.wildcard = wildcard;
        Change {
            wildcard_began: !before && self.is_wildcard(),
            wildcard_ended: before && !self.is_wildcard(),
            ..Change::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    /// The subscription as text: `*` for the wildcard, then the names.
    fn shown(subscription: &Subscription) -> String {
        let wildcard = subscription.is_wildcard().then_some(WILDCARD);
        wildcard.into_iter().chain(subscription.names().map(AsRef::as_ref)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sotw_requests_replace_the_names() {
        // each step: names of a request, the subscription after it
        let table: &[&[(&[&str], &str)]] = &[
            &[(&[], "*"), (&[], "*"), (&["a"], "a"), (&[], "")],
            &[(&["*", "a"], "* a"), (&["a"], "a"), (&[], "")],
            &[(&["*"], "*"), (&[], "")],
            &[(&["a", "b", "a"], "a b"), (&["b"], "b"), (&["c"], "c")],
        ];
        for steps in table {
            let mut subscription = Subscription::default();
            for (position, (names, expected)) in steps.iter().enumerate() {
                subscription.replace(owned(names), position == 0);
                assert_eq!(shown(&subscription), *expected, "step {position} of {steps:?}");
            }
        }
    }

    #[test]
    fn delta_requests_add_and_take_away() {
        // each step: subscribe, unsubscribe, the subscription after it
        type Step = (&'static [&'static str], &'static [&'static str], &'static str);
        let table: &[&[Step]] = &[
            &[(&[], &[], "*"), (&["a"], &[], "* a"), (&[], &["*"], "a"), (&[], &["a"], ""), (&[], &[], "")],
            &[(&["*"], &[], "*"), (&[], &["*"], "")],
            &[(&["*"], &["*"], ""), (&[], &[], "")],
            &[(&["a", "a"], &["b"], "a"), (&[], &["a", "a"], "")],
        ];
        for steps in table {
            let mut subscription = Subscription::default();
            for (position, (subscribe, unsubscribe, expected)) in steps.iter().enumerate() {
                subscription.update(owned(subscribe), owned(unsubscribe), position == 0);
                assert_eq!(shown(&subscription), *expected, "step {position} of {steps:?}");
            }
        }
    }

    #[test]
    fn a_change_tells_what_to_answer() {
        let mut subscription = Subscription::default();
        let change = subscription.update(owned(&["a", "b"]), Vec::new(), true);
        assert_eq!(change.asked, ["a".into(), "b".into()]);
        let again = subscription.update(owned(&["a"]), owned(&["b", "unknown"]), false);
        assert_eq!((again.asked, again.dropped), (vec!["a".into()], vec!["b".into()]));

        let mut subscription = Subscription::default();
        assert!(subscription.replace(Vec::new(), true).wildcard_began);
        let named = subscription.replace(owned(&["a"]), false);
        assert!(named.wildcard_ended);
        assert_eq!(named.asked, ["a".into()]);
        assert_eq!(subscription.replace(owned(&["a"]), false), Change::default());
    }
}
