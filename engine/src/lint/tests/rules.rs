//! Every rule, with what it finds and what it must not find.

use expect_test::expect;
use serde_json::json;

use super::{backends, check, listener, of, to, to_server, to_service, way, well};
use crate::model::ResourceId;
use crate::transformer::definitions::MeshDefinitions;
use crate::transformer::tests::fixture::{Definitions, MESH, examples};

#[test]
fn nothing_is_found_where_everything_is_well() {
    check(well(), expect![""]);
    check(Definitions::new(), expect![""]);
}

#[test]
fn backend_missing() {
    check(
        well().virtual_node("client", backends(&["service", "later", "service.other"])),
        expect![[r#"
            backend-missing virtualNode/client spec.backends[1].virtualService.virtualServiceName
            backend-missing virtualNode/client spec.backends[2].virtualService.virtualServiceName"#]],
    );
}

#[test]
fn service_without_provider() {
    check(
        well().virtual_service("service", json!({})),
        expect!["service-without-provider virtualService/service spec.provider"],
    );
}

#[test]
fn provider_without_listeners() {
    check(
        well().virtual_node("mute", json!({})).provided_by_node("other", "mute"),
        expect!["provider-without-listeners virtualService/other spec.provider.virtualNode.virtualNodeName"],
    );
    check(well().provided_by_node("other", "server"), expect![""]);
}

#[test]
fn provider_without_routes() {
    // a router that nobody uses does no harm
    check(well().virtual_router("new", &[(80, "http")]), expect![""]);
    check(
        well().virtual_router("new", &[(80, "http")]).provided_by_router("other", "new"),
        expect!["provider-without-routes virtualService/other spec.provider.virtualRouter.virtualRouterName"],
    );
    check(
        well().virtual_router("new", &[]).provided_by_router("other", "new"),
        expect!["provider-without-routes virtualService/other spec.provider.virtualRouter.virtualRouterName"],
    );
    // one of two ports has none
    check(
        well().virtual_router("router", &[(80, "http"), (90, "tcp")]),
        expect![
            "provider-without-routes virtualService/service spec.provider.virtualRouter.virtualRouterName"
        ],
    );
    check(
        well().virtual_router("router", &[(80, "http"), (90, "tcp")]).route(
            "router",
            "bytes",
            of("tcpRoute", &json!({}), &to_server()),
        ),
        expect![""],
    );
    // a router without listeners has those of its targets
    check(well().virtual_router("router", &[]), expect![""]);
}

#[test]
fn no_service_discovery() {
    let unknown = json!({"listeners": [listener(8080, "http")]});
    // nothing leads there
    check(well().virtual_node("lonely", unknown.clone()), expect![""]);
    check(
        well().virtual_node("server", unknown.clone()),
        expect!["no-service-discovery virtualNode/server spec.serviceDiscovery"],
    );
    check(
        well().virtual_node("other", unknown).provided_by_node("other", "other"),
        expect!["no-service-discovery virtualNode/other spec.serviceDiscovery"],
    );
}

#[test]
fn protocol_mismatch() {
    for kind in ["http2Route", "grpcRoute", "tcpRoute"] {
        let condition = if kind == "http2Route" { json!({"prefix": "/"}) } else { json!({}) };
        let expected = format!("protocol-mismatch route spec.{kind}");
        let found = super::found(&well().route("router", "other", of(kind, &condition, &to_server())));
        assert_eq!(found.replace("virtualRouter/router/route/other", "route"), expected);
    }
    // it is for a port that is for something else
    check(
        well().route("router", "other", of("tcpRoute", &json!({"port": 80}), &to_server())),
        expect!["protocol-mismatch virtualRouter/router/route/other spec.tcpRoute"],
    );
    // of two protocols one is its own
    check(
        well().virtual_router("router", &[(80, "http"), (81, "http2")]).route(
            "router",
            "other",
            of("http2Route", &json!({"prefix": "/"}), &to_server()),
        ),
        expect![""],
    );
    check(
        well().gateway_route(
            "gateway",
            "calls",
            json!({"grpcRoute": {"match": {}, "action": {"target": to_service("service")}}}),
        ),
        expect!["protocol-mismatch virtualGateway/gateway/gatewayRoute/calls spec.grpcRoute"],
    );
}

#[test]
fn port_not_listened() {
    check(
        well().route("router", "other", of("httpRoute", &json!({"prefix": "/x", "port": 81}), &to_server())),
        expect!["port-not-listened virtualRouter/router/route/other spec.httpRoute.match.port"],
    );
    check(
        well().route("router", "other", of("httpRoute", &json!({"prefix": "/x", "port": 80}), &to_server())),
        expect![""],
    );
    // a router without listeners listens where its routes say
    check(
        well().virtual_router("router", &[]).route(
            "router",
            "other",
            of("httpRoute", &json!({"prefix": "/x", "port": 81}), &to_server()),
        ),
        expect![""],
    );
    check(
        well().gateway_route(
            "gateway",
            "other",
            way(&json!({"prefix": "/x", "port": 81}), &to_service("service")),
        ),
        expect!["port-not-listened virtualGateway/gateway/gatewayRoute/other spec.httpRoute.match.port"],
    );
}

#[test]
fn target_without_listeners() {
    let target = json!({"virtualNode": "mute", "weight": 0});
    let mute = well().virtual_node("mute", json!({}));
    check(
        mute.clone().route("router", "route", to(&[to_server()[0].clone(), target.clone()])),
        expect![
            "target-without-listeners virtualRouter/router/route/route spec.httpRoute.action.weightedTargets[1].virtualNode"
        ],
    );
    check(
        mute.clone().virtual_router("router", &[]).route(
            "router",
            "other",
            to(std::slice::from_ref(&target)),
        ),
        expect![[r#"
            weights-all-zero virtualRouter/router/route/other spec.httpRoute.action.weightedTargets
            target-without-listeners virtualRouter/router/route/other spec.httpRoute.action.weightedTargets[0].virtualNode
            unreachable-route virtualRouter/router/route/route spec.httpRoute.match"#]],
    );
    check(mute, expect![""]);
}

#[test]
fn target_port_not_listened() {
    let to_port = |port: u16| json!({"virtualNode": "server", "port": port, "weight": 1});
    check(
        well().route("router", "route", to(&[to_port(8081)])),
        expect![
            "target-port-not-listened virtualRouter/router/route/route spec.httpRoute.action.weightedTargets[0].port"
        ],
    );
    check(well().route("router", "route", to(&[to_port(8080)])), expect![""]);
    let to_service_port =
        |port: u16| json!({"virtualService": {"virtualServiceName": "service"}, "port": port});
    check(
        well().gateway_route("gateway", "way", way(&json!({"prefix": "/"}), &to_service_port(8080))),
        expect![
            "target-port-not-listened virtualGateway/gateway/gatewayRoute/way spec.httpRoute.action.target.port"
        ],
    );
    check(
        well().gateway_route("gateway", "way", way(&json!({"prefix": "/"}), &to_service_port(80))),
        expect![""],
    );
}

#[test]
fn target_port_ambiguous() {
    check(
        well().listening_node("server", &[(8080, "http"), (8081, "http")]),
        expect![
            "target-port-ambiguous virtualRouter/router/route/route spec.httpRoute.action.weightedTargets[0].virtualNode"
        ],
    );
    // the one at the same port, and the only one for the protocol
    check(well().listening_node("server", &[(80, "http"), (8081, "http")]), expect![""]);
    check(well().listening_node("server", &[(8080, "http"), (8081, "tcp")]), expect![""]);
}

#[test]
fn target_protocol_mismatch() {
    let calls = |spoken: &str| {
        well()
            .listening_node("caller", &[(9090, spoken)])
            .virtual_router("calls", &[(80, "grpc")])
            .route(
                "calls",
                "call",
                of("grpcRoute", &json!({}), &[json!({"virtualNode": "caller", "weight": 1})]),
            )
            .provided_by_router("calls", "calls")
    };
    for spoken in ["http", "tcp"] {
        let found = super::found(&calls(spoken));
        let expected = "target-protocol-mismatch virtualRouter/calls/route/call \
                        spec.grpcRoute.action.weightedTargets[0].virtualNode";
        assert_eq!(found, expected);
    }
    for spoken in ["grpc", "http2"] {
        check(calls(spoken), expect![""]);
    }
    // a gateway passes on no connections
    let bytes = well().listening_node("bytes", &[(9000, "tcp"), (9001, "http")]);
    let only_bytes = well().listening_node("bytes", &[(9000, "tcp")]).provided_by_node("bytes", "bytes");
    check(
        only_bytes.gateway_route("gateway", "way", way(&json!({"prefix": "/"}), &to_service("bytes"))),
        expect![
            "target-protocol-mismatch virtualGateway/gateway/gatewayRoute/way spec.httpRoute.action.target.virtualService.virtualServiceName"
        ],
    );
    let to_port = |port: u16| json!({"virtualService": {"virtualServiceName": "bytes"}, "port": port});
    let both = bytes.provided_by_node("bytes", "bytes");
    check(
        both.clone().gateway_route("gateway", "way", way(&json!({"prefix": "/"}), &to_port(9000))),
        expect![
            "target-protocol-mismatch virtualGateway/gateway/gatewayRoute/way spec.httpRoute.action.target.port"
        ],
    );
    check(both.gateway_route("gateway", "way", way(&json!({"prefix": "/"}), &to_port(9001))), expect![""]);
}

#[test]
fn weights_all_zero() {
    let zero = |node: &str| json!({"virtualNode": node, "weight": 0});
    check(
        well().route("router", "route", to(&[zero("server")])),
        expect!["weights-all-zero virtualRouter/router/route/route spec.httpRoute.action.weightedTargets"],
    );
    let two = well().listening_node("other", &[(8080, "http")]);
    check(two.route("router", "route", to(&[to_server()[0].clone(), zero("other")])), expect![""]);
}

#[test]
fn gateway_listener_without_routes() {
    check(
        well().virtual_gateway("gateway", json!({"listeners": [listener(80, "http"), listener(81, "grpc")]})),
        expect!["gateway-listener-without-routes virtualGateway/gateway spec.listeners[1]"],
    );
    check(
        well().virtual_gateway("new", json!({"listeners": [listener(80, "http")]})),
        expect!["gateway-listener-without-routes virtualGateway/new spec.listeners[0]"],
    );
}

#[test]
fn tcp_backends_share_port() {
    let two = |first: (u16, &str), second: (u16, &str)| {
        Definitions::new()
            .listening_node("a", &[first])
            .listening_node("b", &[second])
            .provided_by_node("a", "a")
            .provided_by_node("b", "b")
            .virtual_node("client", backends(&["b", "a"]))
    };
    check(
        two((5432, "tcp"), (5432, "tcp")),
        expect![
            "tcp-backends-share-port virtualNode/client spec.backends[0].virtualService.virtualServiceName"
        ],
    );
    check(
        two((80, "tcp"), (80, "http")),
        expect![
            "tcp-backends-share-port virtualNode/client spec.backends[1].virtualService.virtualServiceName"
        ],
    );
    check(two((5432, "tcp"), (5433, "tcp")), expect![""]);
    check(two((80, "http"), (80, "grpc")), expect![""]);
}

#[test]
fn backends_share_host() {
    let shops = Definitions::new()
        .listening_node("node", &[(80, "http")])
        .provided_by_node("shop.local", "node")
        .provided_by_node("Shop.local", "node")
        .virtual_node("client", backends(&["Shop.local", "shop.local"]));
    check(
        shops.clone(),
        expect!["backends-share-host virtualNode/client spec.backends[1].virtualService.virtualServiceName"],
    );
    check(
        shops
            .virtual_node("client", json!({}))
            .virtual_gateway("gateway", json!({"listeners": [listener(80, "http")]}))
            .gateway_route("gateway", "x", way(&json!({"prefix": "/x"}), &to_service("shop.local")))
            .gateway_route("gateway", "y", way(&json!({"prefix": "/y"}), &to_service("Shop.local"))),
        expect![
            "backends-share-host virtualGateway/gateway/gatewayRoute/x spec.httpRoute.action.target.virtualService.virtualServiceName"
        ],
    );
}

#[test]
fn reference_missing() {
    check(
        well()
            .without(&ResourceId::virtual_node(MESH, "server"))
            .without(&ResourceId::virtual_gateway(MESH, "gateway")),
        expect![[r#"
            reference-missing virtualRouter/router/route/route spec.httpRoute.action.weightedTargets[0].virtualNode
            reference-missing virtualGateway/gateway/gatewayRoute/way virtualGatewayName"#]],
    );
    check(
        well().without(&ResourceId::virtual_router(MESH, "router")),
        expect![[r#"
            reference-missing virtualService/service spec.provider.virtualRouter.virtualRouterName
            reference-missing virtualRouter/router/route/route virtualRouterName"#]],
    );
    check(
        well().without(&ResourceId::virtual_service(MESH, "service")),
        expect![[r#"
            backend-missing virtualNode/client spec.backends[0].virtualService.virtualServiceName
            reference-missing virtualGateway/gateway/gatewayRoute/way spec.httpRoute.action.target.virtualService.virtualServiceName"#]],
    );
    check(
        Definitions::new().provided_by_node("service", "gone"),
        expect!["reference-missing virtualService/service spec.provider.virtualNode.virtualNodeName"],
    );
}

#[test]
fn a_finding_says_what_happens_and_what_to_do() {
    let target = json!({"virtualNode": "server", "port": 8081, "weight": 1});
    let definitions = well().route("router", "route", to(&[target]));
    let findings = super::lint(&definitions.collect());
    expect![[r#"
        target-port-not-listened: route "route" of virtual router "router" in mesh "m": spec.httpRoute.action.weightedTargets[0].port: virtual node "server" in mesh "m" does not listen at port 8081, so that the virtual services of this router keep the routes that they had, whatever else changes; change the port, or add a listener to the node"#]]
    .assert_eq(&findings[0].to_string());
    assert_eq!(
        findings[0].to_json()["about"],
        json!(["mesh/m/virtualNode/server", "mesh/m/virtualRouter/router"])
    );
}

#[test]
fn the_examples_lead_somewhere() {
    let meshes = MeshDefinitions::collect(examples());
    assert!(meshes.len() > 2);
    let found: Vec<String> =
        meshes.values().flat_map(super::lint).map(|finding| finding.to_string()).collect();
    expect![[r#"
        backend-missing: virtual node "consumer" in mesh "everything": spec.backends[7].virtualService.virtualServiceName: virtual service "later.everything.local" in mesh "everything" does not exist, so that requests for it are refused, or leave the mesh if it lets all out; create it, or remove the backend
        service-without-provider: virtual service "empty.everything.local" in mesh "everything": spec.provider: it has no provider, so that every request for it fails; give it one"#]].assert_eq(&found.join("\n"));
}
