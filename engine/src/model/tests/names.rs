//! Names, store keys, ARNs and node ids.

use expect_test::expect;

use crate::model::key::{ALL_DEFINITIONS, kind_prefix, mesh_prefix};
use crate::model::{Kind, ResourceId, check_name};

/// One of each kind, with names that need escaping.
fn one_of_each() -> Vec<ResourceId> {
    let odd = "svc.a.local/x y%";
    vec![
        ResourceId::mesh("m %2F"),
        ResourceId::virtual_node("m %2F", odd),
        ResourceId::virtual_router("m %2F", "r é"),
        ResourceId::route("m %2F", "r é", odd),
        ResourceId::virtual_service("m %2F", odd),
        ResourceId::virtual_gateway("m %2F", "mesh"),
        ResourceId::gateway_route("m %2F", "mesh", odd),
    ]
}

#[test]
fn keys_are_one_segment_a_name() {
    let keys: Vec<String> = one_of_each().iter().map(ResourceId::key).collect();
    expect![[r#"
        definitions/m%20%252F/mesh
        definitions/m%20%252F/virtualNode/svc.a.local%2Fx%20y%25
        definitions/m%20%252F/virtualRouter/r%20%C3%A9
        definitions/m%20%252F/route/r%20%C3%A9/svc.a.local%2Fx%20y%25
        definitions/m%20%252F/virtualService/svc.a.local%2Fx%20y%25
        definitions/m%20%252F/virtualGateway/mesh
        definitions/m%20%252F/gatewayRoute/mesh/svc.a.local%2Fx%20y%25"#]]
    .assert_eq(&keys.join("\n"));
}

#[test]
fn keys_arns_and_paths_round_trip() {
    assert_eq!(one_of_each().iter().map(ResourceId::kind).collect::<Vec<_>>(), Kind::ALL);
    for id in one_of_each() {
        assert_eq!(ResourceId::from_key(&id.key()), Some(id.clone()));
        assert_eq!(ResourceId::from_path(&id.path()), Some(id.clone()));
        assert_eq!(ResourceId::from_arn(&id.arn("us-east-1", "123456789012")), Some(id.clone()));
        let again = ResourceId::from_parts(id.kind(), id.mesh_name(), id.parent_name(), id.name());
        assert_eq!(again, Some(id));
    }
}

#[test]
fn arns_and_display_are_those_of_app_mesh_and_of_people() {
    let lines: Vec<String> =
        one_of_each().iter().map(|id| format!("{} = {id}", id.arn("us-east-1", "123456789012"))).collect();
    expect![[r#"
        arn:aws:appmesh:us-east-1:123456789012:mesh/m %2F = mesh "m %2F"
        arn:aws:appmesh:us-east-1:123456789012:mesh/m %2F/virtualNode/svc.a.local/x y% = virtual node "svc.a.local/x y%" in mesh "m %2F"
        arn:aws:appmesh:us-east-1:123456789012:mesh/m %2F/virtualRouter/r é = virtual router "r é" in mesh "m %2F"
        arn:aws:appmesh:us-east-1:123456789012:mesh/m %2F/virtualRouter/r é/route/svc.a.local/x y% = route "svc.a.local/x y%" of virtual router "r é" in mesh "m %2F"
        arn:aws:appmesh:us-east-1:123456789012:mesh/m %2F/virtualService/svc.a.local/x y% = virtual service "svc.a.local/x y%" in mesh "m %2F"
        arn:aws:appmesh:us-east-1:123456789012:mesh/m %2F/virtualGateway/mesh = virtual gateway "mesh" in mesh "m %2F"
        arn:aws:appmesh:us-east-1:123456789012:mesh/m %2F/virtualGateway/mesh/gatewayRoute/svc.a.local/x y% = gateway route "svc.a.local/x y%" of virtual gateway "mesh" in mesh "m %2F""#]].assert_eq(&lines.join("\n"));
}

#[test]
fn what_is_no_key_or_path_is_nothing() {
    for key in [
        "",
        "definitions/",
        "definitions/m",
        "definitions/m/",
        "definitions/m/node/a",
        "definitions/m/mesh/a",
        "definitions/m/virtualNode",
        "definitions/m/virtualNode/",
        "definitions/m/virtualNode/a/b",
        "definitions/m/route/r",
        "definitions/m/route/r/a/b",
        "definitions/m/route//a",
        "definitions//mesh",
        "definitions/%6D/mesh",
        "definitions/m/virtualNode/%FF",
        "fragments/m/mesh",
    ] {
        assert_eq!(ResourceId::from_key(key), None, "{key}");
    }
    for path in [
        "",
        "mesh",
        "mesh/",
        "mesh/m/",
        "mesh/m/virtualNode",
        "mesh/m/virtualNode/",
        "mesh/m/mesh/m",
        "mesh/m/route/a",
        "mesh/m/virtualRouter/r/",
        "mesh/m/virtualRouter/r/route",
        "mesh/m/virtualRouter/r/route/",
        "mesh/m/virtualRouter/r/gatewayRoute/a",
        "mesh/m/virtualRouter/r/routes/a",
        "/mesh/m",
    ] {
        assert_eq!(ResourceId::from_path(path), None, "{path}");
    }
    for arn in ["", "arn:aws:appmesh:r:a", "arn:aws:s3:r:a:mesh/m", "urn:aws:appmesh:r:a:mesh/m", "mesh/m"] {
        assert_eq!(ResourceId::from_arn(arn), None, "{arn}");
    }
    let colons = ResourceId::virtual_node("m:1", "n:2");
    assert_eq!(ResourceId::from_arn("arn:aws-cn:appmesh:r:a:mesh/m:1/virtualNode/n:2"), Some(colons));
}

#[test]
fn parents_are_given_where_there_are_any() {
    assert_eq!(ResourceId::from_parts(Kind::Route, "m", None, "a"), None);
    assert_eq!(ResourceId::from_parts(Kind::VirtualNode, "m", Some("r"), "a"), None);
    assert_eq!(ResourceId::from_parts(Kind::Mesh, "m", None, "a"), None);
    assert_eq!(ResourceId::from_parts(Kind::VirtualNode, "m", None, ""), None);
}

#[test]
fn containers_come_first() {
    let router = ResourceId::virtual_router("m", "r");
    assert_eq!(ResourceId::route("m", "r", "a").container(), Some(router.clone()));
    assert_eq!(router.container(), Some(ResourceId::mesh("m")));
    assert_eq!(ResourceId::mesh("m").container(), None);
    for id in one_of_each() {
        assert!(id.container().is_none_or(|container| container.kind() < id.kind()));
    }
}

#[test]
fn prefixes_cover_what_they_say() {
    let ids = [
        ResourceId::mesh("a"),
        ResourceId::mesh("ab"),
        ResourceId::mesh("mesh"),
        ResourceId::virtual_node("a", "n"),
        ResourceId::virtual_router("a", "r"),
        ResourceId::virtual_router("a", "r2"),
        ResourceId::route("a", "r", "x"),
        ResourceId::route("a", "r2", "x"),
        ResourceId::virtual_gateway("a", "r"),
        ResourceId::gateway_route("a", "r", "x"),
        ResourceId::virtual_node("ab", "n"),
    ];
    let under =
        |prefix: &str| -> Vec<&ResourceId> { ids.iter().filter(|id| id.key().starts_with(prefix)).collect() };
    assert_eq!(under(ALL_DEFINITIONS).len(), ids.len());
    assert_eq!(under(&mesh_prefix("a")).len(), 8);
    assert_eq!(under(&kind_prefix("a", Kind::Mesh)), [&ids[0]]);
    assert_eq!(under(&kind_prefix("a", Kind::VirtualRouter)), [&ids[4], &ids[5]]);
    assert_eq!(under(&ids[4].children_prefix().unwrap()), [&ids[6]]);
    assert_eq!(under(&ids[8].children_prefix().unwrap()), [&ids[9]]);
    assert_eq!(under(&ids[1].children_prefix().unwrap()), [&ids[1], &ids[10]]);
    assert_eq!(ids[3].children_prefix(), None);
}

#[test]
fn names_are_checked() {
    let long = "n".repeat(256);
    let table = [
        (Kind::VirtualNode, "a/b c*%", expect!["valid"]),
        (Kind::VirtualService, "svc.a.local/x y%", expect!["valid"]),
        (Kind::VirtualNode, "", expect!["virtualNodeName: has 0 characters; 1 to 255 are allowed"]),
        (Kind::Route, long.as_str(), expect!["routeName: has 256 characters; 1 to 255 are allowed"]),
        (Kind::GatewayRoute, "a\u{0}", expect!["gatewayRouteName: has a control character"]),
        (Kind::Mesh, "a/b", expect!["meshName: has a /, which the name of a mesh may not have"]),
        (
            Kind::VirtualRouter,
            "a/b",
            expect!["virtualRouterName: has a /, which the name of a virtual router may not have"],
        ),
        (
            Kind::VirtualGateway,
            "a/b",
            expect!["virtualGatewayName: has a /, which the name of a virtual gateway may not have"],
        ),
        (
            Kind::VirtualService,
            "*.local",
            expect!["virtualServiceName: has a *, which the name of a virtual service may not have"],
        ),
    ];
    for (kind, name, expected) in table {
        let outcome = check_name(kind, name).map_or_else(|error| error.to_string(), |()| "valid".to_owned());
        expected.assert_eq(&outcome);
    }
}
