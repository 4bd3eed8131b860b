//! The rules on virtual nodes, routers and gateways.

use expect_test::expect;
use serde_json::{Value, json};

use super::{check, reported};
use crate::model::Kind;

fn port(port: u16, protocol: &str) -> Value {
    json!({"port": port, "protocol": protocol})
}

fn health_check(protocol: &str, path: Option<&str>) -> Value {
    json!({
        "healthyThreshold": 2, "intervalMillis": 5000, "path": path, "protocol": protocol, "timeoutMillis": 2000,
        "unhealthyThreshold": 2,
    })
}

#[test]
fn listeners_have_ports_of_their_own() {
    let twice = json!({"listeners": [{"portMapping": port(80, "http")}, {"portMapping": port(80, "grpc")}]});
    for kind in [Kind::VirtualNode, Kind::VirtualRouter, Kind::VirtualGateway] {
        let expected = "spec.listeners[1].portMapping.port: repeats spec.listeners[0].portMapping.port";
        assert_eq!(reported(kind, &twice), expected);
    }
    let two = json!({"listeners": [{"portMapping": port(80, "http")}, {"portMapping": port(81, "http")}]});
    check(Kind::VirtualRouter, two, expect!["valid"]);
}

#[test]
fn a_gateway_has_a_listener() {
    check(
        Kind::VirtualGateway,
        json!({"listeners": []}),
        expect!["spec.listeners: has no items; give at least one"],
    );
}

