//! Whole specifications: that everything in the model can be said, survives a round trip, and that whatever
//! the checks let pass can be decoded.

use serde_json::{Value, json};

use crate::model::shape::{Path, parse};
use crate::model::virtual_gateway::VirtualGatewaySpec;
use crate::model::virtual_node::VirtualNodeSpec;
use crate::model::{Kind, Spec};

fn policy(trust: &Value) -> Value {
    json!({"tls": {
        "certificate": {"sds": {"secretName": "client"}}, "enforce": false, "ports": [443, 8443],
        "validation": {"subjectAlternativeNames": {"match": {"exact": ["a.local", "b.local"]}}, "trust": trust},
    }})
}

fn health_check(protocol: &str) -> Value {
    json!({
        "healthyThreshold": 2, "intervalMillis": 5000, "path": "/ping", "port": 80, "protocol": protocol,
        "timeoutMillis": 2000, "unhealthyThreshold": 10,
    })
}

fn logging() -> Value {
    let format = json!({"json": [{"key": "protocol", "value": "%PROTOCOL%"}]});
    json!({"accessLog": {"file": {"format": format, "path": "/dev/stdout"}}})
}

fn tls(certificate: &Value) -> Value {
    json!({
        "certificate": certificate, "mode": "PERMISSIVE",
        "validation": {"subjectAlternativeNames": {"match": {"exact": ["c"]}}, "trust": {"file": {"certificateChain": "/ca"}}},
    })
}

/// Everything that a virtual node can have, what is not supported yet included.
fn virtual_node_with_everything() -> Value {
    let http_timeout =
        json!({"idle": {"unit": "s", "value": 300}, "perRequest": {"unit": "ms", "value": 1500}});
    json!({
        "backendDefaults": {"clientPolicy": policy(&json!({"acm": {"certificateAuthorityArns": ["arn:1"]}}))},
        "backends": [
            {"virtualService": {"clientPolicy": policy(&json!({"file": {"certificateChain": "/ca"}})), "virtualServiceName": "a"}},
            {"virtualService": {"virtualServiceName": "b"}},
        ],
        "listeners": [
            {
                "connectionPool": {"http": {"maxConnections": 1, "maxPendingRequests": 2_147_483_647}},
                "healthCheck": health_check("http"),
                "outlierDetection": {
                    "baseEjectionDuration": {"unit": "s", "value": 10}, "interval": {"unit": "ms", "value": 1},
                    "maxEjectionPercent": 100, "maxServerErrors": 5,
                },
                "portMapping": {"port": 80, "protocol": "http"},
                "timeout": {"http": http_timeout},
                "tls": tls(&json!({"acm": {"certificateArn": "arn:2"}})),
            },
            {
                "connectionPool": {"grpc": {"maxRequests": 7}}, "portMapping": {"port": 81, "protocol": "grpc"},
                "timeout": {"grpc": http_timeout},
            },
            {
                "connectionPool": {"http2": {"maxRequests": 7}}, "portMapping": {"port": 82, "protocol": "http2"},
                "timeout": {"http2": http_timeout},
            },
            {
                "connectionPool": {"tcp": {"maxConnections": 7}}, "portMapping": {"port": 83, "protocol": "tcp"},
                "timeout": {"tcp": {"idle": {"unit": "s", "value": 0}}},
            },
        ],
        "logging": logging(),
        "serviceDiscovery": {"awsCloudMap": {
            "attributes": [{"key": "stage", "value": "test"}], "ipPreference": "IPv6_ONLY",
            "namespaceName": "n", "serviceName": "s",
        }},
    })
}

/// Everything that a virtual gateway can have, what is not supported yet included.
fn virtual_gateway_with_everything() -> Value {
    let file = json!({"file": {"certificateChain": "/cert", "privateKey": "/key"}});
    json!({
        "backendDefaults": {"clientPolicy": policy(&json!({"sds": {"secretName": "ca"}}))},
        "listeners": [
            {
                "connectionPool": {"http2": {"maxRequests": 1}}, "healthCheck": health_check("http2"),
                "portMapping": {"port": 80, "protocol": "http2"}, "tls": tls(&file),
            },
            {"connectionPool": {"grpc": {"maxRequests": 1}}, "portMapping": {"port": 81, "protocol": "grpc"}},
            {"connectionPool": {"http": {"maxConnections": 1}}, "portMapping": {"port": 82, "protocol": "http"}},
        ],
        "logging": logging(),
    })
}

fn without(mut value: Value, names: &[&str]) -> Value {
    for name in names {
        value.as_object_mut().unwrap().remove(*name);
        for listener in value["listeners"].as_array_mut().unwrap() {
            listener.as_object_mut().unwrap().remove(*name);
        }
    }
    value
}

