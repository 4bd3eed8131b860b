//! Route configurations: virtual hosts, their routes, and what these do.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::config::route::v3::retry_policy::{RetryHostPredicate, retry_host_predicate};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, HostRewriteSpecifier};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
    WeightedCluster,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;

use super::value::{any, duration, uint32};

/// A route configuration.
pub fn route_configuration(name: &str, virtual_hosts: Vec<VirtualHost>) -> RouteConfiguration {
    RouteConfiguration { name: name.to_owned(), virtual_hosts, ..RouteConfiguration::default() }
}

/// The routes for requests to any of these hosts; `*` is every host.
pub fn virtual_host(name: &str, domains: Vec<String>, routes: Vec<Route>) -> VirtualHost {
    VirtualHost { name: name.to_owned(), domains, routes, ..VirtualHost::default() }
}

/// What is done with the requests that `condition` chooses.
pub fn route(name: &str, condition: RouteMatch, action: Action) -> Route {
    Route { name: name.to_owned(), r#match: Some(condition), action: Some(action), ..Route::default() }
}

/// Requests go to a cluster.
pub fn to_cluster(cluster: &str, timeouts: Timeouts) -> RouteAction {
    action(ClusterSpecifier::Cluster(cluster.to_owned()), timeouts)
}

/// Requests go to clusters, in proportion to their weights, whose sum Envoy wants above zero.
pub fn to_weighted_clusters(clusters: &[(impl AsRef<str>, u32)], timeouts: Timeouts) -> RouteAction {
    let clusters = clusters
        .iter()
        .map(|(name, weight)| ClusterWeight {
            name: name.as_ref().to_owned(),
            weight: uint32(*weight),
            ..ClusterWeight::default()
        })
        .collect();
    let weighted = WeightedCluster { clusters, ..WeightedCluster::default() };
    action(ClusterSpecifier::WeightedClusters(weighted), timeouts)
}

fn action(clusters: ClusterSpecifier, timeouts: Timeouts) -> RouteAction {
    RouteAction {
        cluster_specifier: Some(clusters),
        timeout: Some(duration(timeouts.per_request)),
        idle_timeout: Some(duration(timeouts.idle)),
        ..RouteAction::default()
    }
}

/// Requests are answered with this status, here and now.
pub fn answer(status: u32) -> Action {
    Action::DirectResponse(DirectResponseAction { status, ..DirectResponseAction::default() })
}

/// How long requests may take; zero is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the whole request to the whole answer.
    pub per_request: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Timeouts {
    /// As long as they like.
    pub const NONE: Self = Self { per_request: Duration::ZERO, idle: Duration::ZERO };
}

/// Gives requests another host on their way out.
pub fn rewrite_host(action: &mut RouteAction, host: &str) {
    action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(host.to_owned()));
}

/// Tries again on an endpoint that was not tried yet, if one is found in `host_attempts` picks.
pub fn retry_elsewhere(
    retry_on: String,
    status_codes: Vec<u32>,
    retries: u32,
    per_try_timeout: Option<Duration>,
    host_attempts: i64,
) -> RetryPolicy {
    RetryPolicy {
        retry_on,
        retriable_status_codes: status_codes,
        num_retries: uint32(retries),
        per_try_timeout: per_try_timeout.map(duration),
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(retry_host_predicate::ConfigType::TypedConfig(any(
                &PreviousHostsPredicate::default(),
            ))),
        }],
        host_selection_retry_max_attempts: host_attempts,
        ..RetryPolicy::default()
    }
}

/// A header of this value, in place of what a client may have sent. `%` in it stands for itself.
pub fn overwrite_header(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            value: value.replace('%', "%%"),
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

/// The value that an [`overwrite_header`] gives to the header `name`; nothing if it is for another.
pub fn header_value(option: &HeaderValueOption, name: &str) -> Option<String> {
    let header = option.header.as_ref()?;
    (header.key == name).then(|| header.value.replace("%%", "%"))
}
