//! The fragments of virtual services: their ports, virtual hosts and weighted targets.

use expect_test::expect;
use serde_json::{Value, json};

use super::fixture::Definitions;
use super::render;

fn http_route(targets: &Value) -> Value {
    json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
}

fn tcp_route(targets: &Value) -> Value {
    json!({"tcpRoute": {"action": {"weightedTargets": targets}}})
}

fn two_nodes() -> Definitions {
    let listeners = [(80, "http"), (81, "http2"), (82, "grpc"), (83, "tcp")];
    Definitions::new().listening_node("v1", &listeners).listening_node("v2", &listeners)
}

fn ports(definitions: &Definitions) -> Vec<u16> {
    let fragment = definitions.service("service");
    fragment.ports.iter().map(|port| port.port).collect()
}

#[test]
fn without_a_provider_there_is_nothing() {
    let fragment = Definitions::new().virtual_service("service", json!({})).service("service");
    assert!(fragment.ports.is_empty() && fragment.clusters.is_empty() && fragment.endpoints.is_empty());
}

#[test]
fn a_virtual_node_provides_each_of_its_ports() {
    let definitions = two_nodes().provided_by_node("service", "v1");
    assert_eq!(ports(&definitions), [80, 81, 82, 83]);
    let fragment = definitions.service("service");
    expect![[r#"
        {name service, domains{service, service:81}}
          {name catch-all, match Prefix /, Route {timeout 15s, idle_timeout 300s, retry_policy{retry_on unavailable,connect-failure,refused-stream,reset,retriable-status-codes, num_retries 2, retry_host_predicate {name envoy.retry_host_predicates.previous_hosts, PreviousHostsPredicate PreviousHostsPredicate}, host_selection_retry_max_attempts 5, retriable_status_codes 503}, WeightedClusters clusters {name cds_egress_m_v1_http2_81, weight 1}}}"#]].assert_eq(&render::port(&fragment, 81));
    expect!["{stat_prefix egress, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_v1_tcp_83, weight 1}}"].assert_eq(&render::port(&fragment, 83));
    assert_eq!(fragment.clusters.len(), 4);
}

#[test]
fn requests_are_shared_out_by_weight() {
    let targets = json!([
        {"virtualNode": "v1", "weight": 90}, {"virtualNode": "v2", "weight": 10},
        {"virtualNode": "v2", "port": 81, "weight": 0},
    ]);
    let fragment = two_nodes()
        .virtual_router("router", &[(80, "http")])
        .route("router", "route", http_route(&targets))
        .provided_by_router("service", "router")
        .service("service");
    expect![[r#"
        {name service, domains{service, service:80}}
          {name route, match Prefix /, Route {timeout 15s, idle_timeout 300s, retry_policy{retry_on unavailable,connect-failure,refused-stream,reset,retriable-status-codes, num_retries 2, retry_host_predicate {name envoy.retry_host_predicates.previous_hosts, PreviousHostsPredicate PreviousHostsPredicate}, host_selection_retry_max_attempts 5, retriable_status_codes 503}, WeightedClusters clusters{{name cds_egress_m_v1_http_80, weight 90}, {name cds_egress_m_v2_http_80, weight 10}, name cds_egress_m_v2_http2_81}}}"#]].assert_eq(&render::port(&fragment, 80));
    assert_eq!(
        render::names(&fragment.clusters),
        ["cds_egress_m_v1_http_80", "cds_egress_m_v2_http2_81", "cds_egress_m_v2_http_80"]
    );
}

#[test]
fn connections_are_shared_out_by_weight_and_zero_is_left_out() {
    let targets = json!([
        {"virtualNode": "v1", "weight": 3}, {"virtualNode": "v2", "weight": 0}, {"virtualNode": "v2", "port": 80, "weight": 1},
    ]);
    let fragment = two_nodes()
        .virtual_router("router", &[(3306, "tcp")])
        .route("router", "route", tcp_route(&targets))
        .provided_by_router("service", "router")
        .service("service");
    expect!["{stat_prefix egress, idle_timeout 300s, WeightedClusters clusters{{name cds_egress_m_v1_tcp_83, weight 3}, {name cds_egress_m_v2_http_80, weight 1}}}"].assert_eq(&render::port(&fragment, 3306));
    // the cluster is there when the weight changes
    assert_eq!(
        render::names(&fragment.clusters),
        ["cds_egress_m_v1_tcp_83", "cds_egress_m_v2_http_80", "cds_egress_m_v2_tcp_83"]
    );
}

#[test]
fn a_router_takes_the_routes_of_each_listeners_protocol_and_port() {
    let target = json!([{"virtualNode": "v1", "weight": 1}]);
    let action = json!({"weightedTargets": target});
    let definitions = two_nodes()
        .virtual_router("router", &[(80, "http"), (81, "http2"), (82, "grpc"), (83, "tcp"), (90, "http")])
        .route("router", "any-http", http_route(&json!([{"virtualNode": "v1", "port": 80, "weight": 1}])))
        .route(
            "router",
            "http-90",
            json!({"httpRoute": {
                "match": {"prefix": "/90", "port": 90},
                "action": {"weightedTargets": [{"virtualNode": "v2", "port": 80, "weight": 1}]},
            }}),
        )
        .route("router", "http2", json!({"http2Route": {"match": {"prefix": "/"}, "action": action}}))
        .route("router", "grpc", json!({"grpcRoute": {"match": {}, "action": action}}))
        .route("router", "tcp", tcp_route(&target))
        .provided_by_router("service", "router");
    let fragment = definitions.service("service");
    let routes = |port| {
        let rendered = render::port(&fragment, port);
        let names = rendered.lines().skip(1).map(|line| {
            let name = line.trim().trim_start_matches("{name ");
            name.split(',').next().unwrap().to_owned()
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(routes(80), ["any-http"]);
    assert_eq!(routes(81), ["http2"]);
    assert_eq!(routes(82), ["grpc"]);
    assert_eq!(routes(90), ["http-90", "any-http"]);
    assert!(render::port(&fragment, 83).contains("cds_egress_m_v1_tcp_83"));
}

#[test]
fn a_virtual_host_is_there_without_routes_too() {
    let definitions = two_nodes()
        .virtual_router("router", &[(80, "http"), (83, "tcp")])
        .provided_by_router("service", "router");
    // connections without a route have nowhere to go, and nothing to be told by
    assert_eq!(ports(&definitions), [80]);
    expect!["{name service, domains{service, service:80}}"]
        .assert_eq(&render::port(&definitions.service("service"), 80));
}

#[test]
fn a_router_without_listeners_listens_where_its_targets_do() {
    let target = |node: &str| json!([{"virtualNode": node, "weight": 1}]);
    let with_port = |port: u16| json!([{"virtualNode": "v1", "port": port, "weight": 1}]);
    let table = [
        (vec![http_route(&target("v1"))], vec![80]),
        (vec![tcp_route(&target("v1")), http_route(&target("v1"))], vec![80, 83]),
        (vec![http_route(&target("two"))], vec![1, 2]),
        (vec![http_route(&target("one"))], vec![7]),
        (vec![http_route(&with_port(81))], vec![81]),
        (
            vec![json!({"httpRoute": {
                "match": {"prefix": "/", "port": 8080}, "action": {"weightedTargets": target("v1")},
            }})],
            vec![8080],
        ),
        (vec![], vec![]),
    ];
    for (routes, expected) in table {
        let mut definitions = two_nodes()
            .listening_node("two", &[(1, "http"), (2, "http")])
            .listening_node("one", &[(7, "tcp")])
            .virtual_router("router", &[])
            .provided_by_router("service", "router");
        for (index, route) in routes.into_iter().enumerate() {
            definitions = definitions.route("router", &index.to_string(), route);
        }
        assert_eq!(ports(&definitions), expected);
    }
}

#[test]
fn of_two_tcp_routes_the_one_that_ranks_first_counts() {
    let ranked = |node: &str, priority: Option<u16>| {
        let mut route = tcp_route(&json!([{"virtualNode": node, "weight": 1}]));
        if let Some(priority) = priority {
            route["priority"] = json!(priority);
        }
        route
    };
    let table =
        [(None, None, "v1"), (None, Some(5), "v2"), (Some(1), Some(5), "v1"), (Some(9), Some(5), "v2")];
    for (first, second, expected) in table {
        let fragment = two_nodes()
            .virtual_router("router", &[(83, "tcp")])
            .route("router", "a", ranked("v1", first))
            .route("router", "b", ranked("v2", second))
            .provided_by_router("service", "router")
            .service("service");
        assert_eq!(render::names(&fragment.clusters), [format!("cds_egress_m_{expected}_tcp_83")]);
    }
}
