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
        ("http2", Some("ping"), path_error(r#""ping" does not start with /"#)),
        ("grpc", None, "valid".to_owned()),
        ("grpc", Some("/ignored"), "valid".to_owned()),
    ] {
        let listener = json!({"portMapping": port(80, "http2"), "healthCheck": health_check(protocol, path)});
        let spec = json!({"listeners": [listener]});
        assert_eq!(reported(Kind::VirtualNode, &spec), expected);
        assert_eq!(reported(Kind::VirtualGateway, &spec), expected);
    }
}

#[test]
fn health_checks_by_grpc_need_http2() {
    let listener =
        |speaks| json!({"portMapping": port(80, speaks), "healthCheck": health_check("grpc", None)});
    for speaks in ["http", "tcp"] {
        assert_eq!(
            reported(Kind::VirtualNode, &json!({"listeners": [listener(speaks)]})),
            format!(
                "spec.listeners[0].healthCheck.protocol: grpc needs a listener for http2 or grpc, and this one speaks {speaks}"
            )
        );
    }
    for speaks in ["http2", "grpc"] {
        check(Kind::VirtualNode, json!({"listeners": [listener(speaks)]}), expect!["valid"]);
    }
}

#[test]
fn commands_in_access_logs_are_envoys() {
    let reported = |text: &str| {
        let logging = json!({"accessLog": {"file": {"path": "/dev/stdout", "format": {"text": text}}}});
        let reported = reported(Kind::VirtualNode, &json!({"logging": logging}));
        reported.replace("spec.logging.accessLog.file.format.text: ", "")
    };
    for text in [
        "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)% %START_TIME%%RESPONSE_CODE_DETAILS%",
        "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH):10% %RESP(A)% %TRAILER(B):1%",
        "%PROTOCOL()% %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST% %DOWNSTREAM_REMOTE_ADDRESS%",
        "%DYNAMIC_METADATA(a:b)% %METADATA(ROUTE:a:b)% %FILTER_STATE(a:PLAIN):5% %UPSTREAM_METADATA(a)%",
        "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ms)% %GRPC_STATUS(NUMBER)% %PATH(WQ):9% %ENVIRONMENT(HOME)%",
    ] {
        assert_eq!(reported(text), "valid", "{text}");
    }
    for (text, expected) in [
        ("%BOGUS%", "is not a command of Envoy's"),
        ("%REQ()%", "needs the name of a header in parentheses"),
        ("%REQ(a b)%", "needs the name of a header in parentheses"),
        ("%REQ(a?b?c)%", "needs the name of a header in parentheses"),
        ("%TRAILER%", "needs the name of a header in parentheses"),
        ("%DYNAMIC_METADATA()%", "needs a namespace in parentheses"),
        ("%METADATA(X:a)%", "needs a kind of metadata, a namespace and keys in parentheses"),
        ("%FILTER_STATE(a:b)%", "needs a key in parentheses, and perhaps :PLAIN or :TYPED"),
        ("%COMMON_DURATION(a:b)%", "needs two points in time and ms, us or ns in parentheses"),
        ("%RESPONSE_CODE(1)%", "takes nothing in parentheses"),
        ("%PROTOCOL:3%", "takes no length"),
        ("%REQ(A):%", "has a length that is not a number"),
        ("%GRPC_STATUS(X)%", "takes CAMEL_STRING, SNAKE_STRING or NUMBER in parentheses"),
    ] {
        assert_eq!(reported(text), format!("\"{text}\" {expected}"));
    }
}

#[test]
fn times_are_what_envoy_counts_with() {
    let detection = |seconds: u64| {
        let time = json!({"unit": "s", "value": seconds});
        json!({"baseEjectionDuration": time, "interval": time, "maxEjectionPercent": 50, "maxServerErrors": 5})
    };
    let listener = |seconds| json!({"portMapping": port(80, "http"), "outlierDetection": detection(seconds)});
    let node = |seconds| json!({"listeners": [listener(seconds)]});
    check(Kind::VirtualNode, node(3_155_760_000), expect!["valid"]);
    check(
        Kind::VirtualNode,
        node(315_576_000_000),
        expect![[r#"
            spec.listeners[0].outlierDetection.baseEjectionDuration.value: 315576000000 is not in 0..=3155760000
            spec.listeners[0].outlierDetection.interval.value: 315576000000 is not in 0..=3155760000"#]],
    );
}

#[test]
fn names_of_query_parameters_are_within_envoys_limit() {
    let route = |name: String| {
        let condition = json!({"prefix": "/", "queryParameters": [{"name": name}]});
        let action = json!({"weightedTargets": [{"virtualNode": "n", "weight": 1}]});
        json!({"httpRoute": {"match": condition, "action": action}})
    };
    check(Kind::Route, route("a".repeat(1024)), expect!["valid"]);
    check(
        Kind::Route,
        route("é".repeat(513)),
        expect!["spec.httpRoute.match.queryParameters[0].name: has 1026 bytes; at most 1024 are allowed"],
    );
}

#[test]
fn health_checks_are_at_the_listeners_port() {
    for (number, expected) in [
        (80, expect!["valid"]),
        (81, expect!["spec.listeners[0].healthCheck.port: 81 is not the listener's port, 80"]),
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
    check(Kind::VirtualNode, json!({"backends": [backend("a"), backend("b")]}), expect!["valid"]);
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
        ("", expect![[r#"spec.serviceDiscovery.dns.hostname: "" is not a host name"#]]),
        (".", expect![[r#"spec.serviceDiscovery.dns.hostname: "." is not a host name"#]]),
        ("a..local", expect![[r#"spec.serviceDiscovery.dns.hostname: "a..local" is not a host name"#]]),
        ("a b", expect![[r#"spec.serviceDiscovery.dns.hostname: "a b" is not a host name"#]]),
        ("http://a", expect![[r#"spec.serviceDiscovery.dns.hostname: "http://a" is not a host name"#]]),
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
        check(Kind::VirtualNode, json!({"serviceDiscovery": {"dns": {"hostname": hostname}}}), expected);
    }
}

#[test]
fn access_logs_have_formats_that_envoy_reads() {
    for (format, expected) in [
        (json!({"text": "%START_TIME(%Y)% %REQ(X-ID?:PATH):10% 100%% %PROTOCOL%\n"}), expect!["valid"]),
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
