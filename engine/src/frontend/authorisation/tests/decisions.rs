//! What policies decide.

use super::*;

const NODE: &str = "mesh/m/virtualNode/payments-a";
const ROUTE: &str = "mesh/m/virtualRouter/r/route/x";

#[test]
fn policies_speak_of_everything_that_matters() {
    for (policy, who, action, path, has, request, expected) in [
        ("permit (principal, action, resource);", "a", "DeleteMesh", "mesh/m", "", "", true),
        ("permit (principal == User::\"a\", action, resource);", "a", "DeleteMesh", "mesh/m", "", "", true),
        ("permit (principal == User::\"a\", action, resource);", "b", "DeleteMesh", "mesh/m", "", "", false),
        // a user called as a group is
        ("permit (principal in Group::\"g\", action, resource);", "a/f,g", "ListMeshes", "", "", "", true),
        ("permit (principal in Group::\"g\", action, resource);", "g", "ListMeshes", "", "", "", false),
        (
            "permit (principal in Group::\"g\", action, resource);",
            "anonymous",
            "ListMeshes",
            "",
            "",
            "",
            false,
        ),
        (
            "permit (principal, action == Action::\"appmesh:CreateRoute\", resource);",
            "a",
            "CreateRoute",
            ROUTE,
            "",
            "",
            true,
        ),
        (
            "permit (principal, action == Action::\"appmesh:CreateRoute\", resource);",
            "a",
            "UpdateRoute",
            ROUTE,
            "",
            "",
            false,
        ),
        ("permit (principal, action in Action::\"read\", resource);", "a", "ListMeshes", "", "", "", true),
        (
            "permit (principal, action in Action::\"read\", resource);",
            "a",
            "ListTagsForResource",
            NODE,
            "",
            "",
            true,
        ),
        (
            "permit (principal, action in Action::\"read\", resource);",
            "a",
            "GetHistory",
            "mesh/m",
            "",
            "",
            true,
        ),
        (
            "permit (principal, action in Action::\"read\", resource);",
            "a",
            "GetDenials",
            "mesh/m",
            "",
            "",
            false,
        ),
        (
            "permit (principal, action in Action::\"read\", resource);",
            "a",
            "UntagResource",
            NODE,
            "",
            "",
            false,
        ),
        (
            "permit (principal, action in Action::\"write\", resource);",
            "a",
            "UntagResource",
            NODE,
            "",
            "",
            true,
        ),
        ("permit (principal, action in Action::\"write\", resource);", "a", "Rollback", "", "", "", true),
        ("permit (principal, action in Action::\"tag\", resource);", "a", "TagResource", ROUTE, "", "", true),
        (
            "permit (principal, action, resource == Mesh::\"arn:aws:appmesh:us-east-1:000000000000:mesh/m\");",
            "a",
            "DescribeMesh",
            "mesh/m",
            "",
            "",
            true,
        ),
        (
            "permit (principal, action, resource == Mesh::\"arn:aws:appmesh:us-east-1:000000000000:mesh/m\");",
            "a",
            "DescribeVirtualNode",
            NODE,
            "",
            "",
            false,
        ),
        (
            "permit (principal, action, resource in Mesh::\"arn:aws:appmesh:us-east-1:000000000000:mesh/m\");",
            "a",
            "DescribeVirtualNode",
            NODE,
            "",
            "",
            true,
        ),
        (
            "permit (principal, action, resource in Mesh::\"arn:aws:appmesh:us-east-1:000000000000:mesh/m\");",
            "a",
            "DescribeRoute",
            ROUTE,
            "",
            "",
            true,
        ),
        (
            "permit (principal, action, resource in Mesh::\"arn:aws:appmesh:us-east-1:000000000000:mesh/m\");",
            "a",
            "DescribeRoute",
            "mesh/n/virtualRouter/r/route/x",
            "",
            "",
            false,
        ),
        (
            "permit (principal, action, resource in VirtualRouter::\"arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualRouter/r\");",
            "a",
            "DescribeRoute",
            ROUTE,
            "",
            "",
            true,
        ),
        (
            "permit (principal, action, resource in Account::\"000000000000\");",
            "a",
            "DescribeRoute",
            ROUTE,
            "",
            "",
            true,
        ),
        (
            "permit (principal, action, resource == Account::\"000000000000\");",
            "a",
            "ListMeshes",
            "",
            "",
            "",
            true,
        ),
        (
            "permit (principal, action, resource is VirtualNode) when { resource.name like \"payments-*\" };",
            "a",
            "CreateVirtualNode",
            NODE,
            "",
            "",
            true,
        ),
        (
            "permit (principal, action, resource is VirtualNode) when { resource.name like \"payments-*\" };",
            "a",
            "CreateVirtualNode",
            "mesh/m/virtualNode/my-payments-a",
            "",
            "",
            false,
        ),
        // a star in a name is a star
        (
            "permit (principal, action, resource is VirtualNode) when { resource.name like \"a\\*b\" };",
            "a",
            "DeleteVirtualNode",
            "mesh/m/virtualNode/a*b",
            "",
            "",
            true,
        ),
        (
            "permit (principal, action, resource is VirtualNode) when { resource.name like \"a\\*b\" };",
            "a",
            "DeleteVirtualNode",
            "mesh/m/virtualNode/axb",
            "",
            "",
            false,
        ),
        (
            "permit (principal, action, resource) when { resource.hasTag(\"t\") && resource.getTag(\"t\") == \"1\" };",
            "a",
            "DeleteVirtualNode",
            NODE,
            "t=1",
            "",
            true,
        ),
        (
            "permit (principal, action, resource) when { resource.hasTag(\"t\") && resource.getTag(\"t\") == \"1\" };",
            "a",
            "DeleteVirtualNode",
            NODE,
            "t=2;t=1",
            "t=1",
            false,
        ),
        (
            "permit (principal, action, resource) when { resource.hasTag(\"t\") && resource.getTag(\"t\") == \"1\" };",
            "a",
            "DeleteVirtualNode",
            NODE,
            "",
            "",
            false,
        ),
        (
            "permit (principal, action, resource) when { resource.hasTag(\"t\") && principal.groups.contains(resource.getTag(\"t\")) };",
            "a/x,y",
            "DeleteVirtualNode",
            NODE,
            "t=y",
            "",
            true,
        ),
        (
            "permit (principal, action, resource) when { resource.hasTag(\"t\") && principal.groups.contains(resource.getTag(\"t\")) };",
            "a/x",
            "DeleteVirtualNode",
            NODE,
            "t=y",
            "",
            false,
        ),
        (
            "permit (principal, action, resource) when { resource.hasTag(\"t\") && resource.getTag(\"t\") == principal.name };",
            "a",
            "DeleteVirtualNode",
            NODE,
            "t=a",
            "",
            true,
        ),
        (
            "permit (principal, action, resource) when { resource has mesh && resource.mesh.hasTag(\"o\") };",
            "a",
            "UpdateRoute",
            ROUTE,
            ";;o=1",
            "",
            true,
        ),
        (
            "permit (principal, action, resource) when { resource has mesh && resource.mesh.hasTag(\"o\") };",
            "a",
            "UpdateRoute",
            ROUTE,
            "o=1;o=1;",
            "",
            false,
        ),
        (
            "permit (principal, action, resource) when { resource has mesh && resource.mesh.hasTag(\"o\") };",
            "a",
            "UpdateMesh",
            "mesh/m",
            "o=1",
            "",
            true,
        ),
        (
            "permit (principal, action, resource) when { resource has mesh && resource.mesh.hasTag(\"o\") };",
            "a",
            "ListMeshes",
            "",
            "",
            "",
            false,
        ),
        (
            "permit (principal, action, resource is Route) when { resource.router.hasTag(\"t\") };",
            "a",
            "UpdateRoute",
            ROUTE,
            ";t=1",
            "",
            true,
        ),
        (
            "permit (principal, action, resource is Route) when { resource.router.name == \"r\" };",
            "a",
            "UpdateRoute",
            ROUTE,
            "",
            "",
            true,
        ),
        (
            "permit (principal, action, resource is GatewayRoute) when { resource.gateway.hasTag(\"t\") };",
            "a",
            "CreateGatewayRoute",
            "mesh/m/virtualGateway/g/gatewayRoute/x",
            ";t=1",
            "",
            true,
        ),
        (
            "permit (principal, action in Action::\"create\", resource) when { context.tags.hasTag(\"t\") && context.tags.getTag(\"t\") == \"1\" };",
            "a",
            "CreateVirtualNode",
            NODE,
            "",
            "t=1",
            true,
        ),
        (
            "permit (principal, action in Action::\"create\", resource) when { context.tags.hasTag(\"t\") && context.tags.getTag(\"t\") == \"1\" };",
            "a",
            "CreateVirtualNode",
            NODE,
            "t=1",
            "",
            false,
        ),
        (
            "permit (principal, action in Action::\"tag\", resource) unless { context.tagKeys.contains(\"t\") };",
            "a",
            "TagResource",
            NODE,
            "",
            "u=1",
            true,
        ),
        (
            "permit (principal, action in Action::\"tag\", resource) unless { context.tagKeys.contains(\"t\") };",
            "a",
            "TagResource",
            NODE,
            "",
            "t=1",
            false,
        ),
        (
            "permit (principal, action in Action::\"tag\", resource) unless { context.tagKeys.contains(\"t\") };",
            "a",
            "UntagResource",
            NODE,
            "",
            "t=1",
            false,
        ),
        // forbidden is forbidden, whatever is permitted, in whatever order
        (
            "permit (principal, action, resource); forbid (principal, action, resource is Mesh);",
            "a",
            "DescribeMesh",
            "mesh/m",
            "",
            "",
            false,
        ),
        (
            "forbid (principal, action, resource is Mesh); permit (principal, action, resource);",
            "a",
            "DescribeMesh",
            "mesh/m",
            "",
            "",
            false,
        ),
        (
            "forbid (principal, action, resource is Mesh); permit (principal, action, resource);",
            "a",
            "DescribeRoute",
            ROUTE,
            "",
            "",
            true,
        ),
        ("forbid (principal, action, resource);", "a", "DescribeRoute", ROUTE, "", "", false),
    ] {
        let found = allow(&policies(policy), who, action, path, has, request);
        assert_eq!(found, expected, "{policy}: {who} {action} {path} {has} {request}");
    }
}

