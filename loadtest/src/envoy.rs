//! A simulated Envoy: one connection, one delta ADS stream, subscribing as an Envoy does.

use std::time::Instant;

use anyhow::{Context, bail};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use legation_proto::resource_type::ResourceType;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// Requests that wait to be written: a request a type, and an ACK each.
const REQUESTS_WAITING_MAX: usize = 16;

/// What a simulated Envoy has received and accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    /// The number of the Envoy.
    pub(crate) envoy: usize,
    /// The type of the response.
    pub(crate) resource_type: ResourceType,
    /// When its ACK was handed to the connection.
    pub(crate) at: Instant,
}

/// Connects as `node` and accepts everything until the stream ends or nobody listens to `accepted` any more.
pub(crate) async fn run(
    number: usize,
    server: String,
    node: String,
    accepted: mpsc::UnboundedSender<Accepted>,
) -> anyhow::Result<()> {
    let channel = Channel::from_shared(server)?.connect().await.context("cannot connect")?;
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let (requests, queue) = mpsc::channel(REQUESTS_WAITING_MAX);
    let node = Node { id: node, ..Default::default() };
    for (position, resource_type) in [ResourceType::Cluster, ResourceType::Listener].into_iter().enumerate() {
        let request = DeltaDiscoveryRequest {
            node: (position == 0).then(|| node.clone()),
            type_url: resource_type.type_url().to_owned(),
            ..Default::default()
        };
        requests.send(request).await?;
    }
    let mut responses = client.delta_aggregated_resources(ReceiverStream::new(queue)).await?.into_inner();
    while let Some(response) = responses.message().await? {
        let Some(resource_type) = ResourceType::from_type_url(&response.type_url) else {
            bail!("a response of type {:?}, which nobody asked for", response.type_url);
        };
        if let Some((named, names)) = names_to_subscribe(resource_type, &response)? {
            let request = DeltaDiscoveryRequest {
                type_url: named.type_url().to_owned(),
                resource_names_subscribe: names,
                ..Default::default()
            };
            requests.send(request).await?;
        }
        let ack = DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            ..Default::default()
        };
        requests.send(ack).await?;
        if accepted.send(Accepted { envoy: number, resource_type, at: Instant::now() }).is_err() {
            return Ok(());
        }
    }
    bail!("the server ended the stream")
}

/// What a response makes an Envoy ask for by name.
fn names_to_subscribe(
    resource_type: ResourceType,
    response: &DeltaDiscoveryResponse,
) -> anyhow::Result<Option<(ResourceType, Vec<String>)>> {
    let (named, names) = match resource_type {
        ResourceType::Cluster => (ResourceType::Endpoints, eds_clusters(&response.resources)?),
        ResourceType::Listener => {
            (ResourceType::RouteConfiguration, route_configurations(&response.resources)?)
        }
        ResourceType::Endpoints | ResourceType::Secret | ResourceType::RouteConfiguration => return Ok(None),
    };
    Ok((!names.is_empty()).then_some((named, names)))
}

fn eds_clusters(resources: &[Resource]) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for resource in resources {
        let cluster = Cluster::decode(content(resource)?)?;
        if cluster.cluster_discovery_type == Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())) {
            names.push(cluster.name);
        }
    }
    Ok(names)
}

fn route_configurations(resources: &[Resource]) -> anyhow::Result<Vec<String>> {
    const TYPE: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let mut names = Vec::new();
    for resource in resources {
        let listener = Listener::decode(content(resource)?)?;
        for filter in listener.filter_chains.iter().flat_map(|chain| &chain.filters) {
            let Some(ConfigType::TypedConfig(config)) = &filter.config_type else {
                continue;
            };
            if config.type_url != TYPE {
                continue;
            }
            let manager = HttpConnectionManager::decode(config.value.as_slice())?;
            if let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier {
                names.push(rds.route_config_name);
            }
        }
    }
    Ok(names)
}

fn content(resource: &Resource) -> anyhow::Result<&[u8]> {
    let any = resource.resource.as_ref().with_context(|| format!("resource {:?} is empty", resource.name))?;
    Ok(&any.value)
}
