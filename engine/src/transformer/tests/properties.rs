//! Whatever definitions are valid, `transform` and `compose` take them, and what comes out hangs together.

use std::collections::BTreeMap;

use legation_proto::fragment::Fragment;
use legation_proto::id::FragmentKind;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::fixture::{Definitions, MESH, composed};
use super::snapshot::check_references;
use crate::model::{Kind, ResourceId, Spec};

/// Names are few, so that definitions refer to each other. Some differ in case only, or look like others with a port.
const NAMES: [&str; 6] = ["a", "A", "b", "a:80", "c.local", "100%"];

pub(super) fn name() -> impl Strategy<Value = &'static str> {
    select(NAMES.to_vec())
}

fn port() -> impl Strategy<Value = u16> {
    select(vec![80, 81, 443, 15001])
}

/// A text, or nothing.
fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), select(texts).prop_map(Value::from)]
}

fn duration() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), (0..u32::MAX).prop_map(|value| json!({"unit": "s", "value": value}))]
}

fn port_or_none() -> impl Strategy<Value = Value> {
    prop_oneof![3 => Just(Value::Null), 1 => port().prop_map(Value::from)]
}

fn listener() -> impl Strategy<Value = Value> {
    let protocols = select(vec!["http", "http2", "grpc", "tcp"]);
    let health_check = one_of(&["http", "http2", "grpc", "tcp"]);
    (port(), protocols, health_check, duration(), any::<bool>()).prop_map(
        |(port, protocol, health_check, timeout, is_limited)| {
            let mut listener = json!({"portMapping": {"port": port, "protocol": protocol}});
            if !health_check.is_null() {
                listener["healthCheck"] = json!({
                    "protocol": health_check, "path": "/ping", "healthyThreshold": 2, "unhealthyThreshold": 2,
                    "intervalMillis": 5000, "timeoutMillis": 2000,
                });
            }
            listener["timeout"] = json!({protocol: {"idle": timeout}});
            if is_limited {
                let limit = if matches!(protocol, "http" | "tcp") { "maxConnections" } else { "maxRequests" };
                listener["connectionPool"] = json!({protocol: {limit: 5}});
            }
            listener
        },
    )
}

/// Listeners at ports of their own.
fn listeners(least: usize) -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(listener(), least..5).prop_map(|listeners| {
        let by_port =
            listeners.into_iter().map(|listener| (listener["portMapping"]["port"].as_u64(), listener));
        by_port.collect::<BTreeMap<_, _>>().into_values().collect()
    })
}

fn mesh() -> impl Strategy<Value = Value> {
    (any::<bool>(), one_of(&["IPv6_ONLY", "IPv4_PREFERRED"])).prop_map(|(allows_all, preference)| {
        let egress = if allows_all { "ALLOW_ALL" } else { "DROP_ALL" };
        json!({"egressFilter": {"type": egress}, "serviceDiscovery": {"ipPreference": preference}})
    })
}

fn virtual_node() -> impl Strategy<Value = Value> {
    let backends = prop::collection::btree_set(name(), 0..5);
    let hostname = one_of(&["a.local", "localhost", "10.0.0.1"]);
    let logged = one_of(&["%PROTOCOL%", "plain"]);
    (prop::collection::vec(listener(), 0..4), backends, hostname, logged).prop_map(
        |(listeners, backends, hostname, logged)| {
            let backends: Vec<_> =
                backends.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
            let mut node = json!({"listeners": listeners, "backends": backends});
            if !hostname.is_null() {
                node["serviceDiscovery"] = json!({"dns": {"hostname": hostname}});
            }
            if !logged.is_null() {
                let format = json!({"json": [{"key": "b", "value": logged}, {"key": "a", "value": logged}]});
                node["logging"] = json!({"accessLog": {"file": {"path": "/dev/null", "format": format}}});
            }
            node
        },
    )
}

fn virtual_router() -> impl Strategy<Value = Value> {
    listeners(0).prop_map(|listeners| {
        let listeners: Vec<_> =
            listeners.iter().map(|listener| json!({"portMapping": listener["portMapping"]})).collect();
        json!({"listeners": listeners})
    })
}

/// The members of a match by path, and by a header.
fn condition() -> impl Strategy<Value = Value> {
    let path = prop_oneof![
        select(vec!["/", "/a", "/a/", "/a/b"]).prop_map(|prefix| json!({"prefix": prefix})),
        Just(json!({"path": {"exact": "/a"}})),
        Just(json!({"path": {"regex": "/[a-z]*"}})),
    ];
    (path, port_or_none(), any::<bool>()).prop_map(|(mut condition, port, invert)| {
        condition["port"] = port;
        condition["headers"] = json!([{"name": "x", "invert": invert, "match": {"prefix": "y"}}]);
        condition
    })
}

