//! Tests of what gRPC clients get, on what `transform` makes of definitions.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use expect_test::expect;
use legation_actors::composition::Composed;
use serde_json::{Value, json};

use super::*;
use crate::management::compose::tests::{consumer, names, route_configuration, with_service};
use crate::transformer::tests::fixture::Definitions;
use crate::transformer::tests::render;

fn grpc(definitions: &Definitions) -> Composed {
    definitions.grpc_client("consumer")
}

/// A virtual service `a` whose router, at port 80, has these routes to the node `a`.
fn routed(protocol: &str, routes: &[(&str, Value)]) -> Definitions {
    let listeners = [(80, protocol)];
    let definitions = consumer(json!({}), &["a"]).listening_node("a", &listeners);
    let definitions = definitions.virtual_router("r", &listeners).provided_by_router("a", "r");
    routes.iter().fold(definitions, |definitions, (name, spec)| definitions.route("r", name, spec.clone()))
}

fn to_a() -> Value {
    json!({"weightedTargets": [{"virtualNode": "a", "weight": 1}]})
}

#[test]
fn each_port_that_speaks_http2_has_a_listener_and_the_first_also_without_port() {
    let definitions = consumer(json!({}), &["a", "b", "not-there"]);
    let definitions =
        with_service(definitions, "a", &[(80, "http"), (81, "grpc"), (82, "http2"), (90, "tcp")]);
    let definitions = with_service(definitions, "b", &[(80, "grpc")]);
    let composed = grpc(&definitions);
    let snapshot = &composed.snapshot;
    assert_eq!(names(snapshot, ResourceType::Listener), ["a", "a:80", "a:81", "a:82", "a:90", "b", "b:80"]);
    let listener: Listener = render::decoded(snapshot.set(ResourceType::Listener).get("a").unwrap());
    assert!(render::listener(&listener).contains("route_config_name rds_proxyless_a:81"));
    for (routes, expected) in [("a:80", 0), ("a:81", 1), ("a:82", 1), ("a:90", 0), ("b:80", 1)] {
        let rendered = route_configuration(snapshot, &format!("rds_proxyless_{routes}"));
        assert_eq!(rendered.lines().count() - 1, expected, "{rendered}");
    }
    assert_eq!(
        names(snapshot, ResourceType::Cluster),
        ["cds_egress_m_a_grpc_81", "cds_egress_m_a_http2_82", "cds_egress_m_b_grpc_80"]
    );
    expect![[r#"
        virtual service a cannot be called by gRPC at port 80: target cds_egress_m_a_http_80 does not speak HTTP/2; its listener's protocol must be grpc or http2
        virtual service a cannot be called by gRPC at port 90: it routes connections, and no requests"#]]
    .assert_eq(&composed.problems.join("\n"));
}

#[test]
fn a_listener_is_nothing_but_its_routes() {
    let snapshot = grpc(&with_service(consumer(json!({}), &["a"]), "a", &[(80, "grpc")])).snapshot;
    let listener: Listener = render::decoded(snapshot.set(ResourceType::Listener).get("a").unwrap());
    expect!["{name a, traffic_direction Unspecified, api_listener HttpConnectionManager{http_filters {name envoy.filters.http.router, Router}, tracing, upgrade_configs upgrade_type websocket, normalize_path true, merge_slashes true, Rds {config_source{resource_api_version V3, Ads AggregatedConfigSource}, route_config_name rds_proxyless_a:80}}}"].assert_eq(&render::listener(&listener));
    expect![[r#"
        {name a, domains *}
          {name catch-all, match Prefix /, Route {timeout 15s, idle_timeout 300s, retry_policy{retry_on unavailable,connect-failure,refused-stream,reset,retriable-status-codes, num_retries 2, retry_host_predicate {name envoy.retry_host_predicates.previous_hosts, PreviousHostsPredicate PreviousHostsPredicate}, host_selection_retry_max_attempts 5, retriable_status_codes 503}, max_stream_duration max_stream_duration 15s, WeightedClusters clusters {name cds_egress_m_a_grpc_80, weight 1}}}"#]].assert_eq(&route_configuration(&snapshot, "rds_proxyless_a:80"));
}

#[test]
fn all_that_dns_answers_are_endpoints() {
    for response in ["LOADBALANCER", "ENDPOINTS"] {
        let discovery = json!({"dns": {"hostname": "a.local", "responseType": response}});
        let listeners = json!([{"portMapping": {"port": 80, "protocol": "grpc"}}]);
        let definitions = consumer(json!({}), &["a"])
            .virtual_node("a", json!({"listeners": listeners, "serviceDiscovery": discovery}))
            .provided_by_node("a", "a");
        let snapshot = grpc(&definitions).snapshot;
        let clusters = snapshot.set(ResourceType::Cluster);
        let cluster: Cluster = render::decoded(clusters.get("cds_egress_m_a_grpc_80").unwrap());
        let logical = ClusterDiscoveryType::Type(DiscoveryType::LogicalDns.into());
        assert_eq!(cluster.cluster_discovery_type, Some(logical));
    }
}

#[test]
fn conditions_that_grpc_does_not_evaluate_are_decided() {
    let check = |condition: Value, expected: bool| {
        let mut condition = condition;
        condition["prefix"] = json!("/");
        let definitions =
            routed("http2", &[("only", json!({"http2Route": {"match": condition, "action": to_a()}}))]);
        let rendered = route_configuration(&grpc(&definitions).snapshot, "rds_proxyless_a:80");
        assert_eq!(rendered.contains("{name only"), expected, "{condition} {rendered}");
        assert!(!rendered.contains(":method") && !rendered.contains(":scheme"), "{rendered}");
    };
    check(json!({}), true);
    check(json!({"method": "POST"}), true);
    check(json!({"method": "GET"}), false);
    check(json!({"scheme": "http"}), true);
    check(json!({"scheme": "https"}), false);
    check(json!({"queryParameters": [{"name": "q", "match": {"exact": "1"}}]}), false);
    check(json!({"headers": [{"name": "h", "match": {"exact": "1"}}]}), true);
}

#[test]
fn timeouts_bound_calls() {
    let timeout = json!({"perRequest": {"unit": "s", "value": 3}});
    let spec = json!({"grpcRoute": {"match": {"serviceName": "s"}, "action": to_a(), "timeout": timeout}});
    let rendered = route_configuration(&grpc(&routed("grpc", &[("r", spec)])).snapshot, "rds_proxyless_a:80");
    assert!(rendered.contains("max_stream_duration max_stream_duration 3s"), "{rendered}");
}

#[test]
fn what_cannot_be_served_is_a_problem() {
    let without_provider = consumer(json!({}), &["a"]).virtual_service("a", json!({}));
    let composed = grpc(&without_provider);
    assert_eq!(*composed.problems, ["virtual service a has no provider".to_owned()]);
    assert_eq!(route_configuration(&composed.snapshot, "rds_proxyless_a"), "{name a, domains *}");
    assert_eq!(names(&composed.snapshot, ResourceType::Listener), ["a"]);

    let listener = json!({"portMapping": {"port": 80, "protocol": "grpc"}});
    let gateway = Definitions::new().virtual_gateway("g", json!({"listeners": [listener]}));
    let fragment = gateway.gateway("g");
    let composed = compose(&fragment, &[]).unwrap();
    assert!(composed.listeners.is_empty() && composed.problems[0].contains("virtual gateway"));
}
