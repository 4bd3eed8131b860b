//! Every kind of limit, and that all errors of a document are reported.

use expect_test::expect;
use serde_json::{Value, json};

use super::check;
use crate::model::shape::{Int, List, Path, Text, parse};
use crate::model::{Kind, Spec};

fn node(listener: &Value) -> Value {
    json!({"listeners": [listener]})
}

fn route_to(targets: &Value) -> Value {
    json!({"tcpRoute": {"action": {"weightedTargets": targets}}})
}

#[test]
fn integers_have_a_range() {
    for (port, expected) in [
        (json!(1), expect!["valid"]),
        (json!(65535), expect!["valid"]),
        (json!(0), expect!["spec.listeners[0].portMapping.port: 0 is not in 1..=65535"]),
        (json!(70000), expect!["spec.listeners[0].portMapping.port: 70000 is not in 1..=65535"]),
        (json!(-1), expect!["spec.listeners[0].portMapping.port: -1 is not in 1..=65535"]),
        (
            json!(18_446_744_073_709_551_615_u64),
            expect!["spec.listeners[0].portMapping.port: 18446744073709551615 is not in 1..=65535"],
        ),
        (
            json!(80.5),
            expect![
                "spec.listeners[0].portMapping.port: 80.5 is a number with a fraction; an integer is expected"
            ],
        ),
        (
            json!(99_999_999_999_999_999_999_999_f64),
            expect![
                "spec.listeners[0].portMapping.port: 1e+23 is too large a number; an integer is expected"
            ],
        ),
        (
            json!(120.0),
            expect![
                "spec.listeners[0].portMapping.port: 120.0 is a number with a fraction, or with zeros before it; an integer is expected"
            ],
        ),
        (
            json!("80"),
            expect![[r#"spec.listeners[0].portMapping.port: "80" is a string; an integer is expected"#]],
        ),
        (
            json!(true),
            expect!["spec.listeners[0].portMapping.port: true is a boolean; an integer is expected"],
        ),
        (json!([80]), expect!["spec.listeners[0].portMapping.port: is a list; an integer is expected"]),
        (json!({}), expect!["spec.listeners[0].portMapping.port: is an object; an integer is expected"]),
        (json!(null), expect!["spec.listeners[0].portMapping.port: is required"]),
    ] {
        check(Kind::VirtualNode, node(&json!({"portMapping": {"port": port, "protocol": "http"}})), expected);
    }
}

#[test]
fn integers_have_at_least_a_lower_limit() {
    let pool = json!({"http": {"maxConnections": 0, "maxPendingRequests": 2_147_483_648_u32}});
    check(
        Kind::VirtualNode,
        node(&json!({"connectionPool": pool, "portMapping": {"port": 80, "protocol": "http"}})),
        expect![[r#"
            spec.listeners[0].connectionPool.http.maxConnections: 0 is not in 1..=2147483647
            spec.listeners[0].connectionPool.http.maxPendingRequests: 2147483648 is not in 1..=2147483647"#]],
    );
}

#[test]
fn texts_have_a_length_in_characters() {
    for (name, expected) in [
        ("é".repeat(255), expect!["valid"]),
        (
            "é".repeat(256),
            expect!["spec.provider.virtualNode.virtualNodeName: has 256 characters; 1 to 255 are allowed"],
        ),
        (
            String::new(),
            expect!["spec.provider.virtualNode.virtualNodeName: has 0 characters; 1 to 255 are allowed"],
        ),
    ] {
        check(
            Kind::VirtualService,
            json!({"provider": {"virtualNode": {"virtualNodeName": name}}}),
            expected,
        );
    }
}

#[test]
fn lists_have_a_length_and_their_items_are_checked() {
    let target = |index: usize| json!({"virtualNode": format!("n{index}"), "weight": 1});
    check(Kind::Route, route_to(&json!((0..10).map(target).collect::<Vec<_>>())), expect!["valid"]);
    check(
        Kind::Route,
        route_to(&json!((0..11).map(target).collect::<Vec<_>>())),
        expect!["spec.tcpRoute.action.weightedTargets: has 11 items; 1 to 10 are allowed"],
    );
    check(
        Kind::Route,
        route_to(&json!([])),
        expect!["spec.tcpRoute.action.weightedTargets: has 0 items; 1 to 10 are allowed"],
    );
    check(
        Kind::Route,
        route_to(&json!({})),
        expect!["spec.tcpRoute.action.weightedTargets: is an object; a list is expected"],
    );
    check(
        Kind::Route,
        route_to(&json!([null, {"virtualNode": "n", "weight": 101}, 3])),
        expect![[r#"
            spec.tcpRoute.action.weightedTargets[0]: is null; an object is expected
            spec.tcpRoute.action.weightedTargets[1].weight: 101 is not in 0..=100
            spec.tcpRoute.action.weightedTargets[2]: 3 is a number; an object is expected"#]],
    );
}

#[test]
fn enums_take_their_strings_only() {
    for (given, expected) in [
        (json!("ALLOW_ALL"), expect!["valid"]),
        (json!("ALLOW"), expect![[r#"spec.egressFilter.type: "ALLOW" is not one of ALLOW_ALL, DROP_ALL"#]]),
        (
            json!("allow_all"),
            expect![[r#"spec.egressFilter.type: "allow_all" is not one of ALLOW_ALL, DROP_ALL"#]],
        ),
        (json!(1), expect!["spec.egressFilter.type: 1 is a number; a string is expected"]),
    ] {
        check(Kind::Mesh, json!({"egressFilter": {"type": given}}), expected);
    }
}

#[test]
fn unions_take_exactly_one_member() {
    let (to_node, to_router) = (json!({"virtualNodeName": "n"}), json!({"virtualRouterName": "r"}));
    for (provider, expected) in [
        (json!({"virtualNode": to_node}), expect!["valid"]),
        (json!({"virtualNode": to_node, "virtualRouter": null}), expect!["valid"]),
        (
            json!({"virtualNode": to_node, "virtualRouter": to_router}),
            expect![
                "spec.provider: has 2 members (virtualNode, virtualRouter); give exactly one of virtualNode, virtualRouter"
            ],
        ),
        (json!({}), expect!["spec.provider: has no member; give exactly one of virtualNode, virtualRouter"]),
        (
            json!({"virtualNode": null}),
            expect!["spec.provider: has no member; give exactly one of virtualNode, virtualRouter"],
        ),
        (
            json!({"virtualnode": to_node}),
            expect![
                "spec.provider.virtualnode: is not a field here; known fields are virtualNode, virtualRouter"
            ],
        ),
        (
            json!({"virtualNode": to_node, "other": 1}),
            expect!["spec.provider.other: is not a field here; known fields are virtualNode, virtualRouter"],
        ),
        (
            json!("virtualNode"),
            expect![[r#"spec.provider: "virtualNode" is a string; an object is expected"#]],
        ),
    ] {
        check(Kind::VirtualService, json!({"provider": provider}), expected);
    }
}

#[test]
fn fields_are_required_or_absent_and_others_unknown() {
    check(Kind::Mesh, json!({}), expect!["valid"]);
    check(Kind::Mesh, json!({"egressFilter": null}), expect!["valid"]);
    check(
        Kind::Mesh,
        json!({"foo": 1}),
        expect!["spec.foo: is not a field here; known fields are egressFilter, serviceDiscovery"],
    );
    check(Kind::Mesh, json!({"egressFilter": {}}), expect!["spec.egressFilter.type: is required"]);
    check(Kind::Mesh, json!(null), expect!["spec: is null; an object is expected"]);
    check(Kind::Mesh, json!([]), expect!["spec: is a list; an object is expected"]);
    check(Kind::VirtualGateway, json!({}), expect!["spec.listeners: is required"]);
    check(
        Kind::VirtualNode,
        node(&json!({"tcp": 1})),
        expect![[r#"
        spec.listeners[0].portMapping: is required
        spec.listeners[0].tcp: is not a field here; known fields are connectionPool, healthCheck, outlierDetection, portMapping, timeout, tls"#]],
    );
}

#[test]
fn booleans_are_booleans() {
    let tls = json!({"enforce": "yes", "validation": {"trust": {"file": {"certificateChain": "/ca.pem"}}}});
    check(
        Kind::VirtualNode,
        json!({"backendDefaults": {"clientPolicy": {"tls": tls}}}),
        expect![[
            r#"spec.backendDefaults.clientPolicy.tls.enforce: "yes" is a string; true or false is expected"#
        ]],
    );
}

#[test]
fn every_error_of_a_document_is_reported() {
    let listeners = json!([
        {"portMapping": {"port": 0, "protocol": "udp"}, "healthCheck": {"protocol": "http", "intervalMillis": 1}},
        {"portMapping": {"port": 80}, "timeout": {"http": {"idle": {"unit": "h", "value": -1}}}},
        7,
    ]);
    check(
        Kind::VirtualNode,
        json!({"listeners": listeners, "backends": [{}], "serviceDiscovery": {"dns": {}}, "color": "red"}),
        expect![[r#"
            spec.backends[0]: has no member; give exactly one of virtualService
            spec.listeners[0].healthCheck.healthyThreshold: is required
            spec.listeners[0].healthCheck.intervalMillis: 1 is not in 5000..=300000
            spec.listeners[0].healthCheck.timeoutMillis: is required
            spec.listeners[0].healthCheck.unhealthyThreshold: is required
            spec.listeners[0].portMapping.port: 0 is not in 1..=65535
            spec.listeners[0].portMapping.protocol: "udp" is not one of http, tcp, http2, grpc
            spec.listeners[1].portMapping.protocol: is required
            spec.listeners[1].timeout.http.idle.unit: "h" is not one of s, ms
            spec.listeners[1].timeout.http.idle.value: -1 is not in 0..=3155760000
            spec.listeners[2]: 7 is a number; an object is expected
            spec.serviceDiscovery.dns.hostname: is required
            spec.color: is not a field here; known fields are backendDefaults, backends, listeners, logging, serviceDiscovery"#]],
    );
}

#[test]
fn what_the_user_wrote_is_shown_in_short_and_escaped() {
    let long = "x".repeat(1000);
    check(
        Kind::Mesh,
        json!({"egressFilter": {"type": long}}),
        expect![[
            r#"spec.egressFilter.type: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..." is not one of ALLOW_ALL, DROP_ALL"#
        ]],
    );
    check(
        Kind::Mesh,
        json!({"a\nb": 1, long.clone(): 1}),
        expect![[r#"
        spec.a\nb: is not a field here; known fields are egressFilter, serviceDiscovery
        spec.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: is not a field here; known fields are egressFilter, serviceDiscovery"#]],
    );
    check(
        Kind::Mesh,
        json!({"egressFilter": "\u{1b}[31m\"red\""}),
        expect![[r#"spec.egressFilter: "\u{1b}[31m\"red\"" is a string; an object is expected"#]],
    );
}

#[test]
fn the_number_of_errors_is_bounded() {
    let backends = vec![json!(1); 250];
    let errors = Spec::parse(Kind::VirtualNode, &json!({"backends": backends})).unwrap_err();
    assert_eq!(errors.len(), 101);
    assert_eq!(errors[100].to_string(), "document: has 150 more errors");
}

#[test]
fn types_with_limits_refuse_what_is_outside_them() {
    assert!(serde_json::from_value::<Int<1, 5>>(json!(6)).is_err());
    assert!(serde_json::from_value::<Text<1, 2>>(json!("abc")).is_err());
    assert!(serde_json::from_value::<List<i64, 1, 2>>(json!([])).is_err());
    assert_eq!(Int::<1, 5>::try_from(5).unwrap().get(), 5);
    assert_eq!(&*Text::<1, 2>::try_from("ab".to_owned()).unwrap(), "ab");
    assert_eq!(&*List::<i64, 1, 2>::try_from(vec![3]).unwrap(), [3]);
    let negative = parse::<Int<-5, 5>>(&json!(-5), &Path::root("n")).unwrap();
    assert_eq!((negative.get(), negative.to_u32()), (-5, 0));
}
