use expect_test::expect;

use super::check;

#[test]
fn a_state_file_with_everything() {
    let state = include_str!("../../../../../e2e/import/terraform.tfstate");
    check(
        &[],
        &[("terraform.tfstate", state)],
        expect![[r##"
            # terraform.tfstate: aws_appmesh_mesh.shop
            meshName: shop
            spec:
              egressFilter:
                type: ALLOW_ALL
            tags:
            - key: team
              value: shop
            - key: managed
              value: terraform
            ---
            # terraform.tfstate: aws_appmesh_virtual_node.cart
            meshName: shop
            virtualNodeName: cart
            spec:
              listeners:
              - connectionPool:
                  http:
                    maxConnections: 100
                healthCheck:
                  healthyThreshold: 2
                  intervalMillis: 5000
                  path: /ping
                  port: 8080
                  protocol: http
                  timeoutMillis: 2000
                  unhealthyThreshold: 3
                portMapping:
                  port: 8080
                  protocol: http
                timeout:
                  http:
                    perRequest:
                      unit: s
                      value: 5
              logging:
                accessLog:
                  file:
                    format:
                      json:
                      - key: status
                        value: "%RESPONSE_CODE%"
                    path: /dev/stdout
              serviceDiscovery:
                dns:
                  hostname: cart.shop.local
                  responseType: LOADBALANCER
            ---
            # terraform.tfstate: module.canary.aws_appmesh_virtual_node.canary["blue"]
            meshName: shop
            virtualNodeName: cart-blue
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: http
              serviceDiscovery:
                dns:
                  hostname: blue.shop.local
            ---
            # terraform.tfstate: module.canary.aws_appmesh_virtual_node.canary["green"]
            meshName: shop
            virtualNodeName: cart-green
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: http
              serviceDiscovery:
                dns:
                  hostname: green.shop.local
            ---
            # terraform.tfstate: aws_appmesh_virtual_node.web
            meshName: shop
            virtualNodeName: web
            spec:
              backends:
              - virtualService:
                  virtualServiceName: cart.shop.local
            ---
            # terraform.tfstate: aws_appmesh_virtual_router.cart
            meshName: shop
            virtualRouterName: cart
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: http
            ---
            # terraform.tfstate: aws_appmesh_route.default
            meshName: shop
            virtualRouterName: cart
            routeName: default
            spec:
              httpRoute:
                action:
                  weightedTargets:
                  - virtualNode: cart
                    weight: 100
                  - port: 8080
                    virtualNode: cart-blue
                    weight: 0
                  - port: 8080
                    virtualNode: cart-green
                    weight: 0
                match:
                  headers:
                  - invert: false
                    match:
                      prefix: v
                    name: x-version
                  prefix: /
                  queryParameters:
                  - match:
                      exact: "1"
                    name: q
                retryPolicy:
                  httpRetryEvents:
                  - server-error
                  maxRetries: 0
                  perRetryTimeout:
                    unit: s
                    value: 15
                timeout:
                  idle:
                    unit: s
                    value: 0
            ---
            # terraform.tfstate: aws_appmesh_virtual_service.cart
            meshName: shop
            virtualServiceName: cart.shop.local
            spec:
              provider:
                virtualRouter:
                  virtualRouterName: cart
            ---
            # terraform.tfstate: aws_appmesh_virtual_gateway.front
            meshName: shop
            virtualGatewayName: front
            spec:
              listeners:
              - portMapping:
                  port: 8080
                  protocol: http
            ---
            # terraform.tfstate: aws_appmesh_gateway_route.cart
            meshName: shop
            virtualGatewayName: front
            gatewayRouteName: cart
            spec:
              httpRoute:
                action:
                  rewrite:
                    prefix:
                      value: /v2/
                  target:
                    virtualService:
                      virtualServiceName: cart.shop.local
                match:
                  hostname:
                    exact: shop.example.com
                  prefix: /cart
              priority: 5
            ! note     passed over, being of other types: aws_ecs_cluster, data.aws_caller_identity
            ! 10 written, 0 left out, 0 that the API would refuse
            exit code 0
        "##]],
    );
}

#[test]
fn a_state_as_terraform_shows_it() {
    let state = r#"{"format_version": "1.0", "terraform_version": "1.9.0", "values": {"root_module": {
        "resources": [
          {"address": "aws_appmesh_mesh.m", "mode": "managed", "type": "aws_appmesh_mesh", "name": "m", "values": {"name": "m", "id": "m", "arn": "a", "mesh_owner": "1", "spec": [{"egress_filter": [{"type": "ALLOW_ALL"}], "service_discovery": []}], "tags": null, "tags_all": {"b": "2", "a": "1"}}},
          {"address": "data.aws_appmesh_mesh.d", "mode": "data", "type": "aws_appmesh_mesh", "name": "d", "values": {}},
          {"address": "aws_ecs_cluster.c", "mode": "managed", "type": "aws_ecs_cluster", "name": "c", "values": {}}],
        "child_modules": [{"address": "module.cart[\"a\"]", "resources": [
          {"address": "module.cart[\"a\"].aws_appmesh_virtual_node.this[0]", "mode": "managed", "type": "aws_appmesh_virtual_node", "name": "this", "index": 0, "values": {"name": "cart", "mesh_name": "m", "spec": [{"backend": [], "listener": [{"port_mapping": [{"port": 80, "protocol": "http"}], "health_check": [], "timeout": [{"grpc": [], "http": [{"idle": [], "per_request": [{"unit": "s", "value": 0}]}], "http2": [], "tcp": []}], "connection_pool": [{"grpc": [], "http": [], "http2": [], "tcp": []}]}], "logging": [], "service_discovery": [{"aws_cloud_map": [{"attributes": {"stage": "prod", "color": "blue"}, "namespace_name": "ns", "service_name": "s"}], "dns": []}]}]}}]}]
    }}}"#;
    check(
        &[],
        &[("show.json", state)],
        expect![[r##"
            # show.json: aws_appmesh_mesh.m
            meshName: m
            spec:
              egressFilter:
                type: ALLOW_ALL
            tags:
            - key: b
              value: "2"
            - key: a
              value: "1"
            ---
            # show.json: module.cart["a"].aws_appmesh_virtual_node.this[0]
            meshName: m
            virtualNodeName: cart
            spec:
              listeners:
              - portMapping:
                  port: 80
                  protocol: http
                timeout:
                  http:
                    perRequest:
                      unit: s
                      value: 0
              serviceDiscovery:
                awsCloudMap:
                  attributes:
                  - key: stage
                    value: prod
                  - key: color
                    value: blue
                  namespaceName: ns
                  serviceName: s
            ! refused  virtual node "cart" in mesh "m" (show.json: module.cart["a"].aws_appmesh_virtual_node.this[0]): spec.serviceDiscovery.awsCloudMap: AWS Cloud Map is not supported yet
            ! note     passed over, being of other types: aws_ecs_cluster, data.aws_appmesh_mesh
            ! 2 written, 0 left out, 1 that the API would refuse
            exit code 1
        "##]],
    );
}

#[test]
fn a_plan_does_not_know_everything() {
    let plan = r#"{"format_version": "1.2", "terraform_version": "1.9.0",
      "planned_values": {"root_module": {"resources": [
        {"address": "aws_appmesh_virtual_router.r", "mode": "managed", "type": "aws_appmesh_virtual_router", "name": "r", "values": {"name": "r", "mesh_name": "m", "spec": [{"listener": [{"port_mapping": [{"port": 80, "protocol": "tcp"}]}]}]}},
        {"address": "aws_appmesh_route.x", "mode": "managed", "type": "aws_appmesh_route", "name": "x", "values": {"name": "x", "virtual_router_name": "r", "spec": [{"tcp_route": [{"action": [{"weighted_target": [{"weight": 0, "port": 0}, {"virtual_node": "b", "weight": 1}]}]}], "priority": 0, "http_route": []}]}}]}},
      "resource_changes": [
        {"address": "aws_appmesh_virtual_router.r", "change": {"after_unknown": {"arn": true, "id": true, "spec": [{"listener": [{"port_mapping": [{}]}]}], "tags_all": true}}},
        {"address": "aws_appmesh_route.x", "change": {"after_unknown": {"arn": true, "mesh_name": true, "spec": [{"tcp_route": [{"action": [{"weighted_target": [{"virtual_node": true}, {}]}]}]}]}}}]}"#;
    check(
        &[],
        &[("plan.json", plan)],
        expect![[r##"
            # plan.json: aws_appmesh_virtual_router.r
            meshName: m
            virtualRouterName: r
            spec:
              listeners:
              - portMapping:
                  port: 80
                  protocol: tcp
            ! left out plan.json: aws_appmesh_route.x.mesh_name: is not known before the plan is applied; give it with --set 'aws_appmesh_route.x.mesh_name=VALUE'
            ! left out plan.json: aws_appmesh_route.x.spec[0].tcp_route[0].action[0].weighted_target[0].virtual_node: is not known before the plan is applied; give it with --set 'aws_appmesh_route.x.spec[0].tcp_route[0].action[0].weighted_target[0].virtual_node=VALUE'
            ! note     mesh "m": is needed by virtual router "r" in mesh "m" and not among what is written: it must exist before
            ! 1 written, 2 left out, 0 that the API would refuse
            exit code 1
        "##]],
    );
    let given = [
        "--set=aws_appmesh_route.x.mesh_name=m",
        "--set=aws_appmesh_route.x.spec[0].tcp_route[0].action[0].weighted_target[0].virtual_node=a",
    ];
    check(
        &given,
        &[("plan.json", plan)],
        expect![[r##"
            # plan.json: aws_appmesh_virtual_router.r
            meshName: m
            virtualRouterName: r
            spec:
              listeners:
              - portMapping:
                  port: 80
                  protocol: tcp
            ---
            # plan.json: aws_appmesh_route.x
            meshName: m
            virtualRouterName: r
            routeName: x
            spec:
              tcpRoute:
                action:
                  weightedTargets:
                  - virtualNode: a
                    weight: 0
                  - virtualNode: b
                    weight: 1
            ! note     mesh "m": is needed by virtual router "r" in mesh "m" and not among what is written: it must exist before
            ! note     virtual node "a" in mesh "m": is needed by route "x" of virtual router "r" in mesh "m" and not among what is written: it must exist before
            ! note     virtual node "b" in mesh "m": is needed by route "x" of virtual router "r" in mesh "m" and not among what is written: it must exist before
            ! 2 written, 0 left out, 0 that the API would refuse
            exit code 0
        "##]],
    );
}

#[test]
fn what_is_left_out() {
    let state = r#"{"format_version": "1.0", "values": {"root_module": {"resources": [
        {"address": "aws_appmesh_mesh.m", "mode": "managed", "type": "aws_appmesh_mesh", "values": {"name": "m", "spec": [], "color": "red"}},
        {"address": "aws_appmesh_route.r", "mode": "managed", "type": "aws_appmesh_route", "values": {"name": "r", "mesh_name": "m", "virtual_router_name": "v", "spec": [{"grpc_route": [{"action": [{"weighted_target": [{"virtual_node": "n", "weight": 1, "port": 0}]}], "match": [], "retry_policy": [], "timeout": []}], "shade": [{}]}]}},
        {"address": "aws_appmesh_gateway_route.g", "mode": "managed", "type": "aws_appmesh_gateway_route", "values": {"name": "", "mesh_name": "m", "virtual_gateway_name": "g", "spec": []}},
        {"address": "aws_appmesh_thing.t", "mode": "managed", "type": "aws_appmesh_thing", "values": {}}]}}}"#;
    check(
        &[],
        &[("show.json", state)],
        expect![[r##"
            # show.json: aws_appmesh_mesh.m
            meshName: m
            spec: {}
            ---
            # show.json: aws_appmesh_route.r
            meshName: m
            virtualRouterName: v
            routeName: r
            spec:
              grpcRoute:
                action:
                  weightedTargets:
                  - virtualNode: "n"
                    weight: 1
                match: {}
            ! left out show.json: aws_appmesh_mesh.m.color: is no argument of such a resource
            ! left out show.json: aws_appmesh_route.r.spec[0].shade: App Mesh's API has no such field
            ! left out show.json: aws_appmesh_gateway_route.g: gatewayRouteName: has 0 characters; 1 to 255 are allowed
            ! left out show.json: aws_appmesh_thing.t: aws_appmesh_thing is not known
            ! note     virtual node "n" in mesh "m": is needed by route "r" of virtual router "v" in mesh "m" and not among what is written: it must exist before
            ! note     virtual router "v" in mesh "m": is needed by route "r" of virtual router "v" in mesh "m" and not among what is written: it must exist before
            ! 2 written, 4 left out, 0 that the API would refuse
            exit code 1
        "##]],
    );
    check(
        &[],
        &[("old.tfstate", r#"{"version": 3, "lineage": "x", "resources": []}"#)],
        expect![[r#"
        ! error: old.tfstate: is a state of version 3; only 4 is read: terraform show -json prints it in another form
        ! nothing was written
        exit code 2
    "#]],
    );
}
