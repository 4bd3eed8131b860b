//! The fragments of virtual gateways.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use expect_test::{Expect, expect};
use legation_proto::fragment::{EgressMode, NodeFragment};
use prost::Message;
use serde_json::{Value, json};

use super::fixture::Definitions;
use super::render;

fn listener(port: u16, protocol: &str) -> Value {
    json!({"portMapping": {"port": port, "protocol": protocol}})
}

fn target(service: &str) -> Value {
    json!({"virtualService": {"virtualServiceName": service}})
}

/// A gateway that listens at 80 for HTTP, with one route.
fn gateway_with(route: &Value) -> NodeFragment {
    Definitions::new()
        .virtual_gateway("gateway", json!({"listeners": [listener(80, "http")]}))
        .gateway_route("gateway", "route", route.clone())
        .gateway("gateway")
}

/// Envoy's routes, a line each, for a gateway route with this match and rewrite.
fn check(condition: &Value, rewrite: &Value, expected: Expect) {
    let mut action = json!({"target": target("service")});
    if !rewrite.is_null() {
        action["rewrite"] = rewrite.clone();
    }
    let fragment = gateway_with(&json!({"httpRoute": {"match": condition, "action": action}}));
    expected.assert_eq(&routes(&fragment, 0));
}

fn routes(fragment: &NodeFragment, index: usize) -> String {
    let rendered = render::route_configuration(&fragment.route_configurations[index]);
    let routes: Vec<_> = rendered.lines().skip(1).map(str::trim).collect();
    routes.join("\n")
}