fn headers() -> Value {
    json!([
        {"invert": true, "match": {"exact": "e"}, "name": "a"},
        {"match": {"prefix": "p"}, "name": "b"},
        {"match": {"range": {"end": 10, "start": -10}}, "name": "c"},
        {"match": {"regex": "r.*"}, "name": "d"},
        {"match": {"suffix": "s"}, "name": "e"},
        {"name": "f"},
    ])
}

/// Full specifications of every kind, as far as they are supported.
fn full_specs() -> Vec<(Kind, Value)> {
    let mut node = without(virtual_node_with_everything(), &["tls", "backendDefaults", "serviceDiscovery"]);
    node["backends"] = json!([{"virtualService": {"clientPolicy": {}, "virtualServiceName": "b"}}]);
    node["serviceDiscovery"] = json!({"dns": {"hostname": "a.local", "ipPreference": "IPv4_PREFERRED", "responseType": "ENDPOINTS"}});
    let targets = json!({"weightedTargets": [
        {"port": 80, "virtualNode": "n", "weight": 100}, {"virtualNode": "n2", "weight": 0},
    ]});
    let timeout = json!({"idle": {"unit": "s", "value": 1}, "perRequest": {"unit": "s", "value": 0}});
    let http_match = json!({
        "headers": headers(), "method": "PATCH", "path": {"regex": "/a/[0-9]+"}, "port": 80,
        "queryParameters": [{"match": {"exact": ""}, "name": "q"}, {"name": "p"}], "scheme": "https",
    });
    let http_retry = json!({
        "httpRetryEvents": ["server-error"], "maxRetries": 3, "perRetryTimeout": {"unit": "s", "value": 2},
        "tcpRetryEvents": ["connection-error"],
    });
    let http = json!({"action": targets, "match": http_match, "retryPolicy": http_retry, "timeout": timeout});
    let mut grpc_retry = http_retry.clone();
    grpc_retry["grpcRetryEvents"] =
        json!(["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"]);
    let grpc_match = json!({"metadata": headers(), "methodName": "m", "port": 80, "serviceName": "pkg.S"});
    let grpc = json!({"action": targets, "match": grpc_match, "retryPolicy": grpc_retry, "timeout": timeout});
    let tcp =
        json!({"action": targets, "match": {"port": 80}, "timeout": {"idle": {"unit": "ms", "value": 9}}});
    let target = json!({"port": 80, "virtualService": {"virtualServiceName": "s"}});
    let hostname = json!({"defaultTargetHostname": "ENABLED"});
    let gateway_http = json!({
        "action": {"rewrite": {"hostname": hostname, "prefix": {"value": "/b/"}}, "target": target},
        "match": {
            "headers": headers(), "hostname": {"suffix": ".example.com"}, "method": "GET", "port": 80, "prefix": "/a",
            "queryParameters": [{"name": "p"}],
        },
    });
    let gateway_path = json!({
        "action": {"rewrite": {"path": {"exact": "/b"}}, "target": target},
        "match": {"hostname": {"exact": "example.com"}, "path": {"exact": "/a"}},
    });
    let gateway_grpc = json!({
        "action": {"rewrite": {"hostname": hostname}, "target": target},
        "match": {"hostname": {"exact": "example.com"}, "metadata": headers(), "port": 80, "serviceName": "pkg.S"},
    });
    vec![
        (
            Kind::Mesh,
            json!({"egressFilter": {"type": "DROP_ALL"}, "serviceDiscovery": {"ipPreference": "IPv4_ONLY"}}),
        ),
        (Kind::VirtualNode, node),
        (
            Kind::VirtualNode,
            json!({"logging": {"accessLog": {"file": {"format": {"text": "%PROTOCOL%\n"}, "path": "/log"}}}}),
        ),
        (Kind::VirtualRouter, json!({"listeners": [{"portMapping": {"port": 80, "protocol": "tcp"}}]})),
        (Kind::Route, json!({"httpRoute": http, "priority": 0})),
        (Kind::Route, json!({"http2Route": http, "priority": 1000})),
        (Kind::Route, json!({"grpcRoute": grpc})),
        (Kind::Route, json!({"tcpRoute": tcp})),
        (Kind::VirtualService, json!({"provider": {"virtualNode": {"virtualNodeName": "n"}}})),
        (Kind::VirtualService, json!({"provider": {"virtualRouter": {"virtualRouterName": "r"}}})),
        (Kind::VirtualGateway, without(virtual_gateway_with_everything(), &["tls", "backendDefaults"])),
        (Kind::GatewayRoute, json!({"httpRoute": gateway_http, "priority": 5})),
        (Kind::GatewayRoute, json!({"http2Route": gateway_path})),
        (Kind::GatewayRoute, json!({"grpcRoute": gateway_grpc})),
    ]
}

