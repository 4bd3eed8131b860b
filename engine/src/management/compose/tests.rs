//! Tests of `compose`, on what `transform` makes of definitions.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use expect_test::expect;
use legation_actors::composition::{Backend, Change, Client, Composed, Composition};
use legation_actors::snapshot::Snapshot;
use legation_proto::body::Part;
use legation_proto::fragment::{
    Egress, EgressMode, Fragment, NodeFragment, Routing, ServiceFragment, ServicePort,
};
use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

use super::{COMPOSER, compose, recompose};
use crate::transformer::tests::fixture::{Definitions, composed_for, key};
use crate::transformer::tests::render;
use crate::transformer::tests::snapshot::check_references;

/// A node that has these backends, of a mesh with this specification.
pub(super) fn consumer(mesh: Value, backends: &[&str]) -> Definitions {
    let backends: Vec<_> =
        backends.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
    let logging = json!({"accessLog": {"file": {"path": "/log"}}});
    Definitions::of_mesh(mesh).virtual_node("consumer", json!({"backends": backends, "logging": logging}))
}

/// A virtual service of the same name, provided by a node that listens at these ports.
pub(super) fn with_service(definitions: Definitions, name: &str, listeners: &[(u16, &str)]) -> Definitions {
    definitions.listening_node(name, listeners).provided_by_node(name, name)
}

pub(super) fn names(snapshot: &Snapshot, resource_type: ResourceType) -> Vec<&str> {
    render::names(snapshot.set(resource_type).resources())
}

/// The filter chains that backends added to the egress of the consumer, a line each.
fn added_chains(snapshot: &Snapshot) -> String {
    let egress = snapshot.set(ResourceType::Listener).get("lds_egress_0.0.0.0_15001").unwrap();
    let rendered = render::listener(&render::decoded(egress));
    let chains: Vec<_> =
        rendered.lines().skip(1).filter(|line| !line.contains("amazonaws")).map(str::trim).collect();
    chains.join("\n")
}

pub(super) fn route_configuration(snapshot: &Snapshot, name: &str) -> String {
    let configuration = snapshot.set(ResourceType::RouteConfiguration).get(name).unwrap();
    render::route_configuration(configuration)
}

/// The names and domains of virtual hosts.
fn virtual_hosts(snapshot: &Snapshot, name: &str) -> String {
    let rendered = route_configuration(snapshot, name);
    let hosts: Vec<_> = rendered.lines().filter(|line| !line.starts_with(' ')).collect();
    hosts.join("\n")
}