#[test]
fn a_gateway_without_routes() {
    let fragment = Definitions::new()
        .virtual_gateway("gateway", json!({"listeners": [listener(80, "http")]}))
        .gateway("gateway");
    expect![[r#"
        {name lds_ingress_0.0.0.0_80, address SocketAddress {address 0.0.0.0, PortValue 80}, traffic_direction Inbound}
          {filters {name envoy.filters.network.http_connection_manager, HttpConnectionManager{stat_prefix ingress, http_filters {name envoy.filters.http.router, Router}, tracing, use_remote_address true, upgrade_configs upgrade_type websocket, normalize_path true, merge_slashes true, Rds {config_source{resource_api_version V3, Ads AggregatedConfigSource}, route_config_name rds_ingress_http_80}}}, name ingress_http_80}"#]].assert_eq(&render::listener(&render::decoded(&fragment.listeners[0])));
    expect!["{name cds_ingress_m_gateway_self_redirect_http_15001, connect_timeout 0.25s, load_assignment{cluster_name cds_ingress_m_gateway_self_redirect_http_15001, endpoints lb_endpoints Endpoint address SocketAddress {address 127.0.0.1, PortValue 15001}}, circuit_breakers thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}, dns_lookup_family Auto, Type Static}"].assert_eq(&render::cluster(&fragment.clusters[0]));
    expect!["{name self_redirect, domains *}"]
        .assert_eq(&render::route_configuration(&fragment.route_configurations[0]));
    expect!["{name lds_egress_0.0.0.0_15001, address SocketAddress {address 127.0.0.1, PortValue 15001}, traffic_direction Outbound}"].assert_eq(&render::listener(
        &Listener::decode(fragment.egress.listener.clone()).unwrap(),
    ));
    assert_eq!(fragment.egress.mode, EgressMode::Redirected { port: 15001 });
    assert!(fragment.backends.is_empty());
}

#[test]
fn a_prefix_is_rewritten_and_does_not_match_within_a_word() {
    check(
        &json!({"prefix": "/shop"}),
        &Value::Null,
        expect![[r#"
        {name route, match Prefix /shop/, request_headers_to_remove x-app-mesh-virtual-service, Route {prefix_rewrite /, timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}
        {name route, match Path /shop, request_headers_to_remove x-app-mesh-virtual-service, Route {prefix_rewrite /, timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"#]],
    );
}

#[test]
fn prefixes() {
    check(
        &json!({"prefix": "/"}),
        &Value::Null,
        expect![
            "{name route, match Prefix /, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"
        ],
    );
    check(
        &json!({"prefix": "/shop/"}),
        &Value::Null,
        expect![
            "{name route, match Prefix /shop/, request_headers_to_remove x-app-mesh-virtual-service, Route {prefix_rewrite /, timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"
        ],
    );
    check(
        &json!({}),
        &Value::Null,
        expect![
            "{name route, match Prefix /, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"
        ],
    );
}

#[test]
fn rewrites_of_prefixes() {
    let disabled = json!({"prefix": {"defaultPrefix": "DISABLED"}});
    check(
        &json!({"prefix": "/shop"}),
        &disabled,
        expect![[r#"
        {name route, match Prefix /shop/, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}
        {name route, match Path /shop, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"#]],
    );
    let value = json!({"prefix": {"value": "/new/"}});
    check(
        &json!({"prefix": "/shop"}),
        &value,
        expect![[r#"
        {name route, match Prefix /shop/, request_headers_to_remove x-app-mesh-virtual-service, Route {prefix_rewrite /new/, timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}
        {name route, match Path /shop, request_headers_to_remove x-app-mesh-virtual-service, Route {prefix_rewrite /new/, timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"#]],
    );
    let enabled = json!({"prefix": {"defaultPrefix": "ENABLED"}});
    check(
        &json!({"prefix": "/shop/"}),
        &enabled,
        expect![
            "{name route, match Prefix /shop/, request_headers_to_remove x-app-mesh-virtual-service, Route {prefix_rewrite /, timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"
        ],
    );
}

#[test]
fn paths() {
    check(
        &json!({"path": {"exact": "/a"}}),
        &Value::Null,
        expect![
            "{name route, match Path /a, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"
        ],
    );
    check(
        &json!({"path": {"exact": "/a"}}),
        &json!({"path": {"exact": "/b"}}),
        expect![
            "{name route, match Path /a, request_headers_to_remove x-app-mesh-virtual-service, Route {prefix_rewrite /b, timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"
        ],
    );
    check(
        &json!({"path": {"regex": "/v[0-9]+/.*"}}),
        &json!({"path": {"exact": "/b"}}),
        expect![
            "{name route, match SafeRegex regex /v[0-9]+/.*, request_headers_to_remove x-app-mesh-virtual-service, Route {prefix_rewrite /b, timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"
        ],
    );
}

#[test]
fn hosts_match_with_or_without_a_port_in_any_case() {
    check(
        &json!({"path": {"exact": "/a"}, "hostname": {"exact": "example.com"}}),
        &Value::Null,
        expect![[r#"
            {name route, match{headers {name :authority, StringMatch {ignore_case true, Exact example.com}}, Path /a}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}
            {name route, match{headers {name :authority, StringMatch {ignore_case true, Prefix example.com:}}, Path /a}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"#]],
    );
    check(
        &json!({"path": {"exact": "/a"}, "hostname": {"suffix": ".com"}}),
        &Value::Null,
        expect![[r#"
            {name route, match{headers {name :authority, StringMatch {ignore_case true, Suffix .com}}, Path /a}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}
            {name route, match{headers{{name :authority, StringMatch {ignore_case true, Contains .com:}}, {name :authority, StringMatch SafeRegex regex [^:]*:[0-9]+}}, Path /a}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"#]],
    );
}

#[test]
fn other_conditions() {
    let condition = json!({
        "path": {"exact": "/a"}, "method": "GET", "headers": [{"name": "x", "invert": true}],
        "queryParameters": [{"name": "q"}],
    });
    check(
        &condition,
        &Value::Null,
        expect![
            "{name route, match{headers{{name x, invert_match true, PresentMatch true}, {name :method, StringMatch Exact GET}}, query_parameters {name q, PresentMatch true}, Path /a}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"
        ],
    );
}

#[test]
fn a_kept_host_is_told_by_a_header() {
    let rewrite = json!({"hostname": {"defaultTargetHostname": "DISABLED"}});
    check(
        &json!({"path": {"exact": "/a"}}),
        &rewrite,
        expect![
            "{name route, match Path /a, request_headers_to_add {header{key x-app-mesh-virtual-service, value service}, append_action OverwriteIfExistsOrAdd}, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001}}"
        ],
    );
    let enabled = json!({"hostname": {"defaultTargetHostname": "ENABLED"}});
    check(
        &json!({"path": {"exact": "/a"}}),
        &enabled,
        expect![
            "{name route, match Path /a, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http_15001, HostRewriteLiteral service}}"
        ],
    );
}

#[test]
fn a_targets_port_is_part_of_the_host() {
    let target = json!({"virtualService": {"virtualServiceName": "service"}, "port": 81});
    let route = json!({"match": {"path": {"exact": "/a"}}, "action": {"target": target}});
    let rendered = routes(&gateway_with(&json!({"httpRoute": route})), 0);
    assert!(rendered.contains("HostRewriteLiteral service:81"), "{rendered}");
    let mut kept = route.clone();
    kept["action"]["rewrite"] = json!({"hostname": {"defaultTargetHostname": "DISABLED"}});
    let rendered = routes(&gateway_with(&json!({"httpRoute": kept})), 0);
    assert!(rendered.contains("key x-app-mesh-virtual-service, value service:81"), "{rendered}");
}

#[test]
fn calls_of_grpc() {
    let route = json!({"grpcRoute": {
        "match": {
            "serviceName": "shop.Cart", "hostname": {"exact": "a.b"},
            "metadata": [{"name": "tenant", "match": {"exact": "x"}}],
        },
        "action": {"target": target("service")},
    }});
    let fragment = Definitions::new()
        .virtual_gateway("gateway", json!({"listeners": [listener(80, "grpc")]}))
        .gateway_route("gateway", "route", route)
        .gateway("gateway");
    expect![[r#"
        {name route, match{headers{{name tenant, StringMatch Exact x}, {name :authority, StringMatch {ignore_case true, Exact a.b}}}, grpc GrpcRouteMatchOptions, Prefix /shop.Cart/}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http2_15001, HostRewriteLiteral service}}
        {name route, match{headers{{name tenant, StringMatch Exact x}, {name :authority, StringMatch {ignore_case true, Prefix a.b:}}}, grpc GrpcRouteMatchOptions, Prefix /shop.Cart/}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 0s, idle_timeout 0s, Cluster cds_ingress_m_gateway_self_redirect_http2_15001, HostRewriteLiteral service}}"#]].assert_eq(&routes(&fragment, 0));
}

#[test]
fn each_listener_takes_the_routes_of_its_protocol_and_port() {
    let http =
        |condition: Value| json!({"httpRoute": {"match": condition, "action": {"target": target("b")}}});
    let fragment = Definitions::new()
        .virtual_gateway(
            "gateway",
            json!({"listeners": [listener(1, "http"), listener(2, "http2"), listener(3, "grpc"), listener(4, "http")]}),
        )
        .gateway_route("gateway", "any", http(json!({"prefix": "/"})))
        .gateway_route("gateway", "one", http(json!({"prefix": "/", "port": 1, "method": "GET"})))
        .gateway_route(
            "gateway",
            "two",
            json!({"http2Route": {"match": {"prefix": "/"}, "action": {"target": target("a")}}}),
        )
        .gateway_route("gateway", "three", json!({"grpcRoute": {"match": {}, "action": {"target": target("b")}}}))
        .gateway("gateway");
    assert_eq!(
        render::names(&fragment.listeners),
        [1, 2, 3, 4].map(|port| format!("lds_ingress_0.0.0.0_{port}"))
    );
    assert_eq!(
        render::names(&fragment.route_configurations),
        ["rds_ingress_http_1", "rds_ingress_http2_2", "rds_ingress_grpc_3", "rds_ingress_http_4"]
    );
    let names = |index| {
        let lines = routes(&fragment, index);
        let names =
            lines.lines().map(|line| line.trim_start_matches("{name ").split(',').next().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!([0, 1, 2, 3].map(names), ["one any", "two", "three", "any"]);
    assert_eq!(fragment.backends, ["a".into(), "b".into()]);
    let prefixes = fragment.listeners.iter().map(|listener| render::listener(&render::decoded(listener)));
    let prefixes: Vec<_> = prefixes
        .map(|rendered| rendered.split("stat_prefix ").nth(1).unwrap().split(',').next().unwrap().to_owned())
        .collect();
    assert_eq!(prefixes, ["ingress.http.1", "ingress.http2.2", "ingress.grpc.3", "ingress.http.4"]);
}

#[test]
fn gateway_routes_rank_as_routes_do_and_then_by_host() {
    let in_order = [
        ("h", json!({"prefix": "/"}), Some(1)),
        ("g", json!({"path": {"exact": "/a"}}), None),
        ("f", json!({"prefix": "/long", "hostname": {"suffix": ".com"}}), None),
        ("e", json!({"prefix": "/long"}), None),
        ("d", json!({"prefix": "/", "hostname": {"exact": "a.com"}}), None),
        ("c", json!({"prefix": "/", "hostname": {"suffix": ".a.com"}}), None),
        ("b", json!({"prefix": "/", "hostname": {"suffix": ".com"}}), None),
        ("a", json!({"prefix": "/"}), None),
    ];
    let mut definitions =
        Definitions::new().virtual_gateway("gateway", json!({"listeners": [listener(80, "http")]}));
    for (name, condition, priority) in &in_order {
        let mut spec = json!({"httpRoute": {"match": condition, "action": {"target": target("service")}}});
        if let Some(priority) = priority {
            spec["priority"] = json!(priority);
        }
        definitions = definitions.gateway_route("gateway", name, spec);
    }
    let rendered = routes(&definitions.gateway("gateway"), 0);
    let mut names: Vec<_> =
        rendered.lines().map(|line| line.trim_start_matches("{name ").split(',').next().unwrap()).collect();
    names.dedup();
    assert_eq!(names, in_order.map(|(name, _, _)| name));
}

#[test]
fn listeners_share_a_cluster_unless_their_limits_differ() {
    let pooled = |port: u16, protocol: &str, pool: Value| {
        let mut listener = listener(port, protocol);
        listener["connectionPool"] = json!({protocol: pool});
        listener
    };
    let fragment = Definitions::new()
        .virtual_gateway(
            "gateway",
            json!({"listeners": [
                pooled(1, "http", json!({"maxConnections": 5})), pooled(2, "http", json!({"maxConnections": 5})),
                pooled(3, "http", json!({"maxConnections": 6})), listener(4, "http"),
                listener(5, "http2"), listener(6, "grpc"), pooled(7, "grpc", json!({"maxRequests": 8})),
            ]}),
        )
        .gateway("gateway");
    let clusters: Vec<_> = fragment
        .clusters
        .iter()
        .map(|resource| {
            let cluster: Cluster = render::decoded(resource);
            let limits = cluster.circuit_breakers.unwrap().thresholds.remove(0);
            let http2 = !cluster.typed_extension_protocol_options.is_empty();
            let limits = (limits.max_connections.unwrap().value, limits.max_requests.unwrap().value);
            format!("{} http2={http2} connections={} requests={}", cluster.name, limits.0, limits.1)
        })
        .collect();
    expect![[r#"
        cds_ingress_m_gateway_self_redirect_http_15001 http2=false connections=5 requests=2147483647
        cds_ingress_m_gateway_self_redirect_http_15001_3 http2=false connections=6 requests=2147483647
        cds_ingress_m_gateway_self_redirect_http_15001_4 http2=false connections=2147483647 requests=2147483647
        cds_ingress_m_gateway_self_redirect_http2_15001 http2=true connections=2147483647 requests=2147483647
        cds_ingress_m_gateway_self_redirect_http2_15001_7 http2=true connections=2147483647 requests=8"#]].assert_eq(&clusters.join("\n"));
}

#[test]
fn the_meshs_ip_preference_decides_where_a_gateway_listens() {
    let fragment = Definitions::of_mesh(json!({"serviceDiscovery": {"ipPreference": "IPv6_ONLY"}}))
        .virtual_gateway("gateway", json!({"listeners": [listener(80, "http")]}))
        .gateway("gateway");
    let rendered = render::listener(&render::decoded(&fragment.listeners[0]));
    assert!(rendered.contains("address ::, ipv4_compat true, PortValue 80"), "{rendered}");
}
