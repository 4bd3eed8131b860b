//! The network filter for HTTP/1.1 and HTTP/2.

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    RouteSpecifier, Tracing, UpgradeConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};

use super::listener::NetworkFilter;
use super::value::{ads, any, yes};

/// Routes requests of HTTP/1.1 and HTTP/2, whichever a connection starts with, by the route configuration of this name.
///
/// Paths are normalized before they are matched, WebSockets are let through, and requests are traced if the bootstrap names
/// a tracer.
pub fn http_connection_manager(
    stat_prefix: &str,
    route_configuration: &str,
    access_logs: &[AccessLog],
) -> HttpConnectionManager {
    HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(ads()),
            route_config_name: route_configuration.to_owned(),
        })),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(http_filter::ConfigType::TypedConfig(any(&Router::default()))),
            ..HttpFilter::default()
        }],
        upgrade_configs: vec![UpgradeConfig {
            upgrade_type: "websocket".to_owned(),
            ..UpgradeConfig::default()
        }],
        tracing: Some(Tracing::default()),
        normalize_path: yes(),
        merge_slashes: true,
        access_log: access_logs.to_vec(),
        ..HttpConnectionManager::default()
    }
}

/// As a network filter.
pub fn filter(manager: &HttpConnectionManager) -> NetworkFilter {
    NetworkFilter { name: "envoy.filters.network.http_connection_manager", config: any(manager) }
}
