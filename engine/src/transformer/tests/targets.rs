//! The clusters of virtual nodes as targets.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
use envoy_types::pb::envoy::config::core::v3::address::Address;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use expect_test::{Expect, expect};
use legation_proto::fragment::ServiceFragment;
use serde_json::{Value, json};

use super::fixture::Definitions;
use super::render;

/// What a consumer gets of a virtual service that this node provides.
fn provided_by(mesh: Value, node: Value) -> ServiceFragment {
    let definitions = Definitions::of_mesh(mesh).virtual_node("node", node);
    definitions.provided_by_node("service", "node").service("service")
}

fn listener(protocol: &str) -> Value {
    json!({"portMapping": {"port": 80, "protocol": protocol}})
}

fn with(mut value: Value, key: &str, member: Value) -> Value {
    value[key] = member;
    value
}

#[test]
fn a_cluster_of_each_protocol() {
    let definitions = Definitions::new()
        .listening_node("node", &[(80, "http"), (81, "http2"), (82, "grpc"), (83, "tcp")])
        .provided_by_node("service", "node");
    let clusters = definitions.service("service").clusters;
    let clusters: Vec<_> = clusters.iter().map(render::cluster).collect();
    expect![[r#"
        {name cds_egress_m_node_grpc_82, connect_timeout 1s, load_assignment{cluster_name cds_egress_m_node_grpc_82, endpoints lb_endpoints Endpoint address SocketAddress {address node.local., PortValue 82}}, circuit_breakers thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}, typed_extension_protocol_options envoy.extensions.upstreams.http.v3.HttpProtocolOptions HttpProtocolOptions ExplicitHttpConfig Http2ProtocolOptions {}, dns_lookup_family Auto, Type LogicalDns}
        {name cds_egress_m_node_http2_81, connect_timeout 1s, load_assignment{cluster_name cds_egress_m_node_http2_81, endpoints lb_endpoints Endpoint address SocketAddress {address node.local., PortValue 81}}, circuit_breakers thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}, typed_extension_protocol_options envoy.extensions.upstreams.http.v3.HttpProtocolOptions HttpProtocolOptions ExplicitHttpConfig Http2ProtocolOptions {}, dns_lookup_family Auto, Type LogicalDns}
        {name cds_egress_m_node_http_80, connect_timeout 1s, load_assignment{cluster_name cds_egress_m_node_http_80, endpoints lb_endpoints Endpoint address SocketAddress {address node.local., PortValue 80}}, circuit_breakers thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}, dns_lookup_family Auto, Type LogicalDns}
        {name cds_egress_m_node_tcp_83, connect_timeout 1s, load_assignment{cluster_name cds_egress_m_node_tcp_83, endpoints lb_endpoints Endpoint address SocketAddress {address node.local., PortValue 83}}, circuit_breakers thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}, dns_lookup_family Auto, Type LogicalDns}"#]].assert_eq(&clusters.join("\n"));
}

/// How the address of a host is found.
fn discovery(mesh: &Value, dns: &Value) -> String {
    let node = json!({"listeners": [listener("http")], "serviceDiscovery": {"dns": dns}});
    let fragment = provided_by(mesh.clone(), node);
    assert!(fragment.endpoints.is_empty());
    let cluster: Cluster = render::decoded(&fragment.clusters[0]);
    let Some(ClusterDiscoveryType::Type(discovery)) = cluster.cluster_discovery_type else {
        panic!("of no type");
    };
    let endpoint = &cluster.load_assignment.as_ref().unwrap().endpoints[0].lb_endpoints[0];
    let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else {
        panic!("no endpoint");
    };
    let Some(Address::SocketAddress(address)) = endpoint.address.as_ref().unwrap().address.as_ref() else {
        panic!("no address");
    };
    let family = cluster.dns_lookup_family().as_str_name();
    format!("{discovery} {} {family}", address.address)
}