#[test]
fn a_sidecar_has_a_filter_chain_for_every_port_of_its_backends() {
    let definitions = consumer(json!({}), &["a", "b", "not-there"]);
    let definitions = with_service(definitions, "a", &[(80, "http"), (3306, "tcp")]);
    let definitions = with_service(definitions, "b", &[(80, "grpc"), (81, "http2")]);
    let snapshot = definitions.node_snapshot("consumer");
    check_references(&snapshot);
    expect![[r#"
          {filter_chain_match destination_port 80, filters {name envoy.filters.network.http_connection_manager, HttpConnectionManager{stat_prefix egress, http_filters {name envoy.filters.http.router, Router}, tracing, access_log {name envoy.access_loggers.file, FileAccessLog path /log}, upgrade_configs upgrade_type websocket, normalize_path true, merge_slashes true, Rds {config_source{resource_api_version V3, Ads AggregatedConfigSource}, route_config_name rds_egress_http_80}}}, name egress_http_80}
          {filter_chain_match destination_port 81, filters {name envoy.filters.network.http_connection_manager, HttpConnectionManager{stat_prefix egress, http_filters {name envoy.filters.http.router, Router}, tracing, access_log {name envoy.access_loggers.file, FileAccessLog path /log}, upgrade_configs upgrade_type websocket, normalize_path true, merge_slashes true, Rds {config_source{resource_api_version V3, Ads AggregatedConfigSource}, route_config_name rds_egress_http_81}}}, name egress_http_81}
          {filter_chain_match destination_port 3306, filters {name envoy.filters.network.tcp_proxy, TcpProxy{stat_prefix egress, idle_timeout 300s, access_log {name envoy.access_loggers.file, FileAccessLog path /log}, WeightedClusters clusters {name cds_egress_m_a_tcp_3306, weight 1}}}, name egress_tcp_3306}"#]].assert_eq(&added_chains(&snapshot));
    assert_eq!(
        names(&snapshot, ResourceType::RouteConfiguration),
        ["rds_egress_http_80", "rds_egress_http_81"]
    );
    expect![[r#"
        {name a, domains{a, a:80}}
        {name b, domains{b, b:80}}"#]]
    .assert_eq(&virtual_hosts(&snapshot, "rds_egress_http_80"));
    assert_eq!(
        names(&snapshot, ResourceType::Cluster),
        [
            "cds_egress_m_a_http_80",
            "cds_egress_m_a_tcp_3306",
            "cds_egress_m_amazonaws",
            "cds_egress_m_b_grpc_80",
            "cds_egress_m_b_http2_81",
        ]
    );
}

#[test]
fn of_backends_that_cannot_share_a_port_requests_or_the_first_by_name_have_it() {
    let table: [(&str, &str, &str); 3] =
        [("tcp", "tcp", "tcp a"), ("tcp", "http", "http b"), ("http", "tcp", "http a")];
    for (first, second, expected) in table {
        let definitions = with_service(consumer(json!({}), &["b", "a"]), "a", &[(80, first)]);
        let definitions = with_service(definitions, "b", &[(80, second)]);
        let problems = definitions.node_problems("consumer");
        assert!(problems.len() == 1 && problems[0].contains("left out at port 80"), "{problems:?}");
        let snapshot = definitions.node_snapshot("consumer");
        check_references(&snapshot);
        let (protocol, name) = expected.split_once(' ').unwrap();
        let chains = added_chains(&snapshot);
        assert!(chains.lines().count() == 1 && chains.contains(&format!("egress_{protocol}_80")), "{chains}");
        if protocol == "http" {
            let hosts = virtual_hosts(&snapshot, "rds_egress_http_80");
            assert_eq!(hosts, format!("{{name {name}, domains{{{name}, {name}:80}}}}"));
        } else {
            assert!(chains.contains(&format!("cds_egress_m_{name}_tcp_80")), "{chains}");
        }
    }
}

#[test]
fn a_host_is_the_first_backends_that_has_it() {
    let definitions = consumer(json!({}), &["A", "a", "b", "b:80"]);
    let mut definitions = with_service(definitions, "A", &[(80, "http")]);
    for name in ["a", "b", "b:80"] {
        definitions = with_service(definitions, name, &[(80, "http")]);
    }
    let snapshot = definitions.node_snapshot("consumer");
    check_references(&snapshot);
    expect![[r#"
        {name A, domains{A, A:80}}
        {name b, domains{b, b:80}}"#]]
    .assert_eq(&virtual_hosts(&snapshot, "rds_egress_http_80"));
}

#[test]
fn where_all_is_allowed_requests_for_no_backend_go_on_to_where_they_were_going() {
    let mesh = json!({"egressFilter": {"type": "ALLOW_ALL"}});
    let definitions = with_service(consumer(mesh, &["a"]), "a", &[(80, "http"), (81, "tcp")]);
    let snapshot = definitions.node_snapshot("consumer");
    check_references(&snapshot);
    let rendered = route_configuration(&snapshot, "rds_egress_http_80");
    let last: Vec<_> = rendered.lines().skip(2).collect();
    expect![[r#"
        {name mesh-allow-all, domains *}
          {name mesh-allow-all, match Prefix /, Route {timeout 0s, idle_timeout 0s, Cluster cds_egress_m_mesh-allow-all}}"#]].assert_eq(&last.join("\n"));
}

#[test]
fn a_change_to_a_backend_leaves_other_ports_alone() {
    let before = consumer(json!({}), &["a", "b"]);
    let before = with_service(before, "a", &[(80, "http")]);
    let before = with_service(before, "b", &[(81, "http")]);
    let route = json!({"httpRoute": {
        "match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNode": "b", "weight": 1}]},
    }});
    let after = before
        .clone()
        .virtual_router("router", &[(81, "http")])
        .at(7)
        .route("router", "route", route)
        .at(8)
        .provided_by_router("b", "router")
        .at(9);
    let (before, after) = (before.node_snapshot("consumer"), after.node_snapshot("consumer"));
    let version = |snapshot: &Snapshot, name: &str| {
        let routes = snapshot.set(ResourceType::RouteConfiguration);
        routes.get(name).unwrap().version
    };
    assert_eq!(version(&before, "rds_egress_http_80"), version(&after, "rds_egress_http_80"));
    assert_eq!(version(&after, "rds_egress_http_80").transaction, 1);
    assert_ne!(version(&before, "rds_egress_http_81"), version(&after, "rds_egress_http_81"));
    assert_eq!(version(&after, "rds_egress_http_81").transaction, 9);
    for unchanged in [ResourceType::Cluster, ResourceType::Listener, ResourceType::Endpoints] {
        assert_eq!(before.set(unchanged).version(), after.set(unchanged).version(), "{unchanged}");
    }
    assert_eq!(after.transaction(), 9);
}

/// A gateway with these routes, whose conditions differ by path.
fn gateway(targets: &[Value]) -> Definitions {
    let listener = json!({"portMapping": {"port": 8080, "protocol": "http"}});
    let mut definitions = Definitions::new().virtual_gateway("gateway", json!({"listeners": [listener]}));
    for (index, action) in targets.iter().enumerate() {
        let condition = json!({"path": {"exact": format!("/{index}")}});
        let route = json!({"httpRoute": {"match": condition, "action": action}});
        definitions = definitions.gateway_route("gateway", &index.to_string(), route);
    }
    definitions
}

fn target(service: &str) -> Value {
    json!({"target": {"virtualService": {"virtualServiceName": service}}})
}

fn with_port(mut action: Value, port: u16) -> Value {
    action["target"]["port"] = json!(port);
    action
}

fn keeping_host(mut action: Value) -> Value {
    action["rewrite"] = json!({"hostname": {"defaultTargetHostname": "DISABLED"}});
    action
}

#[test]
fn a_gateway_has_one_filter_chain_for_all_its_backends() {
    let definitions = gateway(&[target("a"), target("b"), target("nothing")]);
    let definitions = with_service(definitions, "a", &[(80, "http"), (81, "http2"), (82, "tcp")]);
    let definitions = with_service(definitions, "b", &[(80, "grpc")]);
    let snapshot = definitions.virtual_service("nothing", json!({})).gateway_snapshot("gateway");
    check_references(&snapshot);
    expect!["{filters {name envoy.filters.network.http_connection_manager, HttpConnectionManager{stat_prefix egress, http_filters {name envoy.filters.http.router, Router}, tracing, upgrade_configs upgrade_type websocket, normalize_path true, merge_slashes true, Rds {config_source{resource_api_version V3, Ads AggregatedConfigSource}, route_config_name rds_egress_http_15001}}}, name egress_http_15001}"].assert_eq(&added_chains(&snapshot));
    assert_eq!(
        names(&snapshot, ResourceType::RouteConfiguration),
        ["rds_egress_http_15001", "rds_ingress_http_8080"]
    );
    let rendered = route_configuration(&snapshot, "rds_egress_http_15001");
    expect![[r#"
        {name a, domains{a, a:80}}
          {name catch-all, match Prefix /, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_a_http_80, weight 1}, HostRewriteLiteral a}}
        {name a:81, domains a:81}
          {name catch-all, match Prefix /, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_a_http2_81, weight 1}, HostRewriteLiteral a}}
        {name b, domains{b, b:80}}
          {name catch-all, match Prefix /, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_b_grpc_80, weight 1}, HostRewriteLiteral b}}"#]].assert_eq(&without_retries(&rendered));
}

/// Without the part of each route that is the same everywhere.
fn without_retries(rendered: &str) -> String {
    let lines =
        rendered.lines().map(|line| match (line.find("retry_policy{"), line.find("WeightedClusters")) {
            (Some(start), Some(end)) => format!("{}{}", &line[..start], &line[end..]),
            _ => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn requests_that_keep_their_host_are_told_by_the_header_and_nothing_else() {
    let definitions =
        gateway(&[target("a"), keeping_host(target("b")), keeping_host(with_port(target("c"), 81))]);
    let definitions = with_service(definitions, "a", &[(80, "http")]);
    let definitions = with_service(definitions, "b", &[(80, "http")]);
    let definitions = with_service(definitions, "c", &[(80, "http"), (81, "http")]);
    let snapshot = definitions.gateway_snapshot("gateway");
    check_references(&snapshot);
    let rendered = route_configuration(&snapshot, "rds_egress_http_15001");
    expect![[r#"
        {name a, domains{a, a:80}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact b}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_b_http_80, weight 1}}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact c:81}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_c_http_81, weight 1}}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, invert_match true, PresentMatch true}, Prefix /}, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_a_http_80, weight 1}, HostRewriteLiteral a}}
        {name b, domains{b, b:80}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact b}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_b_http_80, weight 1}}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact c:81}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_c_http_81, weight 1}}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, invert_match true, PresentMatch true}, Prefix /}, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_b_http_80, weight 1}, HostRewriteLiteral b}}
        {name c, domains{c, c:80}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact b}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_b_http_80, weight 1}}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact c:81}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_c_http_81, weight 1}}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, invert_match true, PresentMatch true}, Prefix /}, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_c_http_80, weight 1}, HostRewriteLiteral c}}
        {name c:81, domains c:81}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact b}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_b_http_80, weight 1}}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact c:81}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_c_http_81, weight 1}}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, invert_match true, PresentMatch true}, Prefix /}, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_c_http_81, weight 1}, HostRewriteLiteral c}}
        {name default_backend, domains *}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact b}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_b_http_80, weight 1}}}
          {name catch-all, match{headers {name x-app-mesh-virtual-service, StringMatch Exact c:81}, Prefix /}, request_headers_to_remove x-app-mesh-virtual-service, Route {timeout 15s, idle_timeout 300s, WeightedClusters clusters {name cds_egress_m_c_http_81, weight 1}}}"#]].assert_eq(&without_retries(&rendered));
}

