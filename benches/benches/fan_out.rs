//! What a change costs from its publication to the last consumer's ACK, with real actors on real threads, without network.
//!
//! Each Envoy is a node of its own, and its other end a task on a thread of the actors, as its connection is in a host: it asks for
//! clusters, and accepts every response. What is composed are the clusters of the backends, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use legation_actors::composition::{Backend, Client, ComposeError, Composed, Composer, Problems};
use legation_actors::fleet::{Caller, Fleet, FleetSettings, FragmentSource, Limits, Places, Publication};
use legation_actors::request::{Interest, Request};
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_benches::run::{criterion, sizes};
use legation_proto::fragment::{Fragment, NodeFragment, ServiceFragment};
use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::nonce::Nonce;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::{GRPC_PREFIX_BYTES, Protocol};
use legation_proto::service::Service;
use legation_proto::version::Version;
use prost::Message;
use tokio::sync::mpsc::{channel, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;

const MESH: &str = "bench";

/// The virtual service that changes.
const HOT: &str = "hot";

/// How many backends each node has; consumers have [`HOT`] among them.
const BACKENDS: usize = 10;

/// About what a cluster takes, in bytes.
const BODY_BYTES: usize = 358;

/// More responses than wait for an Envoy that reads.
const FRAMES_MAX: usize = 100;

/// After which time something is broken, and not slow.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// A virtual service that consists of one cluster, in which `content` is.
fn service(name: &str, content: u8) -> Publication {
    let body = Bytes::from(vec![content; BODY_BYTES]);
    let clusters = vec![Resource { name: name.into(), version: Version::of(1, &body), body: body.into() }];
    publication(Fragment::Service(ServiceFragment { transaction: 1, clusters, ..Default::default() }))
}

/// A node; the name of a consumer begins with that of the virtual service that changes.
fn node(name: &str) -> Publication {
    let first = if name.starts_with(HOT) { HOT } else { "cold-0" };
    let others = (1..BACKENDS).map(|number| format!("cold-{number}").into());
    let backends = [first.into()].into_iter().chain(others).collect();
    publication(Fragment::Node(NodeFragment { transaction: 1, backends, ..Default::default() }))
}

fn publication(fragment: Fragment) -> Publication {
    Publication { fragment: Some(Arc::new(fragment)), propagation: None }
}

/// Passes on which fragments are needed, to [`publish_first`].
struct Needed(mpsc::Sender<FragmentKey>);

impl FragmentSource for Needed {
    fn follow(&self, key: &FragmentKey) {
        let _ = self.0.send(key.clone());
    }

    fn unfollow(&self, _: &FragmentKey) {}
}

/// Publishes the first state of every fragment that is needed, until the fleet has ended.
fn publish_first(fleet: &Weak<Fleet>, needed: &mpsc::Receiver<FragmentKey>) {
    for key in needed {
        let Some(fleet) = fleet.upgrade() else { return };
        let first = match key.kind {
            FragmentKind::VirtualService => service(&key.name, 0),
            FragmentKind::VirtualNode | FragmentKind::VirtualGateway => node(&key.name),
        };
        fleet.publish(&key, first);
    }
}

/// How many responses a kind of Envoys has accepted, and how many they will have when a change has reached all.
struct Tally {
    accepted: AtomicUsize,
    due: AtomicUsize,
    all_accepted: mpsc::Sender<()>,
}

impl Tally {
    fn new(due: usize) -> (Arc<Self>, mpsc::Receiver<()>) {
        let (all_accepted, is_all_accepted) = mpsc::channel();
        let tally = Self { accepted: AtomicUsize::new(0), due: AtomicUsize::new(due), all_accepted };
        (Arc::new(tally), is_all_accepted)
    }

    fn count(&self) {
        let accepted = self.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        if accepted == self.due.load(Ordering::SeqCst) {
            let _ = self.all_accepted.send(());
        }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// The part of a `DeltaDiscoveryResponse` that an Envoy needs here.
#[derive(Clone, PartialEq, Message)]
struct WithNonce {
    #[prost(string, tag = "5")]
    nonce: String,
}

fn request(nonce: &str) -> Request {
    let interest = Interest::Delta { subscribe: vec![], unsubscribe: vec![], initial_versions: vec![] };
    Request { resource_type: ResourceType::Cluster, nonce: Nonce::read(nonce), error: None, interest }
}

/// An Envoy: accepts every response, until its stream ends.
async fn accept(fleet: Arc<Fleet>, name: String, tally: Arc<Tally>) {
    let caller = Caller {
        node: format!("mesh/{MESH}/virtualNode/{name}").parse().unwrap(),
        client: Client::Envoy,
        peer: None,
        service: Service::Aggregated,
        protocol: Protocol::Delta,
        places: Places::default(),
    };
    let (requests, queue) = unbounded_channel();
    let (transport, mut frames) = channel(FRAMES_MAX);
    fleet.admit(caller).unwrap().open(UnboundedReceiverStream::new(queue), transport);
    drop(fleet);
    let _ = requests.send(Ok(request(""))); // an error tells that the stream has ended, as its frames do
    while let Some(Ok(frame)) = frames.recv().await {
        assert!(frame.len() > BODY_BYTES);
        let WithNonce { nonce } = WithNonce::decode(frame.slice(GRPC_PREFIX_BYTES..)).unwrap();
        let _ = requests.send(Ok(request(&nonce)));
        tally.count();
    }
}

/// A host to which Envoys are connected.
struct Host {
    fleet: Arc<Fleet>,
    consumers: usize,
    accepted: Arc<Tally>,
    is_all_accepted: mpsc::Receiver<()>,
    others: usize,
    accepted_by_others: Arc<Tally>,
    content: u8,
}

impl Host {
    /// A host to which so many consumers of the virtual service that changes are connected, and so many other Envoys. All of
    /// them have what they should have.
    fn start(consumers: usize, others: usize) -> Self {
        let envoys = consumers + others;
        let settings = FleetSettings {
            arbiters: 2,
            limits: Limits { envoys, envoys_per_node: envoys },
            stall_timeout: PATIENCE,
            control_plane: "bench".to_owned(),
        };
        let (need, needed) = mpsc::channel();
        let fleet =
            Arc::new(Fleet::start(settings, Arc::new(Needed(need)), Composer::anew(compose)).unwrap());
        let publisher = Arc::downgrade(&fleet);
        thread::spawn(move || publish_first(&publisher, &needed));

        let (accepted, is_all_accepted) = Tally::new(consumers);
        let (accepted_by_others, is_all_accepted_by_others) = Tally::new(others);
        for (name, count, tally) in [(HOT, consumers, &accepted), ("cold", others, &accepted_by_others)] {
            for number in 0..count {
                let (of, tally) = (Arc::clone(&fleet), Arc::clone(tally));
                fleet.spawn(move || accept(of, format!("{name}-{number}"), tally));
            }
        }
        is_all_accepted.recv_timeout(PATIENCE).expect("consumers accept their first response");
        if others > 0 {
            is_all_accepted_by_others.recv_timeout(PATIENCE).expect("and so do the others");
        }
        Self { fleet, consumers, accepted, is_all_accepted, others, accepted_by_others, content: 0 }
    }

    /// Publishes a change, and waits until the last consumer has accepted it.
    fn change(&mut self) {
        self.content = self.content.wrapping_add(1);
        let due = self.accepted.due.fetch_add(self.consumers, Ordering::SeqCst) + self.consumers;
        let key = FragmentKey::virtual_service(&MESH.into(), HOT);
        self.fleet.publish(&key, service(HOT, self.content));
        self.is_all_accepted.recv_timeout(PATIENCE).expect("every consumer accepts the change");
        assert_eq!(self.accepted.accepted(), due);
        assert_eq!(
            self.accepted_by_others.accepted(),
            self.others,
            "nothing for those who do not consume it"
        );
    }
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, parameter: usize, consumers: usize, others: usize) {
    let mut started = None;
    group.throughput(Throughput::Elements(consumers as u64));
    group.bench_function(BenchmarkId::from_parameter(parameter), |bencher| {
        let host = started.get_or_insert_with(|| Host::start(consumers, others));
        bencher.iter(|| host.change());
    });
}

fn consumers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan_out/change to n consumers");
    for &consumers in sizes(&[10, 100, 1000]) {
        measure(&mut group, consumers, consumers, 0);
    }
    group.finish();
}

fn others(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan_out/change to 9 consumers beside n other Envoys");
    for &others in sizes(&[100, 1000]) {
        measure(&mut group, others, 9, others);
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = consumers, others
}
criterion_main!(benches);