#[test]
fn host_names_end_with_a_dot_unless_they_are_addresses_or_of_one_part() {
    let table = [
        ("a.b.local", "a.b.local."),
        ("a.b.local.", "a.b.local."),
        ("localhost", "localhost"),
        ("10.0.0.7", "10.0.0.7"),
    ];
    for (hostname, expected) in table {
        let found = discovery(&json!({}), &json!({"hostname": hostname}));
        assert_eq!(found, format!("2 {expected} AUTO"));
    }
}

#[test]
fn the_response_type_says_how_answers_are_used() {
    let table = [(json!("LOADBALANCER"), 2), (json!("ENDPOINTS"), 1)];
    for (response_type, expected) in table {
        let dns = json!({"hostname": "a.b", "responseType": response_type});
        assert_eq!(discovery(&json!({}), &dns), format!("{expected} a.b. AUTO"));
    }
}

#[test]
fn the_nodes_ip_preference_counts_and_the_meshs_where_it_has_none() {
    let preferences = [
        ("IPv6_PREFERRED", "AUTO"),
        ("IPv4_PREFERRED", "V4_PREFERRED"),
        ("IPv4_ONLY", "V4_ONLY"),
        ("IPv6_ONLY", "V6_ONLY"),
    ];
    for (preference, family) in preferences {
        let of_mesh = json!({"serviceDiscovery": {"ipPreference": preference}});
        let of_other_mesh = json!({"serviceDiscovery": {"ipPreference": "IPv4_ONLY"}});
        let of_node = json!({"hostname": "a.b", "ipPreference": preference});
        let expected = format!("2 a.b. {family}");
        assert_eq!(discovery(&of_mesh, &json!({"hostname": "a.b"})), expected);
        assert_eq!(discovery(&of_other_mesh, &of_node), expected);
    }
}

#[test]
fn without_service_discovery_there_are_no_endpoints() {
    let fragment = provided_by(json!({}), json!({"listeners": [listener("http")]}));
    expect!["{name cds_egress_m_node_http_80, eds_cluster_config eds_config{resource_api_version V3, Ads AggregatedConfigSource}, connect_timeout 1s, circuit_breakers thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}, dns_lookup_family Auto, Type Eds}"].assert_eq(&render::cluster(&fragment.clusters[0]));
    assert_eq!(render::names(&fragment.endpoints), ["cds_egress_m_node_http_80"]);
    expect!["cluster_name cds_egress_m_node_http_80"].assert_eq(&render::endpoints(&fragment.endpoints[0]));
}

fn check_health(listener_protocol: &str, policy: &Value, expected: Expect) {
    let mut policy = policy.clone();
    policy["healthyThreshold"] = json!(2);
    policy["unhealthyThreshold"] = json!(3);
    policy["intervalMillis"] = json!(5500);
    policy["timeoutMillis"] = json!(2000);
    let node = json!({"listeners": [with(listener(listener_protocol), "healthCheck", policy)]});
    let cluster: Cluster = render::decoded(&provided_by(json!({}), node).clusters[0]);
    expected.assert_eq(&render::message(&cluster.health_checks[0]));
}

#[test]
fn health_checks() {
    check_health(
        "http",
        &json!({"protocol": "http", "path": "/ping"}),
        expect![
            "{timeout 2s, interval 5.5s, unhealthy_threshold 3, healthy_threshold 2, no_traffic_interval 5.5s, HttpHealthCheck {path /ping, codec_client_type Http1, method MethodUnspecified}}"
        ],
    );
    check_health(
        "http2",
        &json!({"protocol": "http2", "path": "/ping"}),
        expect![
            "{timeout 2s, interval 5.5s, unhealthy_threshold 3, healthy_threshold 2, no_traffic_interval 5.5s, HttpHealthCheck {path /ping, codec_client_type Http2, method MethodUnspecified}}"
        ],
    );
    check_health(
        "grpc",
        &json!({"protocol": "grpc", "path": "ignored"}),
        expect![
            "{timeout 2s, interval 5.5s, unhealthy_threshold 3, healthy_threshold 2, no_traffic_interval 5.5s, GrpcHealthCheck {}}"
        ],
    );
    check_health(
        "http2",
        &json!({"protocol": "grpc", "port": 80}),
        expect![
            "{timeout 2s, interval 5.5s, unhealthy_threshold 3, healthy_threshold 2, no_traffic_interval 5.5s, GrpcHealthCheck {}}"
        ],
    );
    check_health(
        "tcp",
        &json!({"protocol": "tcp"}),
        expect![
            "{timeout 2s, interval 5.5s, unhealthy_threshold 3, healthy_threshold 2, no_traffic_interval 5.5s, TcpHealthCheck {}}"
        ],
    );
    check_health(
        "tcp",
        &json!({"protocol": "http", "path": "/ping"}),
        expect![
            "{timeout 2s, interval 5.5s, unhealthy_threshold 3, healthy_threshold 2, no_traffic_interval 5.5s, HttpHealthCheck {path /ping, codec_client_type Http1, method MethodUnspecified}}"
        ],
    );
}