#[test]
fn pools_and_timeouts_are_of_the_listeners_protocol() {
    for (protocol, expected) in [
        ("http2", expect!["valid"]),
        (
            "http",
            expect![[r#"
        spec.listeners[0].connectionPool: is for http2, and the listener speaks http
        spec.listeners[0].timeout: is for http2, and the listener speaks http"#]],
        ),
    ] {
        let listener = json!({
            "portMapping": port(80, protocol), "connectionPool": {"http2": {"maxRequests": 1}},
            "timeout": {"http2": {}},
        });
        check(Kind::VirtualNode, json!({"listeners": [listener]}), expected);
    }
    let listener = json!({"portMapping": port(80, "http"), "connectionPool": {"grpc": {"maxRequests": 1}}});
    check(
        Kind::VirtualGateway,
        json!({"listeners": [listener]}),
        expect!["spec.listeners[0].connectionPool: is for grpc, and the listener speaks http"],
    );
    let tcp = json!({
        "portMapping": port(80, "tcp"), "connectionPool": {"tcp": {"maxConnections": 1}}, "timeout": {"tcp": {}},
    });
    check(Kind::VirtualNode, json!({"listeners": [tcp]}), expect!["valid"]);
}

#[test]
fn health_checks_by_http_have_a_path() {
    let path_error = |problem| format!("spec.listeners[0].healthCheck.path: {problem}");
    for (protocol, path, expected) in [
        ("http", Some("/ping"), "valid".to_owned()),
        ("http2", Some("/ping"), "valid".to_owned()),
        ("http", None, path_error("is required with http")),
        (
            "http2",
            Some("ping"),
            path_error(r#""ping" does not start with /"#),
        ),
        ("grpc", None, "valid".to_owned()),
        ("grpc", Some("/ignored"), "valid".to_owned()),
    ] {
        let listener = json!({"portMapping": port(80, "http"), "healthCheck": health_check(protocol, path)});
        let spec = json!({"listeners": [listener]});
        assert_eq!(reported(Kind::VirtualNode, &spec), expected);
        assert_eq!(reported(Kind::VirtualGateway, &spec), expected);
    }
}

#[test]
fn health_checks_are_at_the_listeners_port() {
    for (number, expected) in [
        (80, expect!["valid"]),
        (
            81,
            expect!["spec.listeners[0].healthCheck.port: 81 is not the listener's port, 80"],
        ),
    ] {
        let mut policy = health_check("tcp", None);
        policy["port"] = json!(number);
        let listener = json!({"portMapping": port(80, "http"), "healthCheck": policy});
        check(Kind::VirtualNode, json!({"listeners": [listener]}), expected);
    }
}

#[test]
fn outlier_detection_takes_time() {
    let detection = json!({
        "baseEjectionDuration": {"unit": "s", "value": 0}, "interval": {}, "maxEjectionPercent": 50, "maxServerErrors": 5,
    });
    let listener = json!({"portMapping": port(80, "http"), "outlierDetection": detection});
    check(
        Kind::VirtualNode,
        json!({"listeners": [listener]}),
        expect![[r#"
        spec.listeners[0].outlierDetection.baseEjectionDuration: is zero
        spec.listeners[0].outlierDetection.interval: is zero"#]],
    );
}

#[test]
fn backends_are_distinct() {
    let backend = |name| json!({"virtualService": {"virtualServiceName": name}});
    check(
        Kind::VirtualNode,
        json!({"backends": [backend("a"), backend("b")]}),
        expect!["valid"],
    );
    let repeated = json!({"backends": [backend("a"), backend("b"), backend("a"), backend("")]});
    check(
        Kind::VirtualNode,
        repeated,
        expect![[r#"
        spec.backends[3].virtualService.virtualServiceName: is empty
        spec.backends[2].virtualService.virtualServiceName: repeats spec.backends[0].virtualService.virtualServiceName"#]],
    );
}

#[test]
fn dns_resolves_host_names() {
    let label = "a".repeat(64);
    let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
    for (hostname, expected) in [
        ("a.mesh.local", expect!["valid"]),
        ("a_b-c.mesh.local.", expect!["valid"]),
        ("127.0.0.1", expect!["valid"]),
        (
            "",
            expect![[r#"spec.serviceDiscovery.dns.hostname: "" is not a host name"#]],
        ),
        (
            ".",
            expect![[r#"spec.serviceDiscovery.dns.hostname: "." is not a host name"#]],
        ),
        (
            "a..local",
            expect![[r#"spec.serviceDiscovery.dns.hostname: "a..local" is not a host name"#]],
        ),
        (
            "a b",
            expect![[r#"spec.serviceDiscovery.dns.hostname: "a b" is not a host name"#]],
        ),
        (
            "http://a",
            expect![[r#"spec.serviceDiscovery.dns.hostname: "http://a" is not a host name"#]],
        ),
        (
            label.as_str(),
            expect![[
                r#"spec.serviceDiscovery.dns.hostname: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" is not a host name"#
            ]],
        ),
        (
            long.as_str(),
            expect![[
                r#"spec.serviceDiscovery.dns.hostname: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...." is not a host name"#
            ]],
        ),
    ] {
        check(
            Kind::VirtualNode,
            json!({"serviceDiscovery": {"dns": {"hostname": hostname}}}),
            expected,
        );
    }
}

#[test]
fn access_logs_have_formats_that_envoy_reads() {
    for (format, expected) in [
        (
            json!({"text": "%START_TIME(%Y)% %REQ(X-ID?:PATH):10% 100%% %PROTOCOL%\n"}),
            expect!["valid"],
        ),
        (
            json!({"text": "100% sure"}),
            expect![[r#"spec.logging.accessLog.file.format.text: "% sure" is not a command of Envoy's"#]],
        ),
        (
            json!({"text": "%PROTOCOL% and %REQ(X-ID%"}),
            expect![[r#"spec.logging.accessLog.file.format.text: "%REQ(X-ID%" is not a command of Envoy's"#]],
        ),
        (
            json!({"json": [{"key": "a", "value": "%PROTOCOL%"}, {"key": "b", "value": "x"}]}),
            expect!["valid"],
        ),
        (
            json!({"json": []}),
            expect!["spec.logging.accessLog.file.format.json: has no items; give at least one"],
        ),
        (
            json!({"json": [{"key": "a", "value": "%"}, {"key": "a", "value": "x"}]}),
            expect![[r#"
                spec.logging.accessLog.file.format.json[0].value: "%" is not a command of Envoy's
                spec.logging.accessLog.file.format.json[1].key: repeats spec.logging.accessLog.file.format.json[0].key"#]],
        ),
    ] {
        let logging = json!({"accessLog": {"file": {"path": "/dev/stdout", "format": format}}});
        check(Kind::VirtualNode, json!({"logging": logging}), expected);
    }
    let logging = json!({"accessLog": {"file": {"path": "/dev/\u{0}"}}});
    check(
        Kind::VirtualGateway,
        json!({"listeners": [{"portMapping": port(80, "http")}], "logging": logging}),
        expect![[r#"spec.logging.accessLog.file.path: "/dev/\0" has a control character"#]],
    );
}

#[test]
fn tls_and_cloud_map_are_not_supported_yet() {
    let file = json!({"file": {"certificateChain": "/cert.pem", "privateKey": "/key.pem"}});
    let listener_tls = json!({"certificate": file, "mode": "STRICT"});
    let client_tls = json!({"tls": {"validation": {"trust": {"sds": {"secretName": "s"}}}}});
    let attributes = json!([{"key": "a b", "value": " c"}, {"key": "stage", "value": "test 1"}]);
    let cloud_map = json!({"namespaceName": "n", "serviceName": "s", "attributes": attributes});
    check(
        Kind::VirtualNode,
        json!({
            "backendDefaults": {"clientPolicy": client_tls},
            "backends": [{"virtualService": {"virtualServiceName": "a", "clientPolicy": client_tls}}],
            "listeners": [
                {"portMapping": port(80, "http")},
                {"portMapping": port(81, "http"), "tls": listener_tls},
            ],
            "serviceDiscovery": {"awsCloudMap": cloud_map},
        }),
        expect![[r#"
            spec.serviceDiscovery.awsCloudMap.attributes[0].key: has a character that is not visible ASCII
            spec.serviceDiscovery.awsCloudMap.attributes[0].value: starts with a blank, or has a character that is not ASCII
            spec.backendDefaults.clientPolicy.tls: TLS is not supported yet
            spec.backends[0].virtualService.clientPolicy.tls: TLS is not supported yet
            spec.listeners[1].tls: TLS is not supported yet
            spec.serviceDiscovery.awsCloudMap: AWS Cloud Map is not supported yet"#]],
    );
    check(
        Kind::VirtualGateway,
        json!({
            "backendDefaults": {"clientPolicy": client_tls},
            "listeners": [{"portMapping": port(80, "http"), "tls": listener_tls}],
        }),
        expect![[r#"
            spec.backendDefaults.clientPolicy.tls: TLS is not supported yet
            spec.listeners[0].tls: TLS is not supported yet"#]],
    );
}
