//! The actor of an Envoy panics: its stream ends with `UNAVAILABLE`, its connection and all others go on, and it comes back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use legation::management::connection::Keepalive;
use legation::management::discovery::DiscoveryService;
use legation::management::draining;
use legation::management::server::{self, ServerSettings};
use legation_actors::composition::{Backend, Client, ComposeError, Composed, Composer, Problems};
use legation_actors::fleet::{Fleet, FleetSettings, FragmentSource, Limits, Publication};
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_proto::fragment::{Fragment, NodeFragment};
use legation_proto::id::{FragmentKey, NodeId};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(20);
const UNLUCKY: &str = "unlucky";

/// How often [`compose_or_panic`] may still panic.
static FAILURES: AtomicUsize = AtomicUsize::new(0);

fn compose_or_panic(
    _: Client,
    node: &NodeFragment,
    _: &[Backend<'_>],
    _: Option<&Snapshot>,
) -> Result<Composed, ComposeError> {
    if node.clusters.iter().any(|cluster| &*cluster.name == UNLUCKY) {
        let failures = FAILURES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(failures.is_err(), "this failure is part of the test");
    }
    let mut sets = ResourceType::ALL.map(|_| ResourceSet::new(Vec::new()));
    sets[ResourceType::Cluster.index()] = ResourceSet::new(node.clusters.clone());
    Ok(Composed { snapshot: Snapshot::new(sets), problems: Problems::default() })
}

/// Fragments come when the test publishes them.
struct Nowhere;

impl FragmentSource for Nowhere {
    fn follow(&self, _: &FragmentKey) {}

    fn unfollow(&self, _: &FragmentKey) {}
}

struct Host {
    fleet: Arc<Fleet>,
    address: SocketAddr,
}

impl Host {
    /// One arbiter: connections and actors share one thread with the one that panics.
    fn start() -> Self {
        let settings = FleetSettings {
            arbiters: 1,
            limits: Limits { envoys: 10, envoys_per_node: 10 },
            stall_timeout: Duration::from_secs(60),
            control_plane: "test".to_owned(),
        };
        let fleet =
            Arc::new(Fleet::start(settings, Arc::new(Nowhere), Composer::anew(compose_or_panic)).unwrap());
        let listener = server::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let settings = ServerSettings {
            connections_max: 10,
            reconnect_interval: Duration::from_secs(3600),
            reconnects_per_second: 1,
            keepalive: Keepalive { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) },
            drain_timeout: Duration::from_secs(1),
        };
        let service = DiscoveryService::new(Arc::clone(&fleet));
        tokio::spawn(server::serve(
            listener,
            service,
            settings,
            draining::drain().1,
            CancellationToken::new(),
        ));
        Self { fleet, address }
    }

    /// Gives the node of this name a cluster of the same name.
    fn publish(&self, name: &str, content: &str) {
        let body = DeltaDiscoveryRequest { type_url: content.to_owned(), ..Default::default() };
        let clusters = vec![Resource::encode(ResourceType::Cluster, name, 1, &body)];
        let fragment = Fragment::Node(NodeFragment { transaction: 1, clusters, ..Default::default() });
        let publication = Publication { fragment: Some(Arc::new(fragment)), propagation: None };
        self.fleet.publish(node_id(name).key(), publication);
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// Opens a stream on a connection, and publishes its node's fragment once it is followed.
    async fn open(&self, channel: &Channel, name: &str) -> Envoy {
        let followed = self.fleet.fragments_in_use();
        let (requests, queue) = mpsc::channel(4);
        let node = Node { id: node_id(name).to_string(), ..Default::default() };
        let request = DeltaDiscoveryRequest {
            node: Some(node),
            type_url: ResourceType::Cluster.type_url().to_owned(),
            ..Default::default()
        };
        requests.send(request).await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(channel.clone());
        let responses =
            client.delta_aggregated_resources(ReceiverStream::new(queue)).await.unwrap().into_inner();
        while self.fleet.fragments_in_use() == followed {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.publish(name, "1");
        Envoy { requests, responses }
    }
}

fn node_id(name: &str) -> NodeId {
    format!("mesh/m/virtualNode/{name}").parse().unwrap()
}

struct Envoy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Envoy {
    /// Receives a response and accepts it: the names of its resources.
    async fn receive(&mut self) -> Result<Vec<String>, Status> {
        let response = tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("in time")?;
        let response = response.expect("a response or an error");
        let ack = DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            ..Default::default()
        };
        self.requests.send(ack).await.unwrap();
        Ok(response.resources.into_iter().map(|resource| resource.name).collect())
    }
}

#[tokio::test]
async fn a_failed_actor_ends_its_stream_with_unavailable_and_its_envoy_comes_back() {
    let host = Host::start();
    let (channel, of_other) = (host.channel().await, host.channel().await);
    let mut other = host.open(&of_other, "other").await;
    assert_eq!(other.receive().await.unwrap(), ["other"]);
    let mut unlucky = host.open(&channel, UNLUCKY).await;
    assert_eq!(unlucky.receive().await.unwrap(), [UNLUCKY]);

    FAILURES.store(1, Ordering::SeqCst);
    host.publish(UNLUCKY, "2");
    let status = unlucky.receive().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "this stream failed; connect again"));
    host.publish("other", "2");
    assert_eq!(other.receive().await.unwrap(), ["other"]);
    while host.fleet.envoys_connected() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // on the same connection, as an Envoy does
    let mut again = host.open(&channel, UNLUCKY).await;
    assert_eq!(again.receive().await.unwrap(), [UNLUCKY]);
    host.publish("other", "3");
    assert_eq!(other.receive().await.unwrap(), ["other"]);
    assert_eq!(host.fleet.status().await.len(), 2);
}