#[test]
fn what_cannot_be_evaluated_permits_nothing_and_may_forbid() {
    let fails = "when { principal.groups.contains(\"x\") || 9223372036854775807 + 1 == 0 }";
    let permit = policies(&format!("permit (principal, action, resource) {fails};"));
    let both = policies(&format!(
        "permit (principal, action, resource) {fails}; permit (principal == User::\"a\", action, resource);"
    ));
    let forbid = policies(&format!(
        "permit (principal, action, resource); forbid (principal, action, resource is Mesh) {fails};"
    ));
    for (policies, who, path, action, expected) in [
        (&permit, "a/x", "mesh/m", "DescribeMesh", true),
        (&permit, "a", "mesh/m", "DescribeMesh", false),
        (&both, "a", "mesh/m", "DescribeMesh", true),
        (&forbid, "a", "mesh/m", "DescribeMesh", false),
        (&forbid, "a", NODE, "DescribeVirtualNode", true),
    ] {
        assert_eq!(allow(policies, who, action, path, "", ""), expected, "{who} {path}");
    }
}

/// Every entity and every request that is made is one that the schema knows: what was validated is what is evaluated.
#[test]
fn every_action_has_a_place_in_the_schema() {
    let everybody = policies("permit (principal, action, resource);");
    let grouped = policies(
        "permit (principal, action in [Action::\"read\", Action::\"write\", Action::\"legation:GetDenials\"], resource);",
    );
    let mut names = std::collections::BTreeSet::new();
    for action in Action::all() {
        let name = action.to_string();
        let short = name.split_once(':').unwrap().1;
        for policies in [&everybody, &grouped] {
            assert!(allow(policies, "a", short, NODE, "", ""), "{name}");
        }
        names.insert(name);
    }
    assert_eq!(names.len(), 38 + 6);
    let in_schema = SCHEMA.matches("action \"").count();
    assert_eq!(in_schema, names.len());
}