#[test]
fn outlier_detection_counts_server_errors_and_nothing_else() {
    let detection = json!({
        "maxServerErrors": 5, "interval": {"unit": "s", "value": 10},
        "baseEjectionDuration": {"unit": "ms", "value": 1500}, "maxEjectionPercent": 50,
    });
    let node = json!({"listeners": [with(listener("http"), "outlierDetection", detection)]});
    let cluster: Cluster = render::decoded(&provided_by(json!({}), node).clusters[0]);
    expect!["{consecutive_5xx 5, interval 10s, base_ejection_time 1.5s, max_ejection_percent 50, enforcing_consecutive_5xx 100}"].assert_eq(&render::message(&cluster.outlier_detection.unwrap()));
}

/// Ports and protocols.
type Listeners<'a> = &'a [(u16, &'a str)];

/// The clusters that a route of this protocol leads to, if it comes in at this port.
fn led_to(node: Listeners<'_>, protocol: &str, port: u16, target_port: Option<u16>) -> String {
    let kind = if protocol == "http" { "httpRoute" } else { "tcpRoute" };
    let mut target = json!({"virtualNode": "node", "weight": 1});
    if let Some(port) = target_port {
        target["port"] = json!(port);
    }
    let mut route = json!({kind: {"action": {"weightedTargets": [target]}}});
    if protocol == "http" {
        route[kind]["match"] = json!({"prefix": "/"});
    }
    let transformed = Definitions::new()
        .listening_node("node", node)
        .virtual_router("router", &[(port, protocol)])
        .route("router", "route", route)
        .provided_by_router("service", "router");
    let problems = transformed.transform().problems;
    if let [problem] = problems.as_slice() {
        return problem.error.to_string();
    }
    render::names(&transformed.service("service").clusters).join(" ")
}

#[test]
fn which_listener_of_a_target_is_meant() {
    let two = [(80, "http"), (81, "http")];
    let table: [(Listeners<'_>, &str, u16, Option<u16>, &str); 8] = [
        // its own port
        (&two, "http", 80, Some(81), "cds_egress_m_node_http_81"),
        // the port and protocol that it comes in by
        (&two, "http", 81, None, "cds_egress_m_node_http_81"),
        // the only listener for the protocol
        (&[(1, "http"), (2, "tcp")], "http", 80, None, "cds_egress_m_node_http_1"),
        (&[(80, "tcp"), (2, "http")], "http", 80, None, "cds_egress_m_node_http_2"),
        // the only listener
        (&[(9, "tcp")], "http", 80, None, "cds_egress_m_node_tcp_9"),
        (&[(9, "grpc")], "tcp", 80, None, "cds_egress_m_node_grpc_9"),
        // none
        (
            &two,
            "http",
            82,
            None,
            "route \"route\" leads to virtual node \"node\", of whose 2 listeners none is the obvious one; \
             give the target a port",
        ),
        (
            &two,
            "http",
            80,
            Some(82),
            "route \"route\" leads to port 82 of virtual node \"node\", which does not listen there; change the \
             target's port, or add a listener to the node",
        ),
    ];
    for (node, protocol, port, target_port, expected) in table {
        assert_eq!(led_to(node, protocol, port, target_port), expected);
    }
}
