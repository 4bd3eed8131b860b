//! How far each resource of an Envoy has come, for people who ask (conformance 97). Nothing is kept for it.

use std::collections::HashSet;
use std::sync::Arc;

use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;

use super::Session;
use super::type_state::{Held, TypeState};

/// A resource that an Envoy should have, or has although it should not.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceStatus {
    /// Its type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: Arc<str>,
    /// What the Envoy should have under this name; `None` where there should be nothing any more.
    pub resource: Option<Resource>,
    /// How far that has come.
    pub progress: Progress,
}

/// How far a resource, or its removal, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// It was not sent, as it should be now: the Envoy did not ask for it, or has to answer something else before.
    NotSent,
    /// It was sent, in a response that was not answered yet.
    Sent,
    /// The Envoy has accepted it, on this stream or, as it says, on an earlier one.
    Accepted,
    /// The Envoy has rejected a response with it, of which nothing has changed since.
    Rejected,
}

impl Session {
    /// Every resource that the Envoy should have and every other one that it has, in ADS order, then in that of their
    /// names. Empty while it is not known what the Envoy should have.
    pub fn resources(&self) -> Vec<ResourceStatus> {
        let Some(snapshot) = &self.snapshot else {
            return Vec::new();
        };
        let mut resources = Vec::new();
        for resource_type in ResourceType::ALL {
            let state = &self.types[resource_type];
            let set = snapshot.set(resource_type);
            let start = resources.len();
            let look_up = LookUp::new(state);
            resources.extend(set.resources().iter().map(|resource| ResourceStatus {
                resource_type,
                name: Arc::clone(&resource.name),
                resource: Some(resource.clone()),
                progress: look_up.progress(resource),
            }));
            let gone = |name, progress| ResourceStatus { resource_type, name, resource: None, progress };
            let removals =
                state.items_in_flight().filter(|(name, hash)| hash.is_none() && set.get(name).is_none());
            resources.extend(removals.map(|(name, _)| gone(Arc::clone(name), Progress::Sent)));
            resources.extend(state.to_remove(set).into_iter().map(|name| gone(name, Progress::NotSent)));
            resources[start..].sort_by(|a, b| a.name.cmp(&b.name));
        }
        resources
    }
}