fn route() -> impl Strategy<Value = Value> {
    let target = (name(), port_or_none(), 0..3)
        .prop_map(|(node, port, weight)| json!({"virtualNode": node, "port": port, "weight": weight}));
    let kinds = select(vec!["httpRoute", "http2Route", "grpcRoute", "tcpRoute"]);
    (kinds, prop::collection::vec(target, 1..4), condition(), duration()).prop_map(
        |(kind, targets, condition, timeout)| {
            let condition = match kind {
                "grpcRoute" => json!({"port": condition["port"], "serviceName": "a.B"}),
                "tcpRoute" => json!({"port": condition["port"]}),
                _ => condition,
            };
            let action = json!({"weightedTargets": targets});
            json!({kind: {"action": action, "match": condition, "timeout": {"idle": timeout}}})
        },
    )
}

fn virtual_service() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(json!({})),
        2 => name().prop_map(|node| json!({"provider": {"virtualNode": {"virtualNodeName": node}}})),
        4 => name().prop_map(|router| json!({"provider": {"virtualRouter": {"virtualRouterName": router}}})),
    ]
}

fn virtual_gateway() -> impl Strategy<Value = Value> {
    listeners(1).prop_map(|listeners| {
        let for_requests = listeners.iter().filter(|listener| listener["portMapping"]["protocol"] != "tcp");
        let plain = for_requests.map(|listener| {
            json!({"portMapping": listener["portMapping"], "connectionPool": listener["connectionPool"]})
        });
        json!({"listeners": plain.collect::<Vec<_>>()})
    })
}

fn gateway_route() -> impl Strategy<Value = Value> {
    let hostname = one_of(&["a", "c.local"]);
    let kinds = select(vec!["httpRoute", "http2Route"]);
    (kinds, name(), port_or_none(), condition(), hostname, one_of(&["ENABLED", "DISABLED"])).prop_map(
        |(kind, service, port, mut condition, hostname, toggle)| {
            if !hostname.is_null() {
                condition["hostname"] = json!({"exact": hostname});
            }
            let rewrite = json!({"hostname": {"defaultTargetHostname": toggle}});
            let target = json!({"virtualService": {"virtualServiceName": service}, "port": port});
            json!({kind: {"match": condition, "action": {"target": target, "rewrite": rewrite}}})
        },
    )
}

/// One definition for each name.
fn each(spec: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(spec, NAMES.len())
}

/// Definitions that lie in others: the other's name, their own, and what they are.
fn children(
    spec: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Vec<(&'static str, &'static str, Value)>> {
    prop::collection::vec((name(), name(), spec), 0..20)
}

/// The specification of a resource of this kind.
pub(super) fn spec(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Mesh => mesh().boxed(),
        Kind::VirtualNode => virtual_node().boxed(),
        Kind::VirtualRouter => virtual_router().boxed(),
        Kind::Route => route().boxed(),
        Kind::VirtualService => virtual_service().boxed(),
        Kind::VirtualGateway => virtual_gateway().boxed(),
        Kind::GatewayRoute => gateway_route().boxed(),
    }
}

prop_compose! {
    pub(crate) fn definitions()(
        mesh in mesh(), nodes in each(virtual_node()), routers in each(virtual_router()), routes in children(route()),
        services in each(virtual_service()), gateways in each(virtual_gateway()),
        gateway_routes in children(gateway_route()),
    ) -> Definitions {
        let mut definitions = Definitions::of_mesh(mesh);
        let of_mesh = [
            (Kind::VirtualNode, nodes), (Kind::VirtualRouter, routers), (Kind::VirtualService, services),
            (Kind::VirtualGateway, gateways),
        ];
        for (kind, specs) in of_mesh {
            for (name, spec) in NAMES.into_iter().zip(specs) {
                definitions = add_if_valid(definitions, ResourceId::from_parts(kind, MESH, None, name), spec);
            }
        }
        for (kind, children) in [(Kind::Route, routes), (Kind::GatewayRoute, gateway_routes)] {
            for (parent, name, spec) in children {
                let id = ResourceId::from_parts(kind, MESH, Some(parent), name);
                definitions = add_if_valid(definitions, id, spec);
            }
        }
        definitions
    }
}

fn add_if_valid(definitions: Definitions, id: Option<ResourceId>, spec: Value) -> Definitions {
    match id {
        Some(id) if Spec::parse(id.kind(), &spec).is_ok() => definitions.add(id, spec),
        _ => definitions,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_comes_out_hangs_together(definitions in definitions()) {
        let transformed = definitions.transform();
        prop_assert_eq!(&transformed, &definitions.transform());
        let count = definitions.collect().fragment_keys().count();
        prop_assert_eq!(transformed.fragments.len() + transformed.problems.len(), count);
        for (key, fragment) in &transformed.fragments {
            prop_assert_eq!(&Fragment::decode(fragment.encode().into()).unwrap(), fragment);
            if key.kind != FragmentKind::VirtualService {
                check_references(&composed(&transformed, key));
            }
        }
    }
}