#[test]
fn the_header_is_named_as_it_is_written() {
    let snapshot = with_service(gateway(&[keeping_host(target("100%"))]), "100%", &[(80, "http")])
        .gateway_snapshot("gateway");
    let rendered = route_configuration(&snapshot, "rds_egress_http_15001");
    assert!(rendered.contains("name x-app-mesh-virtual-service, StringMatch Exact 100%}"), "{rendered}");
}

#[test]
fn what_cannot_be_decoded_is_an_error() {
    let malformed = Bytes::from_static(b"\xff");
    let service = |routing| ServiceFragment {
        ports: vec![ServicePort { port: 80, routing }],
        ..ServiceFragment::default()
    };
    let broken = |egress| NodeFragment { egress, ..NodeFragment::default() };
    for egress in [
        Egress { access_logs: vec![malformed.clone()], ..Egress::default() },
        // that of a sidecar is sent as it is
        Egress { listener: malformed.clone(), mode: EgressMode::Redirected { port: 1 }, ..Egress::default() },
    ] {
        assert!(compose(Client::Envoy, &broken(egress), &[], None).is_err());
    }

    let fragment = service(Routing::TcpProxy(malformed.clone()));
    let backend = Backend { name: "a", fragment: &fragment };
    let error = compose(Client::Envoy, &NodeFragment::default(), &[backend], None).unwrap_err();
    assert!(error.to_string().starts_with("cannot compose: the TCP proxy of a backend cannot be decoded"));

    let fragment = service(Routing::VirtualHost(Part::virtual_host(&malformed)));
    let backend = Backend { name: "a", fragment: &fragment };
    let node = Definitions::new()
        .virtual_gateway("g", json!({"listeners": [{"portMapping": {"port": 1, "protocol": "http"}}]}))
        .gateway("g");
    assert!(compose(Client::Envoy, &node, &[backend], None).is_err());
}