#[test]
fn full_specifications_round_trip() {
    for (kind, value) in full_specs() {
        let spec = Spec::parse(kind, &value).unwrap();
        assert_eq!(spec.kind(), kind);
        assert_eq!(spec.to_json(), value);
    }
}

#[test]
fn what_is_not_supported_yet_has_its_shape_all_the_same() {
    let at = Path::root("spec");
    let node = virtual_node_with_everything();
    let parsed: VirtualNodeSpec = parse(&node, &at).unwrap();
    assert_eq!(serde_json::to_value(parsed).unwrap(), node);
    let gateway = virtual_gateway_with_everything();
    let parsed: VirtualGatewaySpec = parse(&gateway, &at).unwrap();
    assert_eq!(serde_json::to_value(parsed).unwrap(), gateway);
}

#[test]
fn walkthroughs_of_app_mesh_are_valid() {
    let health_check = json!({
        "healthyThreshold": 2, "intervalMillis": 5000, "path": "/ping", "protocol": "http", "timeoutMillis": 2000,
        "unhealthyThreshold": 2,
    });
    let to_node = json!({"weightedTargets": [{"virtualNode": "colorteller-white", "weight": 1}]});
    let to_service = json!({"target": {"virtualService": {"virtualServiceName": "colorteller.local"}}});
    for (kind, spec) in [
        (Kind::Mesh, json!({})),
        (
            Kind::VirtualNode,
            json!({
                "listeners": [{"portMapping": {"port": 9080, "protocol": "http"}, "healthCheck": health_check}],
                "serviceDiscovery": {"dns": {"hostname": "colorteller-white.circuit-breakers.local"}},
                "backends": [{"virtualService": {"virtualServiceName": "colorteller.local"}}],
            }),
        ),
        (Kind::VirtualRouter, json!({"listeners": [{"portMapping": {"port": 9080, "protocol": "http2"}}]})),
        (Kind::Route, json!({"http2Route": {"action": to_node, "match": {"prefix": "/tell"}}})),
        (Kind::VirtualService, json!({"provider": {"virtualRouter": {"virtualRouterName": "colorteller"}}})),
        (Kind::VirtualGateway, json!({"listeners": [{"portMapping": {"port": 9080, "protocol": "http"}}]})),
        (Kind::GatewayRoute, json!({"httpRoute": {"action": to_service, "match": {"prefix": "/color1"}}})),
    ] {
        assert_eq!(Spec::parse(kind, &spec).unwrap().to_json(), spec);
    }
}

/// `value` with each part of it replaced by each of `others` or removed, one at a time.
fn mutations(value: &Value, others: &[Value]) -> Vec<Value> {
    let mut mutated = others.to_vec();
    let pointers: Vec<String> = match value {
        Value::Object(members) => members.keys().cloned().collect(),
        Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
        _ => Vec::new(),
    };
    for pointer in pointers {
        let pointer = format!("/{pointer}");
        for part in mutations(value.pointer(&pointer).unwrap(), others) {
            let mut whole = value.clone();
            *whole.pointer_mut(&pointer).unwrap() = part;
            mutated.push(whole);
        }
    }
    if let Value::Object(members) = value {
        mutated.extend(members.keys().map(|name| {
            let mut fewer = members.clone();
            fewer.remove(name);
            Value::Object(fewer)
        }));
    }
    mutated
}

#[test]
fn what_passes_the_checks_is_decoded_and_encoded_again() {
    let others = [
        json!(null),
        json!(0),
        json!(-1.5),
        json!(u64::MAX),
        json!(""),
        json!("x".repeat(300)),
        json!([]),
        json!({}),
    ];
    let mut specs = full_specs();
    specs.push((Kind::VirtualNode, virtual_node_with_everything()));
    specs.push((Kind::VirtualGateway, virtual_gateway_with_everything()));
    let mut valid = 0;
    for (kind, value) in specs {
        for mutated in mutations(&value, &others) {
            match Spec::parse(kind, &mutated) {
                Ok(spec) => {
                    valid += 1;
                    assert_eq!(Spec::parse(kind, &spec.to_json()), Ok(spec));
                }
                Err(errors) => assert!(
                    errors.iter().all(|error| !error.problem.starts_with("cannot be decoded")),
                    "{errors:?} in {mutated}"
                ),
            }
        }
    }
    assert!(valid > 100, "only {valid} valid mutations: the test tests nothing");
}