/// The state of a type, where many names can be looked up.
struct LookUp<'a> {
    state: &'a TypeState,
    in_flight: HashSet<(&'a str, u64)>,
    rejected: HashSet<(&'a str, u64)>,
}

impl<'a> LookUp<'a> {
    fn new(state: &'a TypeState) -> Self {
        let in_flight = state.items_in_flight().filter_map(|(name, hash)| Some((name.as_ref(), (*hash)?)));
        let rejected = state.rejections.iter().map(|(name, hash)| (name.as_ref(), hash));
        Self { state, in_flight: in_flight.collect(), rejected: rejected.collect() }
    }

    fn progress(&self, resource: &Resource) -> Progress {
        let (name, hash) = (&resource.name, resource.version.hash);
        let key = (name.as_ref(), hash);
        if self.in_flight.contains(&key) {
            Progress::Sent
        } else if self.rejected.contains(&key) {
            Progress::Rejected
        } else if self.state.held.get(name) == Some(&Held::Content(hash)) && !self.state.due.contains(name) {
            Progress::Accepted
        } else {
            Progress::NotSent
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use legation_proto::nonce::Nonce;
    use legation_proto::response::{Protocol, Response};
    use legation_proto::version::Version;

    use super::*;
    use crate::request::{Interest, Rejection, Request};
    use crate::snapshot::{ResourceSet, Snapshot};
    use ResourceType::{Cluster, Endpoints, Listener};

    /// A stream whose Envoy is played by the test. Resources are written `name=content`.
    struct Stream(Session);

    fn set(resources: &[&str]) -> ResourceSet {
        let resources = resources.iter().map(|text| {
            let (name, content) = text.split_once('=').unwrap();
            let body = Bytes::copy_from_slice(content.as_bytes());
            Resource { name: name.into(), version: Version::of(1, &body), body: body.into() }
        });
        ResourceSet::new(resources.collect())
    }

    impl Stream {
        fn open(protocol: Protocol) -> Self {
            Self(Session::new(protocol))
        }

        fn publish(&mut self, clusters: &[&str], endpoints: &[&str], listeners: &[&str]) {
            let sets = ResourceType::ALL.map(|resource_type| match resource_type {
                Cluster => set(clusters),
                Endpoints => set(endpoints),
                Listener => set(listeners),
                _ => set(&[]),
            });
            self.0.on_snapshot(Snapshot::new(sets));
        }

        fn ask(&mut self, resource_type: ResourceType, names: &[&str]) {
            self.request(resource_type, "", names, None);
        }

        fn accept(&mut self, response: &Response, names: &[&str]) {
            self.request(response.resource_type, &response.nonce.to_string(), names, None);
        }

        fn reject(&mut self, response: &Response, names: &[&str]) {
            self.request(
                response.resource_type,
                &response.nonce.to_string(),
                names,
                Some(Rejection::new(3, "no")),
            );
        }

        fn request(
            &mut self,
            resource_type: ResourceType,
            nonce: &str,
            names: &[&str],
            error: Option<Rejection>,
        ) {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            let interest = match self.0.protocol() {
                Protocol::Sotw => Interest::Sotw { version_info: String::new(), names },
                Protocol::Delta => Interest::Delta {
                    subscribe: names,
                    unsubscribe: Vec::new(),
                    initial_versions: Vec::new(),
                },
            };
            let request = Request { resource_type, nonce: Nonce::read(nonce), error, interest };
            self.0.on_request(request).unwrap();
        }

        fn sent(&mut self) -> Response {
            self.0.next_response().unwrap()
        }

        /// Such as `cds a=1 accepted`, separated by `; `. An Envoy in sync has accepted everything that it asked for.
        fn shown(&self) -> String {
            let resources = self.0.resources();
            if self.0.is_synced() {
                let is_fine = |resource: &ResourceStatus| {
                    let state = &self.0.types[resource.resource_type];
                    let asked = state.started && state.subscription.covers(&resource.name);
                    resource.resource.is_some() && (resource.progress == Progress::Accepted) == asked
                };
                assert!(resources.iter().all(is_fine), "{resources:?}");
            }
            let lines = resources.iter().map(|ResourceStatus { resource_type, name, resource, progress }| {
                let content = resource.as_ref().map_or("-".into(), |resource| resource.body.to_bytes());
                let progress = format!("{progress:?}").to_lowercase();
                format!("{resource_type} {name}={} {progress}", String::from_utf8_lossy(&content))
            });
            lines.collect::<Vec<_>>().join("; ")
        }
    }

    #[test]
    fn nothing_is_known_before_the_state_is() {
        let mut stream = Stream::open(Protocol::Sotw);
        stream.ask(Cluster, &[]);
        assert_eq!(stream.shown(), "");
    }

    #[test]
    fn what_was_not_asked_for_was_not_sent() {
        for protocol in [Protocol::Sotw, Protocol::Delta] {
            let mut stream = Stream::open(protocol);
            stream.publish(&["a=1"], &["a=1", "b=1"], &["l=1"]);
            assert_eq!(stream.shown(), "cds a=1 notsent; eds a=1 notsent; eds b=1 notsent; lds l=1 notsent");
            stream.ask(Cluster, &[]);
            let clusters = stream.sent();
            assert_eq!(stream.shown(), "cds a=1 sent; eds a=1 notsent; eds b=1 notsent; lds l=1 notsent");
            stream.accept(&clusters, &[]);
            stream.ask(Endpoints, &["a"]);
            let endpoints = stream.sent();
            stream.accept(&endpoints, if protocol == Protocol::Sotw { &["a"] } else { &[] });
            assert_eq!(
                stream.shown(),
                "cds a=1 accepted; eds a=1 accepted; eds b=1 notsent; lds l=1 notsent"
            );
            assert!(stream.0.is_synced());
        }
    }

    #[test]
    fn a_change_counts_once_it_is_sent() {
        let mut stream = Stream::open(Protocol::Delta);
        stream.publish(&["a=1", "b=1"], &[], &[]);
        stream.ask(Cluster, &[]);
        let first = stream.sent();
        stream.publish(&["a=2", "b=1"], &[], &[]);
        assert_eq!(stream.shown(), "cds a=2 notsent; cds b=1 sent", "a=1 is on its way, and a=2 waits");
        stream.accept(&first, &[]);
        assert_eq!(stream.shown(), "cds a=2 notsent; cds b=1 accepted");
        let second = stream.sent();
        assert_eq!(stream.shown(), "cds a=2 sent; cds b=1 accepted");
        stream.accept(&second, &[]);
        assert_eq!(stream.shown(), "cds a=2 accepted; cds b=1 accepted");
        // asked again, and due until it is sent again
        stream.ask(Cluster, &["a"]);
        assert_eq!(stream.shown(), "cds a=2 notsent; cds b=1 accepted");
    }

    #[test]
    fn a_rejection_counts_as_long_as_its_content_stands() {
        let mut stream = Stream::open(Protocol::Delta);
        stream.publish(&["a=1", "b=1"], &[], &["l=1"]);
        stream.ask(Cluster, &[]);
        stream.ask(Listener, &[]);
        let clusters = stream.sent();
        stream.reject(&clusters, &[]);
        assert_eq!(stream.shown(), "cds a=1 rejected; cds b=1 rejected; lds l=1 notsent");
        stream.publish(&["a=2", "b=1"], &[], &["l=1"]);
        assert_eq!(stream.shown(), "cds a=2 notsent; cds b=1 notsent; lds l=1 notsent");
        let corrected = stream.sent();
        stream.accept(&corrected, &[]);
        assert_eq!(stream.shown(), "cds a=2 accepted; cds b=1 accepted; lds l=1 notsent");
    }

    #[test]
    fn the_reason_of_a_rejection_is_known_as_long_as_it_stands() {
        let mut stream = Stream::open(Protocol::Delta);
        stream.publish(&["a=1"], &[], &[]);
        stream.ask(Cluster, &[]);
        let clusters = stream.sent();
        stream.reject(&clusters, &[]);
        stream.publish(&["a=1", "b=1"], &[], &[]);
        let other = stream.sent();
        stream.accept(&other, &[]);
        assert_eq!(stream.shown(), "cds a=1 rejected; cds b=1 accepted");
        let nack = stream.0.status(Cluster).nacked.unwrap();
        assert_eq!((nack.version, nack.rejection), (clusters.version, Rejection::new(3, "no")));
        stream.publish(&["a=2", "b=1"], &[], &[]);
        let corrected = stream.sent();
        stream.accept(&corrected, &[]);
        assert_eq!(stream.0.status(Cluster).nacked, None);
    }

    #[test]
    fn what_goes_is_shown_until_it_is_gone() {
        let mut stream = Stream::open(Protocol::Delta);
        stream.publish(&["a=1", "b=1"], &[], &[]);
        stream.ask(Cluster, &[]);
        stream.0.end_opening();
        let clusters = stream.sent();
        stream.publish(&["b=1"], &[], &[]);
        assert_eq!(stream.shown(), "cds a=- notsent; cds b=1 sent");
        stream.accept(&clusters, &[]);
        let removal = stream.sent();
        assert_eq!(stream.shown(), "cds a=- sent; cds b=1 accepted");
        stream.accept(&removal, &[]);
        assert_eq!(stream.shown(), "cds b=1 accepted");
    }
}