#[test]
fn a_backend_without_a_provider_has_a_virtual_host_without_routes() {
    let definitions = with_service(consumer(json!({}), &["a", "nothing"]), "a", &[(80, "http")]);
    let snapshot = definitions.virtual_service("nothing", json!({})).node_snapshot("consumer");
    expect![[r#"
        {name a, domains{a, a:80}}
        {name nothing, domains nothing}"#]]
    .assert_eq(&virtual_hosts(&snapshot, "rds_egress_http_80"));
}

/// Composes for each of these states after the other, each time with what came of the one before, and compares with what is
/// composed anew, to the last digit of the versions. The last two snapshots.
fn composed_one_after_the_other(states: &[Definitions]) -> [Snapshot; 2] {
    let key = key("m", FragmentKind::VirtualNode, "consumer");
    let composition = Composition::new(COMPOSER);
    let mut fragments = HashMap::new();
    let mut last = Vec::new();
    for definitions in states {
        let transformed = definitions.transform();
        assert_eq!(transformed.problems, []);
        let anew = composed_for(Client::Envoy, &transformed, &key);
        fragments =
            transformed.fragments.into_iter().map(|entry| unless_unchanged(entry, &fragments)).collect();
        let after = compose_with(&composition, &fragments, &key);
        for resource_type in ResourceType::ALL {
            let of = |composed: &Composed| format!("{:?}", composed.snapshot.set(resource_type));
            assert_eq!(without_sources(&of(&anew)), without_sources(&of(&after)));
        }
        assert_eq!(anew.snapshot.transaction(), after.snapshot.transaction());
        assert_eq!(anew.problems, after.problems);
        last.push(Snapshot::clone(&after.snapshot));
    }
    last.split_off(last.len() - 2).try_into().unwrap()
}

/// The fragment, shared with those before if it is the same.
fn unless_unchanged(
    (key, fragment): (FragmentKey, Fragment),
    before: &HashMap<FragmentKey, Arc<Fragment>>,
) -> (FragmentKey, Arc<Fragment>) {
    let same = before.get(&key).filter(|before| before.encode() == fragment.encode()).cloned();
    (key, same.unwrap_or_else(|| Arc::new(fragment)))
}

fn compose_with(
    composition: &Composition,
    fragments: &HashMap<FragmentKey, Arc<Fragment>>,
    key: &FragmentKey,
) -> Composed {
    let Fragment::Node(node) = fragments[key].as_ref() else { panic!("no node {key}") };
    let of_backend = |name| fragments.get(&FragmentKey::virtual_service(&key.mesh, name));
    let backends = node.backends.iter().filter_map(|name| Some((name, of_backend(name)?)));
    composition.compose(Client::Envoy, &fragments[key], backends).unwrap()
}

/// What a set was made of need not be known.
fn without_sources(shown: &str) -> &str {
    shown.split_once(", source: ").unwrap().0
}

/// A virtual service in random states of a mesh.
#[derive(Clone, Debug)]
enum Provider {
    /// There is no such virtual service.
    Absent,
    Nobody,
    Node(Vec<(u16, &'static str)>),
    Router {
        port: u16,
        weight: u32,
    },
}

/// The backends in these states, some with the same host.
const BACKENDS: [&str; 4] = ["A", "a", "b", "b:80"];

fn state(allows_all: bool, services: &[(Provider, Transaction)]) -> Definitions {
    let egress = json!({"egressFilter": {"type": if allows_all { "ALLOW_ALL" } else { "DROP_ALL" }}});
    let listeners = [(80, "http"), (81, "http")];
    let mut definitions = consumer(egress, &BACKENDS);
    for node in ["one", "two"] {
        definitions = definitions.listening_node(node, &listeners);
    }
    for (name, (provider, transaction)) in BACKENDS.iter().zip(services) {
        definitions = match provider {
            Provider::Absent => continue,
            Provider::Nobody => definitions.virtual_service(name, json!({})),
            Provider::Node(listeners) => with_service(definitions, name, listeners),
            Provider::Router { port, weight } => {
                let targets = [("one", *weight), ("two", 1)];
                let targets = targets.map(|(node, weight)| json!({"virtualNode": node, "weight": weight}));
                let route = json!({"match": {"prefix": "/"}, "action": {"weightedTargets": targets}});
                let definitions = definitions.virtual_router(name, &[(*port, "http")]);
                let definitions = definitions.provided_by_router(name, name);
                definitions.route(name, "route", json!({"httpRoute": route}))
            }
        }
        .at(*transaction);
    }
    definitions
}

fn provider() -> impl Strategy<Value = Provider> {
    let ports = subsequence(vec![(80, "http"), (81, "http2"), (82, "tcp"), (83, "tcp")], 0..4);
    let tcp = subsequence(vec![(80, "tcp"), (81, "tcp")], 1..2);
    prop_oneof![
        1 => Just(Provider::Absent),
        1 => Just(Provider::Nobody),
        2 => ports.prop_map(Provider::Node),
        1 => tcp.prop_map(Provider::Node),
        8 => (80_u16..82, 1_u32..4).prop_map(|(port, weight)| Provider::Router { port, weight }),
    ]
}

proptest! {
    #[test]
    fn composing_one_after_the_other_is_composing_anew(
        allows_all: bool,
        changes in vec((0..BACKENDS.len(), provider(), 0_u64..2), 2..12),
    ) {
        let mut services = BACKENDS.map(|_| (Provider::Absent, 1));
        // most changes are newer than what was there before, and one may come late
        let states = changes.into_iter().zip(2..).map(|((index, provider, is_new), time)| {
            services[index] = (provider, 1 + is_new * time);
            state(allows_all, &services)
        });
        composed_one_after_the_other(&states.collect::<Vec<_>>());
    }
}

#[test]
fn a_change_of_routes_takes_no_look_at_the_other_backends() {
    let services = |weight, transaction| {
        let changed = (Provider::Router { port: 80, weight }, transaction);
        let other = |provider| (provider, 1);
        let listeners = vec![(80, "http"), (81, "http2")];
        [other(Provider::Nobody), other(Provider::Absent), changed, other(Provider::Node(listeners))]
    };
    let (before, after) = (state(true, &services(1, 2)), state(true, &services(2, 3)));
    let (from, to) = (before.service("b"), after.service("b"));
    let recomposed = |client, node, fragments: (&ServiceFragment, &ServiceFragment)| {
        let key = key("m", FragmentKind::VirtualNode, "consumer");
        let before = composed_for(Client::Envoy, &before.transform(), &key);
        let change = Change { from: fragments.0, to: fragments.1 };
        recompose::recompose(client, node, &before, &change)
    };
    let node = before.node("consumer");
    let key = key("m", FragmentKind::VirtualNode, "consumer");
    let anew = composed_for(Client::Envoy, &after.transform(), &key);
    assert_eq!(recomposed(Client::Envoy, &node, (&from, &to)), Some(anew));

    let older = ServiceFragment { transaction: 1, ..to.clone() };
    let elsewhere =
        ServiceFragment { ports: vec![ServicePort { port: 81, ..to.ports[0].clone() }], ..to.clone() };
    let without_ports = ServiceFragment { ports: Vec::new(), ..to.clone() };
    let without_clusters = ServiceFragment { clusters: Vec::new(), ..to.clone() };
    let mut newer_clusters = to.clone();
    newer_clusters.clusters[0].version.transaction += 1;
    let mut unknown = from.clone();
    unknown.ports[0].routing = Routing::VirtualHost(Part::virtual_host(b"not there"));
    for (from, to) in [
        (&from, &older),
        (&from, &elsewhere),
        (&elsewhere, &elsewhere),
        (&from, &without_ports),
        (&without_ports, &without_ports),
        (&from, &without_clusters),
        (&from, &newer_clusters),
        (&unknown, &to),
    ] {
        assert_eq!(recomposed(Client::Envoy, &node, (from, to)), None, "{from:?} to {to:?}");
    }
    assert_eq!(recomposed(Client::Grpc, &node, (&from, &to)), None);
    let mut gateway = node.clone();
    gateway.egress.mode = EgressMode::Redirected { port: 80 };
    assert_eq!(recomposed(Client::Envoy, &gateway, (&from, &to)), None);
}

#[test]
fn what_a_change_leaves_as_it_was_is_shared_with_the_snapshot_before() {
    let route = |weight| {
        let targets = json!([{"virtualNode": "a", "weight": weight}, {"virtualNode": "b", "weight": 1}]);
        json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
    };
    let state = |weight, transaction| {
        let definitions = consumer(json!({}), &["service", "other"]).listening_node("a", &[(80, "http")]);
        let definitions =
            definitions.listening_node("b", &[(80, "http")]).virtual_router("router", &[(80, "http")]);
        let definitions = definitions.provided_by_router("service", "router");
        let definitions = with_service(definitions, "other", &[(80, "http"), (3306, "tcp")]);
        definitions.route("router", "route", route(weight)).at(transaction)
    };
    let [before, after] = composed_one_after_the_other(&[state(1, 2), state(2, 3)]);
    for (resource_type, shared) in [
        (ResourceType::Cluster, true),
        (ResourceType::Endpoints, true),
        (ResourceType::Listener, true),
        (ResourceType::RouteConfiguration, false),
    ] {
        let is_shared = Arc::ptr_eq(before.set(resource_type), after.set(resource_type));
        assert_eq!(is_shared, shared, "{resource_type:?}");
    }
}

#[test]
fn nothing_is_shared_that_would_be_different() {
    let node = |spec: Value| Definitions::new().virtual_node("consumer", spec);
    let backends = |names: &[&str]| -> Vec<Value> {
        names.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect()
    };
    let logging = json!({"accessLog": {"file": {"path": "/other"}}});
    let plain = |names: &[&str]| node(json!({"backends": backends(names)}));
    let states = [
        plain(&["a"]),
        with_service(plain(&["a"]), "a", &[(80, "http")]),
        with_service(plain(&["a"]), "a", &[(81, "http")]),
        with_service(plain(&["a"]), "a", &[(81, "tcp")]),
        with_service(plain(&["a"]), "a", &[(81, "tcp")]).at(5),
        with_service(with_service(plain(&["a", "b"]), "a", &[(81, "tcp")]), "b", &[(82, "grpc")]),
        with_service(with_service(plain(&["a", "b"]), "a", &[(81, "tcp")]), "b", &[(82, "tcp")]),
        with_service(plain(&["b"]), "b", &[(82, "tcp")]),
        plain(&["b"]).listening_node("elsewhere", &[(82, "tcp")]).provided_by_node("b", "elsewhere"),
        with_service(node(json!({"backends": backends(&["b"]), "logging": logging})), "b", &[(82, "tcp")]),
        with_service(consumer(json!({"egressFilter": {"type": "ALLOW_ALL"}}), &["b"]), "b", &[(82, "http")]),
        with_service(consumer(json!({}), &["b"]), "b", &[(82, "http")]),
    ];
    let [_, last] = composed_one_after_the_other(&states);
    assert_eq!(names(&last, ResourceType::RouteConfiguration), ["rds_egress_http_82"]);
}
