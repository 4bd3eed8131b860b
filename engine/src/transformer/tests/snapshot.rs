//! What must hold of every snapshot, whatever it is made of: nothing in it refers to what is not in it.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use legation_actors::snapshot::Snapshot;
use legation_proto::resource_type::ResourceType;
use prost::{Message, Name};

use super::render::decoded;

type Names = BTreeSet<String>;

/// What the parts of a snapshot refer to.
#[derive(Default)]
struct References {
    clusters: Names,
    route_configurations: Names,
}

/// Checks that a snapshot hangs together, and that Envoy takes the names in it.
pub(crate) fn check_references(snapshot: &Snapshot) {
    let mut references = References::default();
    for resource in snapshot.set(ResourceType::Listener).resources() {
        references.add_listener(&decoded(resource));
    }
    for resource in snapshot.set(ResourceType::RouteConfiguration).resources() {
        references.add_route_configuration(&decoded(resource));
    }
    let clusters = names(snapshot, ResourceType::Cluster);
    assert!(references.clusters.is_subset(&clusters), "{:?} of {clusters:?}", references.clusters);
    assert_eq!(references.route_configurations, names(snapshot, ResourceType::RouteConfiguration));

    let clusters = snapshot.set(ResourceType::Cluster).resources().iter();
    let asked_for: Names = clusters
        .map(decoded::<Cluster>)
        .filter(|cluster| cluster.eds_cluster_config.is_some())
        .map(|cluster| cluster.name)
        .collect();
    assert_eq!(asked_for, names(snapshot, ResourceType::Endpoints));
}

fn names(snapshot: &Snapshot, resource_type: ResourceType) -> Names {
    let resources = snapshot.set(resource_type).resources().iter();
    resources.map(|resource| resource.name.to_string()).collect()
}

impl References {
    fn add_listener(&mut self, listener: &Listener) {
        let mut conditions = Vec::new();
        for chain in listener.filter_chains.iter().chain(&listener.default_filter_chain) {
            assert!(!conditions.contains(&&chain.filter_chain_match), "{chain:?} repeats a match");
            if chain.filter_chain_match.is_some() {
                conditions.push(&chain.filter_chain_match);
            }
            self.add_filters(chain);
        }
    }

    fn add_filters(&mut self, chain: &FilterChain) {
        for filter in &chain.filters {
            let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
                panic!("{filter:?} is not configured");
            };
            if any.type_url == HttpConnectionManager::type_url() {
                let manager = HttpConnectionManager::decode(any.value.as_slice()).unwrap();
                let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier else {
                    panic!("{manager:?} does not ask for its routes");
                };
                self.route_configurations.insert(rds.route_config_name);
            } else {
                assert_eq!(any.type_url, TcpProxy::type_url());
                self.add_tcp_proxy(TcpProxy::decode(any.value.as_slice()).unwrap());
            }
        }
    }

    fn add_tcp_proxy(&mut self, proxy: TcpProxy) {
        match proxy.cluster_specifier.unwrap() {
            tcp_proxy::ClusterSpecifier::Cluster(cluster) => {
                self.clusters.insert(cluster);
            }
            tcp_proxy::ClusterSpecifier::WeightedClusters(weighted) => {
                assert!(weighted.clusters.iter().all(|cluster| cluster.weight > 0));
                self.clusters.extend(weighted.clusters.into_iter().map(|cluster| cluster.name));
            }
        }
    }

    fn add_route_configuration(&mut self, configuration: &RouteConfiguration) {
        let mut hosts = Names::new();
        for virtual_host in &configuration.virtual_hosts {
            for domain in &virtual_host.domains {
                let is_new = hosts.insert(domain.to_ascii_lowercase());
                assert!(is_new, "{domain} stands twice in {}", configuration.name);
            }
            for route in &virtual_host.routes {
                self.add_route(route);
            }
        }
    }

    fn add_route(&mut self, route: &Route) {
        let Some(Action::Route(action)) = &route.action else {
            return;
        };
        match action.cluster_specifier.as_ref().unwrap() {
            ClusterSpecifier::Cluster(cluster) => {
                self.clusters.insert(cluster.clone());
            }
            ClusterSpecifier::WeightedClusters(weighted) => {
                let weights = weighted.clusters.iter().map(|cluster| cluster.weight.unwrap().value);
                assert!(weights.sum::<u32>() > 0, "{route:?} has no weight");
                let names = weighted.clusters.iter().map(|cluster| cluster.name.clone());
                self.clusters.extend(names);
            }
            other => panic!("{other:?} is not used here"),
        }
    }
}
