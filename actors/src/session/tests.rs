//! Numbers are those of docs/xds-conformance.md.

use super::*;
use crate::request::Rejection;
use crate::snapshot::ResourceSet;
use ResourceType::{Cluster, Endpoints, Listener, RouteConfiguration, Secret};
use bytes::Bytes;
use legation_proto::service::Service;

/// A stream with an Envoy that the test plays. Resources are written `name=content`.
struct Stream {
    session: Session,
    /// Responses that the test has not looked at.
    sent: Vec<Response>,
}

fn resource(text: &str) -> Resource {
    let (name, content) = text.split_once('=').expect("name=content");
    Resource {
        name: name.into(),
        version: Version::of(1, content.as_bytes()),
        body: Bytes::copy_from_slice(content.as_bytes()).into(),
    }
}

fn set(resources: &[&str]) -> ResourceSet {
    ResourceSet::new(resources.iter().map(|text| resource(text)).collect())
}

fn snapshot(clusters: &[&str], endpoints: &[&str], listeners: &[&str], routes: &[&str]) -> Snapshot {
    with_secrets(&[], clusters, endpoints, listeners, routes)
}

fn with_secrets(
    secrets: &[&str],
    clusters: &[&str],
    endpoints: &[&str],
    listeners: &[&str],
    routes: &[&str],
) -> Snapshot {
    Snapshot::new([set(clusters), set(endpoints), set(secrets), set(listeners), set(routes)])
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

impl Stream {
    fn open(protocol: Protocol, snapshot: Snapshot) -> Self {
        let mut session = Session::new(protocol);
        session.on_snapshot(snapshot);
        Self { session, sent: Vec::new() }
    }

    fn pump(&mut self) {
        while let Some(response) = self.session.next_response() {
            self.sent.push(response);
        }
    }

    fn publish(&mut self, snapshot: Snapshot) -> String {
        self.session.on_snapshot(snapshot);
        self.pump();
        self.seen()
    }

    fn request(&mut self, request: Request) -> String {
        self.session.on_request(request).expect("no violation");
        self.pump();
        self.seen()
    }

    /// Asks for `names` in state of the world, answering no response.
    fn sotw(&mut self, resource_type: ResourceType, names: &[&str]) -> String {
        self.answer(resource_type, None, names, None)
    }

    fn answer(
        &mut self,
        resource_type: ResourceType,
        nonce: Option<Nonce>,
        names: &[&str],
        error: Option<Rejection>,
    ) -> String {
        let interest = Interest::Sotw { version_info: String::new(), names: owned(names) };
        self.request(Request { resource_type, nonce, error, interest })
    }

    fn delta(&mut self, resource_type: ResourceType, subscribe: &[&str], unsubscribe: &[&str]) -> String {
        self.resume(resource_type, subscribe, unsubscribe, &[])
    }

    /// A first delta request with what the Envoy has already, written `name=content`.
    fn resume(
        &mut self,
        resource_type: ResourceType,
        subscribe: &[&str],
        unsubscribe: &[&str],
        has: &[&str],
    ) -> String {
        let versions = has.iter().map(|text| resource(text));
        let initial_versions =
            versions.map(|resource| (resource.name.to_string(), resource.version.to_string())).collect();
        let interest = Interest::Delta {
            subscribe: owned(subscribe),
            unsubscribe: owned(unsubscribe),
            initial_versions,
        };
        self.request(Request { resource_type, nonce: None, error: None, interest })
    }

    /// That of the response of this type that waits.
    fn nonce(&self, resource_type: ResourceType) -> Option<Nonce> {
        self.session.types[resource_type].in_flight_nonce()
    }

    /// Accepts the response of this type that waits; in state of the world with the names of the subscription.
    fn ack(&mut self, resource_type: ResourceType) -> String {
        self.finish(resource_type, None)
    }

    fn nack(&mut self, resource_type: ResourceType) -> String {
        self.finish(resource_type, Some(Rejection::new(3, "no")))
    }

    fn finish(&mut self, resource_type: ResourceType, error: Option<Rejection>) -> String {
        let nonce = self.nonce(resource_type);
        assert_ne!(nonce, None, "no {resource_type} response waits");
        let subscription = &self.session.types[resource_type].subscription;
        let names: Vec<String> = subscription.names().map(ToString::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match self.session.protocol() {
            Protocol::Sotw => self.answer(resource_type, nonce, &names, error),
            Protocol::Delta => {
                let interest = Interest::Delta {
                    subscribe: Vec::new(),
                    unsubscribe: Vec::new(),
                    initial_versions: Vec::new(),
                };
                self.request(Request { resource_type, nonce, error, interest })
            }
        }
    }

    /// What was sent since the test looked last, such as `cds a=1 b=2 -c`; responses are separated by `; `.
    fn seen(&mut self) -> String {
        let shown = |response: &Response| {
            let mut words = vec![response.resource_type.to_string()];
            words.extend(response.resources.iter().map(|resource| {
                format!("{}={}", resource.name, String::from_utf8_lossy(&resource.body.to_bytes()))
            }));
            words.extend(response.removed.iter().map(|name| format!("-{name}")));
            words.join(" ")
        };
        let text = self.sent.iter().map(shown).collect::<Vec<_>>().join("; ");
        self.sent.clear();
        text
    }
}

#[test]
fn sotw_sends_types_in_ads_order_each_after_the_acks_before_it() {
    let mut stream = Stream::open(Protocol::Sotw, snapshot(&["c=1"], &["c=e"], &["l=1"], &["r=1"]));
    assert_eq!(stream.sotw(Cluster, &[]), "cds c=1");
    assert_eq!(stream.sotw(Listener, &[]), "", "68: held until the clusters are accepted");
    assert_eq!(
        stream.sotw(Endpoints, &["c"]),
        "eds c=e",
        "the ACK of a cluster that warms waits for its endpoints"
    );
    assert_eq!(stream.ack(Endpoints), "", "the cluster may not be warm yet");
    assert_eq!(stream.ack(Cluster), "lds l=1");
    assert_eq!(stream.sotw(RouteConfiguration, &["r"]), "");
    assert_eq!(stream.ack(Listener), "rds r=1");
    assert!(!stream.session.is_synced());
    assert_eq!(stream.ack(RouteConfiguration), "");
    assert!(stream.session.is_synced());
}

#[test]
fn a_client_that_asks_listeners_first_is_not_held_up_by_types_it_never_asked_for() {
    let mut stream = Stream::open(Protocol::Sotw, snapshot(&["c=1"], &[], &["l=1"], &["r=1"]));
    assert_eq!(stream.sotw(Listener, &["l"]), "lds l=1");
    stream.ack(Listener);
    assert_eq!(stream.sotw(RouteConfiguration, &["r"]), "rds r=1");
    assert_eq!(stream.ack(RouteConfiguration), "");
    assert_eq!(stream.sotw(Cluster, &["c"]), "cds c=1");
}

fn synced(protocol: Protocol, snapshot: Snapshot) -> Stream {
    let mut stream = Stream::open(protocol, snapshot.clone());
    for resource_type in ResourceType::ALL {
        let resources = snapshot.set(resource_type).resources();
        let names: Vec<&str> = resources.iter().map(|resource| resource.name.as_ref()).collect();
        let names = if resource_type.is_full_state() { Vec::new() } else { names };
        match protocol {
            Protocol::Sotw => stream.sotw(resource_type, &names),
            Protocol::Delta => stream.delta(resource_type, &names, &[]),
        };
        if stream.session.types[resource_type].in_flight.is_some() {
            stream.ack(resource_type);
        }
    }
    stream.seen();
    assert!(stream.session.is_synced());
    stream
}

#[test]
fn sotw_keeps_a_cluster_until_no_route_names_it() {
    let mut stream = synced(Protocol::Sotw, snapshot(&["old=1"], &[], &["l=1"], &["r=old"]));
    assert_eq!(
        stream.publish(snapshot(&["new=1"], &[], &["l=1"], &["r=new"])),
        "cds new=1 old=1",
        "70: the union"
    );
    assert_eq!(stream.ack(Cluster), "rds r=new");
    assert_eq!(stream.ack(RouteConfiguration), "cds new=1", "69: removed last");
    assert_eq!(stream.ack(Cluster), "");
    assert!(stream.session.is_synced());
}

#[test]
fn delta_keeps_a_cluster_until_no_route_names_it() {
    let mut stream = synced(Protocol::Delta, snapshot(&["old=1"], &["old=e"], &["l=1"], &["r=old"]));
    assert_eq!(stream.publish(snapshot(&["new=1"], &[], &["l=1"], &["r=new"])), "cds new=1");
    assert_eq!(stream.ack(Cluster), "rds r=new");
    assert_eq!(stream.ack(RouteConfiguration), "cds -old");
    assert_eq!(stream.ack(Cluster), "eds -old");
    assert_eq!(stream.ack(Endpoints), "");
}

#[test]
fn nothing_is_removed_while_a_route_stands_rejected() {
    for protocol in [Protocol::Sotw, Protocol::Delta] {
        let mut stream = synced(protocol, snapshot(&["old=1"], &[], &["l=1"], &["r=old"]));
        stream.publish(snapshot(&["new=1"], &[], &["l=1"], &["r=new"]));
        assert_eq!(stream.ack(Cluster), "rds r=new");
        assert_eq!(stream.nack(RouteConfiguration), "", "72: the old route still names the old cluster");
        let repaired = stream.publish(snapshot(&["new=1"], &[], &["l=1"], &["r=newer"]));
        assert_eq!(repaired, "rds r=newer", "34: new content goes out at once");
    }
}

#[test]
fn one_response_of_a_type_waits_and_later_changes_coalesce() {
    for protocol in [Protocol::Sotw, Protocol::Delta] {
        let mut stream = synced(protocol, snapshot(&["c=1"], &[], &[], &[]));
        assert_eq!(stream.publish(snapshot(&["c=2"], &[], &[], &[])), "cds c=2");
        assert_eq!(stream.publish(snapshot(&["c=3"], &[], &[], &[])), "", "67");
        assert_eq!(stream.publish(snapshot(&["c=4"], &[], &[], &[])), "");
        assert_eq!(stream.ack(Cluster), "cds c=4");
        assert_eq!(stream.ack(Cluster), "");
    }
}

#[test]
fn a_rejected_response_is_not_sent_again_until_it_changes() {
    for protocol in [Protocol::Sotw, Protocol::Delta] {
        let mut stream = synced(protocol, snapshot(&["c=1"], &[], &[], &[]));
        assert_eq!(stream.publish(snapshot(&["c=bad"], &[], &[], &[])), "cds c=bad");
        assert_eq!(stream.nack(Cluster), "", "33");
        assert_eq!(stream.session.status(Cluster).nacked.expect("kept").rejection.message, "no");
        assert_eq!(stream.publish(snapshot(&["c=bad"], &[], &["l=1"], &[])), "", "72: listeners wait");
        assert_eq!(stream.publish(snapshot(&["c=good"], &[], &["l=1"], &[])), "cds c=good", "34");
        assert_eq!(stream.ack(Cluster), "lds l=1");
        assert_eq!(stream.session.status(Cluster).nacked, None);
    }
}

#[test]
fn a_rejected_set_with_what_is_going_is_not_sent_again() {
    let mut stream = synced(Protocol::Sotw, snapshot(&["a=1", "b=1"], &[], &[], &[]));
    assert_eq!(stream.publish(snapshot(&["b=bad"], &[], &[], &[])), "cds a=1 b=bad", "70");
    assert_eq!(stream.nack(Cluster), "", "33");
    assert_eq!(stream.publish(snapshot(&["b=bad"], &[], &["l=1"], &[])), "");
    assert_eq!(stream.publish(snapshot(&["b=2"], &[], &[], &[])), "cds a=1 b=2", "34");
    assert_eq!(stream.ack(Cluster), "cds b=2");
}

#[test]
fn what_was_accepted_after_all_does_not_stand_rejected() {
    let mut stream = synced(Protocol::Sotw, snapshot(&["a=1"], &[], &[], &[]));
    assert_eq!(stream.publish(snapshot(&["b=2"], &[], &[], &[])), "cds a=1 b=2");
    assert_eq!(stream.nack(Cluster), "");
    assert_eq!(stream.sotw(Cluster, &["*", "b"]), "cds a=1 b=2", "18: asked for anew");
    let nonce = stream.nonce(Cluster);
    assert_eq!(stream.answer(Cluster, nonce, &["*", "b"], None), "cds b=2", "what goes may go");
}

#[test]
fn what_was_rejected_and_goes_stays_as_it_was_accepted() {
    // without a cluster that was accepted before, there is nothing to keep
    let mut stream = synced(Protocol::Sotw, snapshot(&["a=1"], &[], &[], &[]));
    stream.publish(snapshot(&["a=1", "b=bad"], &[], &[], &[]));
    stream.nack(Cluster);
    assert_eq!(stream.publish(snapshot(&["a=1"], &[], &[], &[])), "cds a=1");
    stream.ack(Cluster);

    assert_eq!(stream.publish(snapshot(&["a=bad"], &[], &[], &[])), "cds a=bad");
    stream.nack(Cluster);
    assert_eq!(stream.publish(snapshot(&["c=1"], &[], &[], &[])), "cds a=1 c=1", "70");
    assert_eq!(stream.ack(Cluster), "cds c=1");
    stream.ack(Cluster);

    // the same where it goes before it is rejected
    assert_eq!(stream.publish(snapshot(&["c=bad"], &[], &[], &[])), "cds c=bad");
    assert_eq!(stream.publish(snapshot(&["d=1"], &[], &[], &[])), "");
    assert_eq!(stream.nack(Cluster), "cds c=1 d=1");
    assert_eq!(stream.ack(Cluster), "cds d=1");
}

#[test]
fn what_was_rejected_does_not_poison_other_resources_in_delta() {
    let mut stream = Stream::open(Protocol::Delta, snapshot(&[], &[], &[], &["a=1", "b=1", "c=1"]));
    assert_eq!(stream.delta(RouteConfiguration, &["a", "b", "c"], &[]), "rds a=1 b=1 c=1");
    stream.ack(RouteConfiguration);
    stream.publish(snapshot(&[], &[], &[], &["a=bad", "b=2", "c=1"]));
    assert_eq!(stream.nack(RouteConfiguration), "");
    assert_eq!(stream.publish(snapshot(&[], &[], &[], &["a=bad", "b=2", "c=2"])), "rds c=2");
    stream.ack(RouteConfiguration);
    assert_eq!(stream.publish(snapshot(&[], &[], &[], &["a=good", "b=2", "c=2"])), "rds a=good b=2", "41");
}

#[test]
fn a_stale_nonce_acknowledges_nothing_but_its_subscription_counts() {
    let never_given = Some(Nonce(u64::MAX));
    for earlier in [None, never_given, Some(Nonce(1))] {
        let mut stream = Stream::open(Protocol::Sotw, snapshot(&[], &[], &[], &["a=1", "b=1"]));
        assert_eq!(stream.sotw(RouteConfiguration, &["a", "b"]), "rds a=1 b=1");
        assert_eq!(stream.nonce(RouteConfiguration), Some(Nonce(1)));
        stream.ack(RouteConfiguration);
        stream.publish(snapshot(&[], &[], &[], &["a=2", "b=1"]));
        assert_eq!(stream.answer(RouteConfiguration, earlier, &["a", "b", "c"], None), "", "36, 38");
        assert!(!stream.session.is_synced());
        assert_eq!(stream.ack(RouteConfiguration), "");
        let all = snapshot(&[], &[], &[], &["a=2", "b=1", "c=1"]);
        assert_eq!(stream.publish(all), "rds c=1", "21: remembered");
    }
}

#[test]
fn sotw_names_are_answered_when_they_are_new_or_come_back() {
    let mut stream = Stream::open(Protocol::Sotw, snapshot(&[], &[], &[], &["a=1", "b=1"]));
    assert_eq!(stream.sotw(RouteConfiguration, &["a"]), "rds a=1");
    assert_eq!(stream.answer(RouteConfiguration, Some(Nonce(1)), &["a", "b"], None), "rds b=1", "18");
    assert_eq!(
        stream.answer(RouteConfiguration, Some(Nonce(2)), &["b"], None),
        "",
        "20: shrinking is not answered"
    );
    assert_eq!(stream.answer(RouteConfiguration, Some(Nonce(2)), &["a", "b"], None), "rds a=1", "19");
}

#[test]
fn delta_answers_what_is_asked_again_and_what_does_not_exist() {
    let mut stream = Stream::open(Protocol::Delta, snapshot(&[], &[], &[], &["a=1"]));
    assert_eq!(stream.delta(RouteConfiguration, &["a", "gone"], &[]), "rds a=1 -gone", "47");
    stream.ack(RouteConfiguration);
    assert_eq!(stream.delta(RouteConfiguration, &["a"], &[]), "rds a=1", "46");
    stream.ack(RouteConfiguration);
    assert_eq!(stream.publish(snapshot(&[], &[], &[], &["a=1", "gone=1"])), "rds gone=1", "48");
    stream.ack(RouteConfiguration);
    assert_eq!(stream.publish(snapshot(&[], &[], &[], &["a=1"])), "rds -gone");
    stream.ack(RouteConfiguration);
    assert_eq!(stream.delta(RouteConfiguration, &[], &["a", "never"]), "", "49, 50");
}

#[test]
fn clusters_asked_for_by_name_never_become_all_of_them() {
    // 91: as a filter asks that discovers clusters on demand, and as gRPC does
    let clusters =
        |content: &str| snapshot(&[&format!("a={content}"), &format!("b={content}")], &[], &[], &[]);
    let mut stream = Stream::open(Protocol::Delta, clusters("1"));
    assert_eq!(stream.delta(Cluster, &["a", "missing"], &[]), "cds a=1 -missing");
    stream.ack(Cluster);
    assert_eq!(stream.delta(Cluster, &[], &["a"]), "");
    assert_eq!(stream.publish(clusters("2")), "");

    let mut stream = Stream::open(Protocol::Sotw, clusters("1"));
    assert_eq!(stream.sotw(Cluster, &["a", "missing"]), "cds a=1", "24: what is left out does not exist");
    stream.ack(Cluster);
    assert_eq!(stream.sotw(Cluster, &[]), "");
    assert_eq!(stream.publish(clusters("2")), "");
}

#[test]
fn delta_wildcard_with_a_name_taken_away_answers_for_it() {
    let mut stream = Stream::open(Protocol::Delta, snapshot(&["a=1"], &[], &[], &[]));
    assert_eq!(stream.delta(Cluster, &["*", "a", "b"], &[]), "cds a=1 -b");
    stream.ack(Cluster);
    assert_eq!(stream.delta(Cluster, &[], &["a", "b"]), "cds a=1 -b", "51");
}

#[test]
fn an_empty_wildcard_is_answered_once() {
    for protocol in [Protocol::Sotw, Protocol::Delta] {
        let mut stream = Stream::open(protocol, snapshot(&[], &[], &[], &[]));
        let answer = match protocol {
            Protocol::Sotw => stream.sotw(Cluster, &[]),
            Protocol::Delta => stream.delta(Cluster, &[], &[]),
        };
        assert_eq!(answer, "cds", "24, 61");
        assert_eq!(stream.ack(Cluster), "");
    }
}

#[test]
fn nothing_is_sent_before_there_is_a_snapshot() {
    let mut stream = Stream { session: Session::new(Protocol::Sotw), sent: Vec::new() };
    assert_eq!(stream.sotw(Cluster, &[]), "", "24: never empty because nothing is loaded yet");
    assert_eq!(stream.publish(snapshot(&["c=1"], &[], &[], &[])), "cds c=1");
}

#[test]
fn a_reconnect_that_is_up_to_date_is_sent_no_cluster_and_no_listener() {
    let current = snapshot(&["c=1"], &["c=e"], &["l=1"], &["r=1"]);

    let mut stream = Stream::open(Protocol::Delta, current.clone());
    assert_eq!(stream.resume(Cluster, &[], &[], &["c=1"]), "", "55");
    assert_eq!(stream.resume(Listener, &[], &[], &["l=1"]), "");
    assert_eq!(stream.resume(RouteConfiguration, &["r"], &[], &["r=1"]), "", "56: routes are not resent");
    assert_eq!(stream.resume(Endpoints, &["c"], &[], &["c=e"]), "eds c=e", "56: endpoints are");
    stream.ack(Endpoints);
    assert!(stream.session.is_synced());

    let mut stream = Stream::open(Protocol::Sotw, current.clone());
    for resource_type in [Cluster, Listener] {
        let version_info = current.set(resource_type).version().to_string();
        let interest = Interest::Sotw { version_info, names: Vec::new() };
        // 6: the nonce of the stream before it answers nothing
        assert_eq!(
            stream.request(Request { resource_type, nonce: Some(Nonce(1)), error: None, interest }),
            "",
            "28"
        );
    }
    assert_eq!(stream.sotw(RouteConfiguration, &["r"]), "rds r=1", "28: names are answered");
    stream.ack(RouteConfiguration);
    assert!(stream.session.is_synced());
}

#[test]
fn an_envoy_that_needs_nothing_is_sent_a_response_all_the_same() {
    let current = snapshot(&["c=1"], &[], &["l=1"], &["r=1"]);

    let mut stream = Stream::open(Protocol::Delta, current.clone());
    stream.resume(Cluster, &[], &[], &["c=1"]);
    stream.resume(Listener, &[], &[], &["l=1"]);
    assert_eq!(stream.resume(RouteConfiguration, &["r"], &[], &["r=1"]), "");
    assert_eq!(stream.session.greeting(), None, "something may still be asked for that it needs");
    stream.session.end_opening();
    let greeting = stream.session.greeting().expect("89");
    assert_eq!(greeting.resource_type, RouteConfiguration);
    assert!(greeting.resources.is_empty() && greeting.removed.is_empty());
    assert_eq!(stream.session.greeting(), None, "once");
    assert!(stream.session.is_synced(), "nobody waits for the ACK");
    let acked =
        Interest::Delta { subscribe: Vec::new(), unsubscribe: Vec::new(), initial_versions: Vec::new() };
    let ack = Request {
        resource_type: RouteConfiguration,
        nonce: Some(greeting.nonce),
        error: None,
        interest: acked,
    };
    assert_eq!(stream.session.on_request(ack), Ok(Outcome::Subscribed));
    assert_eq!(stream.publish(snapshot(&["c=1"], &[], &["l=1"], &["r=2"])), "rds r=2");

    let mut stream = synced(Protocol::Delta, current.clone());
    stream.session.end_opening();
    assert_eq!(stream.session.greeting(), None, "it had responses");

    let mut stream = Stream::open(Protocol::Sotw, current.clone());
    let interest =
        Interest::Sotw { version_info: current.set(Cluster).version().to_string(), names: Vec::new() };
    assert_eq!(stream.request(Request { resource_type: Cluster, nonce: None, error: None, interest }), "");
    stream.session.end_opening();
    assert_eq!(stream.session.greeting(), None, "no clusters would mean that there are none");
}

#[test]
fn a_delta_reconnect_is_sent_what_changed_and_told_what_went() {
    let mut stream = Stream::open(Protocol::Delta, snapshot(&["a=1", "b=2"], &[], &[], &[]));
    assert_eq!(stream.resume(Cluster, &[], &[], &["a=1", "b=1", "gone=1"]), "cds b=2", "55");
    assert_eq!(stream.ack(Cluster), "", "69: listeners of the stream before may still refer to it");
    stream.session.end_opening();
    stream.pump();
    assert_eq!(stream.seen(), "cds -gone", "55");

    let mut stream = Stream::open(Protocol::Delta, snapshot(&["a=1"], &[], &[], &[]));
    let interest = Interest::Delta {
        subscribe: Vec::new(),
        unsubscribe: Vec::new(),
        initial_versions: vec![("a".to_owned(), "of another control plane".to_owned())],
    };
    let request = Request { resource_type: Cluster, nonce: None, error: None, interest };
    assert_eq!(stream.request(request), "cds a=1", "29");
}

#[test]
fn endpoints_follow_every_update_of_their_cluster() {
    for protocol in [Protocol::Sotw, Protocol::Delta] {
        let mut stream = synced(protocol, snapshot(&["a=1", "b=1"], &["a=e", "b=e"], &[], &[]));
        let sent = stream.publish(snapshot(&["a=2", "b=1"], &["a=e", "b=e"], &[], &[]));
        assert!(sent.starts_with("cds a=2") && sent.ends_with("; eds a=e"), "73, without waiting: {sent}");
    }
}

#[test]
fn endpoints_that_stand_rejected_when_their_cluster_changes_are_sent_once_more() {
    // 73: the cluster waits for them, or for their rejection
    let mut stream = synced(Protocol::Delta, snapshot(&["a=1"], &["a=e"], &[], &[]));
    assert_eq!(stream.publish(snapshot(&["a=1"], &["a=f"], &[], &[])), "eds a=f");
    stream.nack(Endpoints);
    assert_eq!(stream.publish(snapshot(&["a=2"], &["a=f"], &[], &[])), "cds a=2; eds a=f");
    assert_eq!(stream.nack(Endpoints), "", "33");
    assert_eq!(stream.ack(Cluster), "");
    // the rejection may be of what was sent before the cluster changed
    assert_eq!(stream.publish(snapshot(&["a=2"], &["a=g"], &[], &[])), "eds a=g");
    assert_eq!(stream.publish(snapshot(&["a=3"], &["a=g"], &[], &[])), "cds a=3");
    assert_eq!(stream.nack(Endpoints), "eds a=g");
    assert_eq!(stream.nack(Endpoints), "", "33");
}

#[test]
fn endpoints_go_on_while_clusters_stand_rejected() {
    // 40
    let mut stream = synced(Protocol::Delta, snapshot(&["a=1"], &["a=e"], &["l=1"], &[]));
    assert_eq!(stream.publish(snapshot(&["a=2"], &["a=e"], &["l=1"], &[])), "cds a=2; eds a=e");
    stream.ack(Endpoints);
    stream.nack(Cluster);
    let endpoints = stream.publish(snapshot(&["a=2"], &["a=f"], &["l=2"], &[]));
    assert_eq!(endpoints, "eds a=f", "72: the listener may lead to the rejected cluster");
}

#[test]
fn too_many_names_are_refused() {
    let mut session = Session::new(Protocol::Sotw);
    let names = (0..=NAMES_MAX).map(|number| number.to_string()).collect();
    let interest = Interest::Sotw { version_info: String::new(), names };
    let request = Request { resource_type: Endpoints, nonce: None, error: None, interest };
    assert_eq!(session.on_request(request), Err(Violation::TooManyNames(Endpoints)), "103");
}

#[test]
fn too_long_names_are_refused() {
    let subscribe = |session: &mut Session, name: String| {
        let interest =
            Interest::Delta { subscribe: vec![name], unsubscribe: vec![], initial_versions: vec![] };
        session.on_request(Request { resource_type: Endpoints, nonce: None, error: None, interest })
    };
    let mut session = Session::new(Protocol::Delta);
    assert!(subscribe(&mut session, "a".repeat(NAMES_BYTES_MAX)).is_ok());
    assert_eq!(subscribe(&mut session, "b".to_owned()), Err(Violation::TooManyNames(Endpoints)), "103");
}

#[test]
fn names_that_come_and_go_are_not_gathered() {
    let come_and_go = |stream: &mut Stream, names: std::ops::Range<usize>| {
        let names: Vec<String> = names.map(|number| number.to_string()).collect();
        let interest = |subscribe: &[String], unsubscribe: &[String]| Interest::Delta {
            subscribe: subscribe.to_vec(),
            unsubscribe: unsubscribe.to_vec(),
            initial_versions: Vec::new(),
        };
        for interest in [interest(&names, &[]), interest(&[], &names)] {
            let request = Request { resource_type: Cluster, nonce: None, error: None, interest };
            stream.session.on_request(request)?;
            stream.pump();
        }
        Ok(())
    };
    // a wildcard answers for names that are taken away: while it cannot, they are bounded
    let mut stream = Stream::open(Protocol::Delta, snapshot(&["a=1"], &[], &[], &[]));
    stream.delta(Cluster, &["*"], &[]);
    assert_eq!(come_and_go(&mut stream, 0..NAMES_MAX), Ok(()));
    let one_more = NAMES_MAX..NAMES_MAX + 1;
    assert_eq!(come_and_go(&mut stream, one_more), Err(Violation::TooManyNames(Cluster)));
    // what was answered is forgotten
    let mut stream = Stream::open(Protocol::Delta, snapshot(&["a=1"], &[], &[], &[]));
    stream.delta(Cluster, &["*"], &[]);
    assert_eq!(come_and_go(&mut stream, 0..100), Ok(()));
    stream.ack(Cluster);
    stream.ack(Cluster);
    let state = &stream.session.types[Cluster];
    assert_eq!((state.held.len(), state.due.len(), state.subscription.names().count()), (1, 0, 0));
}

#[test]
fn what_is_on_its_way_is_removed_if_it_goes_while_the_wildcard_ends_and_begins() {
    let mut stream = Stream::open(Protocol::Delta, snapshot(&["a=1", "b=1"], &[], &[], &[]));
    stream.session.end_opening();
    assert_eq!(stream.delta(Cluster, &["*"], &[]), "cds a=1 b=1");
    assert_eq!(stream.delta(Cluster, &[], &["*"]), "");
    assert_eq!(stream.delta(Cluster, &["*"], &[]), "");
    assert_eq!(stream.publish(snapshot(&["a=1"], &[], &[], &[])), "");
    assert_eq!(stream.ack(Cluster), "cds a=1");
    assert_eq!(stream.ack(Cluster), "cds -b");
}

#[test]
fn a_rejection_of_what_was_unsubscribed_meanwhile_is_not_remembered() {
    let mut stream = Stream::open(Protocol::Delta, snapshot(&[], &[], &[], &["a=1", "b=1"]));
    assert_eq!(stream.delta(RouteConfiguration, &["a", "b"], &[]), "rds a=1 b=1");
    assert_eq!(stream.delta(RouteConfiguration, &[], &["a"]), "");
    assert_eq!(stream.nack(RouteConfiguration), "");
    assert_eq!(stream.publish(snapshot(&[], &[], &[], &["b=2"])), "rds b=2");
    assert_eq!(stream.ack(RouteConfiguration), "", "50");
}

#[test]
fn what_was_rejected_and_unsubscribed_holds_nothing_back() {
    for protocol in [Protocol::Sotw, Protocol::Delta] {
        let mut stream = Stream::open(protocol, snapshot(&[], &["a=bad", "b=1"], &["l=1"], &[]));
        match protocol {
            Protocol::Sotw => stream.sotw(Endpoints, &["a"]),
            Protocol::Delta => stream.delta(Endpoints, &["a"], &[]),
        };
        assert_eq!(stream.nack(Endpoints), "");
        match protocol {
            Protocol::Sotw => {
                assert_eq!(stream.sotw(Listener, &[]), "", "72");
                assert_eq!(stream.sotw(Endpoints, &[]), "lds l=1");
            }
            Protocol::Delta => {
                assert_eq!(stream.delta(Listener, &[], &[]), "", "72");
                assert_eq!(stream.delta(Endpoints, &[], &["a"]), "lds l=1");
            }
        }
    }
}

#[test]
fn names_that_a_wildcard_would_answer_for_are_forgotten_with_it() {
    let mut stream = Stream::open(Protocol::Delta, snapshot(&["a=1"], &[], &[], &[]));
    assert_eq!(stream.delta(Cluster, &["*"], &[]), "cds a=1");
    for (subscribe, unsubscribe) in [(["b"].as_slice(), [].as_slice()), (&[], &["b"]), (&[], &["*"])] {
        assert_eq!(stream.delta(Cluster, subscribe, unsubscribe), "");
    }
    assert_eq!(stream.ack(Cluster), "", "50");
}

#[test]
fn no_names_on_a_first_request_for_endpoints_or_routes_mean_nothing() {
    let mut stream = Stream::open(Protocol::Sotw, snapshot(&[], &["c=e"], &[], &["r=1"]));
    assert_eq!(stream.sotw(Endpoints, &[]), "", "16");
    assert_eq!(stream.sotw(RouteConfiguration, &[]), "", "16");
    let mut stream = Stream::open(Protocol::Delta, snapshot(&[], &["c=e"], &[], &["r=1"]));
    assert_eq!(stream.delta(Endpoints, &[], &[]), "", "16");
}

#[test]
fn an_unknown_name_does_not_hold_up_the_others() {
    let mut stream = Stream::open(Protocol::Sotw, snapshot(&["a=1"], &["a=e"], &[], &[]));
    assert_eq!(stream.sotw(Endpoints, &["gone", "a"]), "eds a=e", "76");
    let mut stream = Stream::open(Protocol::Delta, snapshot(&["a=1"], &["a=e"], &[], &[]));
    assert_eq!(stream.delta(Endpoints, &["gone", "a"], &[]), "eds a=e -gone", "76");
}

#[test]
fn initial_versions_count_on_the_first_request_and_for_what_is_subscribed() {
    let mut stream = Stream::open(Protocol::Delta, snapshot(&[], &[], &[], &["r=1"]));
    assert_eq!(stream.resume(RouteConfiguration, &["r"], &[], &["r=1", "other=1"]), "", "59");
    assert_eq!(stream.resume(RouteConfiguration, &[], &[], &["r=0", "gone=1"]), "", "57");
    assert!(stream.session.is_synced());
}

#[test]
fn a_subscription_may_ride_in_an_ack_or_a_nack() {
    for error in [None, Some(Rejection::new(3, "no"))] {
        let mut stream = Stream::open(Protocol::Delta, snapshot(&[], &[], &[], &["a=1", "b=1"]));
        assert_eq!(stream.delta(RouteConfiguration, &["a"], &[]), "rds a=1");
        let interest = Interest::Delta {
            subscribe: owned(&["b"]),
            unsubscribe: Vec::new(),
            initial_versions: Vec::new(),
        };
        let nonce = stream.nonce(RouteConfiguration);
        let request = Request { resource_type: RouteConfiguration, nonce, error, interest };
        assert_eq!(stream.request(request), "rds b=1", "52");
    }
}

#[test]
fn a_large_answer_is_split_and_each_part_waits_for_its_ack() {
    // 62
    let long = |name: &str| format!("{name}={}", "x".repeat(1000));
    let (a, b, c) = (long("a"), long("b"), long("c"));
    let content = |text: &str| format!("cds {text}");
    let world = snapshot(&[&a, &b, &c], &["a=1"], &["l=1"], &[]);
    let mut stream = Stream::open(Protocol::Delta, world);
    stream.session = Session::with_response_bytes_max(Protocol::Delta, 2200);
    stream.publish(snapshot(&[&a, &b, &c], &["a=1"], &["l=1"], &[]));
    assert_eq!(stream.delta(Cluster, &[], &[]), content(&format!("{a} {b}")));
    assert_eq!(stream.delta(Endpoints, &["a"], &[]), "eds a=1");
    assert_eq!(stream.ack(Endpoints), "");
    assert_eq!(stream.delta(Listener, &[], &[]), "");
    assert_eq!(stream.ack(Cluster), content(&c), "the rest goes before what may refer to it");
    assert_eq!(stream.ack(Cluster), "lds l=1");
    stream.ack(Listener);
    assert!(stream.session.is_synced());

    // what was asked for and is missing counts, and so does what goes
    let missing: Vec<String> = (0..40).map(|number| format!("missing-{number:02}")).collect();
    let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
    let first = stream.delta(Endpoints, &missing, &[]);
    assert!(first.starts_with("eds -missing-00 ") && !first.contains("missing-39"), "{first}");
    assert!(stream.ack(Endpoints).ends_with(" -missing-39"));
    assert_eq!(stream.ack(Endpoints), "");
    assert_eq!(stream.publish(snapshot(&[], &[], &["l=1"], &[])), "cds -a -b -c");
}

#[test]
fn one_resource_larger_than_a_response_may_be_goes_alone() {
    let (small, large) = ("a=1", format!("b={}", "x".repeat(5000)));
    let mut stream = Stream::open(Protocol::Delta, snapshot(&[], &[], &[], &[]));
    stream.session = Session::with_response_bytes_max(Protocol::Delta, 1000);
    stream.publish(snapshot(&[small, &large, "c=1"], &[], &[], &[]));
    assert_eq!(stream.delta(Cluster, &[], &[]), "cds a=1");
    assert_eq!(stream.ack(Cluster), format!("cds {large}"));
    assert_eq!(stream.ack(Cluster), "cds c=1");
    assert_eq!(stream.ack(Cluster), "");
}

#[test]
fn state_of_the_world_splits_what_need_not_be_whole() {
    let long = |name: &str| format!("{name}={}", "x".repeat(1000));
    let (a, b) = (long("a"), long("b"));
    let mut stream = Stream::open(Protocol::Sotw, snapshot(&[], &[], &[], &[]));
    stream.session = Session::with_response_bytes_max(Protocol::Sotw, 1200);
    stream.publish(snapshot(&[&a, &b], &[&a, &b], &[], &[]));
    assert_eq!(stream.sotw(Cluster, &[]), format!("cds {a} {b}"), "a part would delete the others");
    stream.ack(Cluster);
    assert_eq!(stream.sotw(Endpoints, &["a", "b"]), format!("eds {a}"));
    assert_eq!(stream.ack(Endpoints), format!("eds {b}"));
    assert_eq!(stream.ack(Endpoints), "");
    assert!(stream.session.is_synced());
}

#[test]
fn secrets_come_before_what_leads_to_their_clusters_and_go_last() {
    // 78: asked for as a cluster that came needs it, and as a listener that came needs it
    for protocol in [Protocol::Delta, Protocol::Sotw] {
        let world = with_secrets(&["ca=1", "own=1"], &["a=1"], &[], &["l=1"], &["r=a"]);
        let mut stream = Stream::open(protocol, world);
        let ask = |stream: &mut Stream, resource_type, names: &[&str]| match protocol {
            Protocol::Delta => stream.delta(resource_type, names, &[]),
            Protocol::Sotw => stream.sotw(resource_type, names),
        };
        assert_eq!(ask(&mut stream, Cluster, &[]), "cds a=1");
        assert_eq!(ask(&mut stream, Secret, &["ca"]), "sds ca=1", "the cluster does not warm without");
        assert_eq!(ask(&mut stream, Listener, &[]), "");
        assert_eq!(stream.ack(Secret), "");
        assert_eq!(stream.ack(Cluster), "lds l=1");
        ask(&mut stream, RouteConfiguration, &["r"]);
        let both: &[&str] = if protocol == Protocol::Delta { &["own"] } else { &["ca", "own"] };
        assert_eq!(ask(&mut stream, Secret, both), "sds own=1", "the listener is there and waits for it");
        assert_eq!(stream.ack(Listener), "");
        assert_eq!(stream.ack(Secret), "rds r=a");
        stream.ack(RouteConfiguration);

        // a secret that is rotated is all that is sent
        let rotated = with_secrets(&["ca=2", "own=1"], &["a=1"], &[], &["l=1"], &["r=a"]);
        assert_eq!(stream.publish(rotated), "sds ca=2");
        stream.ack(Secret);
        assert!(stream.session.is_synced());

        let cluster_goes = with_secrets(&["own=1"], &["b=1"], &[], &["l=1"], &["r=b"]);
        let union = if protocol == Protocol::Delta { "cds b=1" } else { "cds a=1 b=1" };
        assert_eq!(stream.publish(cluster_goes), union);
        assert_eq!(stream.ack(Cluster), "rds r=b");
        let without = if protocol == Protocol::Delta { "cds -a" } else { "cds b=1" };
        assert_eq!(stream.ack(RouteConfiguration), without);
        let secret_goes = if protocol == Protocol::Delta { "sds -ca" } else { "" };
        assert_eq!(stream.ack(Cluster), secret_goes);
    }
}

#[test]
fn a_rejected_secret_holds_back_what_leads_to_its_cluster() {
    // 72, 78
    let world = |content: &str| with_secrets(&[content], &["a=1"], &[], &["l=1"], &[]);
    let mut stream = Stream::open(Protocol::Delta, world("ca=1"));
    stream.delta(Cluster, &[], &[]);
    stream.delta(Secret, &["ca"], &[]);
    stream.delta(Listener, &[], &[]);
    assert_eq!(stream.nack(Secret), "");
    assert_eq!(stream.ack(Cluster), "");
    assert_eq!(stream.publish(world("ca=2")), "sds ca=2");
    assert_eq!(stream.ack(Secret), "lds l=1");
}

#[test]
fn every_secret_is_answered_on_a_reconnect() {
    // 78: an Envoy may have forgotten it
    let world = with_secrets(&["ca=1"], &["a=1"], &[], &[], &[]);
    let mut stream = Stream::open(Protocol::Delta, world);
    assert_eq!(stream.resume(Cluster, &[], &[], &["a=1"]), "");
    assert_eq!(stream.resume(Secret, &["ca", "unknown"], &[], &["ca=1"]), "sds ca=1 -unknown");
}

#[test]
fn a_listener_goes_where_its_stream_is_for_listeners_alone() {
    // 2: the routes are asked for on another stream
    for protocol in [Protocol::Sotw, Protocol::Delta] {
        let mut stream = Stream::open(protocol, snapshot(&[], &[], &[], &[]));
        stream.session = Session::on_service(protocol, Service::Separate(Listener));
        stream.publish(snapshot(&["c=1"], &[], &["a=1", "b=1"], &["r=1"]));
        let sent = match protocol {
            Protocol::Sotw => stream.sotw(Listener, &[]),
            Protocol::Delta => stream.delta(Listener, &[], &[]),
        };
        assert_eq!(sent, "lds a=1 b=1");
        stream.ack(Listener);
        assert!(stream.session.is_synced());
        let gone = if protocol == Protocol::Sotw { "lds a=1" } else { "lds -b" };
        assert_eq!(stream.publish(snapshot(&["c=1"], &[], &["a=1"], &["r=1"])), gone);
        stream.ack(Listener);
        assert!(stream.session.is_synced());
    }
}

#[test]
fn an_envoy_whose_new_listener_has_no_routes_yet_is_not_in_sync() {
    for protocol in [Protocol::Sotw, Protocol::Delta] {
        let mut stream = synced(protocol, snapshot(&[], &[], &["l=1"], &["r=1"]));
        assert_eq!(stream.publish(snapshot(&[], &[], &["l=2"], &["r=1", "s=1"])), "lds l=2");
        stream.ack(Listener);
        assert!(!stream.session.is_synced(), "it asks for the routes a moment later");
        let sent = match protocol {
            Protocol::Sotw => stream.sotw(RouteConfiguration, &["r", "s"]),
            Protocol::Delta => stream.delta(RouteConfiguration, &["s"], &[]),
        };
        assert_eq!(sent, "rds s=1");
        stream.ack(RouteConfiguration);
        assert!(stream.session.is_synced());
    }
}

#[test]
fn endpoints_that_were_rejected_with_others_follow_an_update_of_their_cluster() {
    // 73: without them the cluster warms until a timeout, and has none then
    for protocol in [Protocol::Sotw, Protocol::Delta] {
        let mut stream = synced(protocol, snapshot(&["a=1", "b=1"], &["a=e", "b=e"], &[], &[]));
        assert_eq!(stream.publish(snapshot(&["a=1", "b=1"], &["a=f", "b=bad"], &[], &[])), "eds a=f b=bad");
        assert_eq!(stream.nack(Endpoints), "", "33");
        let sent = stream.publish(snapshot(&["a=2", "b=1"], &["a=f", "b=bad"], &[], &[]));
        assert!(sent.starts_with("cds a=2") && sent.ends_with("; eds a=f"), "{sent}");
        stream.ack(Endpoints);
        assert_eq!(stream.ack(Cluster), "", "33: the others stand rejected");
    }
}

#[test]
fn sotw_answers_for_the_endpoints_of_a_cluster_that_goes_before_it_is_warm() {
    // the ACK of the clusters waits for them, and absence cannot be told (25, 76)
    let mut stream = synced(Protocol::Sotw, snapshot(&["a=1"], &["a=e"], &[], &[]));
    let with_b = snapshot(&["a=1", "b=1"], &["a=e", "b=e"], &[], &[]);
    assert_eq!(stream.publish(with_b), "cds a=1 b=1");
    assert_eq!(stream.publish(snapshot(&["a=1"], &["a=e"], &[], &[])), "");
    assert_eq!(stream.publish(snapshot(&["a=1", "c=1"], &["a=e", "c=e"], &[], &[])), "");
    assert_eq!(stream.sotw(Endpoints, &["a", "b"]), "eds b=e");
    stream.ack(Endpoints);
    assert_eq!(stream.ack(Cluster), "cds a=1 b=1 c=1", "70");
    assert_eq!(stream.sotw(Endpoints, &["a", "b", "c"]), "eds c=e");
    stream.ack(Endpoints);
    assert_eq!(stream.ack(Cluster), "cds a=1 c=1");
    assert_eq!(stream.ack(Cluster), "");
    assert_eq!(stream.sotw(Endpoints, &["a", "c"]), "");
    assert!(stream.session.is_synced());
    assert!(stream.session.types[Endpoints].lingering.is_empty());
}

#[test]
fn what_goes_before_an_update_of_it_was_sent_is_not_updated() {
    let mut stream = synced(Protocol::Sotw, snapshot(&[], &[], &[], &[]));
    assert_eq!(stream.publish(snapshot(&["a=1"], &["a=e"], &[], &[])), "cds a=1");
    assert_eq!(stream.publish(snapshot(&["a=2"], &["a=e"], &[], &[])), "");
    assert_eq!(stream.publish(snapshot(&["b=1"], &[], &[], &[])), "");
    assert_eq!(stream.sotw(Endpoints, &["a"]), "eds a=e");
    stream.ack(Endpoints);
    assert_eq!(stream.ack(Cluster), "cds a=1 b=1", "70: it would be warming again");
}

#[test]
fn endpoints_follow_a_rejected_cluster_that_goes_along() {
    // 73
    let mut stream = synced(Protocol::Sotw, snapshot(&["a=1"], &["a=e"], &[], &[]));
    assert_eq!(stream.publish(snapshot(&["a=bad"], &["a=e"], &[], &[])), "cds a=bad; eds a=e");
    stream.ack(Endpoints);
    assert_eq!(stream.nack(Cluster), "");
    assert_eq!(stream.publish(snapshot(&["a=bad", "b=1"], &["a=e"], &[], &[])), "cds a=bad b=1; eds a=e");
}
