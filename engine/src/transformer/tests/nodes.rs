//! The fragments of virtual nodes.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use expect_test::{Expect, expect};
use legation_proto::fragment::{EgressMode, NodeFragment};
use prost::Message;
use serde_json::{Value, json};

use super::fixture::Definitions;
use super::render;

fn node(spec: Value) -> NodeFragment {
    Definitions::new().virtual_node("node", spec).node("node")
}

fn listener(port: u16, protocol: &str) -> Value {
    json!({"portMapping": {"port": port, "protocol": protocol}})
}

fn egress(fragment: &NodeFragment) -> String {
    render::listener(&Listener::decode(fragment.egress.listener.clone()).unwrap())
}

#[test]
fn a_node_that_only_calls_others_has_no_ingress() {
    let backend = |name: &str| json!({"virtualService": {"virtualServiceName": name}});
    let fragment = node(json!({"backends": [backend("b"), backend("a")]}));
    assert!(fragment.listeners.is_empty() && fragment.route_configurations.is_empty());
    assert_eq!(render::names(&fragment.clusters), ["cds_egress_m_amazonaws"]);
    assert_eq!(fragment.backends, ["a".into(), "b".into()]);
    assert_eq!(fragment.egress.mode, EgressMode::Intercepted);
}

#[test]
fn one_listener() {
    let fragment = node(json!({"listeners": [listener(8080, "http")]}));
    expect![[r#"
        {name lds_ingress_0.0.0.0_15000, address SocketAddress {address 0.0.0.0, PortValue 15000}, listener_filters {name envoy.filters.listener.original_dst, OriginalDst OriginalDst}, traffic_direction Inbound}
          {filter_chain_match destination_port 8080, filters {name envoy.filters.network.http_connection_manager, HttpConnectionManager{stat_prefix ingress, http_filters {name envoy.filters.http.router, Router}, tracing, upgrade_configs upgrade_type websocket, normalize_path true, merge_slashes true, Rds {config_source{resource_api_version V3, Ads AggregatedConfigSource}, route_config_name rds_ingress_http_8080}}}, name ingress_http_8080}"#]].assert_eq(&render::listener(&render::decoded(&fragment.listeners[0])));
    expect!["{name cds_ingress_m_node_http_8080, connect_timeout 0.25s, load_assignment{cluster_name cds_ingress_m_node_http_8080, endpoints lb_endpoints Endpoint address SocketAddress {address 127.0.0.1, PortValue 8080}}, circuit_breakers thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}, dns_lookup_family Auto, Type Static}"].assert_eq(&render::cluster(&fragment.clusters[0]));
    expect![[r#"
        {name node, domains *}
          {name application, match Prefix /, Route {timeout 15s, idle_timeout 300s, Cluster cds_ingress_m_node_http_8080}}"#]].assert_eq(&render::route_configuration(&fragment.route_configurations[0]));
}

/// What nodes have in common is encoded once.
#[test]
fn the_fragment_of_a_node_is_the_same_whoever_else_is_there() {
    let logs = json!({"accessLog": {"file": {"path": "/dev/stdout"}}});
    let ipv6 = json!({"dns": {"hostname": "node.local", "ipPreference": "IPv6_ONLY"}});
    let both = [listener(8080, "http"), listener(8081, "grpc")];
    let specs = [
        json!({"listeners": [listener(8080, "http")]}),
        json!({"listeners": [listener(8080, "http")], "backends": []}),
        json!({"listeners": [listener(8080, "http2")]}),
        json!({"listeners": [listener(8081, "http")]}),
        json!({"listeners": [listener(8080, "tcp")]}),
        json!({"listeners": [listener(8080, "tcp")], "backends": []}),
        json!({"listeners": both}),
        json!({"listeners": [listener(8080, "http")], "logging": logs}),
        json!({"listeners": [listener(8080, "http")], "serviceDiscovery": ipv6}),
        json!({}),
    ];
    let nodes =
        || (2..).zip(&specs).map(|(transaction, spec)| (transaction, format!("node-{transaction}"), spec));
    let add = |definitions: Definitions, (transaction, name, spec): (u64, String, &Value)| {
        definitions.virtual_node(&name, spec.clone()).at(transaction)
    };
    let together = nodes().fold(Definitions::new(), add);
    for (transaction, name, spec) in nodes() {
        let alone = add(Definitions::new(), (transaction, name.clone(), spec)).node(&name);
        let listeners = together.node(&name).listeners;
        assert!(
            listeners.iter().all(|listener| listener.version.transaction == transaction),
            "{name}: {listeners:?}"
        );
        assert_eq!(together.node(&name), alone, "{name}");
    }
    let content = |name: &str| together.node(name).listeners[0].version.hash;
    assert_eq!(content("node-2"), content("node-3"));
    let others = ["node-4", "node-5", "node-6", "node-8", "node-9", "node-10"];
    assert!(others.iter().all(|other| content(other) != content("node-2")));
    assert_ne!(content("node-6"), content("node-7"), "connections go to a cluster of their own");
}

#[test]
fn a_listener_of_each_protocol() {
    let listeners = [listener(1, "http"), listener(2, "http2"), listener(3, "grpc"), listener(4, "tcp")];
    let fragment = node(json!({"listeners": listeners}));
    assert_eq!(render::names(&fragment.listeners), ["lds_ingress_0.0.0.0_15000"]);
    expect![[r#"
        {name lds_ingress_0.0.0.0_15000, address SocketAddress {address 0.0.0.0, PortValue 15000}, listener_filters {name envoy.filters.listener.original_dst, OriginalDst OriginalDst}, traffic_direction Inbound}
          {filter_chain_match destination_port 1, filters {name envoy.filters.network.http_connection_manager, HttpConnectionManager{stat_prefix ingress.http.1, http_filters {name envoy.filters.http.router, Router}, tracing, upgrade_configs upgrade_type websocket, normalize_path true, merge_slashes true, Rds {config_source{resource_api_version V3, Ads AggregatedConfigSource}, route_config_name rds_ingress_http_1}}}, name ingress_http_1}
          {filter_chain_match destination_port 2, filters {name envoy.filters.network.http_connection_manager, HttpConnectionManager{stat_prefix ingress.http2.2, http_filters {name envoy.filters.http.router, Router}, tracing, upgrade_configs upgrade_type websocket, normalize_path true, merge_slashes true, Rds {config_source{resource_api_version V3, Ads AggregatedConfigSource}, route_config_name rds_ingress_http2_2}}}, name ingress_http2_2}
          {filter_chain_match destination_port 3, filters {name envoy.filters.network.http_connection_manager, HttpConnectionManager{stat_prefix ingress.grpc.3, http_filters {name envoy.filters.http.router, Router}, tracing, upgrade_configs upgrade_type websocket, normalize_path true, merge_slashes true, Rds {config_source{resource_api_version V3, Ads AggregatedConfigSource}, route_config_name rds_ingress_grpc_3}}}, name ingress_grpc_3}
          {filter_chain_match destination_port 4, filters {name envoy.filters.network.tcp_proxy, TcpProxy{stat_prefix ingress.tcp.4, idle_timeout 300s, Cluster cds_ingress_m_node_tcp_4}}, name ingress_tcp_4}"#]].assert_eq(&render::listener(&render::decoded(&fragment.listeners[0])));
    assert_eq!(
        render::names(&fragment.clusters),
        [
            "cds_ingress_m_node_http_1",
            "cds_ingress_m_node_http2_2",
            "cds_ingress_m_node_grpc_3",
            "cds_ingress_m_node_tcp_4",
            "cds_egress_m_amazonaws",
        ]
    );
    let clusters = fragment.clusters.iter().map(render::decoded::<Cluster>);
    let speaks_http2: Vec<_> =
        clusters.map(|cluster| !cluster.typed_extension_protocol_options.is_empty()).collect();
    assert_eq!(speaks_http2, [false, true, true, false, false]);
    assert_eq!(
        render::names(&fragment.route_configurations),
        ["rds_ingress_http_1", "rds_ingress_http2_2", "rds_ingress_grpc_3"]
    );
}

#[test]
fn timeouts_of_listeners() {
    let timeout = |idle: u32, per_request: u32| json!({"idle": {"unit": "s", "value": idle}, "perRequest": {"unit": "s", "value": per_request}});
    let with = |mut listener: Value, timeout: Value| {
        listener["timeout"] = timeout;
        listener
    };
    let fragment = node(json!({"listeners": [
        with(listener(1, "http"), json!({"http": timeout(1, 2)})),
        with(listener(2, "http2"), json!({"http2": timeout(0, 0)})),
        with(listener(3, "grpc"), json!({"grpc": timeout(3, 4)})),
        with(listener(4, "tcp"), json!({"tcp": {"idle": {"unit": "s", "value": 5}}})),
    ]}));
    for (resource, (per_request, idle)) in
        fragment.route_configurations.iter().zip([("2s", "1s"), ("0s", "0s"), ("4s", "3s")])
    {
        let rendered = render::route_configuration(resource);
        let expected = format!("timeout {per_request}, idle_timeout {idle},");
        assert!(rendered.contains(&expected), "{rendered}");
    }
    let rendered = render::listener(&render::decoded(&fragment.listeners[0]));
    assert!(rendered.contains("idle_timeout 5s"), "{rendered}");
}

fn check_pool(protocol: &str, pool: &Value, expected: Expect) {
    let mut listener = listener(80, protocol);
    listener["connectionPool"] = json!({protocol: pool});
    let fragment = node(json!({"listeners": [listener]}));
    let cluster: Cluster = render::decoded(&fragment.clusters[0]);
    expected.assert_eq(&render::message(&cluster.circuit_breakers.unwrap()));
}

#[test]
fn connection_pools_limit_what_reaches_the_application() {
    check_pool(
        "http",
        &json!({"maxConnections": 5}),
        expect![
            "thresholds {max_connections 5, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}"
        ],
    );
    check_pool(
        "http",
        &json!({"maxConnections": 5, "maxPendingRequests": 6}),
        expect![
            "thresholds {max_connections 5, max_pending_requests 6, max_requests 2147483647, max_retries 2147483647}"
        ],
    );
    check_pool(
        "http2",
        &json!({"maxRequests": 7}),
        expect![
            "thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 7, max_retries 2147483647}"
        ],
    );
    check_pool(
        "grpc",
        &json!({"maxRequests": 7}),
        expect![
            "thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 7, max_retries 2147483647}"
        ],
    );
    check_pool(
        "tcp",
        &json!({"maxConnections": 7}),
        expect![
            "thresholds {max_connections 7, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}"
        ],
    );
}

#[test]
fn egress_of_a_mesh_that_drops_all() {
    expect![[r#"
        {name lds_egress_0.0.0.0_15001, address SocketAddress {address 0.0.0.0, PortValue 15001}, listener_filters{{name envoy.filters.listener.original_dst, OriginalDst OriginalDst}, {name envoy.filters.listener.tls_inspector, filter_disabled NotMatch DestinationPortRange {start 443, end 444}, TlsInspector}}, continue_on_listener_filters_timeout true, traffic_direction Outbound}
          {filter_chain_match{destination_port 443, server_names *.amazonaws.com}, filters {name envoy.filters.network.tcp_proxy, TcpProxy{stat_prefix egress, Cluster cds_egress_m_amazonaws}}, name egress_amazonaws}"#]].assert_eq(&egress(&node(json!({}))));
    let said_aloud = Definitions::of_mesh(json!({"egressFilter": {"type": "DROP_ALL"}}))
        .virtual_node("node", json!({}))
        .node("node");
    assert_eq!(said_aloud, node(json!({})));
}

#[test]
fn egress_of_a_mesh_that_allows_all() {
    let fragment = Definitions::of_mesh(json!({"egressFilter": {"type": "ALLOW_ALL"}}))
        .virtual_node("node", json!({}))
        .node("node");
    let rendered = egress(&fragment);
    let added: Vec<_> = rendered.lines().filter(|line| line.contains("allow-all")).collect();
    expect!["  default {filters {name envoy.filters.network.tcp_proxy, TcpProxy{stat_prefix egress, Cluster cds_egress_m_mesh-allow-all}}, name egress_mesh-allow-all}"].assert_eq(&added.join("\n"));
    let clusters: Vec<_> = fragment.clusters.iter().map(render::cluster).collect();
    expect![[r#"
        {name cds_egress_m_amazonaws, connect_timeout 1s, lb_policy ClusterProvided, circuit_breakers thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}, dns_lookup_family Auto, Type OriginalDst}
        {name cds_egress_m_mesh-allow-all, connect_timeout 1s, lb_policy ClusterProvided, circuit_breakers thresholds {max_connections 2147483647, max_pending_requests 2147483647, max_requests 2147483647, max_retries 2147483647}, typed_extension_protocol_options envoy.extensions.upstreams.http.v3.HttpProtocolOptions HttpProtocolOptions UseDownstreamProtocolConfig {http_protocol_options, http2_protocol_options}, dns_lookup_family Auto, Type OriginalDst}"#]].assert_eq(&clusters.join("\n"));
}

#[test]
fn ip_preferences_decide_where_envoys_listen_and_reach_their_applications() {
    let table = [
        (None, "address 0.0.0.0", "address 127.0.0.1"),
        (Some("IPv4_ONLY"), "address ::, ipv4_compat true", "address 127.0.0.1"),
        (Some("IPv4_PREFERRED"), "address ::, ipv4_compat true", "address 127.0.0.1"),
        (Some("IPv6_ONLY"), "address ::, ipv4_compat true", "address ::1"),
        (Some("IPv6_PREFERRED"), "address ::, ipv4_compat true", "address ::1"),
    ];
    for (preference, bind, application) in table {
        let mut mesh = json!({});
        if let Some(preference) = preference {
            mesh["serviceDiscovery"] = json!({"ipPreference": preference});
        }
        let spec = json!({"listeners": [listener(80, "http")]});
        let fragment = Definitions::of_mesh(mesh).virtual_node("node", spec).node("node");
        let ingress = render::listener(&render::decoded(&fragment.listeners[0]));
        assert!(rendered_address(&ingress, bind, 15000), "{ingress}");
        let egress = egress(&fragment);
        assert!(rendered_address(&egress, bind, 15001), "{egress}");
        let cluster = render::cluster(&fragment.clusters[0]);
        assert!(rendered_address(&cluster, application, 80), "{cluster}");
        // names stay, whatever the address is
        assert_eq!(render::names(&fragment.listeners), ["lds_ingress_0.0.0.0_15000"]);
    }
}

fn rendered_address(rendered: &str, address: &str, port: u16) -> bool {
    let (host, rest) = address.split_once(',').unwrap_or((address, ""));
    let rest = if rest.is_empty() { String::new() } else { format!(",{rest}") };
    rendered.contains(&format!("SocketAddress {{{host}{rest}, PortValue {port}}}"))
}

fn logging(format: &Value) -> String {
    let mut file = json!({"path": "/dev/stdout"});
    if !format.is_null() {
        file["format"] = format.clone();
    }
    let logging = json!({"accessLog": {"file": file}});
    let fragment =
        node(json!({"listeners": [listener(80, "http"), listener(81, "tcp")], "logging": logging}));
    let log = &fragment.egress.access_logs[0];
    let log = render::message(
        &envoy_types::pb::envoy::config::accesslog::v3::AccessLog::decode(log.clone()).unwrap(),
    );
    let ingress = render::listener(&render::decoded(&fragment.listeners[0]));
    assert_eq!(ingress.matches(&log).count(), 2, "{ingress}");
    assert_eq!(egress(&fragment).matches(&log).count(), 1);
    log
}

#[test]
fn access_logs_are_in_every_filter() {
    expect!["{name envoy.access_loggers.file, FileAccessLog path /dev/stdout}"]
        .assert_eq(&logging(&Value::Null));
    expect![[r#"{name envoy.access_loggers.file, FileAccessLog{path /dev/stdout, LogFormat TextFormatSource InlineString %PROTOCOL%\n}}"#]].assert_eq(&logging(&json!({"text": "%PROTOCOL%\n"})));
    expect!["{name envoy.access_loggers.file, FileAccessLog{path /dev/stdout, LogFormat JsonFormat fields a StringValue %PROTOCOL%}}"].assert_eq(&logging(&json!({"json": [{"key": "a", "value": "%PROTOCOL%"}]})));
    let without = node(json!({"listeners": [listener(80, "http")]}));
    assert!(without.egress.access_logs.is_empty());
}
