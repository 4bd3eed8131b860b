//! The names that clusters and listeners refer to, which an Envoy then asks for.

use crate::wire::Violation;
use crate::wire::protobuf::{Value, bytes_of, fields};

/// `Cluster.DiscoveryType.EDS`.
const EDS: u64 = 3;
const HTTP_CONNECTION_MANAGER: &[u8] =
    b"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The name of the endpoints of a cluster, if it is one of type EDS.
///
/// # Errors
///
/// If the cluster is malformed.
pub fn of_cluster(cluster: &[u8]) -> Result<Option<&[u8]>, Violation> {
    let (mut name, mut service_name, mut is_eds): (&[u8], &[u8], bool) = (&[], &[], false);
    for field in fields(cluster) {
        match field? {
            (1, Value::Bytes(content)) => name = content,
            (2, Value::Varint(discovery_type)) => is_eds = discovery_type == EDS,
            (3, Value::Bytes(eds_cluster_config)) => service_name = bytes_of(eds_cluster_config, 2)?,
            _ => {}
        }
    }
    Ok(is_eds.then_some(if service_name.is_empty() { name } else { service_name }))
}

/// Calls `found` with the name of each route configuration that a listener's HTTP connection managers refer to.
///
/// # Errors
///
/// If the listener is malformed.
pub fn of_listener<'a>(listener: &'a [u8], mut found: impl FnMut(&'a [u8])) -> Result<(), Violation> {
    for field in fields(listener) {
        match field? {
            // filter_chains, default_filter_chain
            (3 | 25, Value::Bytes(filter_chain)) => of_filter_chain(filter_chain, &mut found)?,
            (19, Value::Bytes(api_listener)) => of_any(bytes_of(api_listener, 1)?, &mut found)?,
            _ => {}
        }
    }
    Ok(())
}

fn of_filter_chain<'a>(filter_chain: &'a [u8], found: &mut impl FnMut(&'a [u8])) -> Result<(), Violation> {
    for field in fields(filter_chain) {
        if let (3, Value::Bytes(filter)) = field? {
            of_any(bytes_of(filter, 4)?, found)?;
        }
    }
    Ok(())
}

fn of_any<'a>(any: &'a [u8], found: &mut impl FnMut(&'a [u8])) -> Result<(), Violation> {
    if bytes_of(any, 1)? == HTTP_CONNECTION_MANAGER {
        let rds = bytes_of(bytes_of(any, 2)?, 3)?;
        let name = bytes_of(rds, 2)?;
        if !name.is_empty() {
            found(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::cluster::v3::cluster::{
        ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
    };
    use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
    use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Filter, FilterChain, Listener};
    use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as manager;
    use envoy_types::pb::google::protobuf::Any;
    use prost::Message;

    use super::*;

    #[test]
    fn clusters_refer_to_their_endpoints() {
        let check = |discovery_type: DiscoveryType, service_name: &str, expected: Option<&str>| {
            let cluster = Cluster {
                name: "name".to_owned(),
                cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery_type.into())),
                eds_cluster_config: Some(EdsClusterConfig {
                    service_name: service_name.to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            assert_eq!(of_cluster(&cluster.encode_to_vec()), Ok(expected.map(str::as_bytes)));
        };
        check(DiscoveryType::Eds, "", Some("name"));
        check(DiscoveryType::Eds, "service", Some("service"));
        check(DiscoveryType::StrictDns, "service", None);
        check(DiscoveryType::Static, "", None);
        assert!(of_cluster(b"\x0a\x05cut").is_err());
    }

    #[test]
    fn listeners_refer_to_their_routes() {
        let any = |name: &str| {
            let rds = manager::Rds { route_config_name: name.to_owned(), ..Default::default() };
            let route_specifier = Some(manager::http_connection_manager::RouteSpecifier::Rds(rds));
            let value = manager::HttpConnectionManager { route_specifier, ..Default::default() };
            let type_url = String::from_utf8(HTTP_CONNECTION_MANAGER.to_vec()).expect("a text");
            Any { type_url, value: value.encode_to_vec() }
        };
        let filter =
            |any| Filter { name: "filter".to_owned(), config_type: Some(ConfigType::TypedConfig(any)) };
        let chain = |anys: Vec<Any>| FilterChain {
            filters: anys.into_iter().map(filter).collect(),
            ..Default::default()
        };
        let other = Any { type_url: "type.googleapis.com/other".to_owned(), value: any("no").value };
        let inline = Any { value: Vec::new(), ..any("") };
        let listener = Listener {
            name: "listener".to_owned(),
            filter_chains: vec![chain(vec![other.clone(), any("a")]), chain(vec![any("b"), inline])],
            default_filter_chain: Some(chain(vec![any("c")])),
            ..Default::default()
        };
        let api_listener = Listener {
            api_listener: Some(ApiListener { api_listener: Some(any("d")) }),
            ..Default::default()
        };
        let check = |listener: &Listener, expected: &[&str]| {
            let bytes = listener.encode_to_vec();
            let mut names = Vec::new();
            of_listener(&bytes, |name| names.push(String::from_utf8_lossy(name))).expect("well-formed");
            names.sort();
            assert_eq!(names, expected);
        };
        check(&listener, &["a", "b", "c"]);
        check(&api_listener, &["d"]);
        check(&Listener { filter_chains: vec![chain(vec![other])], ..Default::default() }, &[]);
    }
}
