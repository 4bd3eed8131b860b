//! A change reaches the consumers of its virtual service, and nobody else; with real actors on real threads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use legation_actors::composition::{Backend, Client, Compose, ComposeError, Composed, Composer, Problems};
use legation_actors::fleet::{Caller, Fleet, FleetSettings, FragmentSource, Limits, Places, Publication};
use legation_actors::request::{Interest, Request};
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_actors::stream::{StreamEnd, StreamHandle};
use legation_proto::fragment::{Fragment, NodeFragment, ServiceFragment};
use legation_proto::id::{FragmentKey, NodeId};
use legation_proto::nonce::Nonce;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::{GRPC_PREFIX_BYTES, Protocol};
use legation_proto::service::Service;
use legation_proto::version::Version;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Longer than any other test takes, and short enough to wait for.
const STALL_TIMEOUT: Duration = Duration::from_secs(3);

/// More frames than wait for an Envoy that reads.
const FRAMES_MAX: usize = 100;

/// Notes which fragments are followed; the test publishes them.
#[derive(Default)]
struct Followed(Mutex<HashMap<String, usize>>);

impl FragmentSource for Followed {
    fn follow(&self, key: &FragmentKey) {
        *self.0.lock().unwrap().entry(key.to_string()).or_default() += 1;
    }

    fn unfollow(&self, key: &FragmentKey) {
        self.0.lock().unwrap().remove(&key.to_string());
    }
}

