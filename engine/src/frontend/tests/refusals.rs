//! Every way to be refused: status, type, a message that names what is wrong, and nothing changed.

use axum::body::Body;
use serde_json::{Value, json};

use super::{Api, gateway_route_spec, node_provider, route_spec, router_provider};

const BAD_REQUEST: (u16, &str) = (400, "BadRequestException");
const NOT_FOUND: (u16, &str) = (404, "NotFoundException");
const CONFLICT: (u16, &str) = (409, "ConflictException");

/// Sends `body`, expects to be refused with a message that contains all of `parts`, and that nothing changed.
async fn check(
    api: &Api,
    (method, path): (&str, &str),
    body: impl Into<Body>,
    expected: (u16, &str),
    parts: &[&str],
) {
    let before = (api.transaction().await, api.records().await);
    let message = api.call(method, path, body).await.refused(expected.0, expected.1);
    for part in parts {
        assert!(message.contains(part), "{method} {path}: {message:?} does not contain {part:?}");
    }
    assert_eq!((api.transaction().await, api.records().await), before, "{method} {path} changed something");
}

#[tokio::test]
async fn bodies_that_are_no_request() {
    let api = Api::with_mesh().await;
    let to = ("PUT", "/meshes/m/virtualNodes");
    for (body, parts) in [
        ("", &["not valid JSON", "line 1"][..]),
        ("{\"virtualNodeName\": \"x\",\n}", &["not valid JSON", "line 2 column 1"]),
        ("[]", &["not a JSON object"]),
        ("\"x\"", &["not a JSON object"]),
        ("{} {}", &["not valid JSON"]),
        (
            r#"{"virtualNodeName": "x", "spec": {"a": {"port": 80, "port": 81}}}"#,
            &["not valid JSON", r#"the key "port" is repeated"#],
        ),
        ("{}", &["virtualNodeName: is required", "spec: is required"]),
        (r#"{"virtualNodeName": "x"}"#, &["spec: is required"]),
        (r#"{"virtualNodeName": null, "spec": {}}"#, &["virtualNodeName: is required"]),
        (r#"{"spec": {}}"#, &["virtualNodeName: is required"]),
        (r#"{"virtualNodeName": 7, "spec": {}}"#, &["virtualNodeName: 7 is a number"]),
        (r#"{"virtualNodeName": "x", "spec": []}"#, &["spec: is a list"]),
        (r#"{"virtualNodeName": "x", "spec": {}, "meshName": "m"}"#, &["meshName: is not a field here"]),
        (r#"{"virtualNodeName": "x", "spec": {}, "clientToken": "a b"}"#, &["clientToken"]),
        (r#"{"virtualNodeName": "x", "spec": {}, "tags": [{"key": ""}]}"#, &["tags[0].key", "tags[0].value"]),
        (
            r#"{"virtualNodeName": "x", "spec": {}, "tags": [{"key": "k", "value": ""}, {"key": "k", "value": ""}]}"#,
            &["tags[1].key"],
        ),
        (r#"{"virtualNodeName": "", "spec": {}}"#, &["virtualNodeName: has 0 characters"]),
        (r#"{"virtualNodeName": "a\u0000", "spec": {}}"#, &["virtualNodeName: has a control character"]),
    ] {
        check(&api, to, body, BAD_REQUEST, parts).await;
    }
    check(&api, to, vec![b'{', 0xff, b'}'], BAD_REQUEST, &["not valid JSON"]).await;
    let deep = "[".repeat(1000);
    check(&api, to, deep, BAD_REQUEST, &["not valid JSON", "recursion"]).await;
    let name = json!({"virtualNodeName": "x".repeat(256), "spec": {}}).to_string();
    check(&api, to, name, BAD_REQUEST, &["virtualNodeName: has 256 characters"]).await;
    let slash = json!({"meshName": "a/b", "spec": {}}).to_string();
    check(&api, ("PUT", "/meshes"), slash, BAD_REQUEST, &["meshName"]).await;
}

#[tokio::test]
async fn specifications_that_are_wrong() {
    let api = Api::with_mesh().await;
    let listener = |mapping: Value| json!({"listeners": [{"portMapping": mapping}]});
    let pools = json!({"http": {"maxConnections": 1}, "tcp": {"maxConnections": 1}});
    let with_pool = |pool: Value| {
        let mut spec = listener(json!({"port": 80, "protocol": "http"}));
        spec["listeners"][0]["connectionPool"] = pool;
        spec
    };
    for (spec, parts) in [
        (json!({"listenrs": []}), &["spec.listenrs: is not a field here"][..]),
        (
            listener(json!({"port": 80, "protocol": "udp"})),
            &["spec.listeners[0].portMapping.protocol", "udp"],
        ),
        (
            listener(json!({"port": 70000, "protocol": "http"})),
            &["spec.listeners[0].portMapping.port: 70000 is not in 1..=65535"],
        ),
        (listener(json!({"port": 80})), &["spec.listeners[0].portMapping.protocol: is required"]),
        (with_pool(pools), &["spec.listeners[0].connectionPool: has 2 members"]),
        (with_pool(json!({})), &["spec.listeners[0].connectionPool: has no member"]),
        (
            listener(json!({"port": 0, "protocol": "x", "extra": 1})),
            &[
                "portMapping.port",
                "\nspec.listeners[0].portMapping.protocol",
                "\nspec.listeners[0].portMapping.extra",
            ],
        ),
    ] {
        let create = json!({"virtualNodeName": "x", "spec": spec}).to_string();
        check(&api, ("PUT", "/meshes/m/virtualNodes"), create, BAD_REQUEST, parts).await;
        let update = json!({"spec": spec}).to_string();
        check(&api, ("PUT", "/meshes/m/virtualNodes/a"), update, BAD_REQUEST, parts).await;
    }
    let both = json!({"virtualNodeName": "", "spec": {"x": 1}, "y": 2}).to_string();
    let parts = ["y: is not a field", "virtualNodeName: has 0", "spec.x: is not a field"];
    check(&api, ("PUT", "/meshes/m/virtualNodes"), both, BAD_REQUEST, &parts).await;
    let update = json!({"virtualNodeName": "a", "spec": {}}).to_string();
    check(
        &api,
        ("PUT", "/meshes/m/virtualNodes/a"),
        update,
        BAD_REQUEST,
        &["virtualNodeName: is not a field"],
    )
    .await;
}

#[tokio::test]
async fn bodies_over_the_limit() {
    let api = Api::with_mesh().await;
    let to = ("PUT", "/meshes/m/virtualNodes");
    let large = "x".repeat(4097);
    check(&api, to, large.clone(), (413, "BadRequestException"), &["more than 4096 bytes"]).await;
    let pieces = large.as_bytes().chunks(100).map(|piece| Ok::<_, std::io::Error>(piece.to_vec()));
    let pieces: Vec<_> = pieces.collect();
    let of_unknown_length = Body::from_stream(tokio_stream::iter(pieces));
    check(&api, to, of_unknown_length, (413, "BadRequestException"), &["more than 4096 bytes"]).await;
    let just_fits = format!("{}{{}}", " ".repeat(4094));
    check(&api, to, just_fits, BAD_REQUEST, &["is required"]).await;
}

#[tokio::test]
async fn what_exists_and_what_does_not() {
    let api = Api::with_mesh().await;
    let node = json!({"virtualNodeName": "a", "spec": {}}).to_string();
    let route = json!({"routeName": "x", "spec": route_spec(&["a"])}).to_string();
    let spec = json!({"spec": {}}).to_string();
    check(&api, ("PUT", "/meshes"), json!({"meshName": "m"}).to_string(), CONFLICT, &["mesh \"m\" exists"])
        .await;
    check(&api, ("PUT", "/meshes/m/virtualNodes"), node.clone(), CONFLICT, &["virtual node \"a\""]).await;
    check(&api, ("PUT", "/meshes/n/virtualNodes"), node, NOT_FOUND, &["mesh \"n\" does not exist"]).await;
    check(&api, ("PUT", "/meshes/m/virtualNodes/x"), spec.clone(), NOT_FOUND, &["virtual node \"x\""]).await;
    check(&api, ("PUT", "/meshes/n/virtualNodes/x"), spec, NOT_FOUND, &["mesh \"n\" does not exist"]).await;
    check(
        &api,
        ("PUT", "/meshes/m/virtualRouter/x/routes"),
        route.clone(),
        NOT_FOUND,
        &["virtual router \"x\""],
    )
    .await;
    check(
        &api,
        ("PUT", "/meshes/n/virtualRouter/x/routes"),
        route,
        NOT_FOUND,
        &["mesh \"n\" does not exist"],
    )
    .await;
    for (path, missing) in [
        ("/meshes/n", "mesh \"n\" does not exist"),
        ("/meshes/m/virtualNodes/x", "virtual node \"x\""),
        ("/meshes/n/virtualNodes/x", "mesh \"n\" does not exist"),
        ("/meshes/m/virtualRouter/r/routes/x", "route \"x\""),
        ("/meshes/m/virtualRouter/x/routes/x", "virtual router \"x\" in mesh \"m\" does not exist"),
        ("/meshes/m/virtualGateway/g/gatewayRoutes/x", "gateway route \"x\""),
    ] {
        check(&api, ("GET", path), "", NOT_FOUND, &[missing]).await;
        check(&api, ("DELETE", path), "", NOT_FOUND, &[missing]).await;
    }
    for path in [
        "/meshes/n/virtualNodes",
        "/meshes/m/virtualRouter/x/routes",
        "/meshes/n/virtualGateway/x/gatewayRoutes",
    ] {
        check(&api, ("GET", path), "", NOT_FOUND, &["does not exist"]).await;
    }
}

#[tokio::test]
async fn references_to_what_does_not_exist() {
    let api = Api::with_mesh().await;
    let routes = "/meshes/m/virtualRouter/r/routes";
    let body = json!({"routeName": "x", "spec": route_spec(&["a", "n1", "n2"])}).to_string();
    let parts = [
        "spec.httpRoute.action.weightedTargets[1].virtualNode: virtual node \"n1\" in mesh \"m\" does not exist",
        "\nspec.httpRoute.action.weightedTargets[2].virtualNode: virtual node \"n2\"",
    ];
    check(&api, ("PUT", routes), body, NOT_FOUND, &parts).await;
    api.put(routes, &json!({"routeName": "x", "spec": route_spec(&["a"])})).await.ok();
    let body = json!({"spec": route_spec(&["n1"])}).to_string();
    check(&api, ("PUT", &format!("{routes}/x")), body, NOT_FOUND, &["weightedTargets[0]"]).await;

    let services = "/meshes/m/virtualServices";
    for (provider, part) in [
        (node_provider("n"), "spec.provider.virtualNode.virtualNodeName: virtual node \"n\""),
        (router_provider("n"), "spec.provider.virtualRouter.virtualRouterName: virtual router \"n\""),
    ] {
        let body = json!({"virtualServiceName": "s", "spec": provider}).to_string();
        check(&api, ("PUT", services), body, NOT_FOUND, &[part]).await;
    }
    let body = json!({"gatewayRouteName": "x", "spec": gateway_route_spec("s")}).to_string();
    let part = "spec.httpRoute.action.target.virtualService.virtualServiceName: virtual service \"s\"";
    check(&api, ("PUT", "/meshes/m/virtualGateway/g/gatewayRoutes"), body, NOT_FOUND, &[part]).await;

    let backends = json!({"backends": [{"virtualService": {"virtualServiceName": "later"}}]});
    api.put("/meshes/m/virtualNodes/a", &json!({"spec": backends})).await.ok();
}

#[tokio::test]
async fn names_that_nothing_can_have_are_refused_wherever_they_stand() {
    let api = Api::with_mesh().await;
    let long = "x".repeat(256);
    let paths = [
        "mesh/a%1B%5B2J",
        "mesh/m/virtualNode/a%0Ab",
        "mesh/m/virtualRouter/r%C2%9B/route/a",
        &format!("mesh/{long}"),
    ];
    for path in paths {
        let arn = format!("arn:aws:appmesh:us-east-1:000000000000:{path}");
        let part = "is not the ARN of a resource";
        check(&api, ("GET", &format!("/tags?resourceArn={arn}")), "", BAD_REQUEST, &[part]).await;
        let tags = r#"{"tags": []}"#;
        check(&api, ("PUT", &format!("/tag?resourceArn={arn}")), tags, BAD_REQUEST, &[part]).await;
        for name in [path, arn.as_str()] {
            api.history(&format!("resource={name}")).await.refused(400, "BadRequestException");
            let name = percent_encoding::percent_decode_str(name).decode_utf8().unwrap();
            for path in ["transactions", "plan", "lint"] {
                let message = api.post(path, &json!({"delete": [name]})).await;
                let message = message.refused(400, "BadRequestException");
                assert!(!message.contains(char::is_control) && message.len() < 300, "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_parameter_is_given_once() {
    let api = Api::with_mesh().await;
    let part = "limit: is there more than once";
    check(&api, ("GET", "/meshes?limit=1&limit=1"), "", BAD_REQUEST, &[part]).await;
    check(&api, ("GET", "/meshes?limit=1&%6Cimit=2"), "", BAD_REQUEST, &[part]).await;
    api.history("limit=1&limit=1").await.refused(400, "BadRequestException");
    api.get("/meshes?limit=1&Limit=1").await.ok();
}

#[tokio::test]
async fn paths_and_methods_that_are_none() {
    let api = Api::with_mesh().await;
    const UNKNOWN: &str = "UnknownOperationException";
    for path in [
        "",
        "/",
        "/mesh",
        "/meshes/",
        "/meshes/m/virtualNode/a",
        "/meshes/m/virtualRouters/r/routes",
        "/meshes/m/x",
    ] {
        check(&api, ("GET", path), "", (404, UNKNOWN), &["is not an operation"]).await;
    }
    for (method, path) in [
        ("POST", "/meshes"),
        ("DELETE", "/meshes"),
        ("PATCH", "/meshes/m"),
        ("POST", "/meshes/m/virtualNodes/a"),
    ] {
        check(&api, (method, path), "{}", (405, UNKNOWN), &["does not allow", method]).await;
    }
    for (method, path) in [("PUT", "/tags"), ("GET", "/tag"), ("DELETE", "/untag"), ("POST", "/tag")] {
        check(&api, (method, path), "{}", (405, UNKNOWN), &["does not allow", method]).await;
    }
    check(&api, ("GET", "/meshes/%FF"), "", BAD_REQUEST, &["UTF-8"]).await;
    check(&api, ("GET", "/meshes/a%00b"), "", BAD_REQUEST, &["meshName: has a control character"]).await;
    // a name may have 255 characters, whatever they take in the store
    let body = json!({"virtualNodeName": "é".repeat(256), "spec": {}}).to_string();
    check(&api, ("PUT", "/meshes/m/virtualNodes"), body, BAD_REQUEST, &["virtualNodeName"]).await;
    let longest = "\u{10348}".repeat(255);
    let route = |router: &str| format!("/meshes/{longest}/virtualRouter/{router}/routes");
    api.put("/meshes", &json!({"meshName": longest})).await.ok();
    api.put(&format!("/meshes/{longest}/virtualNodes"), &json!({"virtualNodeName": longest, "spec": {}}))
        .await
        .ok();
    api.put(&format!("/meshes/{longest}/virtualRouters"), &json!({"virtualRouterName": longest, "spec": {}}))
        .await
        .ok();
    let body = json!({"routeName": longest, "spec": route_spec(&[longest.as_str()])});
    api.put(&route(&longest), &body).await.ok();
}