fn compose(
    _: Client,
    node: &NodeFragment,
    backends: &[Backend<'_>],
    _: Option<&Snapshot>,
) -> Result<Composed, ComposeError> {
    let services = backends.iter().flat_map(|backend| &backend.fragment.clusters);
    let clusters = node.clusters.iter().chain(services).cloned().collect();
    let snapshot = Snapshot::new([clusters, vec![], vec![], vec![], vec![]].map(ResourceSet::new));
    Ok(Composed { snapshot, problems: Problems::default() })
}

fn cluster(name: &str, content: &str) -> Resource {
    let body = Bytes::copy_from_slice(content.as_bytes());
    Resource { name: name.into(), version: Version::of(1, &body), body: Bytes::new().into() }
}

fn publication(fragment: Fragment) -> Publication {
    Publication { fragment: Some(Arc::new(fragment)), propagation: None }
}

fn service(name: &str, content: &str) -> Publication {
    let clusters = vec![cluster(name, content)];
    publication(Fragment::Service(ServiceFragment { transaction: 1, clusters, ..Default::default() }))
}

fn node(backends: &[&str]) -> Publication {
    let backends = backends.iter().map(|&name| name.into()).collect();
    publication(Fragment::Node(NodeFragment { transaction: 1, backends, ..Default::default() }))
}

fn service_key(name: &str) -> FragmentKey {
    FragmentKey::virtual_service(&"m".into(), name)
}

fn node_id(name: &str) -> NodeId {
    format!("mesh/m/virtualNode/{name}").parse().unwrap()
}

fn caller(name: &str) -> Caller {
    Caller {
        node: node_id(name),
        client: Client::Envoy,
        peer: None,
        service: Service::Aggregated,
        protocol: Protocol::Delta,
        places: Places::default(),
    }
}

struct Host {
    fleet: Fleet,
    followed: Arc<Followed>,
}

impl Host {
    fn start(envoys_max: usize) -> Self {
        Self::start_with(envoys_max, 2, compose)
    }

    fn start_with(envoys_max: usize, arbiters: usize, compose: Compose) -> Self {
        let followed = Arc::new(Followed::default());
        let settings = FleetSettings {
            arbiters,
            limits: Limits { envoys: envoys_max, envoys_per_node: envoys_max },
            stall_timeout: STALL_TIMEOUT,
            control_plane: "test".to_owned(),
        };
        let fleet = Fleet::start(settings, Arc::clone(&followed) as _, Composer::anew(compose)).unwrap();
        Self { fleet, followed }
    }

    fn connect(&self, name: &str) -> Envoy {
        let (requests, queue) = mpsc::channel(1);
        let (transport, frames) = mpsc::channel(FRAMES_MAX);
        let admitted = self.fleet.admit(caller(name)).unwrap();
        let handle = admitted.open(ReceiverStream::new(queue), transport);
        Envoy { requests, frames, handle }
    }

    fn publish_node(&self, name: &str, publication: Publication) {
        self.fleet.publish(node_id(name).key(), publication);
    }

    fn publish_service(&self, name: &str, publication: Publication) {
        self.fleet.publish(&service_key(name), publication);
    }

    /// Waits until exactly so many Envoys are connected.
    async fn holds(&self, expected: usize) {
        for _ in 0..500 {
            if self.fleet.envoys_connected() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("holds {} envoys, not {expected}", self.fleet.envoys_connected());
    }

    /// Waits until exactly these are followed.
    async fn follows(&self, expected: &[&str]) {
        let mut seen = Vec::new();
        for _ in 0..500 {
            seen = self.followed.0.lock().unwrap().keys().cloned().collect();
            seen.sort();
            if seen == expected {
                assert_eq!(self.fleet.fragments_in_use(), expected.len());
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("follows {seen:?}, not {expected:?}");
    }
}

/// A request for clusters that answers a response.
fn request(nonce: Option<Nonce>) -> Request {
    let interest = Interest::Delta { subscribe: vec![], unsubscribe: vec![], initial_versions: vec![] };
    Request { resource_type: ResourceType::Cluster, nonce, error: None, interest }
}

struct Envoy {
    requests: mpsc::Sender<Result<Request, StreamEnd>>,
    frames: mpsc::Receiver<Result<Bytes, StreamEnd>>,
    handle: StreamHandle,
}

impl Envoy {
    /// Asks, and waits until the actor has taken that in, unless the stream has ended.
    async fn ask(&self, nonce: Option<Nonce>) {
        let _ = self.requests.send(Ok(request(nonce))).await;
        while self.requests.capacity() == 0 && !self.requests.is_closed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Receives a response and accepts it: the names of what was added, then of what was removed.
    async fn receive(&mut self) -> Vec<String> {
        let frame =
            tokio::time::timeout(Duration::from_secs(5), self.frames.recv()).await.expect("a response");
        let response =
            DeltaDiscoveryResponse::decode(frame.unwrap().unwrap().slice(GRPC_PREFIX_BYTES..)).unwrap();
        self.ask(Nonce::read(&response.nonce)).await;
        let added = response.resources.into_iter().map(|resource| resource.name);
        added.chain(response.removed_resources.into_iter().map(|name| format!("-{name}"))).collect()
    }

    async fn receives_nothing(&mut self) {
        let frame = tokio::time::timeout(Duration::from_millis(100), self.frames.recv()).await;
        assert!(frame.is_err(), "received {frame:?}");
    }

    async fn end(&mut self) -> StreamEnd {
        let end = tokio::time::timeout(Duration::from_secs(5), self.frames.recv()).await.expect("an end");
        end.expect("a reason").expect_err("no response")
    }
}

#[tokio::test]
async fn a_change_reaches_consumers_only() {
    let host = Host::start(10);
    let (mut a1, mut a2, mut b) = (host.connect("a"), host.connect("a"), host.connect("b"));
    for envoy in [&a1, &a2, &b] {
        envoy.ask(None).await;
    }
    host.follows(&["mesh/m/virtualNode/a", "mesh/m/virtualNode/b"]).await;
    host.publish_node("a", node(&["x"]));
    host.publish_node("b", node(&["y"]));
    host.follows(&[
        "mesh/m/virtualNode/a",
        "mesh/m/virtualNode/b",
        "mesh/m/virtualService/x",
        "mesh/m/virtualService/y",
    ])
    .await;
    host.publish_service("x", service("x", "1"));
    host.publish_service("y", service("y", "1"));
    for (envoy, expected) in [(&mut a1, "x"), (&mut a2, "x"), (&mut b, "y")] {
        assert_eq!(envoy.receive().await, [expected]);
    }

    host.publish_service("x", service("x", "2"));
    assert_eq!(a1.receive().await, ["x"]);
    assert_eq!(a2.receive().await, ["x"]);
    host.publish_service("x", service("x", "2"));
    host.publish_service("nobody uses this", service("z", "1"));
    for envoy in [&mut a1, &mut a2, &mut b] {
        envoy.receives_nothing().await;
    }
    assert!(host.fleet.status().await.iter().all(|envoy| envoy.synced));

    host.publish_node("a", node(&["y"]));
    assert_eq!(a1.receive().await, ["y"]);
    assert_eq!(a1.receive().await, ["-x"]);
    host.follows(&["mesh/m/virtualNode/a", "mesh/m/virtualNode/b", "mesh/m/virtualService/y"]).await;

    drop((a1, a2, b));
    host.follows(&[]).await;
    host.holds(0).await;
}

#[tokio::test]
async fn nobody_is_answered_before_everything_is_known() {
    let host = Host::start(10);
    let mut envoy = host.connect("a");
    envoy.ask(None).await;
    host.follows(&["mesh/m/virtualNode/a"]).await;
    host.publish_node("a", node(&["x", "y"]));
    host.follows(&["mesh/m/virtualNode/a", "mesh/m/virtualService/x", "mesh/m/virtualService/y"]).await;
    host.publish_service("x", service("x", "1"));
    envoy.receives_nothing().await;
    host.publish_service("y", Publication::default());
    assert_eq!(envoy.receive().await, ["x"], "a backend need not exist");
}

#[tokio::test]
async fn an_envoy_for_which_something_is_on_its_way_is_not_in_sync() {
    let host = Host::start(10);
    let mut envoy = host.connect("a");
    envoy.ask(None).await;
    host.follows(&["mesh/m/virtualNode/a"]).await;
    host.publish_node("a", node_with_cluster("of-b", &[]));
    assert_eq!(envoy.receive().await, ["of-b"]);
    let state = || async {
        let status = host.fleet.settled_status().await.unwrap();
        status.iter().map(|envoy| (envoy.transaction, envoy.synced)).collect::<Vec<_>>()
    };
    assert_eq!(state().await, [(Some(1), true)]);
    // what a backend consists of is not known yet: neither is what the Envoy should have
    host.publish_node("a", node_with_cluster("of-b", &["x"]));
    host.follows(&["mesh/m/virtualNode/a", "mesh/m/virtualService/x"]).await;
    assert_eq!(state().await, [(None, false)]);
    host.publish_service("x", service("x", "1"));
    assert_eq!(envoy.receive().await, ["x"]);
    assert_eq!(state().await, [(Some(1), true)]);
    // nor is it where it cannot be composed
    host.publish_service("x", node(&[]));
    assert_eq!(state().await, [(None, false)]);
    assert_eq!(host.fleet.status().await[0].problems.len(), 1);
}

/// Composes, and takes longer than status waits for.
fn takes_long(
    client: Client,
    node: &NodeFragment,
    backends: &[Backend<'_>],
    before: Option<&Snapshot>,
) -> Result<Composed, ComposeError> {
    std::thread::sleep(Duration::from_secs(2));
    compose(client, node, backends, before)
}

#[tokio::test]
async fn who_does_not_tell_its_status_is_not_taken_for_settled() {
    let host = Host::start_with(10, 2, takes_long);
    let _envoy = host.connect("a");
    host.follows(&["mesh/m/virtualNode/a"]).await;
    host.publish_node("a", node(&[]));
    assert!(host.fleet.settled_status().await.is_none());
    assert_eq!(host.fleet.settled_status().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_node_that_does_not_exist_ends_the_stream() {
    let host = Host::start(10);
    let mut envoy = host.connect("gone");
    host.follows(&["mesh/m/virtualNode/gone"]).await;
    host.publish_node("gone", Publication::default());
    assert_eq!(envoy.end().await, StreamEnd::NodeNotFound(node_id("gone")));
    host.follows(&[]).await;
}

#[tokio::test]
async fn the_cap_is_exact_and_places_are_given_back() {
    let host = Host::start(2);
    let first = host.connect("a");
    let _second = host.connect("a");
    assert!(host.fleet.admit(caller("a")).is_err());
    drop(first);
    host.holds(1).await;
    let admitted = host.fleet.admit(caller("a")).expect("a place");
    assert!(host.fleet.admit(caller("a")).is_err());
    drop(admitted);
    assert!(host.fleet.admit(caller("a")).is_ok(), "one that opens nothing gives its place back");
}

#[tokio::test]
async fn an_end_tells_the_envoy_why() {
    let host = Host::start(10);
    let mut envoy = host.connect("a");
    host.follows(&["mesh/m/virtualNode/a"]).await;
    envoy.handle.end(StreamEnd::Reconnect);
    assert_eq!(envoy.end().await, StreamEnd::Reconnect);
}

#[tokio::test]
async fn an_envoy_that_answers_nothing_is_disconnected_and_delays_nobody() {
    let host = Host::start(10);
    let (mut stalled, mut other) = (host.connect("a"), host.connect("a"));
    stalled.ask(None).await;
    other.ask(None).await;
    host.follows(&["mesh/m/virtualNode/a"]).await;
    host.publish_node("a", node(&["x"]));
    host.follows(&["mesh/m/virtualNode/a", "mesh/m/virtualService/x"]).await;
    for content in ["1", "2", "3"] {
        host.publish_service("x", service("x", content));
        assert_eq!(other.receive().await, ["x"]);
    }
    assert!(stalled.frames.recv().await.unwrap().is_ok(), "it was sent one response, and no more");
    assert_eq!(stalled.end().await, StreamEnd::Stalled);
    other.receives_nothing().await;
}

#[tokio::test]
async fn an_envoy_that_accepts_what_it_does_not_read_is_disconnected() {
    let host = Host::start(10);
    let mut envoy = host.connect("a");
    envoy.ask(None).await;
    host.follows(&["mesh/m/virtualNode/a"]).await;
    host.publish_node("a", node(&["x"]));
    host.follows(&["mesh/m/virtualNode/a", "mesh/m/virtualService/x"]).await;
    let mut sent = 0;
    while !envoy.requests.is_closed() {
        sent += 1;
        host.publish_service("x", service("x", &sent.to_string()));
        while envoy.frames.len() < sent && !envoy.requests.is_closed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        envoy.ask(Some(Nonce(sent as u64))).await; // nonces are numbers, which can be guessed
        assert!(sent < FRAMES_MAX, "it goes on, and nothing is read");
    }
    assert_eq!(envoy.handle.ended().await, StreamEnd::Stalled);
    while let Some(Ok(_)) = envoy.frames.recv().await {
        sent -= 1;
    }
    assert_eq!(sent, 1, "the last one was not queued");
}

/// How often [`fails_once`] may still panic; one test uses it.
static FAILURES: AtomicUsize = AtomicUsize::new(0);

/// Composes, and panics for the next Envoy of node `a` while there are failures left.
fn fails_once(
    client: Client,
    node: &NodeFragment,
    backends: &[Backend<'_>],
    before: Option<&Snapshot>,
) -> Result<Composed, ComposeError> {
    if node.clusters.iter().any(|cluster| &*cluster.name == "of-a") {
        let failures = FAILURES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(failures.is_err(), "this failure is part of the test");
    }
    compose(client, node, backends, before)
}

fn node_with_cluster(name: &str, backends: &[&str]) -> Publication {
    let backends = backends.iter().map(|&name| name.into()).collect();
    let clusters = vec![cluster(name, "1")];
    publication(Fragment::Node(NodeFragment { transaction: 1, clusters, backends, ..Default::default() }))
}

#[tokio::test]
async fn an_actor_that_panics_takes_its_stream_with_it_and_nothing_else() {
    // one arbiter: the actor that panics shares its thread with all others
    let host = Host::start_with(10, 1, fails_once);
    let (mut first, mut replica, mut other) = (host.connect("a"), host.connect("a"), host.connect("b"));
    for envoy in [&first, &replica, &other] {
        envoy.ask(None).await;
    }
    host.follows(&["mesh/m/virtualNode/a", "mesh/m/virtualNode/b"]).await;
    host.publish_node("a", node_with_cluster("of-a", &["x"]));
    host.publish_node("b", node_with_cluster("of-b", &["x"]));
    let all = ["mesh/m/virtualNode/a", "mesh/m/virtualNode/b", "mesh/m/virtualService/x"];
    host.follows(&all).await;
    host.publish_service("x", service("x", "1"));
    for (envoy, own) in [(&mut first, "of-a"), (&mut replica, "of-a"), (&mut other, "of-b")] {
        assert_eq!(envoy.receive().await, [own, "x"]);
    }

    FAILURES.store(1, Ordering::SeqCst);
    host.publish_service("x", service("x", "2"));
    assert_eq!(other.receive().await, ["x"]);
    // either of the two replicas comes first
    let ends = [first.frames.recv().await, replica.frames.recv().await].map(|frame| frame.unwrap().err());
    assert_eq!(ends.iter().flatten().collect::<Vec<_>>(), [&StreamEnd::Failed], "one failed, one did not");
    let (failed, mut healthy) = if ends[0].is_some() { (first, replica) } else { (replica, first) };
    let ended = tokio::time::timeout(Duration::from_secs(5), failed.handle.ended()).await;
    assert_eq!(ended.expect("an end"), StreamEnd::Failed);
    drop(failed);
    host.holds(2).await;
    assert_eq!(host.fleet.status().await.len(), 2);

    let mut again = host.connect("a");
    again.ask(None).await;
    assert_eq!(again.receive().await, ["of-a", "x"], "it comes back");
    healthy.ask(Some(Nonce(2))).await; // the response that was looked at above
    host.publish_service("x", service("x", "3"));
    for envoy in [&mut again, &mut healthy, &mut other] {
        assert_eq!(envoy.receive().await, ["x"]);
    }
    // nobody is counted who is not there: what the others leave, ends
    drop((again, healthy));
    host.follows(&all[1..]).await;
    drop(other);
    host.follows(&[]).await;
    host.holds(0).await;
}
